"""Commands on what Stripe tells: customers, subscriptions, invoices and payments, in any order, any number of times.

Every effect is keyed by the object that carries it, never by the delivery, so five deliveries about one payment
post one entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from commands.context import Done, Unit, execute
from commands.invoicing import add_entry, load_book
from commands.streams import account_stream, stream_or_not_found
from ledger import posting
from ledger.errors import NotFound
from ledger.events.payment import PaymentReceived
from ledger.events.stripe import StripeCustomerLinked
from ledger.identifiers import derive, derived_id, stream_of
from ledger.periods import local_date
from ledger.streams import account as accounts
from ledger.streams import invoice as invoices
from ledger.streams import stripe as seen
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.events.stripe import StripeCustomerObserved, StripeInvoiceObserved, StripeSubscriptionObserved
    from ledger.posting import Fact, Share

METHOD: Final = "stripe"


@dataclass(frozen=True, kw_only=True)
class Told:
    """Whom a delivery is about: the connected account, the customer, our account if the metadata names it, and when."""

    stripe_account: str
    customer: str | None
    metadata_account: str | None
    happened_at: datetime


@dataclass(frozen=True, kw_only=True)
class InvoiceTold:
    """An invoice as Stripe told it, and what of it is posted."""

    sighting: StripeInvoiceObserved
    shares: Sequence[Share]
    prepaid_credits: int
    customer_balance_used: int
    outside_amount: int
    settled_by: str | None


@dataclass(frozen=True, kw_only=True)
class PaymentTold:
    """Money that moved inside Stripe; `key` is the payment's one identity."""

    key: str
    amount: int
    currency: str


def observe_customer(context: Context, told: Told, sighting: StripeCustomerObserved) -> Done[str]:
    """Keep what Stripe says of a customer; an account made for it goes by the newest name and address."""

    def decide(unit: Unit) -> str:
        stream, customer = _linked(unit, told)
        account = _account_of(customer)
        news = replace(sighting, account=account)
        if seen.customer_is_news(customer.state, news):
            unit.add(stream, customer, seen.evolve_customer, [news], told.happened_at)
            _follow_customer(unit, account, news, told)
        return account

    return execute(context, decide)


def _follow_customer(unit: Unit, account: str, news: StripeCustomerObserved, told: Told) -> None:
    loaded = _load_account(unit, account)
    state = loaded.state
    if state is None or state.origin is None or state.status == "closed" or news.deleted:
        return
    events = accounts.change(state, {"name": news.name, "email": news.email})
    unit.add(account_stream(account), loaded, accounts.evolve, events, told.happened_at)


def observe_subscription(context: Context, told: Told, sighting: StripeSubscriptionObserved) -> Done[str]:
    """Keep what Stripe says of a subscription."""

    def decide(unit: Unit) -> str:
        _, customer = _linked(unit, told)
        account = _account_of(customer)
        stream = derive("stripe-subscription", context.book.bytes, told.stripe_account, sighting.stripe_subscription)
        loaded = unit.load(seen.evolve_subscription, stream)
        news = replace(sighting, account=account)
        if seen.subscription_is_news(loaded.state, news):
            unit.add(stream, loaded, seen.evolve_subscription, [news], told.happened_at)
        return account

    return execute(context, decide)


def observe_invoice(context: Context, told: Told, invoice: InvoiceTold) -> Done[str]:
    """Keep what Stripe says of an invoice, and post what it has become: finalized, void, settled outside Stripe."""

    def decide(unit: Unit) -> str:
        _, customer = _linked(unit, told)
        account = _account_of(customer)
        number = invoice.sighting.stripe_invoice
        stream = derive("stripe-invoice", context.book.bytes, told.stripe_account, number)
        loaded = unit.load(seen.evolve_invoice, stream)
        news = replace(invoice.sighting, account=account)
        if seen.invoice_is_news(loaded.state, news):
            unit.add(stream, loaded, seen.evolve_invoice, [news], told.happened_at)
        if news.managed_invoice is None:
            _post_invoice(unit, told, account, invoice)
        elif news.status == "paid":
            _settle_managed(unit, told, news, invoice.settled_by)
        return account

    return execute(context, decide)


def _post_invoice(unit: Unit, told: Told, account: str, invoice: InvoiceTold) -> None:
    """Post each fact of a Stripe invoice that is not posted yet."""
    sighting = invoice.sighting
    if sighting.status in ("draft", "deleted"):
        return
    amounts = (invoice.shares, sighting.total, invoice.prepaid_credits)
    object_name = f"stripe:{told.stripe_account}:{sighting.stripe_invoice}"
    finalized = _fact(unit, told, account, sighting.currency, object_name, "invoice_finalized")
    _post_once(unit, posting.invoice_finalized(finalized, *amounts), told)
    balance = _fact(unit, told, account, sighting.currency, object_name, "customer_balance_applied")
    _post_once(unit, posting.customer_balance_applied(balance, invoice.customer_balance_used), told)
    if sighting.status == "void":
        voided = _fact(unit, told, account, sighting.currency, object_name, "invoice_voided")
        _post_once(unit, posting.invoice_voided(voided, *amounts), told)
    if sighting.status == "paid" and invoice.outside_amount > 0:
        outside = _fact(unit, told, account, sighting.currency, object_name, "payment_outside_processor")
        entry = posting.payment_received(outside, invoice.outside_amount, through_processor=False)
        _post_once(unit, entry, told)


