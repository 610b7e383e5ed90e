"""Commands on credit notes: give an invoice back, whole or in part, by hand or because of a change.

A credit note, what it does to its invoice and to the account's credit, and its journal entry are appended
together; its invoice's stream goes on by it, so that two of them never give the same back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from commands.context import Done, Unit, execute
from commands.credited_lines import credited_by_lines
from commands.invoicing import add_entry, load_book
from commands.settling import entry_of, load_credit, not_before
from commands.streams import new_id, stream_or_not_found
from ledger import posting
from ledger.crediting import by_line, given_back, left_of, of_fee, of_price, of_usage, spread, whole
from ledger.errors import Invalid
from ledger.events.credit_note import CreditNoteNumberTaken
from ledger.events.subscription import ProrationAdded
from ledger.identifiers import MalformedId, stream_of
from ledger.money import checked_amount
from ledger.periods import local_date
from ledger.streams import credit as credits_of
from ledger.streams import credit_note as credit_notes
from ledger.streams import invoice as invoices
from ledger.streams import tax_rate as tax_rates
from ledger.streams.base import Stream
from ledger.streams.credit_note import BY_HAND, OF_LATE_USAGE, CreditNote, Header
from ledger.streams.subscription import CREDIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from commands.context import Context
    from ledger.crediting import GivenBack, Left, Part, Percents
    from ledger.events.credit_note import CreditNoteIssued
    from ledger.events.subscription import SubscriptionEvent
    from ledger.late_credits import LateCredit
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice
    from ledger.streams.subscription import Subscription

    Notes = tuple[Stream[CreditNote], ...]

_REASONS: Final = {
    credit_notes.OF_CHANGE: "change of the subscription",
    credit_notes.OF_CANCELLATION: "end of the subscription",
    credit_notes.OF_LATE_USAGE: "usage corrected after it was invoiced",
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be given back, before tax: amounts of lines, or of the whole; else all that is left."""

    reason: str
    lines: tuple[tuple[str, int | None], ...] = ()
    amount: int | None = None


@dataclass(frozen=True)
class Credited:
    """A credit note, and its invoice as it leaves it."""

    credit_note: Stream[CreditNote]
    invoice: Stream[Invoice]


@dataclass(frozen=True)
class Planned:
    """A credit note that is about to be issued: on which invoice, what it gives back, and why.

    `by_lines` is what lines of other invoices credited of the prices of this one's.
    """

    invoice: Stream[Invoice]
    given: tuple[GivenBack, ...]
    credit_note: str
    kind: str
    subscription: str | None = None
    reason: str = ""
    by_lines: Mapping[str, int] = field(default_factory=dict)


def credit_invoice(context: Context, invoice: str, wanted: Wanted) -> Done[Credited]:
    """Give part or all of a finalized invoice back, by a credit note under a number of its own."""
    stream_or_not_found("inv", invoice)
    credit_note = new_id(context, credit_notes.PREFIX)
    return execute(context, lambda unit: _credit_by_hand(unit, invoice, wanted, credit_note))


def preview_credit(context: Context, invoice: str, wanted: Wanted) -> Credited:
    """Work out the credit note that would be issued; nothing is appended."""
    stream_or_not_found("inv", invoice)
    return _credit_by_hand(Unit(context), invoice, wanted, new_id(context, credit_notes.PREFIX))


def _credit_by_hand(unit: Unit, invoice: str, wanted: Wanted, credit_note: str) -> Credited:
    book, loaded = load_book(unit), unit.load(invoices.evolve, stream_of("inv", invoice))
    state = credit_notes.require_creditable(invoices.require(loaded.state))
    by_lines = credited_by_lines(unit, state)
    parts = _parts(left_of(state, by_lines), state.draft.currency, wanted)
    planned = Planned(
        invoice=loaded,
        given=tuple(given_back(parts, percents_of(unit, state), book.policy.billing)),
        credit_note=credit_note,
        kind=BY_HAND,
        subscription=state.draft.subscription,
        reason=wanted.reason,
        by_lines=by_lines,
    )
    return add_credit_note(unit, planned, book)


def _parts(left: Sequence[Left], currency: str, wanted: Wanted) -> list[Part]:
    if wanted.lines and wanted.amount is not None:
        reason = "must be left out where lines are named: each has an amount of its own"
        raise Invalid(f"amount: {reason}", {"amount": [reason]})
    if wanted.lines:
        return by_line(left, wanted.lines)
    return whole(left) if wanted.amount is None else spread(left, wanted.amount, currency)


