"""One projection's writer: applies batches, moves the tracking with them, and stops where it fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, Final

import psycopg
from psycopg.rows import dict_row

from ledger.errors import DaybookError, Unavailable
from ledger.events.log import EventSetAside

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection
    from psycopg.rows import DictRow

    from projections.base import Projection
    from projections.batch import Batch

_FIRST_DELAY_SECONDS: Final = 1.0
_LONGEST_DELAY_SECONDS: Final = 30.0
# What a lost or refusing database raises: never a projection's own failure.
UNREACHABLE: Final = (psycopg.OperationalError, psycopg.InterfaceError, Unavailable)

logger = logging.getLogger("daybook.follower")


class TrackingMoved(DaybookError):
    """Another follower moved this projection's tracking: two of them run at once, and this one stops."""

    code: ClassVar[str] = "tracking_moved"


class EventUnreadable(DaybookError):
    """An event that the projection handles cannot be decoded."""

    code: ClassVar[str] = "event_unreadable"


class SetAsideTooLate(DaybookError):
    """An event was set aside after the projection had applied it: only a rebuild takes it out again."""

    code: ClassVar[str] = "set_aside_too_late"


# A rebuild holds the row while it swaps: the projection is paused, and the others must not wait.
# Losing # the last commits in a crash of the server is harmless, since rows and tracking go back together.
_CLAIM: Final = (
    "SELECT position, set_config('search_path', %s, true), set_config('synchronous_commit', 'off', true)"
    " FROM daybook.tracking WHERE projection = %s FOR UPDATE SKIP LOCKED"
)
_MOVE: Final = (
    "UPDATE daybook.tracking SET position = %s, moved_at = now(), failed_position = NULL, failure = NULL"
    " WHERE projection = %s AND position = %s"
)
_FAIL: Final = (
    "UPDATE daybook.tracking SET failed_position = %s, failure = %s WHERE projection = %s AND position = %s"
)
_REMEMBER: Final = (
    "INSERT INTO daybook.passed_over (projection, position) SELECT %s, unnest(%s::bigint[])"
    " ON CONFLICT DO NOTHING"
)
# Setting aside works within one book only: nobody can touch what another book's projections hold.
_APPLIED_BEFORE: Final = (
    "SELECT notification_id AS position FROM log.events AS aside"
    " WHERE notification_id = ANY(%s) AND topic = ANY(%s) AND (book, notification_id) IN"
    " (SELECT * FROM unnest(%s::uuid[], %s::bigint[]))"
    " AND NOT EXISTS (SELECT FROM daybook.passed_over AS known"
    " WHERE known.projection = %s AND known.position = aside.notification_id)"
    " ORDER BY 1 LIMIT 1"
)


def connect(url: str, name: str) -> Connection[DictRow]:
    """Open a connection of the follower's role."""
    return psycopg.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        connect_timeout=5,
        application_name=name,
        # The planner has no statistics on a young log, and must never sort it instead of using its index.
        options="-c TimeZone=UTC -c enable_seqscan=off -c enable_bitmapscan=off -c work_mem=64MB",
    )


class Applier:
    """Applies batches to one projection over its own connection, so that projections work side by side."""

    def __init__(self, url: str, name: str, projection: Projection, clock: Callable[[], float]) -> None:
        """Name the schema and tracking it works on; the connection is opened when first needed."""
        self.name = name
        self.projection = projection
        self._url = url
        self._clock = clock
        self._connection: Connection[DictRow] | None = None
        self._failures = 0
        self._retry_at = 0.0

    @property
    def stopped(self) -> bool:
        """Whether it failed where it stands."""
        return self._failures > 0

    @property
    def ready(self) -> bool:
        """Whether it may try: it did not fail, or that was long enough ago."""
        return self._retry_at <= self._clock()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def apply(self, batch: Batch) -> int:
        """Apply a batch as far as it goes; give how many rows: none while a rebuild has the tracking."""
        try:
            applied = self._commit(batch)
        except (*UNREACHABLE, TrackingMoved):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it stops this projection and no other
            return self._narrow_down(batch, error)
        if applied:
            self._failures, self._retry_at = 0, 0.0
        return len(batch.positions) if applied else 0

    def _narrow_down(self, batch: Batch, error: Exception) -> int:
        """Apply what comes before the event that fails, and stop at it."""
        if len(batch.positions) == 1:
            self._stop(batch, error)
            return 0
        first, second = batch.halves()
        applied = self.apply(first)
        if applied < len(first.positions):
            return applied
        return applied + self.apply(second)

    def _commit(self, batch: Batch) -> bool:
        connection = self._connected()
        with connection.transaction():
            tracking = connection.execute(_CLAIM, (self.name, self.name)).fetchone()
            if tracking is None:
                return False
            if tracking["position"] != batch.after:
                raise _moved(self.name, batch.after)
            _refuse_unread(self.projection, batch)
            self._pass_over(connection, batch)
            self.projection.apply(connection, batch)
            if connection.execute(_MOVE, (batch.last, self.name, batch.after)).rowcount != 1:
                raise _moved(self.name, batch.after)
        return True

    def _pass_over(self, connection: Connection[Any], batch: Batch) -> None:
        """Remember what is passed over, and refuse what was set aside after it had been applied."""
        if batch.passed_over:
            connection.execute(_REMEMBER, (self.name, list(batch.passed_over)))
        told = [
            (recorded.metadata.book, recorded.event.position)
            for recorded in batch.others
            if isinstance(recorded.event, EventSetAside) and recorded.event.position < recorded.position
        ]
        if not told:
            return
        books, positions = [book for book, _ in told], [position for _, position in told]
        parameters = (positions, sorted(self.projection.handled), books, positions, self.name)
        row = connection.execute(_APPLIED_BEFORE, parameters).fetchone()
        if row is not None:
            raise SetAsideTooLate(
                f"event {row['position']} was set aside after it was applied: rebuild {self.projection.name}"
            )

    def _stop(self, batch: Batch, error: Exception) -> None:
        failure = describe(error)
        logger.error("projection %s stopped at position %d: %s", self.name, batch.last, failure)
        self._connected().execute(_FAIL, (batch.last, failure, self.name, batch.after))
        self._failures += 1
        delay = min(_FIRST_DELAY_SECONDS * 2 ** (self._failures - 1), _LONGEST_DELAY_SECONDS)
        self._retry_at = self._clock() + delay

    def _connected(self) -> Connection[DictRow]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, f"daybook projection {self.name}")
        return self._connection


def _moved(name: str, position: int) -> TrackingMoved:
    return TrackingMoved(f"the tracking of {name} is no longer at {position}: another follower has moved it")


def _refuse_unread(projection: Projection, batch: Batch) -> None:
    for unread in batch.unread:
        if unread.topic not in projection.ignored:
            raise EventUnreadable(f"event {unread.position} ({unread.topic}): {unread.reason}")


def describe(error: Exception) -> str:
    """Say what went wrong, but not in the words of the database or of Python, which may quote an event."""
    if isinstance(error, DaybookError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, psycopg.Error):
        where = error.diag.constraint_name or error.diag.column_name or error.diag.table_name or ""
        return f"{type(error).__name__} {error.sqlstate or ''} {where}".strip()
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame else ""
    return f"{type(error).__name__}{place}"
