"""Views of subscriptions and invoices: what they look like from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import instant, money
from api.resources.credit_note_views import credited_view
from ledger.streams import credit_note as credit_notes
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.values import quantity_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from commands.invoicing import Paid
    from commands.previews import PreviewedChange, UpcomingInvoice
    from commands.subscriptions import Billed
    from ledger.events.invoice import InvoiceLine, LineUsage
    from ledger.events.subscription import ProrationAdded
    from ledger.streams.base import Stream


def billed_view(billed: Billed) -> dict[str, Any]:
    """Show a subscription and name the invoice and the credit notes just issued for it."""
    invoice = None if billed.invoice is None else invoices.require(billed.invoice.state).draft.invoice
    notes = [credit_notes.require(one.state).issued.credit_note for one in billed.credit_notes]
    return {**subscription_view(billed.subscription), "invoice": invoice, "credit_notes": notes}


def subscription_view(stream: Stream[subscriptions.Subscription]) -> dict[str, Any]:
    """Show a subscription."""
    state = subscriptions.require(stream.state)
    period = state.period
    return {
        "id": state.subscription,
        "account": state.account,
        "managed_by": "daybook",
        "plan": state.plan,
        "status": state.status,
        "starts_at": instant(state.starts_at),
        "period": None
        if period is None
        else {
            "id": period.period,
            "starts_at": instant(period.starts_at),
            "ends_at": instant(period.ends_at),
        },
        "currency": state.currency,
        "quantity": state.quantity,
        "items": [
            {
                "id": item.item,
                "plan": item.plan,
                "price_version": item.price_version,
                "quantity": item.quantity,
            }
            for item in state.items
        ],
        "trial_ends_at": instant(state.trial_ends_at),
        "ends_at": instant(state.ends_at),
        "paused_at": None if state.pause is None else instant(state.pause.paused_at),
        "discounts": [
            {
                "coupon": one.applied.coupon,
                "name": one.applied.name,
                "duration": one.applied.terms.duration,
                "invoices": len(one.invoices),
            }
            for one in state.discounts
        ],
        "external_id": state.started.external_id,
        "metadata": dict(state.started.metadata),
        "next_plan": state.next_plan,
        "cancels_at": instant(state.cancels_at),
        "ended_at": instant(state.ended_at),
        "billed_through": instant(state.billed_through),
        "pending_prorations": [proration_view(one, state.item) for one in state.pending],
        "version": stream.version,
    }


def proration_view(pending: ProrationAdded, first_item: str) -> dict[str, Any]:
    """Show an amount that waits for the next invoice."""
    return {
        "kind": pending.kind,
        "item": pending.item or first_item,
        "plan": pending.plan,
        "quantity": pending.quantity,
        "amount": money(pending.amount, pending.currency),
        "service_from": instant(pending.service_from),
        "service_to": instant(pending.service_to),
    }


def subscription_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show a subscription of a list, ours or Stripe's."""
    period = None
    if row["period_start"] is not None and row["period_end"] is not None:
        period = {
            "id": row["subscription"],
            "starts_at": instant(row["period_start"]),
            "ends_at": instant(row["period_end"]),
        }
    return {
        "id": row["subscription"],
        "account": row["account"],
        "managed_by": row["managed_by"],
        "plan": row["plan"],
        "status": row["status"],
        "starts_at": instant(row["starts_at"]),
        "period": period,
        "next_plan": row["next_plan"],
        "cancels_at": instant(row["cancels_at"]),
        "ended_at": instant(row["ended_at"]),
        "billed_through": instant(row["billed_through"]),
        "version": row["version"],
    }


def invoice_view(stream: Stream[invoices.Invoice]) -> dict[str, Any]:
    """Show an invoice whole; the totals of a draft are those of its lines."""
    state = invoices.require(stream.state)
    draft, header = state.draft, state.header
    totals = invoices.totals_of(draft.lines)
    currency = draft.currency
    return {
        "id": draft.invoice,
        "account": draft.account,
        "managed_by": draft.managed_by,
        "subscription": draft.subscription,
        "status": state.status,
        "number": header.formatted_number if header else None,
        "billing_entity": draft.billing_entity,
        "series": header.series if header else None,
        "series_number": header.number if header else None,
        "issued_on": header.issued_on if header else None,
        "due_on": header.due_on if header else None,
        "terms": header.terms if header else None,
        "payer": draft.payer,
        "period_start": instant(draft.period_start),
        "period_end": instant(draft.period_end),
        "subtotal": money(totals.subtotal, currency),
        "discount_total": money(totals.discount_total, currency),
        "tax_total": money(totals.tax_total, currency),
        "total": money(totals.total, currency),
        "amount_paid": money(state.amount_paid, currency),
        "amount_credited": money(state.amount_credited, currency),
        "amount_due": money(state.amount_due, currency),
        "seller": {"name": header.seller_name, "tax_id": header.seller_tax_id} if header else None,
        "buyer": {"name": header.buyer_name, "email": header.buyer_email, "tax_id": header.buyer_tax_id}
        if header
        else None,
        "lines": [line_view(line, currency) for line in draft.lines],
        "settlements": [
            {"payment": one.payment, "amount": money(one.amount, currency)} for one in state.settlements
        ],
        "credits": [
            {"source": one.source, "reference": one.reference, "amount": money(one.amount, currency)}
            for one in state.credits
        ],
        "credit_notes": [one.credit_note for one in state.credit_notes],
        "uncollectible_reason": state.uncollectible_reason,
        "void_reason": state.void_reason,
        "kind": draft.kind,
        "due_at": instant(draft.due_at),
        "finalizes_at": instant(draft.finalizes_at),
        "computed_at_position": draft.computed_at_position,
        "version": stream.version,
    }


