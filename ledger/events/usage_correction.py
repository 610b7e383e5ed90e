"""The correction of a usage event, an event itself: the original stays in the log as it was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class UsageFacts:
    """What a usage event says was used; `digest` stands for the facts as it does in the event."""

    quantity: Decimal
    digest: str
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UsageCorrected(Event):
    """From this position on, a usage event is void or says other facts; whose it is and when stays.

    `was` are the facts it had until then, none where it was void; `becomes` those it has now, none where it
    is void now. `original_position` and `used_at` are the event's own position and time.
    """

    topic: ClassVar[str] = "usage.corrected"

    account: str
    meter: str
    source: str
    event_id: str
    original_position: int
    used_at: datetime
    void: bool
    was: UsageFacts | None
    becomes: UsageFacts | None
    reason: str
