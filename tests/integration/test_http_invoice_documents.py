"""Invoice documents over HTTP: for whom, in which language, as what."""

from __future__ import annotations

import csv
from dataclasses import replace
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from pypdf import PdfReader

from ledger.events import Actor, Metadata, NewEvent
from ledger.events.coupon import CouponCreated, CouponTerms
from ledger.identifiers import public_id, stream_of
from tests.document_samples import COUPON, REDUCED, RICH_LINES, VAT, draft, issued, line, tax_rate
from tests.integration.http_world import NOW, ok, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.test import TestResponse

    from ledger.events import Event
    from ledger.streams.invoice import Invoice
    from tests.integration.http_world import HttpWorld


def put(world: HttpWorld, stream: str, *events: Event) -> None:
    """Write events as the only ones of the stream that a public id names."""
    book = stream_of("book", world.founded.live_book)
    metadata = Metadata(
        book=book,
        occurred_at=NOW,
        booked_at=NOW,
        actor=Actor(principal="prn_01h455vb4pex5vsknk084sn02q", kind="person"),
        cause=f"test:{stream}",
    )
    identity = stream_of(stream.rpartition("_")[0], stream)
    numbered = enumerate(events, 1)
    world.log.append(
        book,
        [
            NewEvent(stream=identity, stream_version=version, event=event, metadata=metadata)
            for version, event in numbered
        ],
    )


def kept(world: HttpWorld, account: str, invoice: Invoice) -> str:
    """Write an invoice of an account into the log, and give its id."""
    identity = public_id("inv", uuid4())
    events: list[Event] = [replace(invoice.draft, invoice=identity, account=account)]
    if invoice.header is not None:
        events.append(replace(invoice.header, invoice=identity, account=account))
    put(world, identity, *events)
    return identity


def document(world: HttpWorld, invoice: str, **query: str) -> TestResponse:
    response = world.operator.get(f"/v1/invoices/{invoice}/document", **query)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response


def pdf_text(response: TestResponse) -> str:
    pages = PdfReader(BytesIO(response.get_data())).pages
    return " ".join(" ".join(page.extract_text().split()) for page in pages)


@pytest.fixture(scope="module")
def named(http_service: HttpWorld) -> HttpWorld:
    """Give a service whose book knows the tax rates and the coupon of the sample invoices."""
    put(http_service, VAT, tax_rate(VAT, 1, "19"))
    put(http_service, REDUCED, tax_rate(REDUCED, 1, "7", "Reduced VAT"))
    put(
        http_service,
        COUPON,
        CouponCreated(coupon=COUPON, code="WELCOME", name="Welcome", terms=CouponTerms()),
    )
    return http_service


@pytest.fixture(scope="module")
def rich(named: HttpWorld) -> str:
    """Give an invoice with everything on it."""
    return kept(named, named.operator.new_account("Ada"), issued(*RICH_LINES))


# -- forms ------------------------------------------------------------------------------------------


def test_an_invoice_is_a_page_unless_asked_for_otherwise(world: HttpWorld, rich: str) -> None:
    response = document(world, rich)
    assert response.content_type == "text/html; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'inline; filename="INV-000007.html"'
    assert "VAT 19% (DE)" in response.get_data(as_text=True)
    assert document(world, rich, format="html").get_data() == response.get_data()


def test_a_page_may_load_nothing_and_be_framed_by_nobody(world: HttpWorld, rich: str) -> None:
    headers = document(world, rich).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_a_pdf_is_one_and_twice_the_same(world: HttpWorld, rich: str) -> None:
    response = document(world, rich, format="pdf", locale="de")
    assert response.content_type == "application/pdf"
    assert response.headers["Content-Disposition"] == 'inline; filename="INV-000007.pdf"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    text = pdf_text(response)
    assert "Rechnung INV-000007" in text
    assert "Reduced VAT 7 % (DE)" in text
    assert document(world, rich, format="pdf", locale="de").get_data() == response.get_data()


def test_a_table_is_to_be_kept(world: HttpWorld, rich: str) -> None:
    response = document(world, rich, format="csv")
    assert response.content_type == "text/csv; charset=utf-8; header=present"
    assert response.headers["Content-Disposition"] == 'attachment; filename="INV-000007.csv"'
    rows = list(csv.DictReader(StringIO(response.get_data(as_text=True), newline="")))
    assert len(rows) == len(RICH_LINES)
    assert {row["invoice"] for row in rows} == {rich}


