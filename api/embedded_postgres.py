"""A real PostgreSQL under a folder of the user's, for `daybook dev`, the demo and the tests.

It survives what a laptop does to it. Killing Daybook leaves the server running: the next start takes it over
and, ending cleanly, stops it. Killing the server leaves a stale `postmaster.pid`: the next start recovers.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, ClassVar, Self

import psycopg
from psycopg import sql

from api.data_folder import DataFolderLock
from api.postgres_cluster import Cluster, forget_dead_postmaster, open_cluster, running_postmaster
from ledger.errors import DaybookError

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path
    from types import TracebackType

DATABASE = "daybook"
LOG_NAME = "postgres.log"
LOG_LIMIT_BYTES = 10_000_000
LAUNCH_SECONDS = 15  # backends of a killed server may hold its shared memory for a moment: launches then fail
RECOVERY_SECONDS = 300  # a live server may replay up to max_wal_size before it answers
STOP_SECONDS = 60  # time to write 256 MB of changed pages on a slow disk
POLL_SECONDS = 0.02


class PostgresDidNotStart(DaybookError):
    """The embedded PostgreSQL does not start; the message ends with its last words."""

    code: ClassVar[str] = "postgres_did_not_start"


class PostgresDidNotStop(DaybookError):
    """The embedded PostgreSQL does not stop."""

    code: ClassVar[str] = "postgres_did_not_stop"


class EmbeddedPostgres:
    """The one PostgreSQL server of a data folder, ours from `start` (or `with`) until `stop`."""

    def __init__(self, data_directory: Path) -> None:
        """Remember the folder; nothing is created or started yet."""
        self._folder = data_directory.expanduser().resolve()
        self._lock = DataFolderLock(self._folder)
        self._cluster = Cluster(self._folder / "postgres", user=None)
        self._child: subprocess.Popen[bytes] | None = None  # None too when the server was taken over

    def __enter__(self) -> Self:
        """Start, or take over, the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server, whatever happened."""
        self.stop()

    @property
    def url(self) -> str:
        """The owner's URL of the database `daybook`; the same after every restart."""
        return self._cluster.url(DATABASE)

    @property
    def log_path(self) -> Path:
        """The file that holds everything the server says; nothing goes to our own output."""
        return self._folder / LOG_NAME

    @property
    def postmaster_pid(self) -> int | None:
        """The process id of the live server, or None."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        return running_postmaster(self._cluster.directory)

    def start(self) -> None:
        """Lock the folder (or raise `DataFolderBusy`) and return once the server answers."""
        self._lock.acquire()
        try:
            self._cluster = open_cluster(self._cluster.directory)
            self.ensure_running()
        except BaseException:
            self.stop()
            raise

    def ensure_running(self) -> bool:
        """Return once the server answers, launching it when it is not running; True when that was needed."""
        began, launched = time.monotonic(), False
        while True:
            if self.postmaster_pid is None:
                self._launch()
                launched = True
            if self._answers():
                return launched
            self._give_up_after(time.monotonic() - began)
            # Nothing tells that a server answers but asking it.
            time.sleep(POLL_SECONDS)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop the server (immediately: as a crash would, recovery follows) and start it at the same URL."""
        self._stop_server(signal.SIGQUIT if immediate else signal.SIGINT)
        self.ensure_running()

    def stop(self) -> None:
        """Stop the server and unlock the folder; does nothing the second time, or in a forked child."""
        if not self._lock.held:
            return
        try:
            self._stop_server(signal.SIGINT)
            self._cluster.remove_sockets()
        finally:
            self._lock.release()

    def _launch(self) -> None:
        """Start the server's process; our child, so that its failure shows at once."""
        forget_dead_postmaster(self._cluster.directory)
        log = self._open_log()
        try:
            self._child = self._cluster.spawn("postgres", "-D", str(self._cluster.directory), log=log)
        finally:
            os.close(log)

    def _open_log(self) -> int:
        """Open the log to append, with the former one put aside when it has grown large."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        return os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _answers(self) -> bool:
        """Whether the server takes a connection; makes our database the first time it does."""
        maintenance_url = self._cluster.url("postgres")
        try:
            with psycopg.connect(maintenance_url, autocommit=True, connect_timeout=5) as connection:
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
                if known.fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        except psycopg.OperationalError:
            return False
        return True

    def _give_up_after(self, waited_seconds: float) -> None:
        """Raise once waiting makes no more sense: soon for a server that exits, late for one in recovery."""
        limit_seconds = LAUNCH_SECONDS if self.postmaster_pid is None else RECOVERY_SECONDS
        if waited_seconds < limit_seconds:
            return
        last_words = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-10:]
        raise PostgresDidNotStart(
            f"PostgreSQL in {self._folder} did not answer within {limit_seconds} seconds. "
            f"The end of {self.log_path}:\n" + "\n".join(last_words)
        )

    def _stop_server(self, how: signal.Signals) -> None:
        """End the server and wait for it; an unwilling one ends as in a crash, which loses nothing."""
        for request in (how, signal.SIGQUIT):
            pid = self.postmaster_pid
            if pid is None or self._ended(pid, request):
                return
        raise PostgresDidNotStop(f"PostgreSQL in {self._folder} (process {pid}) does not stop.")

    def _ended(self, pid: int, request: signal.Signals) -> bool:
        """Send one signal and say whether the server was gone in time."""
        try:
            os.kill(pid, request)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + STOP_SECONDS
        while self.postmaster_pid == pid:
            if time.monotonic() > deadline:
                return False
            # Looked at: a server that was taken over is not our child, and only children are waited for.
            time.sleep(POLL_SECONDS)
        return True
