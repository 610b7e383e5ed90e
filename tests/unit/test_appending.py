"""Appending: two threads ahead of one another, in order all the same, and stopped by the first failure."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from consumers import appending
from consumers.appending import Appender, Job, Report, records_of
from consumers.bad_share import TooMuchBad
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


@pytest.fixture
def world() -> Iterator[World]:
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


# -- order --------------------------------------------------------------------------------------------


def test_jobs_are_appended_in_order_although_the_second_is_ready_first(world: World) -> None:
    first, second = held(good("first"), before_ready), good("second")
    world.give(world.job(first), world.job(second))
    soon(second.ready)
    assert not second.in_turn.is_set()
    assert world.intakes.done == []
    first.may_be_ready.set()
    world.heard.wait_for(2)
    assert world.intakes.done == ["first", "second"]


def test_the_second_waits_until_the_first_has_ended_not_only_begun(world: World) -> None:
    first, second = held(good("first"), before_end), good("second")
    world.give(world.job(first), world.job(second))
    soon(first.in_turn)
    soon(second.ready)
    assert not second.in_turn.wait(0.1), "its turn came early"
    first.may_end.set()
    soon(second.in_turn)


def test_a_third_job_waits_and_for_a_fourth_there_is_no_room(world: World) -> None:
    first, second = held(good("first"), before_end), good("second")
    world.give(world.job(first), world.job(second))
    soon(second.ready)
    assert world.appender.take(world.job(good("third")))
    fourth = world.job(good("fourth"))
    assert not world.appender.take(fourth)
    first.may_end.set()
    world.give(fourth)
    world.heard.wait_for(4)
    assert world.intakes.done == ["first", "second", "third", "fourth"]


def test_messages_and_batches_take_turns_in_the_order_they_came(world: World) -> None:
    first = held(good("first"), before_ready)
    world.give(world.job(first), world.job())
    first.may_be_ready.set()
    world.give(world.job(good("second")), world.job(), world.job())
    world.heard.wait_for(5)
    assert world.intakes.done == ["first", "message 1", "second", "message 3", "message 4"]


def test_many_jobs_keep_their_order(world: World) -> None:
    for number in range(200):
        world.give(world.job(good(str(number)) if number % 3 else None))
    world.heard.wait_for(200)
    assert world.intakes.done == [str(number) if number % 3 else f"message {number}" for number in range(200)]


def test_what_is_appended_is_known_to_be_claimed(world: World) -> None:
    world.give(world.job(good("first"), messages=7), world.job())
    world.heard.wait_for(2)
    world.appender.drain()
    assert world.appender.claimed == {(topics.USAGE, 0): 7, (topics.COMMANDS[0], 0): 8}


# -- failures -----------------------------------------------------------------------------------------


def test_a_failure_of_the_first_supersedes_the_second_and_stops_both(world: World) -> None:
    failure = RuntimeError("the first failed")
    first, second = held(Batch("first", Outcome(), failure), before_end), good("second")
    world.give(world.job(first), world.job(second))
    soon(second.ready)
    first.may_end.set()
    assert world.wait_for_failure(first, second) is failure
    third = good("third")
    assert world.appender.take(world.job(third))
    world.appender.drain()
    assert not second.in_turn.is_set()
    assert not third.begun.is_set()
    assert (world.intakes.done, world.appender.claimed) == ([], {})


def test_after_a_failure_was_dealt_with_appending_goes_on(world: World) -> None:
    first = Batch("first", Outcome(), RuntimeError("the first failed"))
    world.give(world.job(first))
    world.wait_for_failure(first)
    world.appender.drain()
    world.appender.forget_failure((RuntimeError,))
    world.appender.raise_failure()
    world.give(world.job(good("again")))
    world.heard.wait_for(1)
    assert world.intakes.done == ["again"]


def test_a_failure_that_does_not_pass_by_itself_is_not_forgotten(world: World) -> None:
    first = Batch("first", Outcome(), RuntimeError("the first failed"))
    world.give(world.job(first))
    world.wait_for_failure(first)
    with pytest.raises(RuntimeError, match="the first failed"):
        world.appender.forget_failure((OSError,))
    with pytest.raises(RuntimeError, match="the first failed"):
        world.appender.raise_failure()


def test_the_failure_that_came_first_is_the_one_that_is_told(world: World) -> None:
    failure = RuntimeError("the first failed")
    first = held(Batch("first", Outcome(), failure), before_ready)
    second = held(Batch("second", Outcome(), RuntimeError("so did the second")), before_ready)
    second.fails_early = True
    world.give(world.job(first), world.job(second))
    soon(second.begun)
    first.may_be_ready.set()
    assert world.wait_for_failure(first) is failure
    second.may_be_ready.set()
    world.appender.drain()
    assert world.wait_for_failure() is failure


def test_a_failure_ahead_of_its_turn_stops_too_and_keeps_what_was_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = held(good("first"), before_end)
    failing = RuntimeError("cannot be judged")

    def fail(*_: object) -> Outcome:
        raise failing

    world.give(world.job(first))
    soon(first.in_turn)
    monkeypatch.setattr(world.intakes, "append", fail)
    world.give(world.job(good("second")))
    assert world.wait_for_failure() is failing
    first.may_end.set()
    world.heard.wait_for(1)
    assert world.intakes.done == ["first"]


def test_what_is_appended_without_being_claimed_is_a_defect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.intakes, "append", lambda *_: Outcome(accepted=1))
    world.give(world.job(good("unclaimed")))
    assert isinstance(world.wait_for_failure(), AssertionError)
    assert world.appender.claimed == {}


def test_too_much_that_is_bad_is_raised_after_its_batch_was_appended(world: World) -> None:
    bad, next_one = held(Batch("bad", Outcome(rejected=150)), before_end), good("next")
    world.give(world.job(bad, messages=150), world.job(next_one))
    soon(next_one.ready)
    bad.may_end.set()
    assert isinstance(world.wait_for_failure(bad), TooMuchBad)
    world.appender.drain()
    assert world.intakes.done == ["bad"]
    assert world.appender.claimed == {(topics.USAGE, 0): 150}
    world.heard.wait_for(1)


def test_what_is_parked_is_not_bad(world: World) -> None:
    world.give(world.job(Batch("parked", Outcome(parked=500)), messages=500), world.job(good("next")))
    world.heard.wait_for(2)
    world.appender.raise_failure()


# -- draining and ending ------------------------------------------------------------------------------


def in_background(work: Callable[[], None]) -> threading.Event:
    """Do work on a thread, and give what says that it is done."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, name="drains", daemon=True).start()
    return done


