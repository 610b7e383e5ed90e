"""The user that PostgreSQL runs as when Daybook is root (in a container, say): it refuses to be root itself.

That user must reach what root may keep closed, so folders above the data and the programs are opened just
enough to walk through them. Nothing here runs for an ordinary user.
"""

from __future__ import annotations

import pwd
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.data_folder import DataFolderUnusable

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM_USER = "pgserver"  # the name the wheel itself uses, so that a machine gets one such user, not two


@dataclass(frozen=True)
class SystemUser:
    """The user the server runs as when we are root, because PostgreSQL refuses to be root."""

    uid: int
    gid: int


def prepare_system_user(cluster: Path, installation: Path) -> SystemUser:
    """Return the user to run this cluster's server as, able to reach the cluster and the programs."""
    user = _system_user(cluster)
    _let_others_pass(cluster)
    _let_others_read(installation)
    return user


def _system_user(directory: Path) -> SystemUser:
    """Return who owns the cluster already, or else the system user for servers, made when missing."""
    if directory.exists() and (owner := directory.stat()).st_uid != 0:
        return SystemUser(owner.st_uid, owner.st_gid)
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _add_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return SystemUser(entry.pw_uid, entry.pw_gid)


def _add_system_user() -> None:
    """Make the system user; that another process made it a moment ago is fine."""
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER]
    try:
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - fixed words
        pwd.getpwnam(SYSTEM_USER)
    except (FileNotFoundError, KeyError):
        raise DataFolderUnusable(
            f"PostgreSQL does not run as root and the system user {SYSTEM_USER!r} could not be made. "
            "Make it by hand, run as an ordinary user, or set DATABASE_URL."
        ) from None


def _let_others_pass(path: Path) -> None:
    """Let the server's user walk through (not list) the folders above a path."""
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _let_others_read(installation: Path) -> None:
    """Undo a strict umask at installation time, under which the server's user could not read the wheel."""
    program = installation / "bin" / "postgres"
    _let_others_pass(program)
    if program.stat().st_mode & stat.S_IXOTH:
        return
    for path in (installation, *installation.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
