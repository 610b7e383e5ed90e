"""Appending: two threads ahead of one another, in order all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from consumers.appending import Report, records_of
from consumers.kafka_source import Slice
from consumers.offsets import Claim
from consumers.usage_intake import Outcome
from schemas import topics
from tests.unit.appending_world import (
    FEED,
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


# -- what waits ----------------------------------------------------------------------------------------


def test_what_is_parked_is_seen_to_while_nothing_comes(world: World) -> None:
    soon(world.intakes.ticked)
    world.appender.raise_failure()


# -- the parts -----------------------------------------------------------------------------------------


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
