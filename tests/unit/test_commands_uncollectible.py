"""Invoices that are given up: what the books say of it, and of what is paid or made void all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import InvoiceNotOpen, Overpayment
from ledger.events.invoice import InvoiceMarkedUncollectible
from ledger.events.journal import JournalEntryPosted
from ledger.posting import Share, bad_debt_in, parts_of
from tests.note_shop import NoteShop, left_by, line, note_shop

if TYPE_CHECKING:
    from fractions import Fraction

NOW = datetime(2027, 1, 15, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


@pytest.fixture
def shop() -> NoteShop:
    return note_shop(now=NOW)


def last_entry(shop: NoteShop) -> dict[str, int]:
    return left_by(shop.of(JournalEntryPosted)[-1:])


def test_what_was_earned_becomes_bad_debt_and_the_rest_is_no_longer_deferred(shop: NoteShop) -> None:
    earned, deferred = line(1700), line(1400, service_from=NOW, service_to=LATER)
    invoice = shop.give_up(shop.invoiced(earned, deferred))
    assert (invoice.status, invoice.amount_due, invoice.uncollectible_reason) == (
        "uncollectible",
        3100,
        "gone",
    )
    assert last_entry(shop) == {"bad_debt": 1700, "deferred_revenue": 1400, "receivable": -3100}
    assert shop.of(InvoiceMarkedUncollectible)[0].amount == 3100
    assert shop.books() == {"revenue": -1700, "bad_debt": 1700}


def test_only_what_is_still_asked_for_is_given_up_each_share_in_proportion(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000, shop.tax("20")), line(800, service_from=NOW, service_to=LATER))
    shop.pay(invoice, 1000)
    shop.give_up(invoice)
    assert last_entry(shop) == {
        "bad_debt": 500,
        "tax_payable": 100,
        "deferred_revenue": 400,
        "receivable": -1000,
    }


def test_credit_notes_before_leave_less_to_give_up(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000), line(800, service_from=NOW, service_to=LATER))
    shop.credit(invoice, (invoice.draft.lines[1].line, None))
    shop.give_up(invoice)
    assert last_entry(shop) == {"bad_debt": 1000, "receivable": -1000}


def test_giving_up_twice_changes_nothing_and_what_asks_for_nothing_is_not_given_up(shop: NoteShop) -> None:
    invoice = shop.give_up(shop.invoiced(line(5)))
    before = len(shop.log.recorded)
    assert shop.give_up(invoice).status == "uncollectible"
    assert len(shop.log.recorded) == before
    void = shop.void(shop.invoiced(line(5)))
    for other in (shop.drafted(line(5)), void, shop.invoiced(line(0))):
        with pytest.raises(InvoiceNotOpen):
            shop.give_up(other)


def test_what_is_paid_all_the_same_undoes_the_bad_debt_first_and_is_then_recovered(shop: NoteShop) -> None:
    invoice = shop.give_up(shop.invoiced(line(300), line(700, service_from=NOW, service_to=LATER)))
    shop.pay(invoice, 200, "stripe")
    assert last_entry(shop) == {"pending_cash": 200, "bad_debt": -200}
    assert shop.pay(invoice, 150).status == "uncollectible"
    assert last_entry(shop) == {"external_asset": 150, "bad_debt": -100, "recoverables": -50}
    with pytest.raises(Overpayment):
        shop.pay(invoice, 651)
    assert shop.pay(invoice, 650).status == "paid"
    assert shop.books() == {"pending_cash": 200, "external_asset": 800, "revenue": -300, "recoverables": -700}


def test_an_invoice_that_was_given_up_is_made_void_and_what_was_bad_debt_is_a_void(shop: NoteShop) -> None:
    invoice = shop.give_up(shop.invoiced(line(300), line(700, service_from=NOW, service_to=LATER)))
    shop.void(invoice)
    assert last_entry(shop) == {"receivable": 1000, "bad_debt": -300, "deferred_revenue": -700}
    assert shop.books() == {"revenue": -300, "voids": 300}


def test_credit_that_settled_part_of_it_comes_back_when_it_is_made_void(shop: NoteShop) -> None:
    before = shop.invoiced(line(400))
    shop.pay(before, 400)
    shop.credit(before)
    invoice = shop.give_up(shop.invoiced(line(1000)))
    assert invoice.written_off == 600
    shop.void(invoice)
    assert shop.credit_held == 400
    assert shop.books() == {
        "external_asset": 400,
        "revenue": -1400,
        "credit_notes": 400,
        "voids": 1000,
        "customer_credit": -400,
    }


SHARES = st.lists(
    st.builds(
        Share,
        line=st.none(),
        product=st.none(),
        revenue_account=st.just("revenue"),
        deferred=st.booleans(),
        net=st.integers(0, 10_000),
        tax=st.integers(0, 2_000),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=200, print_blob=True)
@given(shares=SHARES, part=st.fractions(0, 1))
def test_the_parts_of_shares_add_up_and_none_is_more_than_its_share(
    shares: list[Share], part: Fraction
) -> None:
    whole = sum(one.net + one.tax for one in shares)
    amount = int(whole * part)
    if not whole:
        return
    parts = parts_of(shares, amount)
    assert sum(one.net + one.tax for one in parts) == amount
    for share, found in zip(shares, parts, strict=True):
        assert 0 <= found.net <= share.net
        assert 0 <= found.tax <= share.tax
    assert parts_of(shares, whole) == shares
    assert 0 <= bad_debt_in(shares, amount) <= sum(one.net for one in shares if not one.deferred)
