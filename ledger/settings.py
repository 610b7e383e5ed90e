"""Settings: every one there is, read from a mapping that the edges pass in; nothing here looks around."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit, urlunsplit

from ledger.feed_settings import VARIABLES as FEED_VARIABLES
from ledger.feed_settings import FeedSettings
from ledger.secrets import MAX_PREFIX_CHARACTERS
from ledger.variables import SettingsError, is_whole, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

# Every environment variable that is read, and what for.
VARIABLES: Final[Mapping[str, str]] = {
    "DATABASE_URL": "the owner's connection, for migrate, rebuild and verify;"
    " dev and demo never use it, but an embedded PostgreSQL of their own",
    "DAYBOOK_APP_URL": "the run-time connection of the HTTP edge (role daybook_app)",
    "DAYBOOK_INGEST_URL": "the run-time connection of bulk usage intake (role daybook_ingest)",
    "DAYBOOK_FOLLOWER_URL": "the run-time connection of the projections (role daybook_follower)",
    "DAYBOOK_ROLE_PASSWORD": "the password migrate gives the run-time roles,"
    " and that URLs derived from DATABASE_URL use",
    "DAYBOOK_MASTER_KEY": "32 bytes in base 64: wraps data keys, webhook secrets and stored answers",
    "DAYBOOK_PEPPERS": "version:base64 pairs, separated by commas, that key hashes are keyed with;"
    " the highest version is used for new keys",
    "DAYBOOK_KEY_PREFIX": "what API keys begin with (default dbk)",
    "DAYBOOK_DATA": "the data folder of dev and demo (default: the user's own data directory)",
    "DAYBOOK_MAX_BODY_BYTES": "the largest request body (default 8388608)",
    "DAYBOOK_USAGE_MAX_PAST_SECONDS": "how far in the past a usage event may lie (default 35 days)",
    "DAYBOOK_USAGE_MAX_FUTURE_SECONDS": "how far in the future a usage event may lie (default 5 minutes)",
    "DAYBOOK_WEBHOOK_TOLERANCE_SECONDS": "how old or how early a webhook's signature may be (default 300)",
    **FEED_VARIABLES,
}

__all__ = ["VARIABLES", "Settings", "SettingsError", "role_url"]


@dataclass(frozen=True)
class Settings:
    """What a process needs to know; secrets never show in its repr."""

    database_url: str | None = field(default=None, repr=False)
    app_url: str | None = field(default=None, repr=False)
    ingest_url: str | None = field(default=None, repr=False)
    follower_url: str | None = field(default=None, repr=False)
    role_password: str = field(default="", repr=False)
    master_key: bytes = field(default=b"", repr=False)
    peppers: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)
    key_prefix: str = "dbk"
    data: str | None = None
    max_body_bytes: int = 8 * 1024 * 1024
    usage_max_past_seconds: int = 35 * 24 * 3600
    usage_max_future_seconds: int = 300
    webhook_tolerance_seconds: int = 300
    feed: FeedSettings = field(default_factory=FeedSettings)

    @classmethod
    def from_mapping(cls, variables: Mapping[str, str]) -> Settings:
        """Read the settings from environment variables, or refuse what is malformed."""
        owner = _url(variables, "DATABASE_URL")
        password = variables.get("DAYBOOK_ROLE_PASSWORD", "")
        return cls(
            database_url=owner,
            app_url=_url(variables, "DAYBOOK_APP_URL") or role_url(owner, "daybook_app", password),
            ingest_url=_url(variables, "DAYBOOK_INGEST_URL") or role_url(owner, "daybook_ingest", password),
            follower_url=_url(variables, "DAYBOOK_FOLLOWER_URL")
            or role_url(owner, "daybook_follower", password),
            role_password=password,
            master_key=_bytes(variables.get("DAYBOOK_MASTER_KEY", ""), "DAYBOOK_MASTER_KEY"),
            peppers=_peppers(variables.get("DAYBOOK_PEPPERS", "")),
            key_prefix=_prefix(variables.get("DAYBOOK_KEY_PREFIX") or cls.key_prefix),
            data=variables.get("DAYBOOK_DATA") or None,
            max_body_bytes=whole_number(variables, "DAYBOOK_MAX_BODY_BYTES", cls.max_body_bytes),
            usage_max_past_seconds=whole_number(
                variables, "DAYBOOK_USAGE_MAX_PAST_SECONDS", cls.usage_max_past_seconds
            ),
            usage_max_future_seconds=whole_number(
                variables, "DAYBOOK_USAGE_MAX_FUTURE_SECONDS", cls.usage_max_future_seconds
            ),
            webhook_tolerance_seconds=whole_number(
                variables, "DAYBOOK_WEBHOOK_TOLERANCE_SECONDS", cls.webhook_tolerance_seconds
            ),
            feed=FeedSettings.from_mapping(variables),
        )

    def pepper(self, version: int) -> bytes:
        """Give the pepper of a version, or refuse: a key hashed under a lost pepper can only be rotated."""
        for known, pepper in self.peppers:
            if known == version:
                return pepper
        message = f"DAYBOOK_PEPPERS has no version {version}"
        raise SettingsError(message)

    def current_pepper_version(self) -> int:
        """Give the version that new secrets are hashed under."""
        if not self.peppers:
            message = "DAYBOOK_PEPPERS is not set"
            raise SettingsError(message)
        return max(version for version, _ in self.peppers)


def role_url(owner_url: str | None, role: str, password: str) -> str | None:
    """Give the owner's URL with a run-time role in the owner's place."""
    if owner_url is None:
        return None
    parts = urlsplit(owner_url)
    host = parts.netloc.rpartition("@")[2]
    login = f"{role}:{quote(password, safe='')}" if password else role
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


def _url(variables: Mapping[str, str], name: str) -> str | None:
    """Give a connection's URL, in the one form that another role can be put into."""
    text = variables.get(name)
    if not text:
        return None
    if not text.startswith(("postgresql://", "postgres://")):
        message = f"{name} must be a URL that begins with postgresql://"
        raise SettingsError(message)
    return text


def _bytes(text: str, variable: str) -> bytes:
    if not text:
        return b""
    try:
        value = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        value = b""
    if len(value) != 32:  # noqa: PLR2004 - AES-256
        message = f"{variable} must be 32 bytes in base 64"
        raise SettingsError(message)
    return value


def _peppers(text: str) -> tuple[tuple[int, bytes], ...]:
    peppers: dict[int, bytes] = {}
    for pair in filter(None, text.split(",")):
        version, _, value = pair.partition(":")
        if not is_whole(version) or not value or int(version) in peppers:
            message = "DAYBOOK_PEPPERS must read like 1:base64,2:base64, each version once"
            raise SettingsError(message)
        peppers[int(version)] = _bytes(value, "DAYBOOK_PEPPERS")
    return tuple(peppers.items())


def _prefix(text: str) -> str:
    if not (text.isascii() and text.isalnum() and text.islower() and len(text) <= MAX_PREFIX_CHARACTERS):
        message = f"DAYBOOK_KEY_PREFIX must be at most {MAX_PREFIX_CHARACTERS} lower-case letters and digits"
        raise SettingsError(message)
    return text
