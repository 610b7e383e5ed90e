"""What the edge takes to move the clock of a test book."""

from __future__ import annotations

from schemas.fields import Instant, Strict


class ClockTarget(Strict):
    """Where the book's clock is to stand."""

    now = Instant(required=True)
