"""The plans of the projection of billing."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from ledger.events.plan import PlanCreated, PlanEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.events import Recorded
    from projections.base import Change


class PlanRow(msgspec.Struct, frozen=True):
    """One plan; `amount` is in minor units of its currency an interval."""

    book: UUID
    plan: str
    product: str
    name: str
    currency: str
    interval: str
    amount: int
    price_version: int
    status: str
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
        return PlanRow(
            book=recorded.metadata.book,
            plan=event.plan,
            product=event.product,
            name=event.name,
            currency=event.currency,
            interval=event.interval,
            amount=event.amount,
            price_version=event.price_version,
            status="active",
            created_at=recorded.metadata.occurred_at,
            version=recorded.stream_version,
            position=recorded.position,
        )
    if row is None:
        return None
    return msgspec.structs.replace(
        row, status="retired", version=recorded.stream_version, position=recorded.position
    )
