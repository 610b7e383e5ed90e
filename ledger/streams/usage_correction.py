"""The corrections of one usage event: it may be made void, and what it says replaced, as often as need be.

Whose usage it is, of which meter and when, is never corrected: such an event is made void, and the right one
is sent under an id of its own. A correction holds until the next one: what is void counts again once it is
stated anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ledger.errors import Invalid
from ledger.events.usage import UsageRecorded
from ledger.events.usage_correction import UsageCorrected, UsageFacts
from ledger.streams.base import begins_with
from ledger.usage_row import UsageFact, facts_digest
from ledger.values import (
    MAX_PROPERTIES,
    MAX_PROPERTY_KEY_CHARACTERS,
    MAX_REASON_CHARACTERS,
    checked_quantity,
    checked_text,
    property_problem,
    text_problem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from ledger.events import Recorded

MAX_CORRECTIONS: Final = 1_000
_as_stored: Final = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode


class CorrectionsRefused(Invalid):
    """One of the corrections, or more, cannot be made, so none is; the errors name them by their places."""

    code = "corrections_refused"


@dataclass(frozen=True, kw_only=True)
class Correcting:
    """How a usage event, named by its source and its id there, is to be corrected.

    It is void without a quantity. Properties that are not given stay as they are.
    """

    source: str
    event_id: str
    quantity: str | int | Decimal | None = None
    properties: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Corrected:
    """What a usage event says by now: nothing if it is void; `last` is what it said last."""

    facts: UsageFacts | None
    last: UsageFacts


def correct(
    state: Corrected | None, original: Recorded | None, wish: Correcting, reason: str
) -> list[UsageCorrected]:
    """Correct a usage event; to what it says already is no correction."""
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    used = require_usage(original)
    event = usage_of(used)
    known = state or _recorded(event)
    becomes = None if wish.quantity is None else _stated(event, known.last, wish)
    if _same(known.facts, becomes):
        return []
    return [
        UsageCorrected(
            account=event.account,
            meter=event.meter,
            source=event.source,
            event_id=event.event_id,
            original_position=used.position,
            used_at=used.metadata.occurred_at,
            void=becomes is None,
            was=known.facts,
            becomes=becomes,
            reason=reason,
        )
    ]


def usage_of(original: Recorded) -> UsageRecorded:
    """Give what was recorded of a usage event."""
    event = original.event
    assert isinstance(event, UsageRecorded), "a usage event's stream holds nothing else"
    return event


def facts_of(event: UsageRecorded) -> UsageFacts:
    """Give what a usage event says as it was recorded."""
    return UsageFacts(quantity=event.quantity, properties=event.properties, digest=event.digest)


@begins_with(UsageCorrected)
def evolve(state: Corrected | None, event: UsageCorrected) -> Corrected:
    """Apply one event."""
    last = event.becomes or event.was or (None if state is None else state.last)
    assert last is not None, "what is made void said something"
    return Corrected(event.becomes, last)


def require_usage(original: Recorded | None) -> Recorded:
    """Give the usage event that was recorded, or refuse: there is none of this source and id."""
    if original is None or not isinstance(original.event, UsageRecorded):
        raise _refused(
            "id",
            "there is no usage event of this source and id: look them up among the account's usage events;"
            " one that was sent just now may not be recorded yet, so try again in a moment",
        )
    return original


def _recorded(event: UsageRecorded) -> Corrected:
    facts = facts_of(event)
    return Corrected(facts, facts)


def _stated(event: UsageRecorded, last: UsageFacts, wish: Correcting) -> UsageFacts:
    """Give what the event is to say, within the value domain of usage."""
    assert wish.quantity is not None, "looked at by the caller"
    quantity = checked_quantity(wish.quantity)
    properties = dict(last.properties) if wish.properties is None else _checked(wish.properties)
    fact = UsageFact(
        event_id=event.event_id,
        source=event.source,
        meter=event.meter,
        account=event.account,
        quantity=quantity,
        occurred_at=event.accepted_at,
        properties=properties,
    )
    return UsageFacts(quantity=quantity, properties=properties, digest=facts_digest(fact))


def _checked(properties: Mapping[str, Any]) -> dict[str, Any]:
    if len(properties) > MAX_PROPERTIES:
        raise _refused("properties", f"must have at most {MAX_PROPERTIES} properties")
    for name, value in properties.items():
        problem = text_problem(name, MAX_PROPERTY_KEY_CHARACTERS) or property_problem(value)
        if problem is not None:
            raise _refused(f"properties.{name[:MAX_PROPERTY_KEY_CHARACTERS]}", problem)
    return dict(properties)


def _same(one: UsageFacts | None, other: UsageFacts | None) -> bool:
    """Say whether facts are alike: read back from the log, a property's decimal is text."""
    if one is None or other is None:
        return one is other
    if one.quantity != other.quantity:
        return False
    return one.digest == other.digest or _as_stored(one.properties) == _as_stored(other.properties)


def _refused(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason}", {field: [reason]})
