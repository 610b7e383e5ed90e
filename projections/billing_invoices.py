"""The invoices of the projection of billing: headers and what was paid; lines are read from the log."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from ledger.events.invoice import (
    CreditApplied,
    DunningStepTaken,
    InvoiceCredited,
    InvoiceDrafted,
    InvoiceEvent,
    InvoiceFinalized,
    InvoiceMarkedUncollectible,
    InvoiceVoided,
    PaymentApplied,
)
from ledger.events.stripe import StripeInvoiceObserved
from ledger.streams.invoice import totals_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.events import Recorded
    from projections.base import Change


class InvoiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One invoice; amounts are in minor units, `managed_invoice` is ours that Stripe's invoice stands for."""

    book: UUID
    invoice: str
    account: str
    managed_by: str
    subscription: str | None
    status: str
    number: str | None = None
    currency: str
    subtotal: int
    tax_total: int
    total: int
    amount_paid: int = 0
    amount_credited: int = 0
    issued_on: date | None = None
    due_on: date | None = None
    period_start: datetime | None = None
    period_end: datetime | None = None
    managed_invoice: str | None = None
    observed_at: datetime | None = None
    version: int
    created_position: int
    position: int


def changes_of(events: Iterable[Recorded]) -> list[Change[InvoiceRow]]:
    """Give what events do to the rows of invoices."""
    changes: list[Change[InvoiceRow]] = []
    for recorded in events:
        event, book = recorded.event, recorded.metadata.book
        if isinstance(event, InvoiceEvent):
            changes.append(((book, event.invoice), partial(_changed, event=event, recorded=recorded)))
        elif isinstance(event, StripeInvoiceObserved):
            changes.append(((book, event.stripe_invoice), partial(_observed, event=event, recorded=recorded)))
    return changes


def _changed(row: InvoiceRow | None, event: InvoiceEvent, recorded: Recorded) -> InvoiceRow | None:
    if isinstance(event, InvoiceDrafted):
        return _drafted(row, event, recorded)
    if row is None:
        return None
    return msgspec.structs.replace(
        row, **_changes(row, event), version=recorded.stream_version, position=recorded.position
    )


def _drafted(row: InvoiceRow | None, event: InvoiceDrafted, recorded: Recorded) -> InvoiceRow:
    totals = totals_of(event.lines)
    return InvoiceRow(
        book=recorded.metadata.book,
        invoice=event.invoice,
        account=event.account,
        managed_by=event.managed_by,
        subscription=event.subscription,
        status="draft",
        currency=event.currency,
        subtotal=totals.subtotal,
        tax_total=totals.tax_total,
        total=totals.total,
        period_start=event.period_start,
        period_end=event.period_end,
        version=recorded.stream_version,
        created_position=row.created_position if row else recorded.position,
        position=recorded.position,
    )


def _changes(row: InvoiceRow, event: InvoiceEvent) -> dict[str, Any]:
    match event:
        case InvoiceFinalized():
            return {
                "status": _status(event.total, 0),
                "number": event.formatted_number,
                "issued_on": event.issued_on,
                "due_on": event.due_on,
                "subtotal": event.subtotal,
                "tax_total": event.tax_total,
                "total": event.total,
            }
        case PaymentApplied():
            paid = row.amount_paid + event.amount
            status = _settled(row.total, paid + row.amount_credited, row.status)
            return {"amount_paid": paid, "status": status}
        case CreditApplied():
            credited = row.amount_credited + event.amount
            status = _settled(row.total, row.amount_paid + credited, row.status)
            return {"amount_credited": credited, "status": status}
        case InvoiceMarkedUncollectible():
            return {"status": "uncollectible"}
        case DunningStepTaken() | InvoiceCredited():
            return {}
        case InvoiceVoided():
            return {"status": "void"}
        case _:
            raise AssertionError(event.topic)


def _settled(total: int, settled: int, before: str) -> str:
    """Say how it stands after a settlement; what is held uncollectible stays so until all of it is there."""
    status = _status(total, settled)
    return before if before == "uncollectible" and status != "paid" else status


def _status(total: int, paid: int) -> str:
    if paid >= total:
        return "paid"
    return "partially_paid" if paid else "open"


def _observed(row: InvoiceRow | None, event: StripeInvoiceObserved, recorded: Recorded) -> InvoiceRow:
    """Take over what Stripe said of its invoice: the log holds only what was news."""
    return InvoiceRow(
        book=recorded.metadata.book,
        invoice=event.stripe_invoice,
        account=event.account,
        managed_by="stripe",
        subscription=event.stripe_subscription,
        status=event.status,
        number=event.number,
        currency=event.currency,
        subtotal=event.subtotal,
        tax_total=event.tax_total,
        total=event.total,
        amount_paid=event.amount_paid,
        due_on=event.due_at.date() if event.due_at else None,
        managed_invoice=event.managed_invoice,
        observed_at=event.observed_at,
        version=recorded.stream_version,
        created_position=row.created_position if row else recorded.position,
        position=recorded.position,
    )
