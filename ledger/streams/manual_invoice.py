"""An invoice that somebody writes by hand: a draft takes lines until it is finalized, as others are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ledger.errors import Conflict, CurrencyConflict, Invalid, InvoiceNotOpen
from ledger.events.invoice import InvoiceDrafted
from ledger.manual_lines import MANUAL
from ledger.money import exponent
from ledger.streams.invoice import require, totals_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.events.invoice import InvoiceEvent, InvoiceLine
    from ledger.streams.account import Account
    from ledger.streams.invoice import Invoice

MAX_DUE_DAYS: Final = 365


class NotManual(Conflict):
    """The invoice's lines are put together from its subscription, not written by hand."""

    code = "not_a_manual_invoice"


class NegativeTotal(Conflict):
    """An invoice written by hand asks for something: what is owed to a customer is a credit."""

    code = "negative_total"


def currency_of(account: Account, asked: str | None) -> str:
    """Give the currency of an invoice: the one asked for, else the account's."""
    currency = asked or account.currency
    if currency is None:
        reason = "must be given: the account has none of its own"
        raise Invalid(f"currency: {reason}", {"currency": [reason]})
    if account.currency not in (None, currency):
        message = f"the account is billed in {account.currency}, not in {currency}"
        raise CurrencyConflict(message)
    exponent(currency)
    return currency


def draft(
    invoice: str,
    account: Account,
    currency: str,
    billing_entity: str,
    lines: Sequence[InvoiceLine],
    due_days: int | None,
    policy_version: int,
    position: int,
) -> list[InvoiceEvent]:
    """Begin an invoice with lines."""
    if due_days is not None and not 0 <= due_days <= MAX_DUE_DAYS:
        reason = f"must be from 0 to {MAX_DUE_DAYS}"
        raise Invalid(f"due_days: {reason}", {"due_days": [reason]})
    totals_of(tuple(lines))
    return [
        InvoiceDrafted(
            invoice=invoice,
            account=account.account,
            billing_entity=billing_entity,
            payer=account.account,
            subscription=None,
            kind=MANUAL,
            currency=currency,
            period_start=None,
            period_end=None,
            lines=tuple(lines),
            computed_at_position=position,
            managed_by="daybook",
            policy_version=policy_version,
            due_days=due_days,
        )
    ]


def require_draft(state: Invoice | None) -> Invoice:
    """Give a draft that somebody writes by hand, or refuse."""
    invoice = require(state)
    if invoice.status != "draft":
        message = f"invoice {invoice.draft.invoice} is {invoice.status}: it takes no more lines"
        raise InvoiceNotOpen(message)
    if invoice.draft.kind != MANUAL:
        message = (
            f"the lines of draft {invoice.draft.invoice} are put together from its subscription:"
            " issue an invoice of its own for others"
        )
        raise NotManual(message)
    return invoice


def with_lines(
    invoice: Invoice, lines: Sequence[InvoiceLine], policy_version: int, position: int
) -> list[InvoiceEvent]:
    """Write the draft with these lines, unless it has them already."""
    if tuple(lines) == invoice.draft.lines:
        return []
    totals_of(tuple(lines))
    return [
        replace(
            invoice.draft,
            lines=tuple(lines),
            policy_version=policy_version,
            computed_at_position=position,
        )
    ]


def require_not_negative(invoice: Invoice) -> Invoice:
    """Refuse to issue what owes the customer."""
    total = totals_of(invoice.draft.lines).total
    if total < 0:
        message = f"the invoice comes to {total}: credit the account instead, or add a line"
        raise NegativeTotal(message)
    return invoice