def test_draining_waits_for_what_is_under_way_and_throws_away_what_waits(world: World) -> None:
    first, second, third = held(good("first"), before_end), good("second"), good("third")
    world.give(world.job(first), world.job(second))
    soon(first.in_turn)
    soon(second.ready)
    world.give(world.job(third))
    drained = in_background(world.appender.drain)
    assert not drained.wait(0.1), "the first is under way still"
    first.may_end.set()
    soon(drained)
    # What is given with the new generation is appended, and nothing of the old one before it.
    world.give(world.job(good("new")))
    world.heard.wait_for(2)
    assert world.intakes.done == ["first", "new"]
    assert not second.in_turn.is_set()
    assert not third.begun.is_set()


def test_a_job_of_an_older_generation_is_thrown_away(world: World) -> None:
    old_job = world.job(good("old"))
    world.appender.drain()
    world.give(old_job, world.job(good("new")))
    world.heard.wait_for(1)
    assert world.intakes.done == ["new"]


def test_draining_what_is_idle_returns_at_once(world: World) -> None:
    soon(in_background(world.appender.drain))


def test_draining_gives_up_on_what_hangs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "_DRAIN_SECONDS", 0.05)
    hanging = held(good("hanging"), before_end)
    world.give(world.job(hanging))
    soon(hanging.in_turn)
    soon(in_background(world.appender.drain))
    assert world.intakes.done == []
    hanging.may_end.set()
    world.heard.wait_for(1)


def test_finishing_ends_what_is_under_way_and_the_threads(world: World) -> None:
    first, second = held(good("first"), before_end), good("second")
    world.give(world.job(first), world.job(second))
    soon(first.in_turn)
    soon(second.ready)
    assert len(threads()) == 2
    finished = in_background(world.appender.finish)
    first.may_end.set()
    soon(finished)
    assert threads() == []
    assert world.intakes.done == ["first"]


def test_finishing_does_not_wait_for_ever_for_what_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "_DRAIN_SECONDS", 0.2)
    first, second = held(good("first"), before_end), held(good("second"), before_ready)
    world.give(world.job(first), world.job(second))
    soon(first.in_turn)
    soon(second.begun)
    soon(in_background(world.appender.finish))
    # They end by themselves once they can: what tells them to waits for them.
    first.may_end.set()
    second.may_be_ready.set()
    for _ in range(int(SECONDS * 100)):
        if len(threads()) < 2:
            break
        threading.Event().wait(0.01)
    world.appender.take(cast("Job", None))
    for _ in range(int(SECONDS * 100)):
        if not threads():
            break
        threading.Event().wait(0.01)


def test_finishing_twice_or_before_the_start_is_nothing(world: World) -> None:
    world.appender.finish()
    world.appender.finish()
    intakes: Any = Intakes()
    Appender(intakes, intakes, Decimal(1), Report()).finish()


# -- what waits ---------------------------------------------------------------------------------------


def test_what_is_parked_is_seen_to_while_nothing_comes(world: World) -> None:
    soon(world.intakes.ticked)
    world.appender.raise_failure()


def test_a_failure_with_what_is_parked_stops_appending_too(world: World) -> None:
    soon(world.intakes.ticked)
    failure = RuntimeError("the database is gone")
    world.intakes.tick_failure = failure
    assert world.wait_for_failure() is failure
    world.give(world.job(good("next")))
    world.appender.drain()
    assert world.intakes.done == []
    world.intakes.tick_failure = None


# -- the parts ----------------------------------------------------------------------------------------


def test_the_records_of_slices_are_in_order() -> None:
    one, two, three = (cast("Any", name) for name in ("one", "two", "three"))
    claim = Claim(FEED, 0, 0, 2, 1)
    slices = [Slice(topics.USAGE, claim, [one, two]), Slice(topics.USAGE, claim, [three])]
    assert records_of(slices) == [one, two, three]


def test_a_report_that_nobody_watches_takes_everything() -> None:
    report = Report()
    report.appended(Outcome(), 0.0)
    report.lags({})
    report.outage("gone")
