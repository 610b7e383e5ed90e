"""The usage event: each is a stream of its own, so that the log's primary key drops duplicates for ever."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class UsageRecorded(Event):
    """An account used a quantity of a meter; `digest` stands for the facts that a duplicate must share."""

    topic: ClassVar[str] = "usage.recorded"

    account: str
    meter: str
    quantity: Decimal
    source: str
    event_id: str
    accepted_at: datetime
    digest: str
    properties: dict[str, Any] = field(default_factory=dict)