def test_as_json_it_has_the_figures_of_the_invoice(world: HttpWorld, rich: str) -> None:
    invoice = ok(world.operator.get(f"/v1/invoices/{rich}"))
    shown = ok(document(world, rich, format="json", locale="de-CH"))

    def bare(money: dict[str, Any]) -> dict[str, Any]:
        return {name: money[name] for name in ("amount", "currency")}

    for name in ("subtotal", "discount_total", "tax_total", "total", "amount_paid", "amount_due"):
        assert bare(shown[name]) == invoice[name], name
    for name in ("status", "number", "issued_on", "due_on", "terms", "period_start", "period_end", "account"):
        assert shown[name] == invoice[name], name
    assert [bare(one["amount"]) for one in shown["lines"]] == [one["amount"] for one in invoice["lines"]]
    assert [one["id"] for one in shown["lines"]] == [one["id"] for one in invoice["lines"]]
    assert shown["buyer"] == invoice["buyer"]
    assert shown["locale"] == "de-CH"
    assert shown["lines"][0]["discounts"][0]["name"] == "Welcome"
    assert [(tax["name"], tax["percent"], tax["amount"]["text"]) for tax in shown["taxes"]] == [
        ("VAT", "19", "$\xa00.00"),
        ("VAT", "19", "$\xa016.78"),
        ("Reduced VAT", "7", "$\xa00.70"),
    ]


@pytest.mark.parametrize("suffix", ["html", "pdf", "csv"])
def test_a_suffix_asks_for_the_same(world: HttpWorld, rich: str, suffix: str) -> None:
    short = world.operator.get(f"/v1/invoices/{rich}.{suffix}", locale="fr")
    long = document(world, rich, format=suffix, locale="fr")
    assert short.status_code == 200
    assert short.get_data() == long.get_data()
    for name in ("Content-Type", "Content-Disposition", "Vary"):
        assert short.headers[name] == long.headers[name]


def test_the_invoice_itself_is_where_it_was(world: HttpWorld, rich: str) -> None:
    assert ok(world.operator.get(f"/v1/invoices/{rich}"))["id"] == rich
    refused(world.operator.get(f"/v1/invoices/{rich}.docx"), 404)


# -- states -----------------------------------------------------------------------------------------


def test_an_invoice_goes_from_open_to_paid(fresh_world: HttpWorld) -> None:
    world = fresh_world
    invoice = world.operator.subscribed(world.operator.new_account("Ada"))["invoice"]
    assert "$29.00 due on" in document(world, invoice).get_data(as_text=True)
    paid = {"amount": 2900, "currency": "USD"}
    ok(world.operator.post(f"/v1/invoices/{invoice}/payments", paid), 201)
    text = pdf_text(document(world, invoice, format="pdf"))
    assert "PAID" in text
    assert "Amount due $0.00" in text


def test_a_void_invoice_says_so(fresh_world: HttpWorld) -> None:
    world = fresh_world
    invoice = world.operator.subscribed(world.operator.new_account("Ada"))["invoice"]
    ok(world.operator.post(f"/v1/invoices/{invoice}/void", {"reason": "known to us alone"}))
    page = document(world, invoice).get_data(as_text=True)
    assert '<p class="stamp">Void</p>' in page
    assert "known to us alone" not in page
    assert "VOID" in pdf_text(document(world, invoice, format="pdf"))


def test_a_draft_is_called_one_and_after_its_id(world: HttpWorld) -> None:
    invoice = kept(world, world.operator.new_account("Zoë"), draft(line(2900)))
    response = document(world, invoice)
    assert response.headers["Content-Disposition"] == f'inline; filename="draft-{invoice}.html"'
    page = response.get_data(as_text=True)
    assert '<p class="stamp">Draft</p>' in page
    assert "Zoë" in page
    assert "DRAFT" in pdf_text(document(world, invoice, format="pdf"))


def test_a_file_s_name_is_harmless_whatever_the_series_is_called(world: HttpWorld) -> None:
    number = 'Ré/2027"; evil=\\ 7'
    invoice = kept(world, world.operator.new_account("Ada"), issued(line(2900), formatted_number=number))
    headers = document(world, invoice).headers
    assert headers["Content-Disposition"] == 'inline; filename="R-2027-evil-7.html"'


def test_a_buyer_who_is_forgotten_is_named_nowhere(fresh_world: HttpWorld) -> None:
    world = fresh_world
    invoice = kept(world, world.operator.new_account("Ada"), issued(line(2900), buyer_name="Ada Augusta"))
    assert "Ada Augusta" in document(world, invoice).get_data(as_text=True)
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute(
            "UPDATE daybook.data_keys SET wrapped = NULL, destroyed_at = now() WHERE subject = %s",
            (f"document:{invoice}",),
        )
    for form, read in _READERS.items():
        text = read(document(world, invoice, format=form))
        assert "Ada Augusta" not in text
        assert form == "csv" or "[forgotten]" in text


