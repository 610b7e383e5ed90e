"""Appending is stopped by its first failure, which is told until somebody has dealt with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consumers.bad_share import TooMuchBad
from consumers.usage_intake import Outcome
from schemas import topics
from tests.unit.appending_world import (
    Batch,
    World,
    appending_world,
    before_end,
    before_ready,
    good,
    held,
    soon,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with appending_world() as made:
        yield made


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


def test_a_failure_with_what_is_parked_stops_appending_too(world: World) -> None:
    soon(world.intakes.ticked)
    failure = RuntimeError("the database is gone")
    world.intakes.tick_failure = failure
    assert world.wait_for_failure() is failure
    world.give(world.job(good("next")))
    world.appender.drain()
    assert world.intakes.done == []
    world.intakes.tick_failure = None
