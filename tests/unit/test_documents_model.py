"""The figures of invoice documents."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from api.documents.model import document_of
from ledger.streams.invoice import Credit, totals_of
from tests.document_samples import (
    ACCOUNT,
    BOOK,
    COUPON,
    FORGOTTEN,
    REDUCED,
    RICH_LINES,
    VAT,
    discount,
    document,
    draft,
    id_of,
    issued,
    line,
    made_void,
    tax,
    written,
)

if TYPE_CHECKING:
    from ledger.events.invoice import InvoiceLine

AMOUNTS = st.integers(-(10**12), 10**12)
LINES = st.lists(
    st.builds(
        lambda amount, taxes, discounts: line(amount, taxes=tuple(taxes), discounts=tuple(discounts)),
        AMOUNTS,
        st.lists(
            st.builds(
                tax,
                AMOUNTS,
                AMOUNTS,
                st.sampled_from(["exclusive", "inclusive"]),
                st.sampled_from([VAT, REDUCED]),
            ),
            max_size=3,
        ),
        st.lists(st.builds(discount, AMOUNTS), max_size=2),
    ),
    max_size=6,
)


@given(LINES)
def test_totals_are_those_of_the_invoice_and_what_the_rows_add_up_to(lines: list[InvoiceLine]) -> None:
    numbered = tuple(replace(one, line=id_of("line", number)) for number, one in enumerate(lines, 1))
    made, totals = document(issued(*numbered)), totals_of(numbered)
    assert (made.subtotal, made.discount_total, made.tax_total, made.total) == (
        totals.subtotal,
        totals.discount_total,
        totals.tax_total,
        totals.total,
    )
    assert sum(row.total for row in made.lines) == made.total
    assert sum(one.amount for one in made.taxes) == made.tax_total
    exclusive = sum(one.amount for one in made.taxes if one.behaviour == "exclusive")
    assert made.subtotal - made.discount_total + exclusive == made.total


def test_a_rate_is_totalled_over_all_lines_by_version_place_and_whether_prices_include_it() -> None:
    lines = (
        line(1000, 1, taxes=(tax(190, 1000), tax(70, 1000, rate=REDUCED))),
        line(2000, 2, taxes=(tax(380, 2000), tax(10, 2000, rate_version=2))),
        line(3000, 3, taxes=(tax(479, 3000, "inclusive"), tax(570, 3000, jurisdiction="AT"))),
    )
    made = document(issued(*lines))
    found = {
        (one.name, one.rate_version, one.percent, one.jurisdiction, one.behaviour): (one.base, one.amount)
        for one in made.taxes
    }
    assert found == {
        ("VAT", 1, Decimal(19), "DE", "exclusive"): (3000, 570),
        ("VAT", 1, Decimal(7), "DE", "exclusive"): (1000, 70),
        (VAT, 2, None, "DE", "exclusive"): (2000, 10),
        ("VAT", 1, Decimal(19), "AT", "exclusive"): (3000, 570),
        ("VAT", 1, Decimal(19), "DE", "inclusive"): (3000, 479),
    }
    assert made.taxes == document(issued(*lines[::-1])).taxes


def test_the_buyer_is_the_one_of_the_day_it_was_issued() -> None:
    made = document(issued(line(2900)))
    assert (made.buyer.name, made.buyer.email, made.buyer.tax_id) == (
        "Ada at the time",
        "ada@then.example",
        "GB999",
    )
    assert (made.seller.name, made.seller.tax_id) == ("Acme Inc.", "DE123456789")


def test_a_draft_has_no_number_and_names_those_who_would_be_on_it_now() -> None:
    made = document(draft(line(2900)))
    assert (made.status, made.number, made.issued_on, made.due_on) == ("draft", None, None, None)
    assert (made.buyer.name, made.seller.name) == ("Ada Lovelace", "Acme Inc.")
    assert (made.total, made.amount_due) == (2900, 0)


def test_somebody_forgotten_stays_forgotten() -> None:
    made = document(issued(line(2900), buyer_name=FORGOTTEN, buyer_email=FORGOTTEN, buyer_tax_id=FORGOTTEN))
    assert {made.buyer.name, made.buyer.email, made.buyer.tax_id} == {FORGOTTEN}
    account = replace(ACCOUNT, name=FORGOTTEN, email=FORGOTTEN)
    assert document_of(draft(line(2900)), account, BOOK).buyer.name == FORGOTTEN


def test_payments_stand_beside_the_lines() -> None:
    made = document(issued(line(2900), paid=[900, 500]))
    assert [(one.kind, one.amount) for one in made.settlements] == [("payment", 900), ("payment", 500)]
    assert (made.total, made.amount_paid, made.amount_due) == (2900, 1400, 1500)


def test_credit_stands_beside_the_lines_before_payments_by_where_it_is_from() -> None:
    applied = (
        Credit("prepaid_credit", "grant_1", 500),
        Credit("account_credit", None, 700),
        Credit("prepaid_credit", "grant_2", 100),
        Credit("prepaid_credit", "grant_2", -100),
    )
    invoice = replace(issued(line(2900), paid=[900]), credits=applied)
    made = document(invoice)
    assert [(one.kind, one.reference, one.amount) for one in made.settlements[:2]] == [
        ("prepaid_credit", "grant_1", 500),
        ("account_credit", None, 700),
    ]
    assert [one.kind for one in made.settlements[2:]] == ["payment"]
    assert (made.total, made.amount_paid, made.amount_due) == (2900, 900, 800)
    labels = [one.label for one in written(invoice).totals if one.kind == "settled"]
    assert labels[:2] == ["Prepaid credit grant_1", "Account credit"]


def test_a_void_invoice_asks_for_nothing() -> None:
    made = document(made_void(issued(line(2900))))
    assert (made.status, made.total, made.amount_due) == ("void", 2900, 0)


def test_a_line_says_what_it_costs_a_unit_what_is_taken_off_and_what_it_corrects() -> None:
    made = document(issued(*RICH_LINES))
    fee, calls, *_, unused, late = made.lines
    assert [(one.coupon, one.name, one.amount) for one in fee.discounts] == [(COUPON, "Welcome", 300)]
    assert (fee.amount, fee.exclusive_tax, fee.total) == (2900, 494, 3094)
    assert (fee.unit_amount, calls.unit_amount, calls.quantity) == (None, Decimal("0.5"), Decimal(10_000))
    assert (unused.adjusts_position, unused.adjusts_line) == (1, id_of("line", 1))
    assert (late.adjusts_position, late.adjusts_line) == (None, id_of("line", 999))
