"""Commands on invoices: finalize, pay, give up, void, each with its journal entry in the same transaction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from commands.settling import give_credit_back, settle_by_credit
from commands.streams import account_stream, new_id, number_series_stream, stream_or_not_found
from ledger import posting
from ledger.crediting import left_of
from ledger.errors import PaymentDiffers
from ledger.events.invoice import InvoiceNumberTaken
from ledger.events.payment import PaymentReceived
from ledger.identifiers import derived_id, stream_of
from ledger.periods import local_date
from ledger.streams import account as accounts
from ledger.streams import book as books
from ledger.streams import invoice as invoices
from ledger.values import MAX_IDENTITY_CHARACTERS, checked_text

if TYPE_CHECKING:
    from datetime import datetime

    from commands.context import Context
    from ledger.events.journal import JournalEntryPosted
    from ledger.streams.account import Account
    from ledger.streams.base import Stream
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice


@dataclass(frozen=True)
class Told:
    """A payment as it is told of; its id follows from its method and reference, if it has one."""

    payment: str
    amount: int
    currency: str
    method: str
    reference: str | None
    received_at: datetime


@dataclass(frozen=True)
class Paid:
    """A payment and the invoice it was applied to."""

    payment: PaymentReceived
    invoice: Stream[Invoice]


def load_book(unit: Unit) -> Book:
    """Load the book's own stream."""
    return books.require(unit.load(books.evolve, unit.context.book).state)


def add_entry(unit: Unit, entry: JournalEntryPosted | None, occurred_at: datetime | None = None) -> None:
    """Add a journal entry as the only event of its stream, so that its fact is never posted twice."""
    if entry is not None:
        unit.add_first(stream_of("ent", entry.entry), entry, occurred_at)


def add_finalized(
    unit: Unit, drafted: Stream[Invoice], account: Account, book: Book, occurred_at: datetime
) -> Stream[Invoice]:
    """Finalize a draft: take the next number, post the entry, settle it by what credit there is."""
    draft = invoices.require(drafted.state).draft
    seller = book.billing_entities[draft.billing_entity]
    series = number_series_stream(unit.context.book, seller.billing_entity, seller.invoice_series)
    number = unit.next_version(series)
    unit.add_at(
        series,
        number,
        InvoiceNumberTaken(
            billing_entity=seller.billing_entity,
            series=seller.invoice_series,
            number=number,
            invoice=draft.invoice,
        ),
    )
    events = invoices.finalize(drafted.state, account, book, number, occurred_at)
    finalized = unit.add(stream_of("inv", draft.invoice), drafted, invoices.evolve, events, occurred_at)
    fact_of = partial(_fact, unit, invoices.require(finalized.state), book)
    fact = fact_of("invoice_finalized", occurred_at)
    total = invoices.totals_of(draft.lines).total
    add_entry(unit, posting.invoice_finalized(fact, posting.shares_of(draft.lines), total), occurred_at)
    return settle_by_credit(unit, finalized, fact_of, occurred_at)


def finalize_invoice(context: Context, invoice: str) -> Done[Stream[Invoice]]:
    """Finalize a draft."""
    stream = stream_or_not_found("inv", invoice)

    def decide(unit: Unit) -> Stream[Invoice]:
        loaded = unit.load(invoices.evolve, stream)
        draft = invoices.require(loaded.state).draft
        account = accounts.require(unit.load(accounts.evolve, account_stream(draft.account)).state)
        return add_finalized(unit, loaded, account, load_book(unit), context.now)

    return execute(context, decide)


def pay_invoice(
    context: Context,
    invoice: str,
    amount: int,
    currency: str,
    method: str,
    reference: str | None = None,
    received_at: datetime | None = None,
) -> Done[Paid]:
    """Record a payment and apply it to an invoice; with a reference, telling of it again changes nothing."""
    stream = stream_or_not_found("inv", invoice)
    checked_text(method, MAX_IDENTITY_CHARACTERS, "method")
    payment = _payment_id(context, method, reference)
    told = Told(payment, amount, currency, method, reference, received_at or context.now)
    return execute(context, lambda unit: add_payment(unit, unit.load(invoices.evolve, stream), told))


def payment_told(
    context: Context, amount: int, currency: str, method: str, reference: str | None = None
) -> Told:
    """Name a payment that was received just now."""
    return Told(_payment_id(context, method, reference), amount, currency, method, reference, context.now)


def add_payment(unit: Unit, loaded: Stream[Invoice], told: Told) -> Paid:
    """Record a payment within a unit and apply it to an invoice."""
    known = _known_payment(unit, told.payment)
    if known is not None:
        _require_same(known, loaded, told.payment, told.amount, told.currency)
        return Paid(known, loaded)
    events = invoices.apply_payment(loaded.state, told.payment, told.amount, told.currency)
    before, happened_at = invoices.require(loaded.state), told.received_at
    stream = stream_of("inv", before.draft.invoice)
    settled = unit.add(stream, loaded, invoices.evolve, events, happened_at)
    received = PaymentReceived(
        payment=told.payment,
        account=before.draft.account,
        amount=told.amount,
        currency=told.currency,
        method=told.method,
        reference=told.reference,
        received_at=happened_at,
    )
    unit.add_first(stream_of("pay", told.payment), received, happened_at)
    fact = _fact(unit, before, load_book(unit), "payment_received", happened_at, told.payment)
    add_entry(unit, _payment_entry(before, fact, told.amount, told.method), happened_at)
    return Paid(received, settled)


