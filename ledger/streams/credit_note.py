"""A credit note: issued once, whole and numbered, against one finalized invoice; never edited, never void."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ledger.crediting import CreditExceedsInvoice, NothingToCredit, left_of
from ledger.errors import InvoiceNotOpen, NotFound
from ledger.events.credit import AccountCredited, CreditEvent, CreditGrantExpired, CreditRestored
from ledger.events.credit_note import CreditNoteIssued, CreditNoteLine
from ledger.events.invoice import CreditApplied, CreditedLine, InvoiceCredited
from ledger.identifiers import derive, derived_id
from ledger.periods import local_date
from ledger.streams.base import begins_with
from ledger.streams.credit import ACCOUNT_CREDIT, PREPAID_CREDIT, require_grant
from ledger.values import MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from ledger.crediting import GivenBack
    from ledger.events.credit_note import CreditNoteEvent
    from ledger.events.invoice import InvoiceEvent
    from ledger.streams.book import Book
    from ledger.streams.credit import Credits
    from ledger.streams.invoice import Invoice

PREFIX: Final = "cn"
# As the events of invoices and of accounts' credit call it.
SOURCE: Final = "credit_note"
# What brings a credit note about.
BY_HAND: Final = "manual"
OF_CHANGE: Final = "change"
OF_CANCELLATION: Final = "cancellation"
OF_LATE_USAGE: Final = "late_usage"

_CREDITABLE: Final = ("open", "partially_paid", "paid")
_INSTEAD: Final = {
    "draft": "it can still be changed",
    "void": "it asks for nothing",
    "uncollectible": "make it void, or record what is paid of it",
}


@dataclass(frozen=True, kw_only=True)
class Header:
    """Which credit note it is, and why: its id, its number in its series, and what brought it about."""

    credit_note: str
    number: int
    kind: str
    reason: str
    subscription: str | None = None


@dataclass(frozen=True)
class CreditNote:
    """A credit note as it stands, which is as it was issued."""

    issued: CreditNoteIssued


def series_stream(book: UUID, billing_entity: str, series: str) -> UUID:
    """Give the stream whose version is the last number that a series of credit notes gave out."""
    return derive("credit-note-series", book.bytes, billing_entity, series)


def credit_note_id(subscription: str, invoice: str, cause: str) -> str:
    """Give the id of the one credit note that a subscription brings about on an invoice for a cause."""
    return derived_id(PREFIX, "credit-note", subscription, invoice, cause)


def is_creditable(invoice: Invoice) -> bool:
    """Say whether an invoice is finalized and stands, so that it can be given back."""
    return invoice.status in _CREDITABLE


def require_creditable(invoice: Invoice) -> Invoice:
    """Give an invoice that credit notes may be issued against, or refuse."""
    if not is_creditable(invoice):
        message = f"invoice {invoice.draft.invoice} is {invoice.status}: {_INSTEAD[invoice.status]}"
        raise InvoiceNotOpen(message)
    if invoice.header is None or invoice.header.total <= 0:
        message = f"invoice {invoice.draft.invoice} asked for nothing: there is nothing to give back"
        raise NothingToCredit(message)
    return invoice


def issue(
    invoice: Invoice,
    given: Sequence[GivenBack],
    header: Header,
    book: Book,
    at: datetime,
    by_lines: Mapping[str, int],
) -> list[CreditNoteEvent]:
    """Issue a credit note: it settles what the invoice still asks for; the account gets the rest."""
    draft = require_creditable(invoice).draft
    checked_text(header.reason, MAX_REASON_CHARACTERS, "reason")
    total, there = sum(one.total for one in given), sum(one.total for one in left_of(invoice, by_lines))
    if total > there:
        message = f"{there} with tax is left of the invoice, not {total}"
        raise CreditExceedsInvoice(message)
    if total <= 0:
        message = "nothing is left of the invoice, or of these lines, that could be given back"
        raise NothingToCredit(message)
    seller = book.billing_entities[draft.billing_entity]
    to_account, restored = _beyond(invoice, total)
    net = sum(one.net for one in given)
    return [
        CreditNoteIssued(
            credit_note=header.credit_note,
            invoice=draft.invoice,
            account=draft.account,
            billing_entity=seller.billing_entity,
            subscription=header.subscription,
            kind=header.kind,
            reason=header.reason,
            series=seller.credit_note_series,
            number=header.number,
            formatted_number=f"{seller.credit_note_series}-{header.number:06d}",
            issued_on=local_date(at, book.time_zone),
            currency=draft.currency,
            lines=tuple(_line(header.credit_note, number, one) for number, one in enumerate(given, 1)),
            net_total=net,
            tax_total=total - net,
            total=total,
            applied_to_invoice=total - to_account,
            credited_to_account=to_account,
            policy_version=book.policy_version,
            restored_to_grants=restored,
        )
    ]


def _beyond(invoice: Invoice, total: int) -> tuple[int, int]:
    """Split what goes beyond what an invoice still asks for: to the account, and back to prepaid grants.

    The account's own credit never gets more than payments and itself settled: no grant becomes money.
    """
    beyond = max(0, total - invoice.amount_due)
    own = sum(credit.amount for credit in invoice.credits if credit.source == ACCOUNT_CREDIT)
    given = sum(note.credited_to_account for note in invoice.credit_notes)
    to_account = min(beyond, max(0, invoice.amount_paid + own - given))
    return to_account, beyond - to_account


def restored(held: Credits | None, invoice: Invoice, amount: int) -> list[CreditEvent]:
    """Give an amount back to the prepaid grants that settled an invoice, the last one first.

    To one that has expired it comes back and expires at once.
    """
    taken: dict[str, int] = {}
    for credit in invoice.credits:
        if credit.source == PREPAID_CREDIT and credit.reference is not None:
            taken[credit.reference] = taken.get(credit.reference, 0) + credit.amount
    events: list[CreditEvent] = []
    for grant, settled in reversed(taken.items()):
        part = min(amount, settled)
        if part:
            names = {"account": invoice.draft.account, "currency": invoice.draft.currency}
            events.append(CreditRestored(**names, amount=part, grant=grant, invoice=invoice.draft.invoice))
            if require_grant(held, grant).status == "expired":
                events.append(
                    CreditGrantExpired(**names, amount=part, grant=grant, invoice=invoice.draft.invoice)
                )
            amount -= part
    assert not amount, "grants settled what payments and the account's own credit did not"
    return events


def _line(credit_note: str, number: int, given: GivenBack) -> CreditNoteLine:
    line = given.line
    return CreditNoteLine(
        line=derived_id("line", "credit-note-line", credit_note, line.line),
        invoice_line=line.line,
        sequence=number,
        description=line.description,
        net=given.net,
        service_from=line.service_from,
        service_to=line.service_to,
        revenue_account=line.revenue_account,
        product=line.product,
        taxes=tuple(
            replace(tax, base=given.net, amount=amount)
            for tax, amount in zip(line.taxes, given.taxes, strict=True)
        ),
        exact=None if given.exact is None else str(given.exact),
    )


def on_invoice(note: CreditNoteIssued) -> list[InvoiceEvent]:
    """Say what a credit note does to its invoice."""
    names = {"invoice": note.invoice, "account": note.account}
    lines = tuple(
        CreditedLine(line=one.invoice_line, net=one.net, taxes=tuple(tax.amount for tax in one.taxes))
        for one in note.lines
    )
    credited: list[InvoiceEvent] = [
        InvoiceCredited(
            **names,
            credit_note=note.credit_note,
            lines=lines,
            credited_to_account=note.credited_to_account,
        )
    ]
    if not note.applied_to_invoice:
        return credited
    return [
        *credited,
        CreditApplied(
            **names,
            source=SOURCE,
            reference=note.credit_note,
            amount=note.applied_to_invoice,
            currency=note.currency,
        ),
    ]


def on_account(note: CreditNoteIssued) -> list[AccountCredited]:
    """Say what a credit note gives to the account's own credit, if anything."""
    if not note.credited_to_account:
        return []
    return [
        AccountCredited(
            account=note.account,
            currency=note.currency,
            amount=note.credited_to_account,
            credit=derived_id("credit", SOURCE, note.credit_note),
            source=SOURCE,
            reference=note.credit_note,
        )
    ]


def require(state: CreditNote | None) -> CreditNote:
    """Give the credit note, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such credit note"
        raise NotFound(message)
    return state


@begins_with(CreditNoteIssued)
def evolve(state: CreditNote | None, event: CreditNoteEvent) -> CreditNote:
    """Apply the one event there is."""
    assert state is None, "a credit note is issued once"
    return CreditNote(event)
