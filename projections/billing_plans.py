"""The plans of the projection of billing."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never
from uuid import UUID

import msgspec

from ledger.events.plan import PlanCreated, PlanDescribed, PlanEvent, PlanRepriced, PlanRetired
from ledger.plan_terms import plain_price
from ledger.streams.plan import PriceVersion
from projections.stored import stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.events import Recorded
    from ledger.events.plan import PlanTerms
    from projections.base import Change


class PlanRow(msgspec.Struct, frozen=True):
    """One plan with its price versions, the oldest first.

    `interval`, `currency` and `amount` (in minor units an interval, without usage, for one seat) are those of
    the newest; the last two only where it has one currency.
    """

    book: UUID
    plan: str
    product: str
    name: str
    currency: str | None
    interval: str
    amount: int | None
    price_version: int
    status: str
    external_id: str | None
    metadata: dict[str, str]
    versions: list[dict[str, Any]]
    created_at: datetime
    version: int
    position: int


def changes_of(events: Iterable[Recorded]) -> list[Change[PlanRow]]:
    """Give what events do to the rows of plans."""
    return [
        (
            (recorded.metadata.book, recorded.event.plan),
            partial(_changed, event=recorded.event, recorded=recorded),
        )
        for recorded in events
        if isinstance(recorded.event, PlanEvent)
    ]


def _changed(row: PlanRow | None, event: PlanEvent, recorded: Recorded) -> PlanRow | None:
    if isinstance(event, PlanCreated):
        return _created(event, recorded)
    if row is None:
        return None
    changes = _changes(row, event)
    return msgspec.structs.replace(
        row, **changes, version=recorded.stream_version, position=recorded.position
    )


def _created(event: PlanCreated, recorded: Recorded) -> PlanRow:
    return PlanRow(
        book=recorded.metadata.book,
        plan=event.plan,
        product=event.product,
        name=event.name,
        **_newest(event.price_version, event.terms),
        status="active",
        external_id=event.external_id,
        metadata=dict(event.metadata),
        versions=[stored(PriceVersion(event.price_version, event.terms))],
        created_at=recorded.metadata.occurred_at,
        version=recorded.stream_version,
        position=recorded.position,
    )


def _newest(price_version: int, terms: PlanTerms) -> dict[str, Any]:
    currency, amount = plain_price(terms) or (None, None)
    return {
        "price_version": price_version,
        "interval": terms.interval,
        "currency": currency,
        "amount": amount,
    }


def _changes(row: PlanRow, event: PlanRepriced | PlanDescribed | PlanRetired) -> dict[str, Any]:
    match event:
        case PlanRepriced():
            added = stored(PriceVersion(event.price_version, event.terms, event.effective_at))
            return {**_newest(event.price_version, event.terms), "versions": [*row.versions, added]}
        case PlanDescribed():
            return {"name": event.name, "metadata": dict(event.metadata)}
        case PlanRetired():
            return {"status": "retired"}
        case _:
            assert_never(event)