def _payment_entry(
    before: Invoice, fact: posting.Fact, amount: int, method: str
) -> JournalEntryPosted | None:
    """Post a payment: of what was given up nothing is receivable any more, so it is recovered."""
    through_processor = method == "stripe"
    if not before.written_off:
        return posting.payment_received(fact, amount, through_processor=through_processor)
    bad_debt = posting.bad_debt_in(posting.shares_left(left_of(before)), before.written_off)
    after = before.recovered + amount
    undone = min(bad_debt, after) - min(bad_debt, before.recovered)
    return posting.payment_recovered(fact, amount, undone, through_processor=through_processor)


def _known_payment(unit: Unit, payment: str) -> PaymentReceived | None:
    recorded = unit.context.log.load(unit.context.book, stream_of("pay", payment))
    if not recorded:
        return None
    event = recorded[-1].event
    assert isinstance(event, PaymentReceived), "a payment's stream holds nothing else"
    return event


def _require_same(
    known: PaymentReceived, invoice: Stream[Invoice], payment: str, amount: int, currency: str
) -> None:
    """Refuse unless the payment that is known is the one told of now."""
    applied = {settlement.payment for settlement in invoices.require(invoice.state).settlements}
    if (known.amount, known.currency) != (amount, currency) or payment not in applied:
        message = f"payment {payment} is known, of another amount or to another invoice"
        raise PaymentDiffers(message)


def _payment_id(context: Context, method: str, reference: str | None) -> str:
    if reference is None:
        return new_id(context, "pay")
    checked_text(reference, MAX_IDENTITY_CHARACTERS, "reference")
    return derived_id("pay", "payment", context.book.bytes, method, reference)


def void_invoice(context: Context, invoice: str, reason: str) -> Done[Stream[Invoice]]:
    """Take an unpaid invoice back whole, give back what credit settled it, and post the reversal."""
    stream = stream_or_not_found("inv", invoice)

    def decide(unit: Unit) -> Stream[Invoice]:
        loaded = unit.load(invoices.evolve, stream)
        events = invoices.void(loaded.state, reason)
        if not events:
            return loaded
        fact_of = partial(_fact, unit, invoices.require(loaded.state), load_book(unit))
        given_back = give_credit_back(unit, loaded, fact_of)
        voided = unit.add(stream, given_back, invoices.evolve, events)
        state = invoices.require(voided.state)
        fact = fact_of("invoice_voided", context.now)
        total = invoices.totals_of(state.draft.lines).total
        add_entry(unit, posting.invoice_voided(fact, posting.shares_of(state.draft.lines), total))
        if state.written_off:
            shares = posting.shares_left(left_of(state))
            undone = fact_of("invoice_write_off_reversed", context.now)
            add_entry(unit, posting.invoice_write_off_reversed(undone, shares, state.written_off))
        return voided

    return execute(context, decide)


def mark_uncollectible(context: Context, invoice: str, reason: str) -> Done[Stream[Invoice]]:
    """Give up what an invoice still asks for; what is paid of it all the same is recovered."""
    stream = stream_or_not_found("inv", invoice)
    return execute(context, lambda unit: give_up(unit, unit.load(invoices.evolve, stream), reason))


def give_up(unit: Unit, loaded: Stream[Invoice], reason: str) -> Stream[Invoice]:
    """Give up, within a unit, what an invoice still asks for."""
    events = invoices.mark_uncollectible(loaded.state, reason)
    draft = invoices.require(loaded.state).draft
    marked = unit.add(stream_of("inv", draft.invoice), loaded, invoices.evolve, events)
    if events:
        state = invoices.require(marked.state)
        fact = _fact(unit, state, load_book(unit), "invoice_uncollectible", unit.context.now)
        shares = posting.shares_left(left_of(state))
        add_entry(unit, posting.invoice_uncollectible(fact, shares, state.written_off))
    return marked


def _fact(
    unit: Unit, invoice: Invoice, book: Book, kind: str, occurred_at: datetime, payment: str | None = None
) -> posting.Fact:
    number = invoice.header.formatted_number if invoice.header else invoice.draft.invoice
    return posting.Fact(
        book=unit.context.book,
        functional_currency=book.functional_currency,
        accounting_date=local_date(occurred_at, book.time_zone),
        economic_object=payment or invoice.draft.invoice,
        kind=kind,
        account=invoice.draft.account,
        currency=invoice.draft.currency,
        description=f"{kind.replace('_', ' ')}: {number}",
        invoice=invoice.draft.invoice,
        billing_entity=invoice.draft.billing_entity,
    )