def add_credit_note(unit: Unit, planned: Planned, book: Book, at: datetime | None = None) -> Credited:
    """Issue a credit note within a unit: number, what it does to the invoice and the account, entry."""
    happened_at = at or unit.context.now
    invoice = invoices.require(planned.invoice.state)
    seller = book.billing_entities[invoice.draft.billing_entity]
    series = credit_notes.series_stream(unit.context.book, seller.billing_entity, seller.credit_note_series)
    number = unit.next_version(series)
    header = Header(
        credit_note=planned.credit_note,
        number=number,
        kind=planned.kind,
        reason=planned.reason or _REASONS[planned.kind],
        subscription=planned.subscription,
    )
    events = credit_notes.issue(invoice, planned.given, header, book, happened_at, planned.by_lines)
    taken = CreditNoteNumberTaken(
        billing_entity=seller.billing_entity,
        series=seller.credit_note_series,
        number=number,
        credit_note=planned.credit_note,
    )
    unit.add_at(series, number, taken)
    stream = stream_of(credit_notes.PREFIX, planned.credit_note)
    issued = unit.add(stream, Stream(), credit_notes.evolve, events, happened_at)
    note = credit_notes.require(issued.state).issued
    fact = _fact(unit, note, invoice, book, happened_at)
    credited = unit.add(
        stream_of("inv", note.invoice),
        _restore_grants(unit, planned.invoice, note, fact, happened_at),
        invoices.evolve,
        credit_notes.on_invoice(note),
        happened_at,
    )
    _credit_account(unit, note, happened_at)
    shares = posting.shares_of_credit(note.lines)
    entry = posting.invoice_credited(fact, shares, note.applied_to_invoice, note.credited_to_account)
    add_entry(unit, entry, happened_at)
    return Credited(issued, credited)


def _credit_account(unit: Unit, note: CreditNoteIssued, at: datetime) -> None:
    """Credit the account with what the invoice no longer asks for; the note's own entry has posted it."""
    events = credit_notes.on_account(note)
    if events:
        stream, loaded = load_credit(unit, note.account)
        before = 0 if loaded.state is None else loaded.state.balance(note.currency)
        checked_amount(before + note.credited_to_account)
        unit.add(stream, loaded, credits_of.evolve, [*events], not_before(loaded, at))


def _restore_grants(
    unit: Unit, invoice: Stream[Invoice], note: CreditNoteIssued, fact: posting.Fact, at: datetime
) -> Stream[Invoice]:
    """Give back to prepaid grants what the note settles in their place; till then the invoice asks for it."""
    if not note.restored_to_grants:
        return invoice
    stream, loaded = load_credit(unit, note.account)
    when = not_before(loaded, at)
    events = credit_notes.restored(loaded.state, invoices.require(invoice.state), note.restored_to_grants)
    now = unit.add(stream, loaded, credits_of.evolve, events, when)
    assert now.state is not None, "grants that settled an invoice are there"
    for event in events:
        entry = entry_of(now.state, event, lambda kind, _: replace(fact, kind=kind), when)
        # It may take back only part of what was posted as the invoice was settled.
        add_entry(unit, None if entry is None else replace(entry, reverses=None), when)
    applied = [one for event in events if (one := credits_of.applied(event)) is not None]
    return unit.add(stream_of("inv", note.invoice), invoice, invoices.evolve, [*applied], when)


def _fact(unit: Unit, note: CreditNoteIssued, invoice: Invoice, book: Book, at: datetime) -> posting.Fact:
    number = invoice.header.formatted_number if invoice.header else note.invoice
    return posting.Fact(
        book=unit.context.book,
        functional_currency=book.functional_currency,
        accounting_date=local_date(at, book.time_zone),
        economic_object=note.credit_note,
        kind="invoice_credited",
        account=note.account,
        currency=note.currency,
        description=f"credit note {note.formatted_number} on invoice {number}",
        invoice=note.invoice,
        billing_entity=note.billing_entity,
    )


def percents_of(unit: Unit, invoice: Invoice) -> Percents:
    """Load the percentages of the tax rates that an invoice's lines name."""
    streams = {}
    for rate in {tax.rate for line in invoice.draft.lines for tax in line.taxes}:
        try:
            streams[rate] = stream_of("tax", rate)
        except MalformedId:
            # Not a rate of ours: its taxes are given back as they were invoiced.
            continue
    unit.prefetch(streams.values())
    loaded = [unit.load(tax_rates.evolve, stream).state for stream in streams.values()]
    return {
        (one.tax_rate, one.tax_rate_version): one.percent
        for rate in loaded
        if rate is not None
        for one in rate.versions
    }


