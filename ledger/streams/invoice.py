"""An invoice: drafted, finalized with a number, paid or void; totals come from its lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from ledger.errors import CurrencyConflict, Invalid, InvoiceNotOpen, NotFound, Overpayment
from ledger.events.invoice import (
    InvoiceDrafted,
    InvoiceEvent,
    InvoiceFinalized,
    InvoiceLine,
    InvoiceVoided,
    PaymentApplied,
)
from ledger.identifiers import derived_id
from ledger.money import checked_amount
from ledger.periods import local_date
from ledger.streams.base import begins_with
from ledger.streams.book import DEFAULT_BILLING_ENTITY
from ledger.streams.subscription import CHARGE, CREDIT, FEE, line_id
from ledger.values import MAX_REASON_CHARACTERS, checked_text, instant_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.plan import Plan
    from ledger.streams.subscription import OpenPeriod, Subscription


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
class Invoice:
    """An invoice as it stands; `header` is there from finalization on."""

    draft: InvoiceDrafted
    header: InvoiceFinalized | None = None
    settlements: tuple[Settlement, ...] = ()
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
        return max(0, self.header.total - self.amount_paid)

    @property
    def status(self) -> str:
        """Say draft, open, partially_paid, paid or void."""
        if self.void_reason is not None:
            return "void"
        if self.header is None:
            return "draft"
        if self.amount_due == 0:
            return "paid"
        return "partially_paid" if self.settlements else "open"


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


def invoice_id(subscription: str, period_start: datetime, kind: str) -> str:
    """Give the id of the one invoice that may exist for a subscription, a period start and a kind."""
    return derived_id("inv", "invoice", subscription, instant_text(period_start), kind)


def draft_period(
    account: Account, subscription: Subscription, plan: Plan, plans: Mapping[str, Plan], position: int
) -> InvoiceDrafted:
    """Assemble the invoice of the period just opened: the fee in advance, and prorations that wait.

    `plans` holds the plan of each proration.
    """
    period = _period_of(subscription)
    lines = (_fee_line(subscription, period, plan), *_proration_lines(subscription, plans))
    return _drafted(account, subscription, "recurring", plan.currency, period.ends_at, lines, position)


def draft_final(
    account: Account, subscription: Subscription, plans: Mapping[str, Plan], position: int
) -> InvoiceDrafted:
    """Assemble the last invoice of a subscription that ended while prorations waited for a next one."""
    assert subscription.ended_at is not None, "a final invoice is of a subscription that ended"
    lines = _proration_lines(subscription, plans)
    currency = subscription.pending[0].currency
    return _drafted(account, subscription, "final", currency, subscription.ended_at, lines, position)


def _drafted(
    account: Account,
    subscription: Subscription,
    kind: str,
    currency: str,
    period_end: datetime,
    lines: tuple[InvoiceLine, ...],
    position: int,
) -> InvoiceDrafted:
    period_start = _period_of(subscription).starts_at
    return InvoiceDrafted(
        invoice=invoice_id(subscription.subscription, period_start, kind),
        account=account.account,
        billing_entity=DEFAULT_BILLING_ENTITY,
        payer=account.account,
        subscription=subscription.subscription,
        kind=kind,
        currency=currency,
        period_start=period_start,
        period_end=period_end,
        lines=lines,
        computed_at_position=position,
        managed_by="daybook",
    )


def _period_of(subscription: Subscription) -> OpenPeriod:
    assert subscription.period is not None, "an invoice is drafted for a period that was opened"
    return subscription.period


def _fee_line(subscription: Subscription, period: OpenPeriod, plan: Plan) -> InvoiceLine:
    return InvoiceLine(
        line=line_id(subscription.item, period.period, FEE, 1),
        subscription_item=subscription.item,
        period=period.period,
        kind=FEE,
        sequence=1,
        description=plan.name,
        quantity="1",
        amount=plan.amount,
        service_from=period.starts_at,
        service_to=period.ends_at,
        usage_after_position=None,
        usage_through_position=None,
        plan=plan.plan,
        price_version=plan.price_version,
        policy_version=period.policy_version,
        performance_obligation="subscription",
        recognition_rule="straight_line",
        revenue_account="revenue",
        product=plan.product,
    )


def _proration_lines(subscription: Subscription, plans: Mapping[str, Plan]) -> tuple[InvoiceLine, ...]:
    words = {CREDIT: "Unused time on", CHARGE: "Remaining time on"}
    return tuple(
        InvoiceLine(
            line=line_id(subscription.item, pending.period, pending.kind, pending.sequence),
            subscription_item=subscription.item,
            period=pending.period,
            kind=pending.kind,
            sequence=pending.sequence,
            description=f"{words[pending.kind]} {plans[pending.plan].name}",
            quantity="1",
            amount=pending.amount,
            service_from=pending.service_from,
            service_to=pending.service_to,
            usage_after_position=None,
            usage_through_position=None,
            plan=pending.plan,
            price_version=pending.price_version,
            policy_version=pending.policy_version,
            performance_obligation="subscription",
            recognition_rule="straight_line",
            revenue_account="revenue",
            product=plans[pending.plan].product,
            adjusts_line=pending.adjusts_line,
        )
        for pending in subscription.pending
    )


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
    return [
        InvoiceFinalized(
            invoice=invoice.draft.invoice,
            account=account.account,
            billing_entity=seller.billing_entity,
            series=seller.invoice_series,
            number=number,
            formatted_number=f"{seller.invoice_series}-{number:06d}",
            issued_on=issued_on,
            due_on=issued_on + timedelta(days=seller.payment_terms_days),
            terms=f"net {seller.payment_terms_days}",
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
    if invoice.status not in ("open", "partially_paid"):
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
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [InvoiceVoided(invoice=invoice.draft.invoice, account=invoice.draft.account, reason=reason)]


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
            return replace(known, settlements=(*known.settlements, Settlement(event.payment, event.amount)))
        case InvoiceVoided():
            return replace(_known(state), void_reason=event.reason)
        case _:
            assert_never(event)


def _known(state: Invoice | None) -> Invoice:
    assert state is not None, "a stream begins with its first event"
    return state
