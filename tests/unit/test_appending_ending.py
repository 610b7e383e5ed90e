"""Appending is drained and ended: what is under way is finished, what waits is thrown away."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest

from consumers import appending
from consumers.appending import Appender, Job, Report
from tests.unit.appending_world import (
    SECONDS,
    Intakes,
    World,
    appending_world,
    before_end,
    before_ready,
    good,
    held,
    soon,
    threads,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def world() -> Iterator[World]:
    with appending_world() as made:
        yield made


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


def until_threads_are_left(number: int) -> None:
    deadline = time.monotonic() + SECONDS
    while len(threads()) > number:
        assert time.monotonic() < deadline, f"{threads()} do not end"
        time.sleep(0.01)  # a thread's end is seen by looking


def test_finishing_does_not_wait_for_ever_for_what_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "_DRAIN_SECONDS", 0.2)
    first, second = held(good("first"), before_end), held(good("second"), before_ready)
    world.give(world.job(first), world.job(second))
    soon(first.in_turn)
    soon(second.begun)
    soon(in_background(world.appender.finish))
    assert len(threads()) == 2, "finishing has left them to themselves"
    first.may_end.set()
    second.may_be_ready.set()
    # Finishing found room to tell one of them to end; the other is told here, once there is room again.
    until_threads_are_left(1)
    world.appender.take(cast("Job", None))
    until_threads_are_left(0)


def test_finishing_twice_or_before_the_start_is_nothing(world: World) -> None:
    world.appender.finish()
    world.appender.finish()
    intakes: Any = Intakes()
    Appender(intakes, intakes, Decimal(1), Report()).finish()
