"""The figures of a credit note's document: the same document, of what is given back of an invoice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from api.documents.model import Document, Line, Settled, document_of, taxes_of

if TYPE_CHECKING:
    from api.documents.model import Catalogue
    from ledger.events.credit_note import CreditNoteIssued, CreditNoteLine
    from ledger.events.invoice import LineTax
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice

ISSUED = "issued"


def credit_note_document(
    note: CreditNoteIssued, invoice: Invoice, account: Account, book: Book, catalogue: Catalogue
) -> Document:
    """Make the document of a credit note; buyer and seller are those of the invoice it gives back."""
    of_invoice = document_of(invoice, account, book, catalogue)
    return replace(
        of_invoice,
        status=ISSUED,
        number=note.formatted_number,
        credits_number=of_invoice.number,
        issued_on=note.issued_on,
        due_on=None,
        terms=None,
        lines=tuple(_line(line, position) for position, line in enumerate(note.lines, 1)),
        subtotal=note.net_total,
        discount_total=0,
        taxes=taxes_of([tax for line in note.lines for tax in _added(line)], catalogue),
        tax_total=note.tax_total,
        total=note.total,
        settlements=tuple(_went(note, of_invoice.number)),
        amount_paid=0,
        amount_due=0,
    )


def _line(line: CreditNoteLine, position: int) -> Line:
    return Line(
        position=position,
        line=line.line,
        kind="credit",
        description=line.description,
        quantity=Decimal(1),
        unit_amount=None,
        amount=line.net,
        discounts=(),
        exclusive_tax=sum(tax.amount for tax in line.taxes),
        inclusive_tax=0,
        service_from=line.service_from,
        service_to=line.service_to,
        adjusts_line=line.invoice_line,
        adjusts_position=None,
    )


def _added(line: CreditNoteLine) -> list[LineTax]:
    """Give a line's taxes: what is given back is before tax, so that all of them are added to it."""
    return [replace(tax, behaviour="exclusive") for tax in line.taxes]


def _went(note: CreditNoteIssued, number: str | None) -> list[Settled]:
    """Say where the total went: to what the invoice still asked for, to credit of either kind."""
    asked = note.applied_to_invoice - note.restored_to_grants
    went = [
        Settled(kind="invoice", reference=number, amount=asked),
        Settled(kind="prepaid_credit", reference=None, amount=note.restored_to_grants),
        Settled(kind="account_credit", reference=None, amount=note.credited_to_account),
    ]
    return [one for one in went if one.amount]
