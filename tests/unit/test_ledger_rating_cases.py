"""The numbers that other billing systems' tests and pages assert come out, each under its preset."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from ledger.money import round_half_away
from ledger.prices import checked_price
from ledger.rating import rate
from tests.rating_cases import RatingCase, rating_cases

SHARED = Path(__file__).parents[3] / "shared" / "data" / "cases" / "rating.md"
CASES = rating_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_worked_case_comes_out(case: RatingCase) -> None:
    price, usage, conventions = case.as_ledger()
    rated = rate(checked_price(price), usage, conventions)
    expected = case.expected
    assert rated.exact == Fraction(expected["exact"])
    assert rated.amount == expected.get("amount", round_half_away(Fraction(expected["exact"])))
    if "effective" in expected:
        digits = Decimal(expected["effective"])
        assert rated.effective_unit_amount.quantize(digits, ROUND_HALF_UP) == digits
    if "lines" in expected:
        lines = [(line.kind, line.amount) for line in rated.lines]
        assert lines == [(kind, Fraction(amount)) for kind, amount in expected["lines"]]
    if "with_tax" in expected:
        tax = round_half_away(rated.amount * Fraction(expected["tax_rate"]) / 100)
        assert rated.amount + tax == expected["with_tax"]


@pytest.mark.skipif(not SHARED.exists(), reason="the shared cases are not on this machine")
def test_every_heading_of_the_shared_cases_is_covered() -> None:
    headings = re.findall(r"^### (\S+)", SHARED.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings
    assert set(headings) <= {case.id.split()[0] for case in CASES}
