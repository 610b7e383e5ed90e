"""Commands on what Stripe tells, in any order, any number of times.

Every effect is keyed by the object that carries it, never by the delivery, so five deliveries about one
payment post one entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from commands.streams import account_stream
from commands.stripe_books import (
    Desk,
    Told,
    account_of,
    invoice_object,
    invoice_stream,
    linked,
    load_account,
    named,
    own_account_of,
    payment_id_of,
)
from commands.stripe_payments import PaymentTold, attribute_awaiting, receive_payment
from ledger import posting
from ledger.identifiers import MalformedId, derive, stream_of
from ledger.streams import account as accounts
from ledger.streams import invoice as invoices
from ledger.streams import stripe as seen
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from commands.context import Context
    from ledger.events.stripe import (
        StripeCustomerObserved,
        StripeInvoiceObserved,
        StripeSubscriptionObserved,
    )
    from ledger.posting import Share

__all__ = [
    "InvoiceTold",
    "PaymentTold",
    "Told",
    "observe_customer",
    "observe_invoice",
    "observe_subscription",
    "receive_payment",
    "settle_managed_invoice",
]


@dataclass(frozen=True, kw_only=True)
class InvoiceTold:
    """An invoice as Stripe told it, and what of it is posted; a date that is not told is the delivery's."""

    sighting: StripeInvoiceObserved
    shares: Sequence[Share]
    prepaid_credits: int
    customer_balance_used: int
    outside_amount: int
    settled_by: str | None
    finalized_at: datetime | None = None
    paid_at: datetime | None = None
    voided_at: datetime | None = None


def observe_customer(context: Context, told: Told, sighting: StripeCustomerObserved) -> Done[str]:
    """Keep what Stripe says of a customer; an account made for it goes by the newest name and address."""

    def decide(unit: Unit) -> str:
        stream, customer = linked(unit, told)
        account = account_of(customer)
        news = replace(sighting, account=account)
        if seen.customer_is_news(customer.state, news):
            unit.add(stream, customer, seen.evolve_customer, [news], told.happened_at)
            if account == own_account_of(context.book, told):
                _follow_customer(unit, account, news, told)
        return account

    return execute(context, decide)


def _follow_customer(unit: Unit, account: str, news: StripeCustomerObserved, told: Told) -> None:
    loaded = load_account(unit, account)
    if loaded.state is None or loaded.state.status == "closed":
        return
    events = accounts.change(loaded.state, {"name": news.name, "email": news.email})
    unit.add(account_stream(account), loaded, accounts.evolve, events, told.happened_at)


def observe_subscription(context: Context, told: Told, sighting: StripeSubscriptionObserved) -> Done[str]:
    """Keep what Stripe says of a subscription."""
    identity = (context.book.bytes, told.stripe_account, sighting.stripe_subscription)
    stream = derive("stripe-subscription", *identity)

    def decide(unit: Unit) -> str:
        account = account_of(linked(unit, told)[1])
        loaded = unit.load(seen.evolve_subscription, stream)
        news = replace(sighting, account=account)
        if seen.subscription_is_news(loaded.state, news):
            unit.add(stream, loaded, seen.evolve_subscription, [news], told.happened_at)
        return account

    return execute(context, decide)


def observe_invoice(context: Context, told: Told, invoice: InvoiceTold) -> Done[str]:
    """Keep what Stripe says of an invoice, and post what it has become."""
    stream = invoice_stream(context.book, told, invoice.sighting.stripe_invoice)

    def decide(unit: Unit) -> str:
        managed = _managed(unit, invoice.sighting).state
        ours = managed.draft.account if managed else None
        account = account_of(linked(unit, named(told, ours))[1])
        loaded = unit.load(seen.evolve_invoice, stream)
        news = replace(
            invoice.sighting, account=account, managed_invoice=managed.draft.invoice if managed else None
        )
        if seen.invoice_is_news(loaded.state, news):
            unit.add(stream, loaded, seen.evolve_invoice, [news], told.happened_at)
        desk = Desk.of(unit, told)
        if news.status in seen.FINALIZED_STATUSES:
            if managed is None:
                _post_invoice(desk, account, invoice)
            _post_settlements(desk, ours or account, invoice)
        attribute_awaiting(desk, news.stripe_invoice, account)
        return account

    return execute(context, decide)


