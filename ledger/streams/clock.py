"""The clock of a test book: it may begin anywhere while the book is empty, and then it only moves forward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ledger.errors import Conflict
from ledger.events.clock import ClockEvent, ClockMoved
from ledger.identifiers import derive
from ledger.streams.base import begins_with
from ledger.values import checked_time, instant_text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

TEST: Final = "test"


class NotATestBook(Conflict):
    """A live book's time is the wall's."""

    code = "not_a_test_book"


class ClockBackwards(Conflict):
    """A book's clock only moves forward."""

    code = "clock_backwards"


class ClockMoving(Conflict):
    """Another request is moving the book's clock."""

    code = "clock_moving"


@dataclass(frozen=True)
class Clock:
    """A clock that was set: what the time is in its book."""

    now: datetime


def clock_stream(book: UUID) -> UUID:
    """Give the stream of a book's clock."""
    return derive("test-clock", book.bytes)


def require_test_book(mode: str) -> None:
    """Refuse a live book."""
    if mode != TEST:
        message = "only a test book has a clock that can be set; use a key of the test book"
        raise NotATestBook(message)


def time_of(state: Clock | None, wall: datetime) -> datetime:
    """Give a book's time: what its clock says, or the wall's while that was never set."""
    return wall if state is None else state.now


def move(state: Clock | None, to: datetime, wall: datetime, *, empty: bool) -> list[ClockEvent]:
    """Move the clock; `empty` says that the book holds nothing yet that has a time.

    To where it stands already is no move, but the first time: then the clock stops there.
    """
    now, target = time_of(state, wall), checked_time(to, "now")
    if state is not None and target == now:
        return []
    if target < now and not (empty and state is None):
        message = f"the book's clock stands at {instant_text(now)} and only moves forward"
        raise ClockBackwards(message)
    return [ClockMoved(from_at=now, to_at=target)]


@begins_with(ClockMoved)
def evolve(state: Clock | None, event: ClockEvent) -> Clock:  # noqa: ARG001 - the last event tells all
    """Apply one event."""
    return Clock(event.to_at)
