"""Invoice documents: a page, a PDF, a table or JSON of one invoice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from flask import Response, request

from api.documents.formats import Formats
from api.documents.model import Catalogue, Document, document_of
from api.documents.page import content_security_policy, html_of
from api.documents.pdf import pdf_of
from api.documents.rows import csv_of
from api.documents.shown import shown
from api.documents.view import view_of
from api.edge import Call, answer, operation
from commands.streams import account_stream, stream_or_not_found
from ledger.events.coupon import CouponCreated
from ledger.events.tax_rate import TaxRateDefined
from ledger.identifiers import MalformedId, stream_of
from ledger.streams import account as accounts
from ledger.streams import book as books
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from schemas import requests_documents as requests
from schemas.locales import first_known, known_locale
from schemas.responses_documents import DocumentView

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from ledger.events import Recorded
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice

# A file's name is safe on every machine, whatever a book's number series are called.
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@operation(
    "GET",
    "/v1/invoices/{invoice}/document",
    scope="read",
    book_wide=False,
    tag="invoices",
    query=requests.DocumentQuery,
    answer=DocumentView,
    refusals=(409,),
    description="A page, a PDF, a table or JSON, by `format`: html, pdf, csv or json.",
)
def get_document(call: Call, invoice: str) -> Response:
    """Write an invoice out as a document."""
    return WRITERS[call.query["format"]](*_document(call, invoice))


@operation(
    "GET",
    "/v1/invoices/{invoice}.html",
    scope="read",
    book_wide=False,
    tag="invoices",
    query=requests.DocumentLocale,
)
def get_page(call: Call, invoice: str) -> Response:
    """Show an invoice as a page to read or print."""
    return _html(*_document(call, invoice))


@operation(
    "GET",
    "/v1/invoices/{invoice}.pdf",
    scope="read",
    book_wide=False,
    tag="invoices",
    refusals=(409,),
    query=requests.DocumentLocale,
)
def get_pdf(call: Call, invoice: str) -> Response:
    """Give an invoice as a PDF."""
    return _pdf(*_document(call, invoice))


@operation(
    "GET",
    "/v1/invoices/{invoice}.csv",
    scope="read",
    book_wide=False,
    tag="invoices",
    query=requests.DocumentLocale,
)
def get_csv(call: Call, invoice: str) -> Response:
    """Give an invoice's line items as a table."""
    return _csv(*_document(call, invoice))


def _document(call: Call, invoice: str) -> tuple[Document, Formats]:
    return document_of(*loaded(call, invoice)), formats_of(call)


def loaded(call: Call, invoice: str) -> tuple[Invoice, Account, Book, Catalogue]:
    """Load an invoice that the caller may see, with what its document says of it."""
    recorded = call.log.load(call.book, stream_or_not_found("inv", invoice))
    state = invoices.require(fold(invoices.evolve, recorded).state)
    stream = account_stream(call.require_account(state.draft.account))
    named = _named_streams(state)
    loaded = call.log.load_streams(call.book, [stream, call.book, *named])
    account = accounts.require(fold(accounts.evolve, loaded.get(stream, ())).state)
    book = books.require(fold(books.evolve, loaded.get(call.book, ())).state)
    catalogue = _catalogue(one for stream in named for one in loaded.get(stream, ()))
    return state, account, book, catalogue


def _named_streams(invoice: Invoice) -> set[UUID]:
    """Find the streams of what lines name by id only: tax rates and coupons."""
    lines = invoice.draft.lines
    names = {tax.rate for line in lines for tax in line.taxes}
    names |= {share.coupon for line in lines for share in line.discounts}
    found = set()
    for name in names:
        try:
            found.add(stream_of(name.rpartition("_")[0], name))
        except MalformedId:
            # Not ours: it is shown as it is.
            continue
    return found


def _catalogue(recorded: Iterable[Recorded]) -> Catalogue:
    tax_rates, coupons = {}, {}
    for event in (one.event for one in recorded):
        if isinstance(event, TaxRateDefined):
            tax_rates[event.tax_rate, event.tax_rate_version] = event
        elif isinstance(event, CouponCreated):
            coupons[event.coupon] = event.name
    return Catalogue(tax_rates=tax_rates, coupons=coupons)


def formats_of(call: Call) -> Formats:
    """Give the formats of the locale that is asked for, or preferred."""
    asked = call.query.get("locale")
    locale = known_locale(asked) if asked is not None else None
    return Formats(locale or first_known(request.accept_languages))


def _html(document: Document, formats: Formats) -> Response:
    response = _file(
        html_of(shown(document, formats)), "text/html; charset=utf-8", document, "inline", "html"
    )
    response.headers["Content-Security-Policy"] = content_security_policy()
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _pdf(document: Document, formats: Formats) -> Response:
    return _file(pdf_of(shown(document, formats)), "application/pdf", document, "inline", "pdf")


def _csv(document: Document, _: Formats) -> Response:
    return _file(csv_of(document), "text/csv; charset=utf-8; header=present", document, "attachment", "csv")


def _json(document: Document, formats: Formats) -> Response:
    return _varying(answer(view_of(document, formats)))


# By the format that is asked for.
WRITERS: Final = {"html": _html, "pdf": _pdf, "csv": _csv, "json": _json}


def _file(
    content: str | bytes, content_type: str, document: Document, disposition: str, suffix: str
) -> Response:
    number = document.number or f"draft-{document.invoice}"
    name = _UNSAFE.sub("-", number).strip(".-") or document.invoice
    response = Response(content, 200, content_type=content_type)
    response.headers["Content-Disposition"] = f'{disposition}; filename="{name}.{suffix}"'
    return _varying(response)


def _varying(response: Response) -> Response:
    response.vary.add("Accept-Language")
    return response
