"""A seller with one account on a log in memory, and what must hold of its credit whatever happens to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from commands.accounts import register_account
from commands.context import Context, Unit
from commands.credits import (
    WantedCredit,
    WantedGrant,
    credit_account,
    expire_grant,
    grant_credit,
    void_grant,
)
from commands.invoicing import pay_invoice, void_invoice
from commands.plans import create_plan
from commands.settling import load_credit
from commands.subscriptions import cancel_subscription, subscribe
from ledger.events import Actor
from ledger.events.credit import CreditEvent
from ledger.events.invoice import InvoiceFinalized
from ledger.events.journal import JournalEntryPosted
from ledger.grant_terms import PAID
from ledger.identifiers import stream_of
from ledger.settings import Settings
from ledger.streams import book as books
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from tests.acme import counting_bytes
from tests.examples import BOOK, example_id
from tests.memory_log import MemoryLog

if TYPE_CHECKING:
    from ledger.store import Log
    from ledger.streams.base import Stream
    from ledger.streams.credit import Credits, Grant
    from ledger.streams.invoice import Invoice

E = TypeVar("E")
NOON = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
ACTOR = Actor(principal=example_id("prn"), kind="person")
OPENED = books.open_book("book", "org", "Acme Inc.", "test", "USD", "America/New_York")


@dataclass
class CreditWorld:
    """A book with its plans by fee, and one account."""

    context: Context
    log: MemoryLog
    account: str = ""
    plans: dict[int, str] = field(default_factory=dict)

    def wait(self, **some: float) -> None:
        """Let time pass."""
        self.context = replace(self.context, now=self.context.now + timedelta(**some))

    def plan(self, fee: int) -> str:
        """Give the plan of a monthly fee."""
        if fee not in self.plans:
            created = create_plan(self.context, f"Plan {fee}", "USD", "month", fee).result
            self.plans[fee] = known(created).plan
        return self.plans[fee]

    # -- what a caller asks for ---------------------------------------------------------------------------

    def credit(self, amount: int, reference: str | None = None, currency: str = "USD") -> int:
        """Credit the account by hand and give its own credit."""
        wanted = WantedCredit(amount=amount, currency=currency, reason="sorry", reference=reference)
        done = credit_account(self.context, self.account, wanted).result
        return int(known(done.credits).balance(currency))

    def grant(self, amount: int, kind: str = PAID, **more: Any) -> str:
        """Give the account a grant and give its id."""
        wanted = WantedGrant(**{"amount": amount, "currency": "USD", "kind": kind, **more})
        return grant_credit(self.context, self.account, wanted).result.granted.grant

    def expire(self, grant: str) -> Grant:
        """Let a grant expire."""
        return expire_grant(self.context, self.account, grant).result

    def void_grant(self, grant: str) -> Grant:
        """Take a grant back."""
        return void_grant(self.context, self.account, grant, "a mistake").result

    def invoiced(self, fee: int, **beginning: Any) -> Invoice:
        """Subscribe the account to a plan and give the invoice of the period that begins."""
        billed = subscribe(self.context, self.account, self.plan(fee), **beginning).result
        invoice: Invoice = known(billed.invoice)
        return invoice

    def owed(self, fee: int) -> Invoice:
        """Subscribe and cancel at once, and give the invoice that owes the account the rest of the period."""
        subscription = self.invoiced(fee).draft.subscription
        assert subscription is not None
        billed = cancel_subscription(self.context, subscription, at_period_end=False).result
        invoice: Invoice = known(billed.invoice)
        return invoice

    def void(self, invoice: Invoice) -> Invoice:
        """Make an invoice void."""
        voided: Invoice = known(void_invoice(self.context, invoice.draft.invoice, "a mistake").result)
        return voided

    def pay(self, invoice: Invoice, amount: int) -> Invoice:
        """Pay part of an invoice."""
        done = pay_invoice(self.context, invoice.draft.invoice, amount, "USD", "bank_transfer").result
        paid: Invoice = known(done.invoice)
        return paid

    # -- what there is -------------------------------------------------------------------------------------

    def of(self, event_class: type[E]) -> list[E]:
        """Give the events of a class, in log order."""
        return [event for event in self.log.events() if isinstance(event, event_class)]

    @property
    def credits(self) -> Credits:
        """The account's credit as the log has it."""
        state: Credits = known(load_credit(Unit(self.context), self.account)[1])
        return state

    def balance(self, grant: str) -> int:
        """Give what is left of a grant."""
        return self.credits.grants[grant].balance

    def invoices(self) -> list[Invoice]:
        """Give every invoice that was finalized, as it stands."""
        return [self.invoice(event.invoice) for event in self.of(InvoiceFinalized)]

    def invoice(self, invoice: str) -> Invoice:
        """Give an invoice as it stands."""
        state: Invoice = known(fold(invoices.evolve, self.log.load(BOOK, stream_of("inv", invoice))))
        return state

    def ledger(self, currency: str = "USD") -> dict[str, int]:
        """Give what the journal leaves on each ledger account: positive for a debit, zero ones left out."""
        sums: Counter[str] = Counter()
        for entry in self.of(JournalEntryPosted):
            for one in entry.postings:
                if one.currency == currency:
                    sums[one.ledger_account] += one.amount if one.side == "debit" else -one.amount
        return {code: amount for code, amount in sums.items() if amount}


