"""Events of a tax rate: how much, where and why, version by version."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class TaxRateDefined(Event):
    """A tax rate, or another version of it, in force from an instant on.

    `percent` is per cent; `behaviour` is exclusive (on top of prices) or inclusive (within them); `reason`
    is what an invoice says where nothing is owed (reverse charge, export).
    """

    topic: ClassVar[str] = "tax_rate.defined"

    tax_rate: str
    tax_rate_version: int
    name: str
    jurisdiction: str
    percent: Decimal
    behaviour: str
    effective_at: datetime
    reason: str = "standard"
    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaxRateRetired(Event):
    """No new plan may name the rate; those that do go on."""

    topic: ClassVar[str] = "tax_rate.retired"

    tax_rate: str
    reason: str


TaxRateEvent = TaxRateDefined | TaxRateRetired
