"""An invoice: drafted, finalized with a number, paid or void; totals come from its lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from ledger.errors import CurrencyConflict, Invalid, InvoiceNotOpen, NotFound, Overpayment
from ledger.events.invoice import (
    CreditApplied,
    DunningStepTaken,
    InvoiceCredited,
    InvoiceDrafted,
    InvoiceEvent,
    InvoiceFinalized,
    InvoiceLine,
    InvoiceMarkedUncollectible,
    InvoiceVoided,
    PaymentApplied,
)
from ledger.identifiers import derived_id
from ledger.money import checked_amount
from ledger.periods import local_date
from ledger.streams.base import begins_with
from ledger.streams.billing_entity import DEFAULT_BILLING_ENTITY
from ledger.streams.subscription import last_period
from ledger.values import MAX_REASON_CHARACTERS, checked_text, instant_text

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.assembly import Assembled, Bill
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.subscription import Subscription


class UnknownLine(NotFound):
    """The invoice has no such line."""

    code = "unknown_line"


@dataclass(frozen=True)
class Totals:
    """What the lines of an invoice add up to, in minor units."""

    subtotal: int
    discount_total: int
    tax_total: int
    total: int


@dataclass(frozen=True)
class Settlement:
    """A payment applied to the invoice."""

    payment: str
    amount: int


@dataclass(frozen=True)
class Credit:
    """Credit applied to the invoice: from where, and which grant or credit note of it."""

    source: str
    reference: str | None
    amount: int


@dataclass(frozen=True)
class Invoice:
    """An invoice as it stands; `header` is there from finalization on."""

    draft: InvoiceDrafted
    header: InvoiceFinalized | None = None
    settlements: tuple[Settlement, ...] = ()
    credits: tuple[Credit, ...] = ()
    credit_notes: tuple[InvoiceCredited, ...] = ()
    steps: tuple[DunningStepTaken, ...] = ()
    uncollectible_reason: str | None = None
    # What was given up, and what of it was paid all the same.
    written_off: int = 0
    recovered: int = 0
    void_reason: str | None = None

    @property
    def amount_paid(self) -> int:
        """What payments have settled."""
        return sum(settlement.amount for settlement in self.settlements)

    @property
    def amount_due(self) -> int:
        """What the invoice still asks for: nothing when it is void, or when it owes the customer."""
        if self.header is None or self.void_reason is not None:
            return 0
        return max(0, self.header.total - self.amount_paid - self.amount_credited)

    @property
    def amount_credited(self) -> int:
        """What credit has settled."""
        return sum(credit.amount for credit in self.credits)

    @property
    def status(self) -> str:
        """Say draft, open, partially_paid, paid, uncollectible or void."""
        if self.void_reason is not None:
            return "void"
        if self.header is None:
            return "draft"
        if self.amount_due == 0:
            return "paid"
        if self.uncollectible_reason is not None:
            return "uncollectible"
        return "partially_paid" if self.settlements or self.credits else "open"


def totals_of(lines: tuple[InvoiceLine, ...]) -> Totals:
    """Add the lines up; inclusive taxes are inside the amounts already."""
    subtotal = sum(line.amount for line in lines)
    discounts = sum(discount.amount for line in lines for discount in line.discounts)
    taxes = [tax for line in lines for tax in line.taxes]
    exclusive = sum(tax.amount for tax in taxes if tax.behaviour == "exclusive")
    return Totals(
        subtotal=subtotal,
        discount_total=discounts,
        tax_total=sum(tax.amount for tax in taxes),
        total=checked_amount(subtotal - discounts + exclusive),
    )


@dataclass(frozen=True)
class Header:
    """Which invoice a draft is: its id, which follows from what it bills, its kind and its period."""

    invoice: str
    kind: str
    period_start: datetime
    period_end: datetime

    @classmethod
    def of(cls, subscription: Subscription, kind: str, period_end: datetime) -> Header:
        """Name the invoice of a subscription's present period."""
        start = last_period(subscription).starts_at
        return cls(invoice_id(subscription.subscription, start, kind), kind, start, period_end)


def invoice_id(subscription: str, period_start: datetime, kind: str) -> str:
    """Give the id of the one invoice that may exist for a subscription, a period start and a kind."""
    return derived_id("inv", "invoice", subscription, instant_text(period_start), kind)


def draft(
    state: Invoice | None, bill: Bill, assembled: Assembled, invoice: Header, finalizes_at: datetime | None
) -> list[InvoiceEvent]:
    """Write what was assembled as a draft, or as the same draft again, with the usage that came meanwhile."""
    if state is not None and state.status != "draft":
        raise InvoiceNotOpen(f"invoice {invoice.invoice} is {state.status}")
    subscription = bill.subscription
    return [
        InvoiceDrafted(
            invoice=invoice.invoice,
            account=subscription.account,
            billing_entity=DEFAULT_BILLING_ENTITY,
            payer=subscription.account,
            subscription=subscription.subscription,
            kind=invoice.kind,
            currency=bill.currency,
            period_start=invoice.period_start,
            period_end=invoice.period_end,
            lines=assembled.lines,
            computed_at_position=bill.through_position,
            managed_by="daybook",
            policy_version=bill.policy_version,
            due_at=bill.at,
            late_since=bill.late_since,
            finalizes_at=finalizes_at,
        )
    ]