# -- because of a change ----------------------------------------------------------------------------------


def plan_notes(
    unit: Unit, state: Subscription, events: Sequence[SubscriptionEvent], book: Book, kind: str
) -> tuple[list[SubscriptionEvent], list[Planned]]:
    """Turn the credits among what a change makes into credit notes, where the book's policy says so.

    What is credited must be on a finalized invoice that still stands, and that asked for as much: else the
    credit waits, like the charge, for the next invoice. A credit that comes to nothing is left out.
    """
    if book.policy.billing.change_credit != "credit_note_with_tax":
        return list(events), []
    invoiced = {one.charged.line: one.charged.invoice for one in state.items if one.charged is not None}
    by_invoice: dict[str, list[ProrationAdded]] = {}
    for one in events:
        if isinstance(one, ProrationAdded) and one.kind == CREDIT:
            invoice = invoiced.get(one.adjusts_line or "")
            if invoice is not None:
                by_invoice.setdefault(invoice, []).append(one)
    planned = [
        found
        for invoice, credits_on_it in by_invoice.items()
        if (found := _planned(unit, state, invoice, credits_on_it, book, kind)) is not None
    ]
    return [kept for one in events if (kept := _noted(one, invoiced, planned)) is not None], [
        one for one in planned if one.given
    ]


def _planned(
    unit: Unit, state: Subscription, invoice: str, wanted: Sequence[ProrationAdded], book: Book, kind: str
) -> Planned | None:
    """Plan the credit note that gives credits back on one invoice; none where it cannot."""
    loaded = _standing(unit, invoice)
    on_it = invoices.require(loaded.state)
    if not credit_notes.is_creditable(on_it):
        return None
    policy, percents, left = book.policy.billing, percents_of(unit, on_it), left_of(on_it)
    parts = [
        part
        for one in wanted
        for part in of_price(
            of_fee(left, one.adjusts_line or ""), -Fraction(one.exact or one.amount), percents, policy
        )
    ]
    given = given_back(parts, percents, policy)
    if sum(one.total for one in given) > sum(one.total for one in left):
        return None
    credit_note = credit_notes.credit_note_id(state.subscription, invoice, f"{kind}:{wanted[0].sequence}")
    return Planned(loaded, tuple(given), credit_note, kind, state.subscription)


def _noted(
    event: SubscriptionEvent, invoiced: Mapping[str, str | None], planned: Sequence[Planned]
) -> SubscriptionEvent | None:
    """Let a credit name the credit note that gives it back; one that comes to nothing there is left out."""
    if not isinstance(event, ProrationAdded) or event.kind != CREDIT:
        return event
    invoice = invoiced.get(event.adjusts_line or "")
    for one in planned:
        if invoices.require(one.invoice.state).draft.invoice == invoice:
            return replace(event, credit_note=one.credit_note) if one.given else None
    return event


def add_notes(unit: Unit, planned: Iterable[Planned], book: Book, at: datetime | None = None) -> Notes:
    """Issue the credit notes that were planned, each on an invoice of its own."""
    return tuple(add_credit_note(unit, one, book, at).credit_note for one in planned)


def add_late_notes(
    unit: Unit, subscription: str, found: Sequence[LateCredit], cause: str, book: Book, at: datetime
) -> Notes:
    """Give back what usage that came late, or was corrected, lowers; `cause` is the invoice that found it."""
    policy, notes = book.policy.billing, []
    for invoice in dict.fromkeys(one for credit in found for one in credit.amounts):
        loaded = _standing(unit, invoice)
        on_it = invoices.require(loaded.state)
        percents, left = percents_of(unit, on_it), left_of(on_it)
        parts = [
            part
            for one in found
            if invoice in one.amounts
            for part in of_price(
                of_usage(left, one.item, one.charge, one.service_from),
                Fraction(one.amounts[invoice]),
                percents,
                policy,
            )
        ]
        given = tuple(given_back(parts, percents, policy))
        if given:
            credit_note = credit_notes.credit_note_id(subscription, invoice, f"{OF_LATE_USAGE}:{cause}")
            planned = Planned(loaded, given, credit_note, OF_LATE_USAGE, subscription)
            notes.append(add_credit_note(unit, planned, book, at).credit_note)
    return tuple(notes)


def _standing(unit: Unit, invoice: str) -> Stream[Invoice]:
    """Load an invoice as it will stand with all that the unit has added already."""
    stream = stream_of("inv", invoice)
    return unit.standing(stream, unit.load(invoices.evolve, stream), invoices.evolve)
