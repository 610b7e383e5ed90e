"""Appending what was read: two threads that work ahead of one another, and commit one after the other.

A thread takes the next job and does what needs no lock; then it waits for its turn, which is over when its
transaction has ended. The first failure stops both until whoever reads has dealt with it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from consumers.bad_share import BadShare, TooMuchBad
from consumers.offsets import Claims

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from consumers.kafka_source import Slice
    from consumers.message import Message
    from consumers.message_intake import MessageIntake
    from consumers.usage_batch import Record, UsageBatch
    from consumers.usage_intake import Outcome, UsageIntake

_THREADS: Final = 2
_WAIT_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 1.0
# A batch takes a tenth of a second; one that hangs longer than this is fenced instead of waited for.
_DRAIN_SECONDS: Final = 5.0

logger = logging.getLogger("daybook.consume")


class Report:
    """What the consumer tells whoever watches it: nobody, unless a watcher does something with it."""

    def appended(self, outcome: Outcome, seconds: float) -> None:
        """Tell of a batch that was appended."""

    def lags(self, lags: dict[tuple[str, int], int]) -> None:
        """Tell how much of each partition is not appended yet."""

    def outage(self, reason: str) -> None:
        """Tell that reading is paused, and why."""


@dataclass(frozen=True)
class Job:
    """Messages that one transaction stands for; of an older generation, they are thrown away."""

    generation: int
    slices: Sequence[Slice]
    batch: UsageBatch | None = None
    message: Message | None = None


class _Superseded(Exception):
    """What was read before a job failed, or partitions were revoked, is thrown away."""


class Appender:
    """Takes jobs in order and appends them in order."""

    def __init__(
        self, usage: UsageIntake, messages: MessageIntake, max_bad_share: Decimal, report: Report
    ) -> None:
        """Begin with no threads."""
        self._usage = usage
        self._messages = messages
        self._bad_share = BadShare(max_bad_share)
        self._report = report
        # One job waits while two are worked on: more would only be thrown away when something fails.
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=1)
        self._taking = threading.Lock()
        self._ticking = threading.Lock()
        self._next_tick = 0.0
        self._state = threading.Condition()
        # Tickets are given out as jobs are taken; the turn is the oldest that is not over.
        self._tickets = 0
        self._turn = 0
        self._over: set[int] = set()
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []
        self.generation = 0
        self.claimed: dict[tuple[str, int], int] = {}

    # -- called by the thread that reads, and by the client's own -------------------------------------

    def start(self) -> None:
        """Start the threads."""
        for number in range(_THREADS):
            thread = threading.Thread(target=self._work, name=f"append {number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def take(self, job: Job) -> bool:
        """Take a job, or say that there is no room for it yet."""
        try:
            self._jobs.put(job, timeout=_WAIT_SECONDS)
        except queue.Full:
            return False
        return True

    def drain(self) -> None:
        """Throw away what waits, and wait until what is being appended is done, however that ends."""
        with self._state:
            self.generation += 1
            self._state.notify_all()
            self._state.wait_for(lambda: self._turn == self._tickets, _DRAIN_SECONDS)

    def raise_failure(self) -> None:
        """Raise what stopped the appending."""
        if self._failure is not None:
            raise self._failure

    def forget_failure(self, passing: tuple[type[Exception], ...]) -> None:
        """Go on after a failure that passes by itself; any other is raised."""
        if self._failure is not None and not isinstance(self._failure, passing):
            raise self._failure
        self._failure = None

    def finish(self) -> None:
        """Finish what is being appended, and end."""
        self.drain()
        # Both may hang in the database: then they end with the process.
        deadline = time.monotonic() + _DRAIN_SECONDS
        for _ in self._threads:
            with suppress(queue.Full):
                self._jobs.put(None, timeout=max(0.0, deadline - time.monotonic()))
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()

    # -- the threads ----------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                job, ticket = self._next()
            except queue.Empty:
                self._tick()
                continue
            if job is None:
                return
            try:
                self._append(job, ticket)
            except _Superseded:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread that reads deals with it
                self._fail(error)
            finally:
                self._end_turn(ticket)
            self._tick()

    def _next(self) -> tuple[Job | None, int]:
        """Take the next job with its ticket, as one step: jobs are appended in the order they came."""
        with self._taking:
            job = self._jobs.get(timeout=_WAIT_SECONDS)
            if job is None:
                return None, -1
            with self._state:
                ticket = self._tickets
                self._tickets += 1
            return job, ticket

    def _wait_for_turn(self, job: Job, ticket: int) -> None:
        with self._state:
            self._state.wait_for(lambda: self._turn == ticket or job.generation != self.generation)
            if job.generation != self.generation or self._failure is not None:
                raise _Superseded

    def _end_turn(self, ticket: int) -> None:
        with self._state:
            self._over.add(ticket)
            while self._turn in self._over:
                self._over.discard(self._turn)
                self._turn += 1
            self._state.notify_all()

    def _append(self, job: Job, ticket: int) -> None:
        if job.generation != self.generation or self._failure is not None:
            raise _Superseded
        began = time.perf_counter()
        claims = Claims([one.claim for one in job.slices])
        if job.batch is not None:
            feeds = {one.topic: one.claim.feed for one in job.slices}
            outcome = self._usage.append(
                job.batch, records_of(job.slices), feeds, claims, lambda: self._wait_for_turn(job, ticket)
            )
        else:
            assert job.message is not None, "a job is a batch or a message"
            self._wait_for_turn(job, ticket)
            outcome = self._messages.append(job.message, claims)
        assert claims.done, "what is appended is claimed"
        self._tell(job, outcome, time.perf_counter() - began)

    def _tell(self, job: Job, outcome: Outcome, seconds: float) -> None:
        for one in job.slices:
            self.claimed[one.topic, one.claim.partition] = one.claim.end
        self._report.appended(outcome, seconds)
        if logger.isEnabledFor(logging.INFO):
            logger.info(_line(job.slices, outcome, seconds))
        self._bad_share.add(outcome.messages, outcome.rejected)
        exceeded = self._bad_share.exceeded
        if exceeded is not None:
            raise TooMuchBad(exceeded)

    def _fail(self, error: Exception) -> None:
        """Keep the first failure: what comes after it may be its consequence."""
        with self._state:
            if self._failure is None:
                self._failure = error

    def _tick(self) -> None:
        """See to what waits, once a second, on one of the threads."""
        if self._failure is not None or not self._ticking.acquire(blocking=False):
            return
        try:
            if time.monotonic() >= self._next_tick:
                self._next_tick = time.monotonic() + _TICK_SECONDS
                self._usage.retry_parked()
                self._messages.retry_parked()
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
        finally:
            self._ticking.release()


def records_of(slices: Iterable[Slice]) -> list[Record]:
    """Give the records of slices, in order."""
    return [record for one in slices for record in one.records]


def _line(slices: Sequence[Slice], outcome: Outcome, seconds: float) -> str:
    """Write what became of a batch as one line of JSON."""
    read = {f"{one.topic}/{one.claim.partition}": [one.claim.start, one.claim.end] for one in slices}
    counts = msgspec.structs.asdict(outcome)
    line = {"read": read, **counts, "seconds": round(seconds, 4)}
    return msgspec.json.encode(line).decode()
