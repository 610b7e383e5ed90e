"""Credit-note documents: a page, a PDF, a table or JSON of one credit note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.documents.credit_note import credit_note_document
from api.edge import Call, operation
from api.resources.invoice_documents import WRITERS, formats_of, loaded
from commands.streams import stream_or_not_found
from ledger.streams import credit_note as credit_notes
from ledger.streams.base import fold
from schemas import requests_documents as requests
from schemas.responses_documents import DocumentView

if TYPE_CHECKING:
    from flask import Response


@operation(
    "GET",
    "/v1/credit-notes/{credit_note}/document",
    scope="read",
    book_wide=False,
    tag="credit_notes",
    query=requests.DocumentQuery,
    answer=DocumentView,
    refusals=(409,),
    description="A page, a PDF, a table or JSON, by `format`: html, pdf, csv or json.",
)
def get_document(call: Call, credit_note: str) -> Response:
    """Write a credit note out as a document."""
    return _written(call, credit_note, call.query["format"])


@operation(
    "GET",
    "/v1/credit-notes/{credit_note}.html",
    scope="read",
    book_wide=False,
    tag="credit_notes",
    query=requests.DocumentLocale,
)
def get_page(call: Call, credit_note: str) -> Response:
    """Show a credit note as a page to read or print."""
    return _written(call, credit_note, "html")


@operation(
    "GET",
    "/v1/credit-notes/{credit_note}.pdf",
    scope="read",
    book_wide=False,
    tag="credit_notes",
    refusals=(409,),
    query=requests.DocumentLocale,
)
def get_pdf(call: Call, credit_note: str) -> Response:
    """Give a credit note as a PDF."""
    return _written(call, credit_note, "pdf")


@operation(
    "GET",
    "/v1/credit-notes/{credit_note}.csv",
    scope="read",
    book_wide=False,
    tag="credit_notes",
    query=requests.DocumentLocale,
)
def get_csv(call: Call, credit_note: str) -> Response:
    """Give a credit note's lines as a table."""
    return _written(call, credit_note, "csv")


def _written(call: Call, credit_note: str, kind: str) -> Response:
    recorded = call.log.load(call.book, stream_or_not_found(credit_notes.PREFIX, credit_note))
    note = credit_notes.require(fold(credit_notes.evolve, recorded).state).issued
    document = credit_note_document(note, *loaded(call, note.invoice))
    return WRITERS[kind](document, formats_of(call))
