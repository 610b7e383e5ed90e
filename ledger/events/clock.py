"""Events of a book's clock, which only a test book has: its time is then what was set, not the wall's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class ClockMoved(Event):
    """The book's time went from one instant to another and stands there; before the first, it was the wall's.

    It goes to each instant at which something is due before that is done, so nothing is booked ahead of it.
    """

    topic: ClassVar[str] = "test_clock.moved"

    from_at: datetime
    to_at: datetime


ClockEvent = ClockMoved
