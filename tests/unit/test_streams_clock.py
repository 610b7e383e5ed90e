"""The rules of a test book's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from ledger.errors import Conflict, Invalid
from ledger.events.clock import ClockMoved
from ledger.streams import clock as clocks
from tests.given_when_then import Rules, folded

given = Rules(clocks.evolve).given
WALL = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
STOPPED = ClockMoved(from_at=WALL, to_at=WALL)


def move(to: datetime, *, empty: bool = False) -> partial[list[ClockMoved]]:
    return partial(clocks.move, to=to, wall=WALL, empty=empty)


def test_a_clock_that_was_never_set_says_what_the_wall_says() -> None:
    assert clocks.time_of(None, WALL) == WALL


def test_a_clock_that_was_set_says_where_it_was_set_whatever_the_wall_says() -> None:
    state = given(ClockMoved(from_at=WALL, to_at=WALL + DAY)).state
    assert clocks.time_of(state, WALL + 9 * DAY) == WALL + DAY


def test_the_first_move_goes_forward_from_the_walls_time() -> None:
    given().when(move(WALL + DAY)).then(ClockMoved(from_at=WALL, to_at=WALL + DAY))


def test_a_later_move_goes_forward_from_where_the_clock_stands() -> None:
    moved = given(STOPPED).when(move(WALL + DAY)).then(ClockMoved(from_at=WALL, to_at=WALL + DAY))
    assert moved.state.now == WALL + DAY


def test_setting_a_clock_to_the_walls_time_stops_it_there() -> None:
    given().when(move(WALL)).then(STOPPED)


def test_to_where_it_stands_is_no_move() -> None:
    given(STOPPED).when(move(WALL)).then_nothing()


def test_the_clock_of_an_empty_book_may_begin_in_the_past() -> None:
    given().when(move(WALL - 999 * DAY, empty=True)).then(ClockMoved(from_at=WALL, to_at=WALL - 999 * DAY))


@pytest.mark.parametrize("events", [(), (STOPPED,)], ids=["never set", "set"])
def test_the_clock_of_a_book_that_holds_something_does_not_go_back(events: tuple[ClockMoved, ...]) -> None:
    given(*events).when(move(WALL - timedelta(microseconds=1))).refused_with(clocks.ClockBackwards)


def test_only_the_first_move_of_an_empty_book_may_go_back() -> None:
    given(STOPPED).when(move(WALL - DAY, empty=True)).refused_with(clocks.ClockBackwards)


@pytest.mark.parametrize("to", [datetime(2200, 1, 1, tzinfo=UTC), datetime(1999, 12, 31, tzinfo=UTC)])
def test_a_clock_stays_within_the_years_that_a_book_knows(to: datetime) -> None:
    given().when(move(to, empty=True)).refused_with(Invalid, "now")


def test_a_live_book_has_no_clock_of_its_own() -> None:
    clocks.require_test_book("test")
    with pytest.raises(clocks.NotATestBook) as refused:
        clocks.require_test_book("live")
    assert isinstance(refused.value, Conflict)


def test_every_book_has_a_clock_of_its_own() -> None:
    assert clocks.clock_stream(UUID(int=1)) != clocks.clock_stream(UUID(int=2))


@for_all(
    asked=st.lists(st.timedeltas(timedelta(days=-400), timedelta(days=400)), max_size=12), empty=st.booleans()
)
def test_whatever_is_asked_the_last_event_alone_tells_the_time_and_it_never_goes_back(
    *, asked: list[timedelta], empty: bool
) -> None:
    state: clocks.Clock | None = None
    events: list[ClockMoved] = []
    for offset in asked:
        try:
            events += clocks.move(state, WALL + offset, WALL, empty=empty)
        except clocks.ClockBackwards:
            continue
        state = folded(clocks.evolve, events)
    assert state == (clocks.evolve(None, events[-1]) if events else None)
    assert all(one.to_at == two.from_at for one, two in pairwise(events))
    later = events if not empty else events[1:]
    assert all(one.from_at <= one.to_at for one in later)