def line_view(line: InvoiceLine, currency: str) -> dict[str, Any]:
    """Show a line item."""
    return {
        "id": line.line,
        "kind": line.kind,
        "description": line.description,
        "quantity": line.quantity,
        "amount": money(line.amount, currency),
        "service_from": instant(line.service_from),
        "service_to": instant(line.service_to),
        "plan": line.plan,
        "price_version": line.price_version,
        "policy_version": line.policy_version,
        "subscription_item": line.subscription_item,
        "period": line.period,
        "product": line.product,
        "usage": None if line.usage is None else usage_view(line, line.usage),
        "taxes": [
            {
                "rate": tax.rate,
                "rate_version": tax.rate_version,
                "jurisdiction": tax.jurisdiction,
                "base": money(tax.base, currency),
                "amount": money(tax.amount, currency),
                "behaviour": tax.behaviour,
                "reason": tax.reason,
            }
            for tax in line.taxes
        ],
        "discounts": [
            {"coupon": one.coupon, "amount": money(one.amount, currency)} for one in line.discounts
        ],
        "adjusts_line": line.adjusts_line,
    }


def usage_view(line: InvoiceLine, usage: LineUsage) -> dict[str, Any]:
    """Show the usage behind a line."""
    return {
        "meter": usage.meter,
        "charge": usage.charge,
        "group": list(usage.group),
        "events": usage.events,
        "quantity": quantity_text(usage.quantity),
        "after_position": line.usage_after_position,
        "through_position": line.usage_through_position,
    }


def invoice_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show an invoice of a list, ours or Stripe's."""
    total, paid, credited = int(row["total"]), int(row["amount_paid"]), int(row["amount_credited"])
    asks = row["status"] in ("open", "partially_paid", "uncollectible")
    return {
        "id": row["invoice"],
        "account": row["account"],
        "managed_by": row["managed_by"],
        "subscription": row["subscription"],
        "status": row["status"],
        "number": row["number"],
        "issued_on": row["issued_on"],
        "due_on": row["due_on"],
        "total": money(total, row["currency"]),
        "amount_paid": money(paid, row["currency"]),
        "amount_credited": money(credited, row["currency"]),
        "amount_due": money(max(0, total - paid - credited) if asks else 0, row["currency"]),
    }


def paid_view(paid: Paid) -> dict[str, Any]:
    """Show a payment and the invoice it was applied to."""
    return {
        "payment": paid.payment.payment,
        "amount": money(paid.payment.amount, paid.payment.currency),
        "invoice": invoice_view(paid.invoice),
    }


def change_preview_view(previewed: PreviewedChange) -> dict[str, Any]:
    """Show a subscription as a change would leave it, and the money effect of that."""
    state = subscriptions.require(previewed.billed.subscription.state)
    currency = state.currency or "USD"
    amounts = [one.amount for one in previewed.prorations]
    invoice = previewed.billed.invoice
    return {
        **billed_view(previewed.billed),
        "preview": {
            "credit": money(-sum(amount for amount in amounts if amount < 0), currency),
            "debit": money(sum(amount for amount in amounts if amount > 0), currency),
            "net": money(sum(amounts), currency),
            "prorations": [proration_view(one, state.item) for one in previewed.prorations],
            "invoice": None if invoice is None else invoice_view(invoice),
            "credit_notes": [credited_view(one) for one in previewed.billed.credit_notes],
        },
    }


def upcoming_view(account: str, found: Iterable[UpcomingInvoice | None]) -> dict[str, Any]:
    """Show the next invoices of an account, and what they come to together."""
    upcoming = [one for one in found if one is not None]
    totals: dict[str, int] = {}
    for one in upcoming:
        if one.invoice is not None:
            draft = invoices.require(one.invoice.state).draft
            totals[draft.currency] = totals.get(draft.currency, 0) + invoices.totals_of(draft.lines).total
    return {
        "account": account,
        "totals": [money(total, currency) for currency, total in sorted(totals.items())],
        "upcoming": [
            {
                "subscription": subscriptions.require(one.subscription.state).subscription,
                "due_at": instant(one.due_at),
                "invoice": None if one.invoice is None else invoice_view(one.invoice),
            }
            for one in upcoming
        ],
    }
