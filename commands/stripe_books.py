"""What the commands on Stripe's objects share: whom a delivery is about, and posting each fact once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from commands.invoicing import add_entry, load_book
from commands.streams import account_stream
from ledger import posting
from ledger.errors import NotFound
from ledger.events.journal import JournalEntryPosted
from ledger.events.stripe import StripeCustomerLinked
from ledger.identifiers import derive, derived_id, journal_entry_id, stream_of
from ledger.periods import local_date
from ledger.streams import account as accounts
from ledger.streams import stripe as seen
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from commands.context import Unit
    from ledger.posting import Fact
    from ledger.streams.book import Book

METHOD: Final = "stripe"


@dataclass(frozen=True, kw_only=True)
class Told:
    """Whom a delivery is about, and when it happened.

    `metadata_account` is our account, if the metadata names it; `data_subject` is whose data key seals the
    delivery's body.
    """

    stripe_account: str
    customer: str | None
    metadata_account: str | None
    happened_at: datetime
    data_subject: str


@dataclass(frozen=True)
class Desk:
    """Posts the entries of one command, each fact once, whatever delivery tells of it."""

    unit: Unit
    told: Told
    book: Book

    @classmethod
    def of(cls, unit: Unit, told: Told) -> Desk:
        """Open the desk of a command's unit."""
        return cls(unit, told, load_book(unit))

    def fact(
        self, account: str | None, currency: str, economic_object: str, kind: str, at: datetime | None = None
    ) -> Fact:
        """Describe a fact, dated at its own instant where Stripe tells it."""
        return posting.Fact(
            book=self.unit.context.book,
            functional_currency=self.book.functional_currency,
            accounting_date=local_date(at or self.told.happened_at, self.book.time_zone),
            economic_object=economic_object,
            kind=kind,
            account=account,
            currency=currency,
            description=f"{kind.replace('_', ' ')}: {economic_object}",
        )

    def entry(self, economic_object: str, kind: str) -> JournalEntryPosted | None:
        """Give the entry of a fact, if it is posted."""
        stream = stream_of("ent", journal_entry_id(self.unit.context.book, economic_object, kind))
        recorded = self.unit.context.log.load(self.unit.context.book, stream)
        if not recorded:
            return None
        event = recorded[0].event
        assert isinstance(event, JournalEntryPosted), "an entry's stream holds an entry"
        return event

    def post_once(self, entry: JournalEntryPosted | None, at: datetime | None = None) -> None:
        """Add an entry unless its fact is posted; the primary key would refuse it too."""
        if entry is not None and self.entry(entry.economic_object, entry.kind) is None:
            add_entry(self.unit, entry, at or self.told.happened_at)


def invoice_object(told: Told, stripe_invoice: str) -> str:
    """Name a Stripe invoice as the economic object of its entries."""
    return f"stripe:{told.stripe_account}:{stripe_invoice}"


def invoice_stream(book: UUID, told: Told, stripe_invoice: str) -> UUID:
    """Give the stream of what was seen of a Stripe invoice."""
    return derive("stripe-invoice", book.bytes, told.stripe_account, stripe_invoice)


def payment_id_of(book: UUID, told: Told, key: str) -> str:
    """Give the id of a payment that Stripe carried.

    On our own Stripe account it is the id that paying an invoice by hand under the same reference gives it,
    so that a payment entered by hand and told by Stripe is one.
    """
    if told.stripe_account:
        return derived_id("pay", "stripe-payment", book.bytes, told.stripe_account, key)
    return derived_id("pay", "payment", book.bytes, METHOD, key)


def linked(unit: Unit, told: Told) -> tuple[UUID, Stream[seen.StripeCustomer]]:
    """Load the customer; on first sight, link it to the account its metadata names, or to one made for it."""
    if told.customer is None:
        message = "Stripe named no customer"
        raise NotFound(message)
    stream = derive("stripe-customer", unit.context.book.bytes, told.stripe_account, told.customer)
    loaded = unit.load(seen.evolve_customer, stream)
    if loaded.state is not None:
        return stream, loaded
    account = _named_account(unit, told) or _register_account(unit, told)
    link = StripeCustomerLinked(customer=told.customer, account=account, data_subject=told.data_subject)
    return stream, unit.add(stream, loaded, seen.evolve_customer, [link], told.happened_at)


def account_of(customer: Stream[seen.StripeCustomer]) -> str:
    """Give the account that a linked customer is billed as."""
    assert customer.state is not None, "the customer was just linked"
    return customer.state.account


def own_account_of(book: UUID, told: Told) -> str:
    """Give the id of the account that is made for a customer that no account of ours is named for."""
    assert told.customer is not None
    return derived_id("acc", "stripe-customer-account", book.bytes, told.stripe_account, told.customer)


def load_account(unit: Unit, account: str) -> Stream[accounts.Account]:
    """Load an account as this command will leave it: one that it registers itself is not in the log yet."""
    stream = account_stream(account)
    loaded = unit.load(accounts.evolve, stream)
    for new in unit.events:
        if new.stream == stream:
            loaded = loaded.after(accounts.evolve, new.event, new.metadata.occurred_at)  # type: ignore[arg-type]
    return loaded


def named(told: Told, account: str | None) -> Told:
    """Tell the same, with an account of ours that is known from elsewhere in the metadata's place."""
    return told if account is None else replace(told, metadata_account=account)


def _named_account(unit: Unit, told: Told) -> str | None:
    if told.metadata_account is None:
        return None
    try:
        loaded = load_account(unit, told.metadata_account)
    except NotFound:
        return None
    return told.metadata_account if loaded.state is not None else None


def _register_account(unit: Unit, told: Told) -> str:
    account = own_account_of(unit.context.book, told)
    origin = f"stripe:{told.customer}"
    events = accounts.register(account, None, None, None, "UTC", unit.context.now, origin=origin)
    unit.add(account_stream(account), Stream(), accounts.evolve, events, told.happened_at)
    return account