def _settle_managed(unit: Unit, told: Told, sighting: StripeInvoiceObserved, settled_by: str | None) -> None:
    """Apply Stripe's payment to the invoice of ours that it collected; the payment itself is posted by its own fact."""
    assert sighting.managed_invoice is not None
    stream = stream_or_not_found("inv", sighting.managed_invoice)
    loaded = unit.load(invoices.evolve, stream)
    state = invoices.require(loaded.state)
    if state.status not in ("open", "partially_paid"):
        return
    payment = _payment_id(unit.context.book, told, settled_by or sighting.stripe_invoice)
    events = invoices.apply_payment(state, payment, state.amount_due, state.draft.currency)
    unit.add(stream, loaded, invoices.evolve, events, told.happened_at)


def receive_payment(context: Context, told: Told, payment: PaymentTold) -> Done[str]:
    """Record a payment once, and post it: to the account's receivable, or to suspense while no customer is named."""
    payment_id = _payment_id(context.book, told, payment.key)

    def decide(unit: Unit) -> str:
        if context.log.load(context.book, stream_of("pay", payment_id)):
            return payment_id
        account = _account_of(_linked(unit, told)[1]) if told.customer else None
        received = PaymentReceived(
            payment=payment_id,
            account=account,
            amount=payment.amount,
            currency=payment.currency,
            method=METHOD,
            reference=payment.key,
            received_at=told.happened_at,
        )
        unit.add_first(stream_of("pay", payment_id), received, told.happened_at)
        fact = _fact(unit, told, account, payment.currency, payment_id, "payment_received")
        _post_once(unit, posting.payment_received(fact, payment.amount, through_processor=True), told)
        return payment_id

    return execute(context, decide)


def _payment_id(book: UUID, told: Told, key: str) -> str:
    return derived_id("pay", "stripe-payment", book.bytes, told.stripe_account, key)


def _post_once(unit: Unit, entry: posting.JournalEntryPosted | None, told: Told) -> None:
    """Add an entry unless its fact is posted already: the primary key would refuse it, and this says so first."""
    if entry is not None and not unit.context.log.load(unit.context.book, stream_of("ent", entry.entry)):
        add_entry(unit, entry, told.happened_at)


def _fact(  # noqa: PLR0913 - what an entry says of its fact
    unit: Unit, told: Told, account: str | None, currency: str, economic_object: str, kind: str
) -> Fact:
    book = load_book(unit)
    return posting.Fact(
        book=unit.context.book,
        functional_currency=book.functional_currency,
        accounting_date=local_date(told.happened_at, book.time_zone),
        economic_object=economic_object,
        kind=kind,
        account=account,
        currency=currency,
        description=f"{kind.replace('_', ' ')}: {economic_object}",
    )


def _linked(unit: Unit, told: Told) -> tuple[UUID, Stream[seen.StripeCustomer]]:
    """Load the customer, linking it to an account on first sight: ours if the metadata names it, else one made for it."""
    if told.customer is None:
        message = "Stripe named no customer"
        raise NotFound(message)
    book = unit.context.book
    stream = derive("stripe-customer", book.bytes, told.stripe_account, told.customer)
    loaded = unit.load(seen.evolve_customer, stream)
    if loaded.state is not None:
        return stream, loaded
    account = _named_account(unit, told) or _registered_account(unit, told)
    link = StripeCustomerLinked(
        customer=told.customer, account=account, data_subject=f"stripe-customer:{told.stripe_account}:{told.customer}"
    )
    return stream, unit.add(stream, loaded, seen.evolve_customer, [link], told.happened_at)


def _named_account(unit: Unit, told: Told) -> str | None:
    if told.metadata_account is None:
        return None
    try:
        loaded = _load_account(unit, told.metadata_account)
    except NotFound:
        return None
    return told.metadata_account if loaded.state is not None else None


def _registered_account(unit: Unit, told: Told) -> str:
    assert told.customer is not None
    account = derived_id("acc", "stripe-customer-account", unit.context.book.bytes, told.stripe_account, told.customer)
    events = accounts.register(
        account, None, None, None, "UTC", unit.context.now, origin=f"stripe:{told.customer}"
    )
    unit.add(account_stream(account), Stream(), accounts.evolve, events, told.happened_at)
    return account


def _load_account(unit: Unit, account: str) -> Stream[accounts.Account]:
    """Load an account as this command will leave it: one that it registers itself is not in the log yet."""
    stream = account_stream(account)
    loaded = unit.load(accounts.evolve, stream)
    for new in unit.events:
        if new.stream == stream:
            loaded = loaded.after(accounts.evolve, new.event, new.metadata.occurred_at)  # type: ignore[arg-type]
    return loaded


def _account_of(customer: Stream[seen.StripeCustomer]) -> str:
    assert customer.state is not None, "the customer was just linked"
    return customer.state.account
