"""The default chart of accounts is complete, and each line's side follows from what it is."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from ledger.chart import (
    DEFAULT_CHART,
    NORMAL_SIDES,
    Category,
    LedgerAccount,
    UnknownLedgerAccount,
    ledger_account,
    natural_balance,
)

DEBIT_NATURAL = {
    "asset": "receivable unbilled_receivable pending_cash cash_at_processor bank external_asset",
    "contra_revenue": "refunds credit_notes voids unbilled_voids disputes bad_debt balance_adjustments",
    "expense": "fx_loss processor_fees pass_through_fees dispute_fees transfer_loss other_loss",
}
CREDIT_NATURAL = {
    "liability": "deferred_revenue tax_payable customer_credit external_customer_credit prepaid_credits "
    "suspense",
    "equity": "retained_earnings",
    "revenue": "revenue breakage_revenue",
    "other_income": "recoverables fx_gain",
}


@pytest.mark.parametrize(("side", "table"), [("debit", DEBIT_NATURAL), ("credit", CREDIT_NATURAL)])
def test_each_default_has_its_category_and_normal_side(side: str, table: dict[str, str]) -> None:
    for category, codes in table.items():
        for code in codes.split():
            account = ledger_account(code)
            assert (account.code, account.category, account.normal_side) == (code, category, side)


def test_the_default_chart_holds_these_thirty_and_no_more() -> None:
    listed = " ".join([*DEBIT_NATURAL.values(), *CREDIT_NATURAL.values()]).split()
    assert sorted(listed) == sorted(DEFAULT_CHART)
    assert len(listed) == 30


def test_every_category_has_a_normal_side_and_a_default() -> None:
    assert set(NORMAL_SIDES) == set(get_args(Category))
    assert {account.category for account in DEFAULT_CHART.values()} == set(NORMAL_SIDES)


def test_codes_are_snake_case_and_every_account_says_what_it_means() -> None:
    for code, account in DEFAULT_CHART.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert account.meaning


@pytest.mark.parametrize("code", ["", "Receivable", "cash", "x" * 10_000])
def test_an_unknown_ledger_account_is_refused(code: str) -> None:
    with pytest.raises(UnknownLedgerAccount) as refused:
        ledger_account(code)
    assert refused.value.code == "unknown_ledger_account"
    assert len(str(refused.value)) < 200


def test_a_book_may_bring_its_own_chart() -> None:
    own = LedgerAccount("allowance", "asset", "credit", "receivables we expect to lose")
    assert ledger_account("allowance", {**DEFAULT_CHART, "allowance": own}) is own
    assert natural_balance(own, 10, 30) == 20


def test_a_balance_is_positive_on_the_normal_side() -> None:
    assert natural_balance(ledger_account("receivable"), 2900, 900) == 2000
    assert natural_balance(ledger_account("revenue"), 100, 2900) == 2800
