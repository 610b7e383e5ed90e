"""A test book whose clock was set lives in that time, whichever way something comes into it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from commands.clock import load_clock, move_clock, time_in_book
from consumers.command_messages import apply_command
from ledger.events.account import AccountRegistered
from ledger.events.clock import ClockMoved
from ledger.streams import clock as clocks
from tests.acme import NOON, acme_on, interrupted
from tests.integration.message_world import ACCOUNT, ADA, Feed, Turn, admitted_to, message_of, recorded_of
from tests.integration.stripe_events import customer, event
from tests.integration.stripe_world import NOW, make_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.store import Log
    from tests.acme import Acme
    from tests.integration.stripe_world import World
    from tests.postgres import Database

DAY = timedelta(days=1)
LATER = NOON + 400 * DAY


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as made:
        yield made


@pytest.fixture
def stripe(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


def test_only_a_test_book_has_a_time_of_its_own(acme: Acme) -> None:
    log, test, live = acme.log, acme.test.book, acme.live.book
    assert time_in_book(log, test, "test", NOON) == NOON
    move_clock(acme.test, load_clock(log, test), LATER, NOON)
    assert time_in_book(log, test, "test", NOON) == LATER
    assert time_in_book(log, live, "live", NOON) == NOON


def test_a_live_books_time_costs_no_look_into_the_log(acme: Acme) -> None:
    assert time_in_book(cast("Log", None), acme.live.book, "live", NOON) == NOON


def test_a_move_is_booked_at_the_time_it_goes_to_by_whoever_asked_for_it(acme: Acme) -> None:
    after = acme.log.head()
    done = move_clock(acme.test, load_clock(acme.log, acme.test.book), LATER, NOON)
    (recorded,) = recorded_of(acme, after, acme.test)
    assert recorded.event == ClockMoved(from_at=NOON, to_at=LATER)
    assert (recorded.metadata.booked_at, recorded.metadata.actor) == (LATER, acme.test.actor)
    assert done.position == recorded.position


def test_a_clock_is_loaded_by_its_last_move_alone(acme: Acme) -> None:
    for days in range(1, 6):
        clock = load_clock(acme.log, acme.test.book)
        move_clock(acme.test, clock, NOON + days * DAY, NOON)
    clock = load_clock(acme.log, acme.test.book)
    assert (clock.state, clock.version) == (clocks.Clock(NOON + 5 * DAY), 5)


def test_who_saw_a_clock_that_moved_since_moves_nothing(acme: Acme) -> None:
    seen = load_clock(acme.log, acme.test.book)
    move_clock(acme.test, seen, NOON + DAY, NOON)
    with pytest.raises(clocks.ClockMoving):
        move_clock(replace(acme.test, cause="another"), seen, LATER, NOON)
    assert load_clock(acme.log, acme.test.book).state == clocks.Clock(NOON + DAY)


def test_who_is_overtaken_while_it_moves_a_clock_moves_nothing(acme: Acme) -> None:
    seen = load_clock(acme.log, acme.test.book)
    other = replace(acme.test, cause="another")
    context, _ = interrupted(acme.test, lambda: move_clock(other, seen, NOON + DAY, NOON))
    with pytest.raises(clocks.ClockMoving):
        move_clock(context, seen, LATER, NOON)
    assert load_clock(acme.log, acme.test.book).state == clocks.Clock(NOON + DAY)


@pytest.mark.parametrize(("mode", "expected"), [("test", LATER), ("live", NOON + DAY)])
def test_a_command_that_arrives_as_a_message_happens_in_the_books_time(
    acme: Acme, database: Database, mode: str, expected: object
) -> None:
    move_clock(acme.test, load_clock(acme.log, acme.test.book), LATER, NOON)
    context = acme.test if mode == "test" else acme.live
    feed = Feed(acme, database)
    feed.book = context.book
    command = feed.command("account.register", {"account": ACCOUNT, **ADA})
    admitted = msgspec.structs.replace(admitted_to(context, NOON + DAY), mode=mode)
    after = acme.log.head()
    apply_command(acme.log, acme.settings, message_of(command, now=NOON + DAY), admitted, Turn(0))
    (recorded,) = recorded_of(acme, after, context)
    assert isinstance(recorded.event, AccountRegistered)
    assert (recorded.metadata.occurred_at, recorded.metadata.booked_at) == (expected, expected)


def test_what_stripe_delivers_is_checked_by_the_wall_and_booked_by_the_clock(stripe: World) -> None:
    later = NOW + 400 * DAY
    context = stripe.context(stripe.test_book)
    move_clock(context, load_clock(stripe.log, stripe.test_book), later, NOW)
    after = stripe.log.head()
    stripe.happen(event("customer.created", customer()))
    written = [one for one in stripe.recorded(stripe.test_book) if one.position > after]
    assert {one.event.topic for one in written} >= {"stripe.event_received", "account.registered"}
    assert {one.metadata.booked_at for one in written} == {later}


def test_what_stripe_delivers_to_a_live_book_is_booked_by_the_wall(stripe: World) -> None:
    move_clock(stripe.context(), load_clock(stripe.log, stripe.test_book), NOW + 400 * DAY, NOW)
    after = stripe.log.head()
    stripe.happen(event("customer.created", customer(), livemode=True))
    written = [one for one in stripe.recorded(stripe.live_book) if one.position > after]
    assert {one.metadata.booked_at for one in written} == {NOW}
