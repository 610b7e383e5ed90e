"""Every journal entry that the rules make balances, and says what it is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import posting
from ledger.chart import UnknownLedgerAccount
from ledger.posting import Fact, Share, is_balanced, shares_of
from ledger.streams.invoice import totals_of
from tests.examples import ADA, BOOK, example_discount, example_id, example_line, example_tax
from tests.strategies import AMOUNTS, invoice_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.events.invoice import InvoiceLine
    from ledger.events.journal import JournalEntryPosted

FACT = Fact(
    book=BOOK,
    functional_currency="USD",
    accounting_date=date(2027, 1, 31),
    economic_object=example_id("inv"),
    kind="invoice_finalized",
    account=ADA.account,
    currency="USD",
    description="invoice finalized: INV-000001",
    invoice=example_id("inv"),
    billing_entity="default",
)
PREPAID = st.integers(0, 10**12)


def balances(*entries: JournalEntryPosted | None) -> dict[str, int]:
    """Give what the entries leave on each ledger account: positive for a debit, zero ones left out."""
    sums: Counter[str] = Counter()
    for entry in entries:
        for one in entry.postings if entry else ():
            sums[one.ledger_account] += one.amount if one.side == "debit" else -one.amount
    return {code: amount for code, amount in sums.items() if amount}


def finalized(lines: Iterable[InvoiceLine], prepaid: int = 0) -> JournalEntryPosted | None:
    lines = tuple(lines)
    return posting.invoice_finalized(FACT, shares_of(lines), totals_of(lines).total - prepaid, prepaid)


def voided(lines: Iterable[InvoiceLine], prepaid: int = 0) -> JournalEntryPosted | None:
    lines = tuple(lines)
    fact = replace(FACT, kind="invoice_voided")
    return posting.invoice_voided(fact, shares_of(lines), totals_of(lines).total - prepaid, prepaid)


# -- what the rules say -----------------------------------------------------------------------------


def test_an_invoice_for_a_period_is_owed_and_not_yet_earned() -> None:
    assert balances(finalized([example_line(2900)])) == {"receivable": 2900, "deferred_revenue": -2900}


def test_an_invoice_without_a_period_is_earned_at_once() -> None:
    line = example_line(2900, with_period=False)
    assert balances(finalized([line])) == {"receivable": 2900, "revenue": -2900}


def test_exclusive_tax_is_owed_on_top_and_inclusive_tax_comes_out_of_the_amount() -> None:
    line = replace(example_line(1000), taxes=(example_tax(80), example_tax(100, "inclusive")))
    assert balances(finalized([line])) == {
        "receivable": 1080,
        "deferred_revenue": -900,
        "tax_payable": -180,
    }


def test_a_discount_is_not_revenue() -> None:
    line = replace(example_line(1000), discounts=(example_discount(300),))
    assert balances(finalized([line])) == {"receivable": 700, "deferred_revenue": -700}


def test_a_negative_total_is_credit_that_the_customer_holds() -> None:
    assert balances(finalized([example_line(-500)])) == {"customer_credit": -500, "deferred_revenue": 500}


def test_prepaid_credits_settle_what_was_sold_before() -> None:
    assert balances(finalized([example_line(1000)], prepaid=300)) == {
        "receivable": 700,
        "prepaid_credits": 300,
        "deferred_revenue": -1000,
    }


def test_what_the_lines_do_not_explain_waits_in_suspense() -> None:
    entry = posting.invoice_finalized(FACT, shares_of([example_line(400)]), 1000)
    assert balances(entry) == {"receivable": 1000, "deferred_revenue": -400, "suspense": -600}


def test_an_invoice_for_nothing_posts_nothing() -> None:
    assert finalized([]) is None
    assert finalized([example_line(0)]) is None


def test_each_line_is_posted_with_its_product_and_each_tax_with_its_jurisdiction() -> None:
    taxes = (example_tax(40), example_tax(5, jurisdiction="US-CA"), example_tax(1))
    entry = finalized([replace(example_line(1000), taxes=taxes)])
    assert entry is not None
    of_line = [one for one in entry.postings if one.line is not None]
    assert {(one.line, one.product) for one in of_line} == {(example_id("line"), example_id("prod"))}
    told = [(one.tax_jurisdiction, one.amount) for one in of_line if one.ledger_account == "tax_payable"]
    assert told == [("US-NY", 41), ("US-CA", 5)]


def test_an_entry_says_what_it_is_about() -> None:
    entry = finalized([example_line(2900)])
    assert entry is not None
    assert (entry.rule, entry.rule_version, entry.accounting_date) == (
        "invoice_finalized",
        1,
        date(2027, 1, 31),
    )
    assert (entry.economic_object, entry.account) == (example_id("inv"), ADA.account)
    for one in entry.postings:
        assert (one.account, one.invoice, one.billing_entity) == (ADA.account, example_id("inv"), "default")
        assert (one.source_object, one.functional_amount) == (example_id("inv"), one.amount)


def test_a_fact_has_one_entry_however_often_it_is_posted() -> None:
    once, again, other = finalized([example_line(1)]), finalized([example_line(2)]), voided([example_line(1)])
    assert once is not None
    assert again is not None
    assert other is not None
    assert once.entry == again.entry
    assert once.entry != other.entry


def test_an_amount_in_a_currency_without_a_rate_has_no_functional_amount_yet() -> None:
    fact = replace(FACT, functional_currency="EUR")
    entry = posting.payment_received(fact, 100, through_processor=True)
    assert entry is not None
    assert {(one.functional_amount, one.functional_currency) for one in entry.postings} == {(None, "EUR")}


@pytest.mark.parametrize(
    ("through_processor", "account", "expected"),
    [
        (True, ADA.account, {"pending_cash": 100, "receivable": -100}),
        (False, ADA.account, {"external_asset": 100, "receivable": -100}),
        (True, None, {"pending_cash": 100, "suspense": -100}),
        (False, None, {"external_asset": 100, "suspense": -100}),
    ],
)
def test_a_payment_settles_the_account_s_receivable_or_waits_in_suspense(
    through_processor: bool,  # noqa: FBT001 - a case
    account: str | None,
    expected: dict[str, int],
) -> None:
    fact = replace(FACT, kind="payment_received", account=account)
    assert balances(posting.payment_received(fact, 100, through_processor=through_processor)) == expected


def test_credit_that_the_customer_held_settles_part_of_an_invoice() -> None:
    used = posting.customer_balance_applied(FACT, 300)
    owed = posting.customer_balance_applied(FACT, -300)
    assert balances(used) == {"customer_credit": 300, "receivable": -300}
    assert balances(used, owed) == {}
    assert posting.customer_balance_applied(FACT, 0) is None


def test_an_entry_that_does_not_balance_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="does not balance"):
        posting._entry(FACT, "payment_received", [posting._posting(FACT, "receivable", 1)])


def test_a_posting_on_an_account_that_is_not_in_the_chart_is_refused() -> None:
    share = Share(line=None, product=None, revenue_account="pocket", deferred=False, net=1, tax=0)
    with pytest.raises(UnknownLedgerAccount):
        posting.invoice_finalized(FACT, [share], 1)


def test_an_entry_balances_in_each_currency_by_itself_and_in_the_functional_one() -> None:
    debit = posting._posting(FACT, "receivable", 100)
    credit = posting._posting(FACT, "revenue", -100)
    assert is_balanced([debit, credit])
    assert not is_balanced([debit, replace(credit, currency="EUR")])
    assert not is_balanced([debit, replace(credit, functional_amount=99)])
    assert not is_balanced([debit, credit, debit])


# -- whatever the invoice ---------------------------------------------------------------------------


@given(invoice_lines(), PREPAID)
def test_debits_equal_credits_whatever_the_invoice(lines: tuple[InvoiceLine, ...], prepaid: int) -> None:
    for entry in (finalized(lines, prepaid), voided(lines, prepaid)):
        assert sum(balances(entry).values()) == 0
        assert all(one.amount > 0 for one in (entry.postings if entry else ()))


@given(invoice_lines(), AMOUNTS, PREPAID)
def test_debits_equal_credits_when_the_lines_do_not_explain_the_total(
    lines: tuple[InvoiceLine, ...], total: int, prepaid: int
) -> None:
    shares = shares_of(lines)
    for rule in (posting.invoice_finalized, posting.invoice_voided):
        assert sum(balances(rule(FACT, shares, total, prepaid)).values()) == 0


@given(invoice_lines(), PREPAID)
def test_nothing_of_an_invoice_of_ours_waits_in_suspense(
    lines: tuple[InvoiceLine, ...], prepaid: int
) -> None:
    assert "suspense" not in balances(finalized(lines, prepaid))


@given(invoice_lines(), PREPAID)
def test_what_an_invoice_asks_for_is_owed_or_held(lines: tuple[InvoiceLine, ...], prepaid: int) -> None:
    left = balances(finalized(lines, prepaid))
    total = totals_of(lines).total - prepaid
    assert left.get("receivable", 0) == max(0, total)
    assert left.get("customer_credit", 0) == min(0, total)
    assert left.get("tax_payable", 0) == -totals_of(lines).tax_total


@given(invoice_lines(), PREPAID)
def test_an_invoice_finalized_and_made_void_leaves_nothing_anywhere(
    lines: tuple[InvoiceLine, ...], prepaid: int
) -> None:
    left = balances(finalized(lines, prepaid), voided(lines, prepaid))
    # What was earned at once is taken back on its own ledger account, so that a report shows both.
    assert left.keys() <= {"revenue", "voids"}
    assert sum(left.values()) == 0


@given(invoice_lines().map(lambda lines: [line for line in lines if line.service_from is not None]))
def test_an_invoice_not_yet_earned_and_made_void_leaves_every_ledger_account_at_zero(
    lines: list[InvoiceLine],
) -> None:
    assert balances(finalized(lines), voided(lines)) == {}
