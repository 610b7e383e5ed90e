"""Events of a meter: how the usage events of one type are added up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ledger.events.base import Event
from ledger.meters import MeterDefinition


@dataclass(frozen=True, kw_only=True)
class MeterDefined(Event):
    """A meter; a plan's charges name it by its code, which is its for good, as its definition is."""

    topic: ClassVar[str] = "meter.defined"

    meter: str
    definition: MeterDefinition
    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MeterRetired(Event):
    """No new plan may charge by the meter; those that do go on."""

    topic: ClassVar[str] = "meter.retired"

    meter: str
    reason: str


MeterEvent = MeterDefined | MeterRetired
