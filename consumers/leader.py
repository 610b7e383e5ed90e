"""Leading: of all who could do a thing, one does, for as long as it holds a lock on a connection of its own.

PostgreSQL lets go of the lock when the connection ends, however that comes, and then somebody else leads. A
leader looks before each thing it does whether it still does; one that is cut off at the worst moment may yet
do one more, so what leaders do must be safe to do twice.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

import psycopg

from consumers.jobs import Halt

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

# An answer later than this is none: whoever leads must know soon that it no longer does.
_PATIENCE_MS: Final = 5_000
# The server finds out within ten seconds that the machine of a leader is gone, and lets go of the lock.
_OPTIONS: Final = (
    f"-c statement_timeout={_PATIENCE_MS} -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2"
    " -c tcp_keepalives_count=2"
)
_TAKE: Final = "SELECT pg_try_advisory_lock(%s), pg_backend_pid()"
# A lock of one 64-bit key is listed by its halves.
_HOLDS: Final = (
    "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND pid = pg_backend_pid() AND classid::bigint = %s AND objid::bigint = %s AND objsubid = 1)"
)
_HALF_BITS: Final = 32
_HALF: Final = (1 << _HALF_BITS) - 1


class LeadershipLost(Halt):
    """The lock is gone, or the connection it was held on."""

    code: ClassVar[str] = "leadership_lost"


def lock_key(*parts: str) -> int:
    """Give the key of the lock that a thing is led under."""
    digest = hashlib.sha256("\0".join(("daybook", *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Leader:
    """Somebody who leads, or would."""

    def __init__(self, url: str, key: int, name: str) -> None:
        """Name the database and the lock; the connection is opened when first needed."""
        self._url = url
        self._key = key
        self._name = name
        self._connection: Connection[TupleRow] | None = None
        self._backend: int | None = None

    @property
    def leads(self) -> bool:
        """Whether it led when it last looked."""
        return self._backend is not None

    def take(self) -> bool:
        """Lead, if nobody else does; raises what psycopg raises when the database is out of reach."""
        if self.leads:
            try:
                self.require()
            except LeadershipLost:
                return False
            return True
        try:
            row = self._connected().execute(_TAKE, (self._key,)).fetchone()
        except psycopg.Error:
            self.resign()
            raise
        assert row is not None, "the query gives one row"
        taken, backend = row
        self._backend = backend if taken else None
        return self.leads

    def require(self) -> None:
        """Raise `LeadershipLost` unless the lock is held, on the very connection that it was taken on."""
        if self._backend is None or self._connection is None:
            message = "nobody leads here"
            raise LeadershipLost(message)
        halves = (self._key >> _HALF_BITS & _HALF, self._key & _HALF)
        try:
            row = self._connection.execute(_HOLDS, halves).fetchone()
        except psycopg.Error as error:
            self.resign()
            raise LeadershipLost(f"the connection was lost ({type(error).__name__})") from None
        if row != (self._backend, True):
            self.resign()
            message = "the lock is held no more"
            raise LeadershipLost(message)

    def resign(self) -> None:
        """Let go of the lock, with the connection."""
        connection, self._connection, self._backend = self._connection, None, None
        if connection is None:
            return
        # The server notices a closed connection in its own time; whoever is next need not wait for that.
        with suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock_all()")
        connection.close()

    def _connected(self) -> Connection[TupleRow]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=5,
                application_name=self._name,
                options=_OPTIONS,
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=2,
                tcp_user_timeout=_PATIENCE_MS,
            )
        return self._connection
