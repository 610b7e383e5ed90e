"""The consumer: polls and reads ahead on one thread while the other appends, and survives what may happen.

The order of things: poll, read, then one transaction with its claims. Whatever fails is rolled back whole,
all that was polled ahead is thrown away, and reading goes on from where PostgreSQL says that it stands.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from kafka.errors import KafkaError

from consumers.bad_share import BadShare, TooMuchBad, stop_consumption
from consumers.kafka_source import KafkaSource, message_of
from consumers.offsets import Claims
from ledger.bulk import MAX_USAGE_ROWS
from projections.applier import UNREACHABLE, describe
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from consumers.kafka_source import Member, Slice
    from consumers.message import Message
    from consumers.message_intake import MessageIntake
    from consumers.usage_batch import Record, UsageBatch
    from consumers.usage_intake import Outcome, UsageIntake
    from ledger.settings import Settings
    from ledger.store import Log

_POLL_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 1.0
_FIRST_DELAY_SECONDS: Final = 0.25
_LONGEST_DELAY_SECONDS: Final = 10.0
# A batch takes a tenth of a second; one that hangs longer than this is fenced instead of waited for.
_DRAIN_SECONDS: Final = 5.0
# What passes by itself: the database or Kafka is out of reach, or another transaction was in the way.
_PASSING: Final = (*UNREACHABLE, KafkaError)

logger = logging.getLogger("daybook.consume")


@dataclass(frozen=True)
class _Job:
    """Messages that one transaction stands for; of an older generation, they are thrown away."""

    generation: int
    slices: Sequence[Slice]
    batch: UsageBatch | None = None
    message: Message | None = None


class Report:
    """What the consumer tells whoever watches it: nobody, unless a watcher does something with it."""

    def appended(self, outcome: Outcome, seconds: float) -> None:
        """Tell of a batch that was appended."""

    def lags(self, lags: dict[tuple[str, int], int]) -> None:
        """Tell how much of each partition is not appended yet."""

    def outage(self, reason: str) -> None:
        """Tell that reading is paused, and why."""


class Consumer:
    """Reads topics until it is stopped; `usage` and `messages` append what comes."""

    def __init__(
        self,
        *,
        log: Log,
        usage: UsageIntake,
        messages: MessageIntake,
        settings: Settings,
        clock: Callable[[], Any],
        member: Member,
        report: Report | None = None,
    ) -> None:
        """Take the log as the ingest role sees it; nothing is joined yet."""
        self._log = log
        self._usage = usage
        self._messages = messages
        self._settings = settings
        self._member = member
        self._report = report or Report()
        self._worker = _Worker(usage, messages, BadShare(settings.feed.max_bad_share), self._report)
        self._clock = clock
        self._delay_seconds = 0.0
        self._last_lags_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Consume until told to stop, then finish what is being appended and leave the group."""
        source = self._joined(stop)
        if source is None:
            return
        self._worker.start()
        try:
            while not stop.is_set():
                try:
                    self._turn(source, stop)
                    self._delay_seconds = 0.0
                except _PASSING as error:
                    self._wait_out(source, error, stop)
        except TooMuchBad as error:
            with self._log.connection() as connection:
                stop_consumption(connection, self._clock(), str(error))
            raise
        finally:
            self._worker.finish()
            source.close()

    def _joined(self, stop: threading.Event) -> KafkaSource | None:
        """Join the group, trying until Kafka is there."""
        while not stop.is_set():
            try:
                return KafkaSource(self._settings.feed, self._member, self._worker.drain)
            except KafkaError as error:
                self._say_outage(error)
                stop.wait(self._next_delay())
        return None

    def _turn(self, source: KafkaSource, stop: threading.Event) -> None:
        self._worker.raise_failure()
        if source.unsettled:
            with self._log.connection() as connection:
                source.settle(connection)
        generation = self._worker.generation
        slices = source.poll(_POLL_SECONDS, MAX_USAGE_ROWS)
        for job in self._jobs(generation, slices):
            while not self._worker.take(job):
                self._worker.raise_failure()
                if stop.is_set():
                    return
        now = time.monotonic()
        if now - self._last_lags_at >= _TICK_SECONDS:
            self._last_lags_at = now
            self._report.lags(source.lags(self._worker.claimed))

    def _jobs(self, generation: int, slices: Sequence[Slice]) -> Iterable[_Job]:
        usage = [one for one in slices if one.topic == topics.USAGE]
        if usage:
            yield _Job(generation, usage, batch=self._usage.read(records_of(usage)))
        for one in slices:
            if one.topic != topics.USAGE:
                for piece, record in one.pieces():
                    yield _Job(generation, [piece], message=message_of(piece.claim.feed, record))

    def _wait_out(self, source: KafkaSource, error: Exception, stop: threading.Event) -> None:
        """Stay in the group and read nothing until the database answers again, then start over from there."""
        self._worker.drain()
        self._say_outage(error)
        while not stop.is_set():
            try:
                source.stay(self._next_delay())
                with self._log.connection() as connection:
                    source.start_over(connection)
            except _PASSING as again:
                self._say_outage(again)
            else:
                self._worker.forget_failure()
                return

    def _next_delay(self) -> float:
        longer = min(max(self._delay_seconds * 2, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
        self._delay_seconds = longer
        return longer * random.uniform(0.5, 1.0)  # noqa: S311 - so that consumers do not come back all at once

    def _say_outage(self, error: Exception) -> None:
        reason = describe(error)
        logger.warning("paused: %s", reason)
        self._report.outage(reason)


class _Worker(threading.Thread):
    """Appends jobs one after another; the first failure stops it until that was dealt with."""

    def __init__(
        self, usage: UsageIntake, messages: MessageIntake, bad_share: BadShare, report: Report
    ) -> None:
        super().__init__(name="append", daemon=True)
        self._usage = usage
        self._messages = messages
        self._bad_share = bad_share
        self._report = report
        # One job waits while one is appended: more would only be thrown away when something fails.
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=1)
        self._busy = threading.Lock()
        self._failure: Exception | None = None
        self.generation = 0
        self.claimed: dict[tuple[str, int], int] = {}

    # -- called by the thread that polls, and by the client's own -----------------------------------

    def take(self, job: _Job) -> bool:
        """Take a job, or say that there is no room for it yet."""
        try:
            self._jobs.put(job, timeout=_POLL_SECONDS)
        except queue.Full:
            return False
        return True

    def drain(self) -> None:
        """Throw away what waits, and wait until what is being appended is done, however that ends."""
        self.generation += 1
        if self._busy.acquire(timeout=_DRAIN_SECONDS):
            self._busy.release()

    def raise_failure(self) -> None:
        """Raise what stopped the appending."""
        if self._failure is not None:
            raise self._failure

    def forget_failure(self) -> None:
        """Go on after a failure."""
        self._failure = None

    def finish(self) -> None:
        """Finish what is being appended, and end."""
        if not self.is_alive():
            return
        self.drain()
        while self.is_alive():
            try:
                self._jobs.put(None, timeout=_POLL_SECONDS)
                break
            except queue.Full:
                continue
        self.join(_DRAIN_SECONDS)

    # -- its own thread -------------------------------------------------------------------------------

    def run(self) -> None:
        """Append jobs as they come; between them, see to what waits."""
        next_tick = 0.0
        while True:
            try:
                job = self._jobs.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                job = _NOTHING
            if job is None:
                return
            with self._busy:
                if self._failure is None and job.generation == self.generation:
                    self._guarded(lambda job=job: self._append(job))  # type: ignore[misc]
                if self._failure is None and time.monotonic() >= next_tick:
                    next_tick = time.monotonic() + _TICK_SECONDS
                    self._guarded(self._see_to_what_waits)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread that polls deals with it
            self._failure = error

    def _append(self, job: _Job) -> None:
        began = time.perf_counter()
        claims = Claims([one.claim for one in job.slices])
        if job.batch is not None:
            feeds = {one.topic: one.claim.feed for one in job.slices}
            outcome = self._usage.append(job.batch, records_of(job.slices), feeds, claims)
        else:
            assert job.message is not None, "a job is a batch or a message"
            outcome = self._messages.append(job.message, claims)
        assert claims.done, "what is appended is claimed"
        self._tell(job, outcome, time.perf_counter() - began)

    def _tell(self, job: _Job, outcome: Outcome, seconds: float) -> None:
        for one in job.slices:
            self.claimed[one.topic, one.claim.partition] = one.claim.end
        self._report.appended(outcome, seconds)
        if logger.isEnabledFor(logging.INFO):
            logger.info(line_of(job.slices, outcome, seconds))
        self._bad_share.add(outcome.messages, outcome.rejected)
        exceeded = self._bad_share.exceeded
        if exceeded is not None:
            raise TooMuchBad(exceeded)

    def _see_to_what_waits(self) -> None:
        self._usage.retry_parked()
        self._messages.retry_parked()


_NOTHING: Final = _Job(-1, ())


def records_of(slices: Iterable[Slice]) -> list[Record]:
    """Give the records of slices, in order."""
    return [record for one in slices for record in one.records]


def line_of(slices: Sequence[Slice], outcome: Outcome, seconds: float) -> str:
    """Write what became of a batch as one line of JSON."""
    read = {f"{one.topic}/{one.claim.partition}": [one.claim.start, one.claim.end] for one in slices}
    counts = msgspec.structs.asdict(outcome)
    line = {"read": read, **counts, "seconds": round(seconds, 4)}
    return msgspec.json.encode(line).decode()
