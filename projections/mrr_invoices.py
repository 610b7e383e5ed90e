"""Invoices in the projection of MRR: which of them are past due or given up, and so whether one counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

import msgspec

from ledger.events.invoice import (
    CreditApplied,
    DunningStepTaken,
    InvoiceDrafted,
    InvoiceEvent,
    InvoiceFinalized,
    InvoiceMarkedUncollectible,
    InvoiceVoided,
    PaymentApplied,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ledger.events import Recorded
    from projections.base import Change


InvoiceStatus: TypeAlias = Literal["open", "past_due", "unpaid", "void", "settled"]


class InvoiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice of a subscription: what it asks for and what settled it, in minor units, and how it stands.

    `finalized` is the position it was finalized at: invoices of a subscription follow one another by it.
    """

    book: UUID
    invoice: str
    subscription: str
    total: int = 0
    settled: int = 0
    finalized: int | None = None
    status: InvoiceStatus = "open"
    position: int


@dataclass(frozen=True)
class Dues:
    """What an event did to what a subscription owes: its invoice is open, settled, past due or given up."""

    recorded: Recorded
    subscription: str
    invoice: str
    finalized: int
    status: InvoiceStatus


def changes_of(events: Iterable[Recorded], dues: list[Dues]) -> list[Change[InvoiceRow]]:
    """Give what events do to invoices; as they are carried out, they tell what subscriptions owe."""
    return [
        (
            (recorded.metadata.book, recorded.event.invoice),
            partial(_changed, event=recorded.event, recorded=recorded, dues=dues),
        )
        for recorded in events
        if isinstance(recorded.event, InvoiceEvent)
    ]


def _changed(
    row: InvoiceRow | None, event: InvoiceEvent, recorded: Recorded, dues: list[Dues]
) -> InvoiceRow | None:
    if row is None:
        return _drafted(event, recorded)
    after = msgspec.structs.replace(row, **_effect(row, event, recorded), position=recorded.position)
    if after.finalized is not None and _status(after) != _status(row):
        dues.append(Dues(recorded, after.subscription, after.invoice, after.finalized, _status(after)))
    return after


def _drafted(event: InvoiceEvent, recorded: Recorded) -> InvoiceRow | None:
    """Begin an invoice; one that bills no subscription is nothing to any."""
    if not isinstance(event, InvoiceDrafted) or event.subscription is None:
        return None
    return InvoiceRow(
        book=recorded.metadata.book,
        invoice=event.invoice,
        subscription=event.subscription,
        position=recorded.position,
    )


def _effect(row: InvoiceRow, event: InvoiceEvent, recorded: Recorded) -> dict[str, Any]:
    match event:
        case InvoiceFinalized():
            return {"total": event.total, "finalized": recorded.position}
        case PaymentApplied() | CreditApplied():
            return {"settled": row.settled + event.amount}
        case DunningStepTaken():
            return {"status": "past_due"} if row.status == "open" else {}
        case InvoiceMarkedUncollectible():
            return {"status": "unpaid"}
        case InvoiceVoided():
            return {"status": "void"}
        case _:
            return {}


def _status(row: InvoiceRow) -> InvoiceStatus:
    """Tell an invoice that was paid; one that never asked for anything is no sign of paying."""
    paid = row.status != "void" and 0 < row.total <= row.settled
    return "settled" if paid else row.status


def happened_at(recorded: Recorded) -> datetime:
    """Say when something about an invoice happened: a step of dunning names the instant it was due."""
    event = recorded.event
    return event.due_at if isinstance(event, DunningStepTaken) else recorded.metadata.occurred_at