def known(stream: Stream[Any] | None) -> Any:
    """Give the state of a stream that has events."""
    assert stream is not None, "there is no stream"
    assert stream.state is not None, "the stream is empty"
    return stream.state


def credit_world(log: Log | None = None) -> CreditWorld:
    """Open a book with an account."""
    memory = MemoryLog()
    context = Context(log or memory.as_log(), Settings(), BOOK, ACTOR, "test", NOON, counting_bytes())
    unit = Unit(context)
    for number, event in enumerate(OPENED, start=1):
        unit.add_at(BOOK, number, event)
    memory.append(BOOK, unit.events)
    world = CreditWorld(context, memory)
    world.account = known(register_account(context, "Ada", None, None).result).account
    return world


def check_credit(world: CreditWorld) -> None:
    """Hold streams, invoices and the journal against one another."""
    events = [one for one in world.log.recorded if isinstance(one.event, CreditEvent)]
    assert all(one.metadata.occurred_at <= then.metadata.occurred_at for one, then in pairwise(events))
    if not events:
        return
    held = world.credits
    assert all(amount >= 0 for amount in held.balances.values())
    for grant in held.grants.values():
        assert 0 <= grant.balance <= grant.granted.amount
        assert grant.status == "active" or not grant.balance
    for invoice in world.invoices():
        assert invoice.header is not None
        assert 0 <= invoice.amount_credited <= max(0, invoice.header.total - invoice.amount_paid)
        assert invoice.void_reason is None or not invoice.amount_credited
    check_journal(world, held)


def check_journal(world: CreditWorld, held: Credits) -> None:
    """Hold what the books say of credit, and of what is owed, against what the streams say."""
    for currency in {"USD", *held.balances, *(one.granted.currency for one in held.grants.values())}:
        books_say = Counter(world.ledger(currency))
        assert sum(books_say.values()) == 0
        assert -books_say["customer_credit"] == held.balance(currency)
        paid = [one for one in held.grants.values() if one.granted.kind == PAID]
        assert -books_say["prepaid_credits"] == sum(
            one.balance for one in paid if one.granted.currency == currency
        )
        due = sum(one.amount_due for one in world.invoices() if one.draft.currency == currency)
        on_account = [one for one in paid if one.granted.method == "on_account" and one.status != "voided"]
        assert books_say["receivable"] == due + sum(one.granted.amount for one in on_account)
