"""What a fact that Stripe tells does to the books: one command each, told in the ledger's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from commands.stripe_objects import (
    InvoiceTold,
    PaymentTold,
    Told,
    observe_customer,
    observe_invoice,
    observe_subscription,
    receive_payment,
    settle_managed_invoice,
)
from ledger.errors import PayloadRefused
from ledger.events.stripe import (
    StripeCustomerObserved,
    StripeInvoiceObserved,
    StripeSubscriptionItem,
    StripeSubscriptionObserved,
)
from ledger.posting import Share
from ledger.streams.stripe import FINALIZED_STATUSES
from ledger.values import quantity_text
from schemas.stripe_shapes import (
    CustomerFact,
    Fact,
    InvoiceFact,
    InvoiceLineFact,
    PaymentFact,
    SubscriptionFact,
    SubscriptionItemFact,
    TaxFact,
    UnreadableFact,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from commands.context import Context
    from ledger.events.stripe import StripeEventReceived


@dataclass(frozen=True)
class Delivery:
    """The delivery a fact was read from, and when it happened if the fact does not say."""

    event: StripeEventReceived
    occurred_at: datetime


def apply_fact(context: Context, delivery: Delivery, fact: Fact) -> None:
    """Run the commands of one fact; it may come any number of times, and in any order with others."""
    match fact:
        case CustomerFact():
            told = _told(delivery, fact.customer, fact.metadata_account, fact.as_of)
            observe_customer(context, told, _customer(delivery, fact))
        case SubscriptionFact():
            told = _told(delivery, fact.customer, fact.metadata_account, fact.as_of)
            observe_subscription(context, told, _subscription(delivery, fact))
        case InvoiceFact():
            _apply_invoice(context, delivery, fact)
        case PaymentFact():
            _apply_payment(context, delivery, fact)
        case UnreadableFact():
            raise PayloadRefused(fact.reason)
        case _:
            assert_never(fact)


def _told(delivery: Delivery, customer: str | None, account: str | None, as_of: datetime | None) -> Told:
    return Told(
        stripe_account=delivery.event.stripe_account,
        customer=customer,
        metadata_account=account,
        happened_at=as_of or delivery.occurred_at,
        data_subject=delivery.event.subject(),
    )


# -- customers and subscriptions ------------------------------------------------------------------------
# A sighting's account is filled in by its command, which alone knows whom the customer is billed as.


def _customer(delivery: Delivery, fact: CustomerFact) -> StripeCustomerObserved:
    return StripeCustomerObserved(
        customer=fact.customer,
        account="",
        name=fact.name,
        email=fact.email,
        deleted=fact.deleted,
        observed_at=fact.as_of or delivery.occurred_at,
        stripe_event=delivery.event.event_id,
    )


def _subscription(delivery: Delivery, fact: SubscriptionFact) -> StripeSubscriptionObserved:
    return StripeSubscriptionObserved(
        stripe_subscription=fact.subscription,
        account="",
        status=fact.status,
        items=tuple(_item(item) for item in fact.items),
        cancels_at=fact.cancel_at,
        ended_at=fact.ended_at,
        observed_at=fact.as_of or delivery.occurred_at,
        stripe_event=delivery.event.event_id,
    )


def _item(fact: SubscriptionItemFact) -> StripeSubscriptionItem:
    amount = fact.unit_amount_decimal
    return StripeSubscriptionItem(
        item=fact.item,
        price=fact.price,
        product=fact.product,
        quantity=fact.quantity,
        unit_amount=None if amount is None else quantity_text(amount),
        currency=fact.currency,
        interval=fact.interval,
        interval_count=fact.interval_count,
        period_start=fact.period_start,
        period_end=fact.period_end,
    )


# -- payments -------------------------------------------------------------------------------------------


def _apply_payment(context: Context, delivery: Delivery, fact: PaymentFact) -> None:
    """Receive money that moved; an attempt that did not succeed tells nothing of the books."""
    if fact.status != "succeeded" or fact.amount <= 0:
        return
    payment = PaymentTold(
        key=fact.key,
        amount=fact.amount,
        currency=fact.currency,
        invoice=fact.invoice,
        # An invoice payment is what one invoice got of a payment that may be split over several.
        whole=fact.source != "invoice_payment",
    )
    receive_payment(context, _told(delivery, fact.customer, None, fact.as_of), payment)


# -- invoices -------------------------------------------------------------------------------------------


def _apply_invoice(context: Context, delivery: Delivery, fact: InvoiceFact) -> None:
    if fact.notice:
        return
    told = _told(delivery, fact.customer, fact.metadata_account, fact.as_of)
    invoice = _invoice(delivery, fact)
    observe_invoice(context, told, invoice)
    if fact.managed_invoice is not None and fact.status == "paid":
        settle_managed_invoice(context, told, invoice)


def _invoice(delivery: Delivery, fact: InvoiceFact) -> InvoiceTold:
    sighting = StripeInvoiceObserved(
        stripe_invoice=fact.invoice,
        account="",
        stripe_subscription=fact.subscription,
        status=fact.status,
        number=fact.number,
        currency=fact.currency,
        subtotal=_subtotal(fact),
        tax_total=sum(tax.amount for tax in fact.taxes),
        total=fact.total,
        amount_paid=fact.amount_paid,
        due_at=fact.due_at,
        managed_invoice=fact.managed_invoice,
        observed_at=fact.as_of or delivery.occurred_at,
        stripe_event=delivery.event.event_id,
    )
    return InvoiceTold(
        sighting=sighting,
        shares=shares_of(fact),
        prepaid_credits=fact.credits_applied,
        customer_balance_used=customer_balance_used(fact),
        outside_amount=fact.off_stripe_amount or 0,
        settled_by=fact.payments[0] if fact.payments else None,
        finalized_at=fact.finalized_at,
        paid_at=fact.paid_at,
        voided_at=fact.voided_at,
    )


def _subtotal(fact: InvoiceFact) -> int:
    return sum(line.amount for line in fact.lines) if fact.subtotal is None else fact.subtotal


def shares_of(fact: InvoiceFact) -> tuple[Share, ...]:
    """Split an invoice into what each line brings: net of discounts and inclusive tax, and all of its taxes.

    Prepaid credits stay in: they are settled by the entry itself. A last share holds the taxes that the
    invoice states and its lines do not: those of lines beyond the first page, or of payloads that tax the
    whole only.
    """
    shares = tuple(_share(line) for line in fact.lines)
    return (*shares, *_taxes_beyond_lines(fact))


def _share(line: InvoiceLineFact) -> Share:
    starts, ends = line.period_start, line.period_end
    return Share(
        line=line.line,
        product=line.product,
        revenue_account="revenue",
        # A one-time charge has a period too, of no length.
        deferred=starts is not None and ends is not None and starts < ends,
        net=line.amount - line.discount_total - _inclusive(line.taxes),
        tax=_all(line.taxes),
    )


def _taxes_beyond_lines(fact: InvoiceFact) -> tuple[Share, ...]:
    if not fact.taxes:
        return ()
    inclusive = _inclusive(fact.taxes) - sum(_inclusive(line.taxes) for line in fact.lines)
    tax = _all(fact.taxes) - sum(_all(line.taxes) for line in fact.lines)
    if inclusive == 0 and tax == 0:
        return ()
    return (
        Share(line=None, product=None, revenue_account="revenue", deferred=False, net=-inclusive, tax=tax),
    )


def _all(taxes: Iterable[TaxFact]) -> int:
    return sum(tax.amount for tax in taxes)


def _inclusive(taxes: Iterable[TaxFact]) -> int:
    return sum(tax.amount for tax in taxes if tax.inclusive)


def customer_balance_used(fact: InvoiceFact) -> int:
    """Give the customer's credit that a finalized invoice used up; negative if a debt joined it instead.

    Stripe's balance is negative while it is the customer's credit. A negative total goes to the balance
    whole, by the invoice's own entry, and is no use of it.
    """
    if fact.ending_balance is None or fact.status not in FINALIZED_STATUSES:
        return 0
    return fact.ending_balance - fact.starting_balance - min(fact.total, 0)
