"""The scheduler: one of those that run leads, and does what is due, in order, from rows.

APScheduler says when to look: every few seconds, and at the next instant at which something is due. What
there is to do is never kept there, nor anywhere but in the log: rows are folded from it, jobs are commands.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from consumers import due_reads
from consumers.due_work import PAGE_JOBS, ProjectionsBehind, wait_until_read, work_off
from consumers.jobs import HANDLERS, NO_PROGRESS, SCHEDULER, Halt, Job, Settled
from consumers.leader import Leader, lock_key
from projections.applier import UNREACHABLE, connect, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from threading import Event as Stop

    from psycopg import Connection
    from psycopg.rows import DictRow

    from commands.context import Context
    from consumers.jobs import Handler

EVERY_SECONDS: Final = 2.0
KEY: Final = lock_key("scheduler")
_CATCH_UP_SECONDS: Final = 10.0
# What follows a job comes at least as much later as the shortest grace or trial, so these stay in order.
_TOGETHER: Final = timedelta(minutes=59)

logger = logging.getLogger("daybook.schedule")


class Stopping(Halt):
    """The scheduler was told to stop."""

    code: ClassVar[str] = "stopping"


class Report:
    """What the scheduler tells whoever watches it: nobody, unless a watcher does something with it."""

    def leads(self, *, leads: bool) -> None:
        """Tell whether this scheduler is the one that works."""

    def settled(self, settled: Settled) -> None:
        """Tell what became of a job."""

    def waiting(self, lag_seconds: float, refused: Mapping[str, int]) -> None:
        """Tell how long the earliest job is due that may be done, and how many rest after a refusal."""


class Scheduler:
    """One scheduler; any number may run, of which one at a time leads."""

    def __init__(
        self,
        base: Context,
        follower_url: str,
        *,
        clock: Callable[[], datetime],
        handlers: Mapping[str, Handler] = HANDLERS,
        report: Report | None = None,
        every_seconds: float = EVERY_SECONDS,
        page_jobs: int = PAGE_JOBS,
    ) -> None:
        """Take the context that a job's is made from; the URL is that of the role that reads all books."""
        self._base = base
        self._url = follower_url
        self._clock = clock
        self._handlers = handlers
        self._report = report or Report()
        self._every_seconds = every_seconds
        self._page_jobs = page_jobs
        self.leader = Leader(follower_url, KEY, "daybook schedule leader")
        self._connection: Connection[DictRow] | None = None
        self._led = False

    # -- running --------------------------------------------------------------------------------------

    def run(self, stop: Stop) -> None:
        """Work until told to stop, and then finish the job at hand."""
        ticks = BackgroundScheduler(
            timezone=UTC,
            # One thread: a look that comes due during a look waits for it.
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "misfire_grace_time": None},
        )

        def tick() -> None:
            coming = self.tick(stop)
            if coming is not None and not stop.is_set():
                # At the instant itself, where that is sooner than the next look.
                ticks.add_job(tick, "date", run_date=coming, id="wake", replace_existing=True)

        ticks.add_job(
            tick, "interval", seconds=self._every_seconds, next_run_time=datetime.now(UTC), id="look"
        )
        ticks.start()
        try:
            stop.wait()
        finally:
            ticks.shutdown(wait=True)
            self.close()

    def close(self) -> None:
        """Give the leadership up, and let go of the database."""
        self.leader.resign()
        self._tell_who_leads()
        self._disconnect()

    def tick(self, stop: Stop) -> datetime | None:
        """Look once and do what is due; give when to look again, if that is before the next regular look.

        Whatever goes wrong is said and left to the next look: nothing may end the looking.
        """
        try:
            if not self.leader.take():
                return None
            self._tell_who_leads()
            self.work(stop)
            return self._coming()
        except Halt as halt:
            logger.info("no more jobs for now: %s", halt)
        except ProjectionsBehind as behind:
            logger.warning("jobs wait: %s", behind)
        except UNREACHABLE as error:
            logger.warning("the database is out of reach, trying again: %s", type(error).__name__)
            self._disconnect()
        except Exception as error:  # noqa: BLE001 - said, and tried again
            # Not the traceback: a message of the database may quote what is in an event.
            logger.error("the scheduler met a defect: %s", describe(error))  # noqa: TRY400
            self._disconnect()
        finally:
            self._tell_who_leads()
        return None

    def _coming(self) -> datetime | None:
        """Give when, by the machine's clock, something is due next, if before the next regular look."""
        now = self._clock()
        next_at = due_reads.next_instant(self._connected(), now)
        if next_at is None or next_at - now >= timedelta(seconds=self._every_seconds):
            return None
        return datetime.now(UTC) + (next_at - now)

    # -- working --------------------------------------------------------------------------------------

    def work(self, stop: Stop, until: datetime | None = None) -> Counter[str]:
        """Do everything that is due now, or was at an earlier instant; give how many jobs ended how."""
        counts: Counter[str] = Counter()
        done: set[Job] = set()
        connection = self._connected()
        while page := self._page(connection, until):
            wait_until_read(connection, _CATCH_UP_SECONDS)
            # Again, for what was done just now, or by another before this one led, is done.
            page = [job for job in self._page(connection, until) if self._is_new(connection, job, done)]
            through = min(until or self._clock(), self._clock())
            if len(page) == self._page_jobs:
                through = page[-1].due_at
            for settled in work_off(page, through, self._handlers, self._context_of(stop), _TOGETHER):
                if settled.code is None:
                    done.add(settled.job)
                counts[settled.outcome] += 1
                self._settled(connection, settled)
        if counts:
            due_reads.forget_refusals(connection)
        self._report.waiting(0.0, due_reads.count_refusals(connection))
        return counts

    def _page(self, connection: Connection[DictRow], until: datetime | None) -> list[Job]:
        now = self._clock()
        page = due_reads.ready(connection, min(until or now, now), now, self._page_jobs)
        if page:
            lag = now - page[0].due_at
            self._report.waiting(lag.total_seconds(), due_reads.count_refusals(connection))
        return page

    def _is_new(self, connection: Connection[DictRow], job: Job, done: set[Job]) -> bool:
        """Say whether a job was not done yet; one that was done and is due all the same is let rest."""
        if job not in done:
            return True
        reason = "it was done, and is due at the same instant all the same"
        self._settled(connection, Settled(job, NO_PROGRESS, reason))
        return False

    def _context_of(self, stop: Stop) -> Callable[[Job], Context]:
        def context_of(job: Job) -> Context:
            if stop.is_set():
                message = "told to stop"
                raise Stopping(message)
            self.leader.require()
            return replace(self._base, book=job.book, actor=SCHEDULER, cause=job.cause, now=self._clock())

        return context_of

    def _settled(self, connection: Connection[DictRow], settled: Settled) -> None:
        """Say what became of a job, and let one rest that was not done."""
        self._report.settled(settled)
        tell(settled)
        if settled.code is not None:
            due_reads.note_refusal(connection, settled, self._clock())

    def _tell_who_leads(self) -> None:
        leads = self.leader.leads
        self._report.leads(leads=leads)
        if leads != self._led:
            logger.info("this scheduler leads" if leads else "this scheduler leads no more")
        self._led = leads

    def _connected(self) -> Connection[DictRow]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, "daybook schedule")
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def tell(settled: Settled) -> None:
    """Write a line of JSON about a job."""
    job = settled.job
    line = {
        "outcome": settled.outcome,
        "kind": job.kind,
        "subject": job.subject,
        "book": str(job.book),
        "due_at": job.due_at,
    }
    if settled.code is not None:
        line |= {"code": settled.code, "reason": settled.reason}
    level = logging.INFO if settled.code is None else logging.WARNING
    logger.log(level, "%s", msgspec.json.encode(line).decode())
