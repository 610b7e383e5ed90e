"""The document as CSV."""

from __future__ import annotations

import csv
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.documents.rows import COLUMNS, csv_of
from ledger.money import Money, major_units
from ledger.streams.invoice import totals_of
from tests.document_samples import RICH_LINES, document, draft, id_of, issued, line, tax

if TYPE_CHECKING:
    from ledger.streams.invoice import Invoice


def rows(invoice: Invoice) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(csv_of(document(invoice)), newline="")))


def test_a_row_is_a_line_item() -> None:
    fee, calls, *_ = rows(issued(*RICH_LINES))
    assert fee == {
        "invoice": id_of("inv"),
        "number": "INV-000007",
        "status": "open",
        "issued_on": "2027-02-01",
        "due_on": "2027-02-15",
        "currency": "USD",
        "position": "1",
        "line": id_of("line", 1),
        "kind": "fee",
        "description": "Pro",
        "service_from": "2027-01-01T00:00:00Z",
        "service_to": "2027-02-01T00:00:00Z",
        "quantity": "1",
        "unit_price": "",
        "amount": "29.00",
        "discount": "3.00",
        "exclusive_tax": "4.94",
        "inclusive_tax": "0.00",
        "total": "30.94",
        "adjusts_line": "",
    }
    assert (calls["quantity"], calls["unit_price"], calls["amount"]) == ("10000", "0.005", "50.00")


@pytest.mark.parametrize("currency", ["JPY", "USD", "KWD", "CLF"])
def test_the_invoice_s_totals_can_be_derived(currency: str) -> None:
    lines = (*RICH_LINES, line(2900, 8, taxes=(tax(463, 2900, "inclusive"),)))
    found, totals = rows(issued(*lines, currency=currency)), totals_of(lines)

    def summed(column: str) -> Decimal:
        return sum((Decimal(row[column]) for row in found), Decimal())

    assert summed("amount") == major_units(Money(totals.subtotal, currency))
    assert summed("discount") == major_units(Money(totals.discount_total, currency))
    assert summed("exclusive_tax") + summed("inclusive_tax") == major_units(Money(totals.tax_total, currency))
    assert summed("total") == major_units(Money(totals.total, currency))
    for row in found:
        amount, off, tax_on_top = (Decimal(row[name]) for name in ("amount", "discount", "exclusive_tax"))
        assert Decimal(row["total"]) == amount - off + tax_on_top


def test_lines_end_as_the_standard_says_and_text_is_quoted() -> None:
    text = csv_of(document(issued(line(2900, description='Pro, "monthly"\nplan'))))
    assert text.endswith("\r\n")
    assert text.startswith(",".join(COLUMNS) + "\r\n")
    assert '"Pro, ""monthly""\nplan"' in text


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1+1", "=cmd|' /C calc'!A0"]
)
def test_no_text_is_a_formula(text: str) -> None:
    (row,) = rows(issued(line(2900, description=text), formatted_number=text))
    assert row["description"] == row["number"] == f"'{text}"


@pytest.mark.parametrize("text", ["Pro", "a=b", "1-2", "'quoted", "é"])
def test_other_text_is_as_it_is(text: str) -> None:
    (row,) = rows(issued(line(2900, description=text)))
    assert row["description"] == text


@given(st.text(min_size=1).filter(lambda text: "\x00" not in text))
def test_any_text_comes_back_but_for_the_guard(text: str) -> None:
    (row,) = rows(issued(line(-2900, description=text)))
    assert row["description"].removeprefix("'") == text.removeprefix("'")
    assert row["amount"] == "-29.00"


def test_a_draft_has_no_number_and_no_dates() -> None:
    (row,) = rows(draft(line(2900)))
    assert (row["status"], row["number"], row["issued_on"], row["due_on"]) == ("draft", "", "", "")
