"""An appender on intakes that append nothing, and batches that wait where a test wants them to."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from consumers.appending import Appender, Job, Report
from consumers.kafka_source import Slice
from consumers.message import Message
from consumers.offsets import Claim
from consumers.usage_batch import UsageBatch
from consumers.usage_intake import Outcome
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consumers.message_intake import MessageIntake
    from consumers.usage_intake import UsageIntake

SECONDS = 20.0
FEED = "daybook.usage@1"


def soon(event: threading.Event) -> None:
    """Wait for what must come to pass."""
    assert event.wait(SECONDS), "waited in vain"


class Batch(UsageBatch):
    """A batch that tells how far its appending is, and waits where the test wants it to."""

    def __init__(self, name: str, outcome: Outcome, failure: Exception | None = None) -> None:
        super().__init__(0)
        self.name = name
        self.outcome = outcome
        self.failure = failure
        self.fails_early = False
        self.may_be_ready, self.may_end = threading.Event(), threading.Event()
        self.may_be_ready.set()
        self.may_end.set()
        self.begun, self.ready, self.in_turn = threading.Event(), threading.Event(), threading.Event()


@dataclass
class Intakes:
    """Both intakes, which append nothing but note what they are asked, in order."""

    done: list[str] = field(default_factory=list)
    ticked: threading.Event = field(default_factory=threading.Event)
    tick_failure: Exception | None = None

    def append(self, batch: Any, *given: Any) -> Outcome:
        """Append a batch in its turn, or a message."""
        if isinstance(batch, Message):
            (claims,) = given
            self.done.append(f"message {batch.offset}")
            claims.done = True
            return Outcome(accepted=1)
        _, _, claims, wait_for_turn = given
        batch.begun.set()
        soon(batch.may_be_ready)
        batch.ready.set()
        if batch.fails_early and batch.failure is not None:
            raise batch.failure
        wait_for_turn()
        batch.in_turn.set()
        soon(batch.may_end)
        if batch.failure is not None:
            raise batch.failure
        claims.done = True
        self.done.append(batch.name)
        return cast("Outcome", batch.outcome)

    def retry_parked(self) -> int:
        """Note that what is parked was looked at."""
        self.ticked.set()
        if self.tick_failure is not None:
            raise self.tick_failure
        return 0


class Heard(Report):
    """What was reported."""

    def __init__(self) -> None:
        self.batches: threading.Semaphore = threading.Semaphore(0)

    def appended(self, outcome: Outcome, seconds: float) -> None:
        assert outcome.messages >= 0
        assert seconds >= 0
        self.batches.release()

    def wait_for(self, batches: int) -> None:
        """Wait until so many more batches were told of."""
        for _ in range(batches):
            assert self.batches.acquire(timeout=SECONDS), "waited in vain"


@dataclass
class World:
    """An appender on intakes that append nothing."""

    intakes: Intakes
    heard: Heard
    appender: Appender
    _next_offset: int = 0

    def job(self, batch: Batch | None = None, messages: int = 1) -> Job:
        """Make a job of some messages, or of one command."""
        start, self._next_offset = self._next_offset, self._next_offset + messages
        claim = Claim(FEED, 0, start, self._next_offset, 1)
        if batch is None:
            one = [Slice(topics.COMMANDS[0], claim, [])]
            return Job(self.appender.generation, one, message=a_message(start))
        return Job(self.appender.generation, [Slice(topics.USAGE, claim, [])], batch=batch)

    def give(self, *jobs: Job) -> None:
        """Have jobs taken, in order."""
        for job in jobs:
            while not self.appender.take(job):
                self.appender.raise_failure()

    def wait_for_failure(self, *batches: Batch) -> Exception:
        """Wait until something failed and all that was under way has ended; give what it was."""
        for batch in batches:
            soon(batch.begun)
        # Nothing tells of a failure but asking.
        deadline = threading.Event()
        for _ in range(int(SECONDS * 100)):
            try:
                self.appender.raise_failure()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                return error
            deadline.wait(0.01)
        message = "nothing failed"
        raise AssertionError(message)


def a_message(offset: int) -> Message:
    return Message(
        feed=FEED,
        topic=topics.COMMANDS[0],
        partition=0,
        offset=offset,
        timestamp=datetime(2027, 1, 31, tzinfo=UTC),
        key=None,
        value=b"{}",
        headers=(),
    )


@contextmanager
def appending_world() -> Iterator[World]:
    """Start an appender, and see in the end that no thread of it is left."""
    intakes, heard = Intakes(), Heard()
    usage, messages = cast("UsageIntake", intakes), cast("MessageIntake", intakes)
    made = World(intakes, heard, Appender(usage, messages, Decimal("0.5"), heard))
    made.appender.start()
    try:
        yield made
    finally:
        made.appender.finish()
        assert threads() == []


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("append ")]


def good(name: str) -> Batch:
    return Batch(name, Outcome(accepted=1))


def held(batch: Batch, *what: Callable[[Batch], threading.Event]) -> Batch:
    """Have a batch wait where it is told to."""
    for one in what:
        one(batch).clear()
    return batch


def before_ready(batch: Batch) -> threading.Event:
    return batch.may_be_ready


def before_end(batch: Batch) -> threading.Event:
    return batch.may_end