_READERS: dict[str, Callable[[TestResponse], str]] = {
    "html": lambda response: response.get_data(as_text=True),
    "pdf": pdf_text,
    "csv": lambda response: response.get_data(as_text=True),
    "json": lambda response: response.get_data(as_text=True),
}


def test_an_account_called_like_a_script_is_harmless(world: HttpWorld) -> None:
    name = "<script>alert(1)</script>"
    page = document(world, kept(world, world.operator.new_account(name), draft(line(2900)))).get_data(
        as_text=True
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_periods_are_those_of_the_account_s_zone(world: HttpWorld) -> None:
    account = world.operator.new_account("Ada", time_zone="America/New_York")
    page = document(world, kept(world, account, issued(line(2900))), locale="de").get_data(as_text=True)
    assert "Zeiträume gelten in der Zeitzone America/New_York." in page
    assert "31. Dez. 2026" in page


# -- languages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"),
        ("de", "de"),
        ("xx, fr-CH;q=0.9, en;q=0.8", "fr-CH"),
        ("de;q=0, it;q=0.1", "it"),
        ("*", "en"),
        ("nonsense;;;q=x,,", "en"),
        ("x" * 4_000, "en"),
    ],
)
def test_the_caller_s_language_is_spoken(
    world: HttpWorld, rich: str, accepted: str | None, language: str
) -> None:
    headers = {} if accepted is None else {"Accept_Language": accepted}
    response = world.operator.call("GET", f"/v1/invoices/{rich}/document", **headers)
    assert f'<html lang="{language}"' in response.get_data(as_text=True)
    assert response.headers["Vary"] == "Accept-Language"


def test_the_locale_that_is_asked_for_comes_first(world: HttpWorld, rich: str) -> None:
    response = world.operator.call("GET", f"/v1/invoices/{rich}/document?locale=nl", Accept_Language="de")
    assert "<h1>Factuur INV-000007</h1>" in response.get_data(as_text=True)


@pytest.mark.parametrize(
    "query",
    [
        {"locale": "xx"},
        {"locale": "de-XX"},
        {"locale": ""},
        {"locale": "../../etc/passwd"},
        {"locale": "de\x00"},
        {"locale": "d" * 1_000},
        {"format": "docx"},
        {"format": ""},
        {"format": "PDF"},
        {"unknown": "1"},
    ],
)
def test_what_cannot_be_made_is_refused_by_field(world: HttpWorld, rich: str, query: dict[str, str]) -> None:
    problem = refused(world.operator.get(f"/v1/invoices/{rich}/document", **query), 422)
    assert set(problem["errors"]) == set(query)


# -- for whom ---------------------------------------------------------------------------------------


def test_an_account_s_key_sees_its_own_documents_and_no_others(named: HttpWorld) -> None:
    world = named
    ada, zoe = world.operator.new_account("Ada"), world.operator.new_account("Zoë")
    own, other = (kept(world, account, issued(line(2900))) for account in (ada, zoe))
    key = world.operator.new_key(ada, "read")
    for form in ("html", "pdf", "csv", "json"):
        assert key.get(f"/v1/invoices/{own}/document", format=form).status_code == 200
        refused(key.get(f"/v1/invoices/{other}/document", format=form), 404, "not_found")
    for suffix in ("html", "pdf", "csv"):
        assert key.get(f"/v1/invoices/{own}.{suffix}").status_code == 200
        refused(key.get(f"/v1/invoices/{other}.{suffix}"), 404, "not_found")


def test_documents_need_a_key_that_may_read(named: HttpWorld, rich: str) -> None:
    refused(named.anonymous.get(f"/v1/invoices/{rich}/document"), 401)
    refused(named.limited_operator("usage:write").get(f"/v1/invoices/{rich}.pdf"), 403)
    refused(named.stranger.get(f"/v1/invoices/{rich}/document"), 404)
    refused(named.test_operator.get(f"/v1/invoices/{rich}.html"), 404)


@pytest.mark.parametrize("invoice", ["inv_01h455vb4pex5vsknk084sn02q", "inv_x", "x", "%00", ".."])
def test_an_invoice_that_is_not_there_has_no_document(world: HttpWorld, invoice: str) -> None:
    refused(world.operator.get(f"/v1/invoices/{invoice}/document"), 404)
    refused(world.operator.get(f"/v1/invoices/{invoice}.pdf"), 404)


def test_more_lines_than_a_pdf_is_made_of_are_refused(
    world: HttpWorld, rich: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.documents.pdf.MAX_LINES", 3)
    detail = refused(world.operator.get(f"/v1/invoices/{rich}.pdf"), 409, "too_many_lines")["detail"]
    assert "ask for html or csv" in detail
    assert world.operator.get(f"/v1/invoices/{rich}.html").status_code == 200
