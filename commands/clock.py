"""The clock of a test book: what the time is in a book, and moving it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from ledger.errors import VersionConflict
from ledger.events.clock import ClockMoved
from ledger.streams import clock as clocks
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.events import Recorded
    from ledger.store import Log
    from ledger.streams.clock import Clock


def load_clock(log: Log, book: UUID) -> Stream[Clock]:
    """Load a book's clock, of which the last event tells all: a year may have moved it a thousand times."""
    last = log.last(book, clocks.clock_stream(book))
    return Stream() if last is None else _stream_of(last)


def _stream_of(last: Recorded) -> Stream[Clock]:
    assert isinstance(last.event, ClockMoved), "a clock's stream holds nothing else"
    state = clocks.evolve(None, last.event)
    return Stream(state, last.stream_version, None, last.metadata.occurred_at, last.position)


def time_in_book(log: Log, book: UUID, mode: str, wall: datetime) -> datetime:
    """Give the time of a book: the wall's, unless it is a test book whose clock was set."""
    if mode != clocks.TEST:
        return wall
    return clocks.time_of(load_clock(log, book).state, wall)


def move_clock(
    context: Context, clock: Stream[Clock], to: datetime, wall: datetime, *, empty: bool = False
) -> Done[Stream[Clock]]:
    """Move the clock from where it was seen, or refuse: another request moved it meanwhile.

    What is written is booked at the time it is moved to.
    """
    stream = clocks.clock_stream(context.book)
    events = clocks.move(clock.state, to, wall, empty=empty)

    def decide(unit: Unit) -> Stream[Clock]:
        return unit.add(stream, clock, clocks.evolve, events)

    try:
        return execute(replace(context, now=to), decide, expected=True)
    except VersionConflict:
        message = "the clock is being moved by another request"
        raise clocks.ClockMoving(message) from None
