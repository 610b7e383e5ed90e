"""A meter: how the usage events of one type are added up, under a code that is its for good."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import Conflict, NotFound
from ledger.events.meter import MeterDefined, MeterEvent, MeterRetired
from ledger.identifiers import derived_id
from ledger.meters import checked_meter, default_meter
from ledger.streams.base import begins_with
from ledger.values import (
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    checked_code_beside_ids,
    checked_external_id,
    checked_metadata,
    checked_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ledger.meters import MeterDefinition


PREFIX: Final = "meter"


class MeterIsRetired(Conflict):
    """No new plan may charge by the meter."""

    code = "meter_retired"


class MeterDiffers(Conflict):
    """The meter is defined otherwise, and a meter's definition never changes."""

    code = "meter_differs"


@dataclass(frozen=True)
class Meter:
    """A meter as it stands."""

    meter: str
    definition: MeterDefinition
    status: str = "active"
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def meter_id(book: UUID, code: str) -> str:
    """Give the id of the meter of a code: a book has one at most."""
    return derived_id(PREFIX, "meter", book.bytes, code)


def define(
    meter: str,
    definition: MeterDefinition,
    external_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[MeterEvent]:
    """Define a meter."""
    checked_code_beside_ids(definition.code, PREFIX)
    return [
        MeterDefined(
            meter=meter,
            definition=checked_meter(definition),
            external_id=checked_external_id(external_id),
            metadata=checked_metadata(metadata or {}),
        )
    ]


def define_default(meter: str, event_type: str) -> list[MeterEvent]:
    """Define the meter that a plan charges by when it names an event type that has none: the sum.

    From then on the code is taken, so that no later definition changes what the plan's usage costs. Unlike
    a code that somebody gives a meter, an event type may be any text.
    """
    checked_text(event_type, MAX_METER_CHARACTERS, "meter")
    return [MeterDefined(meter=meter, definition=default_meter(event_type))]


def describe(
    state: Meter | None, definition: MeterDefinition, metadata: Mapping[str, str]
) -> list[MeterEvent]:
    """Give the meter another name or other metadata; a definition that measures otherwise is refused."""
    meter = require(state)
    if replace(definition, name=meter.definition.name) != meter.definition:
        message = (
            f"meter {meter.definition.code} is defined otherwise, and plans rely on it:"
            " define another meter under a code of its own"
        )
        raise MeterDiffers(message)
    if (definition, metadata) == (meter.definition, meter.metadata):
        return []
    checked_text(definition.name, MAX_NAME_CHARACTERS, "name")
    return [
        MeterDefined(
            meter=meter.meter,
            definition=definition,
            external_id=meter.external_id,
            metadata=checked_metadata(metadata),
        )
    ]


def retire(state: Meter | None, reason: str) -> list[MeterEvent]:
    """Let no new plan charge by the meter; retiring it twice changes nothing."""
    meter = require(state)
    if meter.status == "retired":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [MeterRetired(meter=meter.meter, reason=reason)]


def require(state: Meter | None) -> Meter:
    """Give the meter, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such meter"
        raise NotFound(message)
    return state


def require_active(state: Meter | None) -> Meter:
    """Give the meter, or refuse: no new plan may charge by it."""
    meter = require(state)
    if meter.status == "retired":
        message = f"meter {meter.definition.code} is retired: no new plan may charge by it"
        raise MeterIsRetired(message)
    return meter


@begins_with(MeterDefined)
def evolve(state: Meter | None, event: MeterEvent) -> Meter:
    """Apply one event."""
    match event:
        case MeterDefined():
            return Meter(
                meter=event.meter,
                definition=event.definition,
                status="active" if state is None else state.status,
                external_id=event.external_id,
                metadata=event.metadata,
            )
        case MeterRetired():
            assert state is not None, "a stream begins with its first event"
            return replace(state, status="retired")
        case _:
            assert_never(event)