def finalize(
    state: Invoice | None, account: Account, book: Book, number: int, now: datetime
) -> list[InvoiceEvent]:
    """Give a draft its number and dates, in the book's zone; from here nothing in it changes."""
    invoice = require(state)
    if invoice.status != "draft":
        message = f"invoice {invoice.draft.invoice} is {invoice.status}"
        raise InvoiceNotOpen(message)
    seller = book.billing_entities[invoice.draft.billing_entity]
    totals = totals_of(invoice.draft.lines)
    issued_on = local_date(now, book.time_zone)
    days = seller.payment_terms_days if invoice.draft.due_days is None else invoice.draft.due_days
    return [
        InvoiceFinalized(
            invoice=invoice.draft.invoice,
            account=account.account,
            billing_entity=seller.billing_entity,
            series=seller.invoice_series,
            number=number,
            formatted_number=f"{seller.invoice_series}-{number:06d}",
            issued_on=issued_on,
            due_on=issued_on + timedelta(days=days),
            terms=f"net {days}",
            currency=invoice.draft.currency,
            subtotal=totals.subtotal,
            discount_total=totals.discount_total,
            tax_total=totals.tax_total,
            total=totals.total,
            seller_name=seller.name,
            seller_tax_id=seller.tax_id,
            buyer_name=account.name,
            buyer_email=account.email,
            buyer_tax_id=None,
        )
    ]


def apply_payment(state: Invoice | None, payment: str, amount: int, currency: str) -> list[InvoiceEvent]:
    """Settle part or all of what the invoice asks for; more than that is refused."""
    invoice = require(state)
    if invoice.status not in ("open", "partially_paid", "uncollectible"):
        message = f"invoice {invoice.draft.invoice} is {invoice.status}"
        raise InvoiceNotOpen(message)
    if currency != invoice.draft.currency:
        message = f"the invoice is in {invoice.draft.currency}, the payment in {currency}"
        raise CurrencyConflict(message)
    if checked_amount(amount) <= 0:
        message = "amount: must be positive"
        raise Invalid(message, {"amount": ["must be positive"]})
    if amount > invoice.amount_due:
        message = f"the invoice asks for {invoice.amount_due}, the payment is {amount}"
        raise Overpayment(message)
    names = {"invoice": invoice.draft.invoice, "account": invoice.draft.account}
    return [PaymentApplied(**names, payment=payment, amount=amount, currency=currency)]


def void(state: Invoice | None, reason: str) -> list[InvoiceEvent]:
    """Take an unpaid finalized invoice back whole; voiding it twice changes nothing."""
    invoice = require(state)
    if invoice.status == "void":
        return []
    if invoice.header is None or invoice.settlements:
        message = f"invoice {invoice.draft.invoice} is {invoice.status}: only an unpaid one can be made void"
        raise InvoiceNotOpen(message)
    if invoice.credit_notes:
        message = f"invoice {invoice.draft.invoice} has credit notes: credit what is left of it instead"
        raise InvoiceNotOpen(message)
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [InvoiceVoided(invoice=invoice.draft.invoice, account=invoice.draft.account, reason=reason)]


def mark_uncollectible(state: Invoice | None, reason: str) -> list[InvoiceEvent]:
    """Give up what the invoice still asks for; it may be paid all the same. Twice changes nothing."""
    invoice = require(state)
    if invoice.status == "uncollectible":
        return []
    if invoice.status not in ("open", "partially_paid"):
        message = (
            f"invoice {invoice.draft.invoice} is {invoice.status}: nothing is asked for that may not come"
        )
        raise InvoiceNotOpen(message)
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    names = {"invoice": invoice.draft.invoice, "account": invoice.draft.account}
    return [InvoiceMarkedUncollectible(**names, reason=reason, amount=invoice.amount_due)]


def require(state: Invoice | None) -> Invoice:
    """Give the invoice, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such invoice"
        raise NotFound(message)
    return state


@begins_with(InvoiceDrafted)
def evolve(state: Invoice | None, event: InvoiceEvent) -> Invoice:
    """Apply one event."""
    match event:
        case InvoiceDrafted():
            return Invoice(draft=event)
        case InvoiceFinalized():
            return replace(_known(state), header=event)
        case PaymentApplied():
            known = _known(state)
            recovered = known.recovered + (0 if known.uncollectible_reason is None else event.amount)
            settlements = (*known.settlements, Settlement(event.payment, event.amount))
            return replace(known, settlements=settlements, recovered=recovered)
        case CreditApplied():
            known = _known(state)
            credit = Credit(event.source, event.reference, event.amount)
            return replace(known, credits=(*known.credits, credit))
        case InvoiceCredited():
            known = _known(state)
            return replace(known, credit_notes=(*known.credit_notes, event))
        case DunningStepTaken():
            known = _known(state)
            return replace(known, steps=(*known.steps, event))
        case InvoiceMarkedUncollectible():
            return replace(_known(state), uncollectible_reason=event.reason, written_off=event.amount)
        case InvoiceVoided():
            return replace(_known(state), void_reason=event.reason)
        case _:
            assert_never(event)


def _known(state: Invoice | None) -> Invoice:
    assert state is not None, "a stream begins with its first event"
    return state