def _post_invoice(desk: Desk, account: str, invoice: InvoiceTold) -> None:
    """Post the invoice itself, and take it back if it is void."""
    sighting = invoice.sighting
    amounts = (invoice.shares, sighting.total, invoice.prepaid_credits)
    number = invoice_object(desk.told, sighting.stripe_invoice)
    at = invoice.finalized_at
    finalized = desk.fact(account, sighting.currency, number, "invoice_finalized", at)
    desk.post_once(posting.invoice_finalized(finalized, *amounts), at)
    if sighting.status == "void":
        at = invoice.voided_at
        voided = desk.fact(account, sighting.currency, number, "invoice_voided", at)
        desk.post_once(posting.invoice_voided(voided, *amounts), at)


def _post_settlements(desk: Desk, account: str, invoice: InvoiceTold) -> None:
    """Post what settles an invoice beside payments through Stripe: customer balance, money from outside."""
    sighting = invoice.sighting
    number = invoice_object(desk.told, sighting.stripe_invoice)
    used, at = invoice.customer_balance_used, invoice.finalized_at
    applied = desk.fact(account, sighting.currency, number, "customer_balance_applied", at)
    desk.post_once(posting.customer_balance_applied(applied, used), at)
    if sighting.status == "void":
        # Stripe gives the balance back, and tells so by no event.
        at = invoice.voided_at
        given_back = desk.fact(account, sighting.currency, number, "customer_balance_given_back", at)
        desk.post_once(posting.customer_balance_applied(given_back, -used), at)
    if sighting.status == "paid" and invoice.outside_amount > 0:
        at = invoice.paid_at
        outside = desk.fact(account, sighting.currency, number, "payment_outside_processor", at)
        entry = posting.payment_received(outside, invoice.outside_amount, through_processor=False)
        desk.post_once(entry, at)


def settle_managed_invoice(context: Context, told: Told, invoice: InvoiceTold) -> Done[bool]:
    """Settle the invoice of ours that Stripe collected; the payment itself is posted by its own fact."""

    def decide(unit: Unit) -> bool:
        loaded = _managed(unit, invoice.sighting)
        if loaded.state is None or loaded.state.status == "paid":
            return False
        state, sighting = loaded.state, invoice.sighting
        key = invoice.settled_by or sighting.stripe_invoice
        payment = payment_id_of(context.book, told, key)
        events = invoices.apply_payment(state, payment, state.amount_due, sighting.currency)
        stream = stream_of("inv", state.draft.invoice)
        unit.add(stream, loaded, invoices.evolve, events, invoice.paid_at or told.happened_at)
        through_stripe = state.amount_due - invoice.outside_amount - invoice.customer_balance_used
        _move_to_payer(unit, told, state, through_stripe)
        return True

    return execute(context, decide)


def _move_to_payer(unit: Unit, told: Told, ours: invoices.Invoice, amount: int) -> None:
    """Bring money to the account it was owed by, if Stripe's customer is billed as another account."""
    account = account_of(linked(unit, named(told, ours.draft.account))[1])
    if account == ours.draft.account or amount <= 0:
        return
    desk, currency, number = Desk.of(unit, told), ours.draft.currency, ours.draft.invoice
    out = desk.fact(account, currency, number, "payment_taken_from_stripe_customer")
    desk.post_once(posting.payment_received(out, -amount, through_processor=True))
    back = desk.fact(ours.draft.account, currency, number, "payment_brought_to_payer")
    desk.post_once(posting.payment_received(back, amount, through_processor=True))


def _managed(unit: Unit, sighting: StripeInvoiceObserved) -> Stream[invoices.Invoice]:
    """Load the invoice of ours that Stripe's stands for; one that is not in this book leaves it Stripe's."""
    if sighting.managed_invoice is None:
        return Stream()
    try:
        stream = stream_of("inv", sighting.managed_invoice)
    except MalformedId:
        return Stream()
    return unit.load(invoices.evolve, stream)
