"""The follower: one loop that reads the log once for all projections, each with transactions of its own.

Rows and tracking commit together, so nothing is applied twice or left out. A projection that fails stops
where it failed and says so in its tracking; the others go on, and it tries again from there. It never skips.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar, Final

from ledger.codec import decode_event, decode_state
from ledger.errors import DaybookError
from ledger.events.log import EventSetAside
from ledger.store import Log, listen
from projections.applier import UNREACHABLE, Applier, TrackingMoved, connect, logger
from projections.batch import decode_batch, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from threading import Event

    from psycopg import Connection
    from psycopg.rows import DictRow

    from projections.base import Projection
    from projections.batch import Batch

__all__ = ["Follower", "ProjectionStopped", "Step", "TrackingMoved"]

BATCH_ROWS: Final = 5_000
POLL_SECONDS: Final = 1.0
_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 10.0
_PAUSED_SECONDS: Final = 0.05


class ProjectionStopped(DaybookError):
    """A projection failed and stands still; its tracking says where and why."""

    code: ClassVar[str] = "projection_stopped"


@dataclass(frozen=True)
class Step:
    """What one round did: rows read, and rows applied summed over the projections."""

    read: int
    applied: int


_TRACK: Final = "INSERT INTO daybook.tracking (projection) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
_POSITIONS: Final = "SELECT projection, position FROM daybook.tracking WHERE projection = ANY(%s)"
_STOPPED: Final = (
    "SELECT projection, failed_position, failure FROM daybook.tracking"
    " WHERE projection = ANY(%s) ORDER BY projection"
)
_HEAD: Final = "SELECT coalesce(max(notification_id), 0) AS head FROM log.events"
# The topic stands in the text, because the index on it is partial.
_SET_ASIDE: Final = (
    "SELECT topic, originator_id, originator_version, state, book FROM log.events"  # noqa: S608 - constant
    f" WHERE topic = '{EventSetAside.topic}'"
)


class Follower:
    """Applies the log to projections: live, or with a suffix to their names to the schemas of a rebuild."""

    def __init__(
        self,
        url: str,
        master_key: bytes,
        projections: Iterable[Projection],
        *,
        suffix: str = "",
        batch_rows: int = BATCH_ROWS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Name the database and the projections; connections are opened when first needed."""
        self._url = url
        self._log = Log(url, master_key)  # only to decode: its pool stays empty
        self._appliers = {
            projection.name + suffix: Applier(url, projection.name + suffix, projection, clock)
            for projection in projections
        }
        self._workers = self._new_workers()
        self._batch_rows = batch_rows
        self._ahead: Batch | None = None
        self._connection: Connection[DictRow] | None = None

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        self._ahead = None
        self._workers.shutdown()
        self._workers = self._new_workers()
        for applier in self._appliers.values():
            applier.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- running ------------------------------------------------------------------------------------

    def run(self, stop: Event) -> None:
        """Follow the log until told to stop; woken by the log, with a poll in case a wake-up was lost."""
        delay = _FIRST_DELAY_SECONDS
        with closing(self):
            while not stop.is_set():
                try:
                    # What was announced before is read now: only what comes after it needs to wake us.
                    self._hear(0)
                    if self.advance().applied == 0:
                        self._hear(POLL_SECONDS)
                    delay = _FIRST_DELAY_SECONDS
                except UNREACHABLE as error:
                    logger.warning("the database is out of reach, trying again: %s", type(error).__name__)
                    self.close()
                    stop.wait(delay)
                    delay = min(delay * 2, _LONGEST_DELAY_SECONDS)

    def catch_up(
        self, through: int | None = None, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Apply all there is up to a position (the log's last, if none is given), or raise where one stops.

        `progress` is told positions done and in total.
        """
        target = self._head() if through is None else through
        start = min(self.positions().values(), default=0)
        total = max(target - start, 0)
        while True:
            step = self.advance(target)
            self._raise_if_stopped()
            if progress is not None:
                done = total if step.read == 0 else min(self.positions().values()) - start
                progress(min(done, total), total)
            if step.read == 0:
                return
            if step.applied == 0:
                time.sleep(_PAUSED_SECONDS)

    def step(self) -> int:
        """Read and apply once for every projection that is not waiting to try again; give the rows read."""
        return self.advance().read

    def positions(self) -> dict[str, int]:
        """Give where each projection stands."""
        rows = self._connected().execute(_POSITIONS, (list(self._appliers),))
        return {row["projection"]: row["position"] for row in rows}

    def advance(self, through: int | None = None) -> Step:
        """Read one batch for each group of projections that stand together, and apply it to each of them."""
        groups: dict[int, list[Applier]] = {}
        for name, position in self.positions().items():
            if self._appliers[name].ready:
                groups.setdefault(position, []).append(self._appliers[name])
        steps = [
            self._advance_group(groups[after], after, following, through)
            for after, following in _with_following(sorted(groups))
        ]
        return Step(sum(step.read for step in steps), sum(step.applied for step in steps))

    # -- one batch ----------------------------------------------------------------------------------

    def _advance_group(
        self, appliers: list[Applier], after: int, following: int | None, through: int | None
    ) -> Step:
        """Apply a batch to each of the projections that stand at a position, reading the next meanwhile."""
        bounds = [bound for bound in (following, through) if bound is not None]
        batch = self._read(after, min(bounds, default=None))
        if batch is None:
            return Step(0, 0)
        futures = [self._workers.submit(applier.apply, batch) for applier in appliers]
        try:
            if len(batch.positions) == self._batch_rows:
                self._ahead = self._read(batch.last, min(bounds, default=None))
        finally:
            wait(futures)
        return Step(len(batch.positions), sum(_results(futures)))

    def _read(self, after: int, through: int | None) -> Batch | None:
        """Read what comes next, but not past where others stand: from there on they are read for together."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.after == after and (through is None or ahead.last <= through):
            return ahead
        connection = self._connected()
        rows = read_rows(connection, after, self._batch_rows, through)
        if not rows:
            return None
        # After the rows: an event that one of them sets aside is then known to be.
        batch = decode_batch(self._log, connection, after, rows, self._set_aside())
        for applier in self._appliers.values():
            if applier.projection.prepare is not None:
                applier.projection.prepare(batch)
        return batch

    def _set_aside(self) -> frozenset[tuple[str, int]]:
        """Give book and position of every event set aside: the log tells, so that all rebuilds agree."""
        found = set()
        for row in self._connected().execute(_SET_ASIDE, binary=True):
            state = decode_state(bytes(row["state"]))
            event = decode_event(row["topic"], state, row["originator_id"], row["originator_version"], {})
            assert isinstance(event, EventSetAside), "the topic names the class"
            found.add((str(row["book"]), event.position))
        return frozenset(found)

    def _raise_if_stopped(self) -> None:
        stopped = [name for name, applier in self._appliers.items() if applier.stopped]
        if not stopped:
            return
        rows = self._connected().execute(_STOPPED, (stopped,)).fetchall()
        raise ProjectionStopped(
            "; ".join(
                f"{row['projection']} stopped at position {row['failed_position']}: {row['failure']}"
                for row in rows
            )
        )

    # -- threads and the connection -----------------------------------------------------------------

    def _new_workers(self) -> ThreadPoolExecutor:
        """Make a pool of threads that start when first needed, as many as there are projections."""
        return ThreadPoolExecutor(max(1, len(self._appliers)), thread_name_prefix="projection")

    def _connected(self) -> Connection[DictRow]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, "daybook follower")
            self._connection.execute(_TRACK, (list(self._appliers),))
            listen(self._connection)
        return self._connection

    def _head(self) -> int:
        row = self._connected().execute(_HEAD).fetchone()
        assert row is not None, "the query gives one row"
        head: int = row["head"]
        return head

    def _hear(self, seconds: float) -> None:
        """Take the log's announcements, waiting for a first one as long as that."""
        for _ in self._connected().notifies(timeout=seconds, stop_after=1 if seconds else None):
            pass


def _with_following(starts: list[int]) -> list[tuple[int, int | None]]:
    return list(zip_longest(starts, starts[1:]))


def _results(futures: Iterable[Future[int]]) -> list[int]:
    return [future.result() for future in futures]
