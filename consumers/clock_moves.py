"""Moving the clock of a test book: everything that falls due on the way is done in order, each at its time.

The clock goes to the instant of a job before the job is done, so that nothing is booked ahead of it. Whatever
breaks off in between has moved it to where it got; moving it again goes on from there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from commands.clock import load_clock, move_clock
from consumers.due_work import PAGE_JOBS, ProjectionsBehind, wait_until_read, work_off
from consumers.job_batches import CLOCK_HANDLERS
from consumers.jobs import NO_PROGRESS, SCHEDULER, UNAVAILABLE, Halt, Job, Settled
from consumers.leader import Leader, lock_key
from ledger.errors import Unavailable
from ledger.streams import clock as clocks
from ledger.values import instant_text
from projections.due import due_until
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from consumers.jobs import Handler
    from ledger.streams.base import Stream
    from ledger.streams.clock import Clock

_WAIT_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 600.0
# What tells whether a book is empty, beside what says what is due.
_ALL_PROJECTIONS: Final = tuple(PROJECTIONS)
# Row-level security shows one book.
_HOLDS: Final = "SELECT EXISTS (SELECT FROM accounts.accounts) OR EXISTS (SELECT FROM billing.plans) AS holds"


@dataclass
class Moved:
    """Where a clock stands, how many jobs were done on the way there, and which were not, and why."""

    clock: Stream[Clock]
    position: int | None = None
    done: int = 0
    refused: list[Settled] = field(default_factory=list)


def clock_lock(book: UUID) -> int:
    """Give the key of the lock that a book's clock is moved under."""
    return lock_key("test-clock", str(book))


class ClockMove:
    """One move of one book's clock."""

    def __init__(
        self,
        context: Context,
        wall: datetime,
        *,
        handlers: Mapping[str, Handler] = CLOCK_HANDLERS,
        page_jobs: int = PAGE_JOBS,
    ) -> None:
        """Take who asks for it, in which book, and what the wall's clock says."""
        assert context.settings.app_url is not None, "who serves a book knows its database"
        self._context = context
        self._wall = wall
        self._handlers = handlers
        self._page_jobs = page_jobs
        # Held on a connection of its own: when this process dies, the next move need not wait.
        self._leader = Leader(context.settings.app_url, clock_lock(context.book), "daybook test clock")
        self._moved = Moved(load_clock(context.log, context.book))
        self._finished: set[Job] = set()

    def to(self, target: datetime) -> Moved:
        """Move the clock, or refuse: it only moves forward, and one request at a time moves it."""
        try:
            if not self._leader.take():
                message = "the clock is being moved by another request; try again once that is answered"
                raise clocks.ClockMoving(message)
            # Under the lock: another move may have ended since.
            self._moved.clock = load_clock(self._context.log, self._context.book)
            self._move(target)
        except (Halt, ProjectionsBehind) as cut_short:
            message = f"{cut_short}; the clock stands at {instant_text(self._now)}: set it again to go on"
            raise Unavailable(message) from cut_short
        finally:
            self._leader.resign()
        return self._moved

    @property
    def _now(self) -> datetime:
        return clocks.time_of(self._moved.clock.state, self._wall)

    def _move(self, target: datetime) -> None:
        empty = self._moved.clock.state is None and self._is_empty()
        # Refused before anything is done.
        clocks.move(self._moved.clock.state, target, self._wall, empty=empty)
        if target >= self._now:
            if self._moved.clock.state is None:
                # From here on it is this book's own, and the scheduler leaves it alone.
                self._set(self._wall)
            self._work_off(target)
        self._set(target, empty=empty)
        # Whoever looks at a list next sees all that was done.
        with self._context.log.reading(self._context.book) as connection:
            wait_until_read(connection, _WAIT_SECONDS, _ALL_PROJECTIONS)

    def _is_empty(self) -> bool:
        """Say whether the book has nothing yet that has a time: no account, hence no usage, and no plan."""
        with self._context.log.reading(self._context.book) as connection:
            wait_until_read(connection, _WAIT_SECONDS, _ALL_PROJECTIONS)
            row = connection.execute(_HOLDS).fetchone()
        assert row is not None, "the query gives one row"
        return not row["holds"]

    def _set(self, to: datetime, *, empty: bool = False) -> None:
        done = move_clock(self._context, self._moved.clock, to, self._wall, empty=empty)
        self._moved.clock = done.result
        self._moved.position = done.position or self._moved.position

    # -- what falls due -------------------------------------------------------------------------------

    def _work_off(self, target: datetime) -> None:
        """Do everything that is due until an instant, page by page."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        while page := self._page(target):
            through = page[-1].due_at if len(page) == self._page_jobs else target
            for settled in work_off(page, through, self._handlers, self._context_of):
                self._settled(settled)
                if time.monotonic() > deadline:
                    message = f"{self._moved.done} jobs were done, and more are due"
                    raise Halt(message)

    def _page(self, target: datetime) -> list[Job]:
        """Find what is due next but was not refused; what was done and is due all the same is, now."""
        but = [(one.job.kind, one.job.subject, one.job.due_at) for one in self._moved.refused]
        with self._context.log.reading(self._context.book) as connection:
            wait_until_read(connection, _WAIT_SECONDS)
            rows = due_until(connection, target, self._page_jobs, but)
        page = [Job(row["due_at"], row["kind"], row["subject"], row["book"], row["account"]) for row in rows]
        again = self._finished.intersection(page)
        for job in sorted(again):
            self._finished.discard(job)
            self._moved.done -= 1
            reason = "it was done, and is due at the same instant all the same"
            self._moved.refused.append(Settled(job, NO_PROGRESS, reason))
        return self._page(target) if again else page

    def _context_of(self, job: Job) -> Context:
        self._leader.require()
        if job.due_at > self._now:
            self._set(job.due_at)
        return replace(self._context, actor=SCHEDULER, cause=job.cause, now=self._now)

    def _settled(self, settled: Settled) -> None:
        if settled.code == UNAVAILABLE:
            message = f"{settled.job.kind} {settled.job.subject} could not be done ({settled.reason})"
            raise Halt(message)
        if settled.code is None:
            self._finished.add(settled.job)
            self._moved.done += 1
        else:
            self._moved.refused.append(settled)
