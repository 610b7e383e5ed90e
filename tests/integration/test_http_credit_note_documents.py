"""Documents of credit notes over HTTP: what is given back of which invoice, its tax, and where it went."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import HttpWorld, http_world, ok, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database


@pytest.fixture
def world(database: Database) -> Iterator[HttpWorld]:
    with http_world(database) as made:
        yield made


def credited(world: HttpWorld, behaviour: str = "exclusive") -> dict[str, Any]:
    """Issue an invoice of 10.00 with 25 % tax, have 5.00 of it paid, and give all of it back."""
    operator = world.operator
    body = {"name": "VAT", "jurisdiction": "DE", "percent": "25", "behaviour": behaviour}
    rate = ok(operator.post("/v1/tax-rates", body), 201)["id"]
    account = operator.new_account(currency="USD")
    work = {"description": "Work <b>", "amount": 1000, "tax_rates": [rate]}
    invoice = ok(operator.post("/v1/invoices", {"account": account, "lines": [work]}), 201)
    ok(operator.post(f"/v1/invoices/{invoice['id']}/payments", {"amount": 500, "currency": "USD"}), 201)
    return ok(operator.post(f"/v1/invoices/{invoice['id']}/credit-notes", {}), 201)


def test_the_page_of_a_credit_note_names_its_invoice_and_says_where_the_money_went(world: HttpWorld) -> None:
    note = credited(world)
    page = world.operator.get(f"/v1/credit-notes/{note['id']}.html")
    assert page.status_code == 200
    assert page.content_type == "text/html; charset=utf-8"
    for text in (
        "<h1>Credit note CN-000001</h1>",
        "<dt>Invoice</dt><dd><bdi>INV-000001</bdi></dd>",
        "Work &lt;b&gt;",
        "$12.50",
        "Invoice INV-000001",
        "Account credit",
    ):
        assert text in page.text
    assert "Amount due" not in page.text
    german = world.operator.get(f"/v1/credit-notes/{note['id']}/document", locale="de")
    assert "<h1>Gutschrift CN-000001</h1>" in german.text


def test_a_credit_note_as_figures_adds_up_whether_prices_hold_their_tax_or_not(world: HttpWorld) -> None:
    for behaviour, net, total in (("exclusive", 1000, 1250), ("inclusive", 800, 1000)):
        note = credited(world, behaviour)
        shown = ok(world.operator.get(f"/v1/credit-notes/{note['id']}/document", format="json"))
        assert (shown["number"], shown["status"]) == (note["number"], "issued")
        assert shown["credits_number"].startswith("INV-")
        assert (shown["subtotal"]["amount"], shown["total"]["amount"]) == (net, total)
        assert [(tax["base"]["amount"], tax["amount"]["amount"]) for tax in shown["taxes"]] == [
            (net, total - net)
        ]
        went = {one["kind"]: one["amount"]["amount"] for one in shown["settlements"]}
        assert went == {"invoice": total - 500, "account_credit": 500}
        table = world.operator.get(f"/v1/credit-notes/{note['id']}.csv")
        (row,) = csv.DictReader(StringIO(table.text))
        assert (row["number"], row["amount"], row["total"]) == (
            note["number"],
            f"{net / 100:.2f}",
            f"{total / 100:.2f}",
        )
        assert row["adjusts_line"] == note["lines"][0]["invoice_line"]


def test_a_credit_note_is_a_pdf_too_named_by_its_number(world: HttpWorld) -> None:
    note = credited(world)
    paper = world.operator.get(f"/v1/credit-notes/{note['id']}.pdf")
    assert paper.data.startswith(b"%PDF")
    assert paper.headers["Content-Disposition"] == 'inline; filename="CN-000001.pdf"'


def test_documents_are_for_who_may_see_the_invoice(world: HttpWorld) -> None:
    note = credited(world)
    path = f"/v1/credit-notes/{note['id']}.csv"
    assert world.operator.new_key(note["account"], "read").get(path).status_code == 200
    other = world.operator.new_key(world.operator.new_account("Eva"), "read")
    for caller in (other, world.stranger):
        refused(caller.get(path), 404, "not_found")
    refused(world.operator.get("/v1/credit-notes/cn_1.html"), 404, "not_found")
