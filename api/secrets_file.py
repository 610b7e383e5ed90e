"""The secrets of an installation in a data folder: made once, kept beside the database they belong to."""

from __future__ import annotations

import os
import secrets
from base64 import b64encode
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from ledger.errors import DaybookError

if TYPE_CHECKING:
    from pathlib import Path

SECRETS_NAME: Final = "secrets.json"


class SecretsMissing(DaybookError):
    """A data folder has a database, or should have one, and not the secrets that go with it."""

    code: ClassVar[str] = "secrets_missing"


class _Secrets(msgspec.Struct, frozen=True):
    """What the file holds, each as its environment variable would."""

    master_key: str
    peppers: str


def read_secrets(folder: Path) -> dict[str, str]:
    """Read the secrets of a data folder, as the environment variables that processes take them from."""
    try:
        content = (folder / SECRETS_NAME).read_bytes()
    except FileNotFoundError:
        raise SecretsMissing(
            f"{folder} has no {SECRETS_NAME}: it is no data folder of `daybook dev` or `daybook demo`, "
            "or its secrets were lost, and with them what they seal."
        ) from None
    try:
        kept = msgspec.json.decode(content, type=_Secrets)
    except msgspec.MsgspecError:
        raise SecretsMissing(f"{folder / SECRETS_NAME} cannot be read: it was changed by hand.") from None
    return {"DAYBOOK_MASTER_KEY": kept.master_key, "DAYBOOK_PEPPERS": kept.peppers}


def ensure_secrets(folder: Path) -> dict[str, str]:
    """Read the secrets of a data folder, made for a new one; never made anew for a database that exists."""
    path = folder / SECRETS_NAME
    if not path.exists() and not (folder / "postgres").exists():
        _write(path, _Secrets(master_key=_random(), peppers=f"1:{_random()}"))
    return read_secrets(folder)


def _random() -> str:
    return b64encode(secrets.token_bytes(32)).decode()


def _write(path: Path, made: _Secrets) -> None:
    """Write the file for its owner only, whole or not at all, on disk before anything is sealed with it."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(made) + b"\n")
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
