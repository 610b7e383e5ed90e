"""An organisation on a real PostgreSQL, a Stripe that signs what it delivers, and what came of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.rows import dict_row
from stripe import WebhookSignature

from commands.bootstrap import Founded, Founding, found_organisation
from commands.context import Context
from consumers.stripe_intake import Received, receive
from consumers.stripe_processor import TRACKING, StripeProcessor
from ledger.codec import StoredRow
from ledger.events import Actor, Event, Recorded
from ledger.events.account import AccountEvent, AccountRegistered
from ledger.events.journal import JournalEntryPosted
from ledger.events.stripe import (
    StripeCustomerLinked,
    StripeCustomerObserved,
    StripeEventNotApplied,
    StripeInvoiceObserved,
    StripeSubscriptionObserved,
)
from ledger.identifiers import stream_of
from ledger.settings import Settings
from ledger.store import Log
from ledger.streams import account as accounts

if TYPE_CHECKING:
    from uuid import UUID

    from tests.postgres import Database

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
MASTER_KEY = b"k" * 32
OPERATOR = Actor(principal="tests", kind="system")

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class World:
    """One organisation, the database it is in, and the moment it is."""

    database: Database
    log: Log
    settings: Settings
    founded: Founded
    now: datetime = NOW

    @property
    def test_book(self) -> UUID:
        """The book of deliveries that are not live."""
        return stream_of("book", self.founded.test_book)

    @property
    def live_book(self) -> UUID:
        """The book of live deliveries."""
        return stream_of("book", self.founded.live_book)

    def with_another_organisation(self, name: str = "Beta") -> World:
        """Found another organisation in the same database."""
        founded = found_organisation(self.log, self.settings, Founding(name=name), self.now, os.urandom)
        return replace(self, founded=founded)

    # -- delivering ---------------------------------------------------------------------------------

    def signed(self, text: str, secret: str | None = None, at: datetime | None = None) -> str:
        """Sign a body as Stripe does."""
        signed_at = int((at or self.now).timestamp())
        header = WebhookSignature.generate_signature_header(
            text, secret or self.founded.webhook_secret, signed_at
        )
        return str(header)

    def deliver(self, content: dict[str, Any] | str, endpoint: str | None = None) -> Received:
        """Deliver an event to the organisation's endpoint, signed."""
        text = content if isinstance(content, str) else json.dumps(content)
        return self.receive(text.encode(), self.signed(text), endpoint)

    def receive(self, body: bytes, header: str | None, endpoint: str | None = None) -> Received:
        """Let the door receive a body under any header."""
        name = self.founded.endpoint if endpoint is None else endpoint
        return receive(self.log, self.settings, name, body, header, self.now)

    def processor(self) -> StripeProcessor:
        """Make a processor, which the caller closes."""
        return StripeProcessor(self.log, self.database.follower_url, self.settings, lambda: self.now)

    def process(self) -> int:
        """Let all deliveries take effect and give how many there were."""
        processor = self.processor()
        try:
            done = 0
            while count := processor.step():
                done += count
            return done
        finally:
            processor.close()

    def happen(self, *contents: dict[str, Any]) -> None:
        """Deliver events and let them take effect one after the other."""
        for content in contents:
            self.deliver(content)
            self.process()

    def forget_tracking(self) -> None:
        """Set the processor back to the beginning, as if it had crashed before moving its tracking."""
        with psycopg.connect(self.database.follower_url) as connection:
            connection.execute("UPDATE daybook.tracking SET position = 0 WHERE projection = %s", (TRACKING,))

    # -- what came of it ----------------------------------------------------------------------------

    def context(self, book: UUID | None = None) -> Context:
        """Give a context in which an operator commands."""
        return Context(
            self.log, self.settings, book or self.test_book, OPERATOR, "test", self.now, os.urandom
        )

    def recorded(self, book: UUID | None = None) -> list[Recorded]:
        """Read all of a book, in log order."""
        query = "SELECT * FROM log.events WHERE book = %s ORDER BY notification_id"
        with psycopg.connect(self.database.follower_url, row_factory=dict_row) as connection:
            rows = connection.execute(query, (book or self.test_book,)).fetchall()
            return self.log.decode(connection, [_stored(row) for row in rows])

    def events(self, kind: type[E], book: UUID | None = None) -> list[E]:
        """Read the events of one class in a book, in log order."""
        return [one.event for one in self.recorded(book) if isinstance(one.event, kind)]

    def balances(self, book: UUID | None = None) -> dict[tuple[str | None, str, str], int]:
        """Sum the postings by customer, ledger account and currency; debits count as positive."""
        customers = self.customers(book)
        sums: Counter[tuple[str | None, str, str]] = Counter()
        for entry in self.events(JournalEntryPosted, book):
            for posting in entry.postings:
                account = customers.get(posting.account or "", posting.account)
                sign = 1 if posting.side == "debit" else -1
                sums[account, posting.ledger_account, posting.currency] += sign * posting.amount
        return {key: amount for key, amount in sums.items() if amount}

    def amounts(self, account: str | None = None) -> dict[str, int]:
        """Give the balances of one customer, or of nobody, by ledger account."""
        return {
            ledger_account: amount
            for (owner, ledger_account, _), amount in self.balances().items()
            if owner == account
        }

    def customers(self, book: UUID | None = None) -> dict[str, str]:
        """Give the Stripe customer that each account was linked to."""
        return {link.account: link.customer for link in self.events(StripeCustomerLinked, book)}

    def newest_sightings(self) -> dict[str, Event]:
        """Give the last sighting of each of Stripe's objects, with the account named by its customer."""
        customers = self.customers()
        newest: dict[str, Event] = {}
        for recorded in self.recorded():
            event: Any = recorded.event
            if isinstance(event, StripeCustomerObserved | StripeSubscriptionObserved | StripeInvoiceObserved):
                newest[_object_of(event)] = replace(event, account=customers[event.account])
        return newest

    def accounts(self) -> dict[str, tuple[str | None, str | None, str]]:
        """Give name, address and status of each account, by where it came from."""
        states: dict[UUID, accounts.Account | None] = {}
        for recorded in self.recorded():
            if isinstance(recorded.event, AccountEvent):
                states[recorded.stream] = accounts.evolve(states.get(recorded.stream), recorded.event)
        return {
            str(state.origin or state.account): (state.name, state.email, state.status)
            for state in states.values()
            if state is not None
        }

    def not_applied(self) -> list[str]:
        """Give the reasons why deliveries took no effect."""
        return [note.reason for note in self.events(StripeEventNotApplied)]

    def entry_kinds(self) -> list[str]:
        """Give the kinds of the entries posted, in log order."""
        return [entry.kind for entry in self.events(JournalEntryPosted)]

    def account_made_for(self, customer: str) -> str:
        """Give the account that was registered for a customer."""
        (account,) = (
            event.account for event in self.events(AccountRegistered) if event.origin == f"stripe:{customer}"
        )
        return account


def _object_of(
    event: StripeCustomerObserved | StripeSubscriptionObserved | StripeInvoiceObserved,
) -> str:
    if isinstance(event, StripeCustomerObserved):
        return event.customer
    return (
        event.stripe_subscription if isinstance(event, StripeSubscriptionObserved) else event.stripe_invoice
    )


def _stored(row: dict[str, Any]) -> StoredRow:
    return StoredRow(
        position=row["notification_id"],
        stream=row["originator_id"],
        stream_version=row["originator_version"],
        topic=row["topic"],
        state=bytes(row["state"]),
        book=row["book"],
        recorded_at=row["recorded_at"],
    )


def make_world(database: Database) -> World:
    """Found an organisation in a fresh database."""
    settings = Settings(app_url=database.app_url, master_key=MASTER_KEY, peppers=((1, b"p" * 32),))
    log = Log(database.app_url, MASTER_KEY)
    founded = found_organisation(log, settings, Founding(name="Acme"), NOW, os.urandom)
    return World(database, log, settings, founded)
