"""Views: what an object looks like from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from api.edge import instant, money
from ledger.streams import account as accounts
from ledger.streams import api_key as keys
from ledger.streams import invoice as invoices
from ledger.streams import plan as plans
from ledger.streams import subscription as subscriptions
from ledger.values import EARLIEST, quantity_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from commands.invoicing import Paid
    from commands.keys import IssuedKey
    from commands.subscriptions import Billed
    from ledger.events.invoice import InvoiceLine
    from ledger.streams.base import Stream
    from projections.balances import Balance
    from projections.state import AccountState


def account_view(stream: Stream[accounts.Account]) -> dict[str, Any]:
    """Show an account."""
    state = accounts.require(stream.state)
    return {
        "id": state.account,
        "name": state.name,
        "email": state.email,
        "currency": state.currency,
        "time_zone": state.time_zone,
        "status": state.status,
        "origin": state.origin,
        "created_at": instant(stream.created_at),
        "closed_at": instant(state.closed_at),
        "version": stream.version,
    }


def account_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show an account of a list."""
    return {
        "id": row["account"],
        "name": row["name"],
        "email": row["email"],
        "currency": row["currency"],
        "time_zone": row["time_zone"],
        "status": row["status"],
        "origin": row["origin"],
        "created_at": instant(row["registered_at"]),
        "closed_at": instant(row["closed_at"]),
        "version": row["version"],
    }


def key_view(stream: Stream[keys.ApiKey], now: datetime) -> dict[str, Any]:
    """Show a key, never its secret."""
    state = keys.require(stream.state)
    return {
        "id": state.key,
        "owner": state.owner,
        "name": state.name,
        "scopes": list(state.scopes),
        "status": keys.status_at(state, now),
        "hint": state.hint,
        "expires_at": instant(state.expires_at),
        "created_at": instant(stream.created_at),
        "version": stream.version,
    }


def key_row_view(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Show a key of a list; an expiry holds from its instant on, recorded or not."""
    expires_at = row["expires_at"]
    lapsed = row["status"] in ("active", "suspended") and expires_at is not None and expires_at <= now
    return {
        "id": row["key"],
        "owner": row["owner"],
        "name": row["name"],
        "scopes": list(row["scopes"]),
        "status": "expired" if lapsed else row["status"],
        "hint": row["hint"],
        "expires_at": instant(expires_at),
        "created_at": instant(row["issued_at"]),
        "version": row["version"],
    }


def issued_view(issued: IssuedKey, now: datetime) -> dict[str, Any]:
    """Show a key and, this once, its secret."""
    return {**key_view(issued.stream, now), "secret": issued.secret}


def plan_view(stream: Stream[plans.Plan]) -> dict[str, Any]:
    """Show a plan."""
    state = plans.require(stream.state)
    return {
        "id": state.plan,
        "product": state.product,
        "name": state.name,
        "interval": state.interval,
        "price": money(state.amount, state.currency),
        "currency": state.currency,
        "amount": state.amount,
        "price_version": state.price_version,
        "status": state.status,
        "created_at": instant(stream.created_at),
        "version": stream.version,
    }


def plan_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show a plan of a list."""
    return {
        "id": row["plan"],
        "product": row["product"],
        "name": row["name"],
        "interval": row["interval"],
        "price": money(int(row["amount"]), row["currency"]),
        "currency": row["currency"],
        "amount": int(row["amount"]),
        "price_version": row["price_version"],
        "status": row["status"],
        "created_at": instant(row["created_at"]),
        "version": row["version"],
    }


def billed_view(billed: Billed) -> dict[str, Any]:
    """Show a subscription and name the invoice just issued for it."""
    invoice = None if billed.invoice is None else invoices.require(billed.invoice.state).draft.invoice
    return {**subscription_view(billed.subscription), "invoice": invoice}


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
        "next_plan": state.next_plan,
        "cancels_at": instant(state.cancels_at),
        "ended_at": instant(state.ended_at),
        "billed_through": instant(state.billed_through),
        "pending_prorations": [
            {
                "kind": pending.kind,
                "plan": pending.plan,
                "amount": money(pending.amount, pending.currency),
                "service_from": instant(pending.service_from),
                "service_to": instant(pending.service_to),
            }
            for pending in state.pending
        ],
        "version": stream.version,
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
        "amount_due": money(state.amount_due, currency),
        "seller": {"name": header.seller_name, "tax_id": header.seller_tax_id} if header else None,
        "buyer": {"name": header.buyer_name, "email": header.buyer_email, "tax_id": header.buyer_tax_id}
        if header
        else None,
        "lines": [_line_view(line, currency) for line in draft.lines],
        "settlements": [
            {"payment": one.payment, "amount": money(one.amount, currency)} for one in state.settlements
        ],
        "void_reason": state.void_reason,
        "computed_at_position": draft.computed_at_position,
        "version": stream.version,
    }


def _line_view(line: InvoiceLine, currency: str) -> dict[str, Any]:
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
        "adjusts_line": line.adjusts_line,
    }


def invoice_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show an invoice of a list, ours or Stripe's."""
    total, paid = int(row["total"]), int(row["amount_paid"])
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
        "amount_due": money(max(0, total - paid) if asks else 0, row["currency"]),
    }


def state_view(state: AccountState, at: int | datetime) -> dict[str, Any]:
    """Show an account as it was; at a position, keys show as they were recorded, at a time as they were."""
    known_at = EARLIEST if isinstance(at, int) else at
    return {
        "at": at if isinstance(at, int) else instant(at),
        "position": state.position,
        "account": account_row_view(asdict(state.account)),
        "keys": [key_row_view(asdict(row), known_at) for row in state.keys],
        "subscriptions": [subscription_row_view(asdict(row)) for row in state.subscriptions],
        "invoices": [invoice_row_view(asdict(row)) for row in state.invoices],
        "payments": [
            {
                "id": one.payment,
                "amount": money(one.amount, one.currency),
                "method": one.method,
                "received_at": instant(one.received_at),
            }
            for one in state.payments
        ],
        **balance_view(state.balances),
        "usage": [
            {"meter": one.meter, "quantity": quantity_text(one.quantity), "events": one.events}
            for one in state.usage
        ],
    }


def balance_view(found: Sequence[Balance]) -> dict[str, Any]:
    """Sum up an account's balances by currency: what it owes is receivable less the credit it holds."""
    amounts = {(one.currency, one.ledger_account): one.amount for one in found}
    owed = []
    for currency in sorted({one.currency for one in found}):
        receivable = amounts.get((currency, "receivable"), 0)
        credit = amounts.get((currency, "customer_credit"), 0)
        owed.append(
            {
                "currency": currency,
                "balance": money(receivable - credit, currency),
                "receivable": money(receivable, currency),
                "customer_credit": money(credit, currency),
            }
        )
    return {
        "balances": owed,
        "ledger_accounts": [
            {"ledger_account": one.ledger_account, "balance": money(one.amount, one.currency)}
            for one in found
        ],
    }


def paid_view(paid: Paid) -> dict[str, Any]:
    """Show a payment and the invoice it was applied to."""
    return {
        "payment": paid.payment.payment,
        "amount": money(paid.payment.amount, paid.payment.currency),
        "invoice": invoice_view(paid.invoice),
    }
