"""The consumer: polls and reads ahead on one thread while others append, and survives what may happen.

The order of things: poll, read, then one transaction with its claims. Whatever fails is rolled back whole,
all that was polled ahead is thrown away, and reading goes on from where PostgreSQL says that it stands.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any, Final

from kafka.errors import KafkaError

from consumers.appending import Appender, Job, Report, records_of
from consumers.bad_share import TooMuchBad, stop_consumption
from consumers.kafka_source import KafkaSource, message_of
from ledger.bulk import MAX_USAGE_ROWS
from projections.applier import UNREACHABLE, describe
from schemas import topics

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Sequence

    from consumers.kafka_source import Member, Slice
    from consumers.message_intake import MessageIntake
    from consumers.usage_intake import UsageIntake
    from ledger.settings import Settings
    from ledger.store import Log

_POLL_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 1.0
_FIRST_DELAY_SECONDS: Final = 0.25
_LONGEST_DELAY_SECONDS: Final = 10.0
# What passes by itself: the database or Kafka is out of reach, or another transaction was in the way.
_PASSING: Final = (*UNREACHABLE, KafkaError)

logger = logging.getLogger("daybook.consume")


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
        self._settings = settings
        self._member = member
        self._report = report or Report()
        self._appender = Appender(usage, messages, settings.feed.max_bad_share, self._report)
        self._clock = clock
        self._delay_seconds = 0.0
        self._last_lags_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Consume until told to stop, then finish what is being appended and leave the group."""
        source = self._joined(stop)
        if source is None:
            return
        self._appender.start()
        try:
            while not stop.is_set():
                try:
                    self._turn(source, stop)
                    self._delay_seconds = 0.0
                except _PASSING as error:
                    self._wait_out(source, error, stop)
            self._appender.finish()
            # What the last batch found out must not be lost with it.
            self._appender.forget_failure(_PASSING)
        except TooMuchBad as error:
            with self._log.connection() as connection:
                stop_consumption(connection, self._clock(), str(error))
            raise
        finally:
            self._appender.finish()
            source.close()

    def _joined(self, stop: threading.Event) -> KafkaSource | None:
        """Join the group, trying until Kafka is there."""
        while not stop.is_set():
            try:
                return KafkaSource(self._settings.feed, self._member, self._appender.drain)
            except KafkaError as error:
                self._say_outage(error)
                stop.wait(self._next_delay())
        return None

    def _turn(self, source: KafkaSource, stop: threading.Event) -> None:
        self._appender.raise_failure()
        if source.unsettled:
            with self._log.connection() as connection:
                source.settle(connection)
            # How far they were read before says nothing of where they stand now.
            self._appender.claimed.clear()
        generation = self._appender.generation
        slices = source.poll(_POLL_SECONDS, MAX_USAGE_ROWS)
        for job in self._jobs(generation, slices):
            while not self._appender.take(job):
                self._appender.raise_failure()
                if stop.is_set():
                    return
        now = time.monotonic()
        if now - self._last_lags_at >= _TICK_SECONDS:
            self._last_lags_at = now
            self._report.lags(source.lags(self._appender.claimed))
            with self._log.connection() as connection:
                source.require_ours(connection)

    def _jobs(self, generation: int, slices: Sequence[Slice]) -> Iterable[Job]:
        usage = [one for one in slices if one.topic == topics.USAGE]
        if usage:
            yield Job(generation, usage, batch=self._usage.read(records_of(usage)))
        for one in slices:
            if one.topic != topics.USAGE:
                for piece, record in one.pieces():
                    yield Job(generation, [piece], message=message_of(piece.claim.feed, record))

    def _wait_out(self, source: KafkaSource, error: Exception, stop: threading.Event) -> None:
        """Stay in the group and read nothing until the database answers again, then start over from there."""
        self._appender.drain()
        self._say_outage(error)
        while not stop.is_set():
            try:
                source.stay(self._next_delay())
                with self._log.connection() as connection:
                    source.start_over(connection)
            except _PASSING as again:
                self._say_outage(again)
            else:
                self._appender.forget_failure(_PASSING)
                return

    def _next_delay(self) -> float:
        longer = min(max(self._delay_seconds * 2, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
        self._delay_seconds = longer
        return longer * random.uniform(0.5, 1.0)  # noqa: S311 - so that consumers do not come back all at once

    def _say_outage(self, error: Exception) -> None:
        reason = describe(error)
        logger.warning("paused: %s", reason)
        self._report.outage(reason)
