"""The numbers that other billing systems' tests and pages assert come out, each under its preset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ledger.coupons import share_discount
from ledger.policies import PRESETS
from ledger.proration_preview import preview
from tests.proration_cases import (
    DiscountCase,
    ProrationCase,
    discount_cases,
    instant,
    proration_cases,
)

SHARED = Path(__file__).parents[3] / "shared" / "data" / "cases" / "proration.md"
CASES = proration_cases()
DISCOUNTS = discount_cases()
AMOUNTS = ("credit", "debit", "net", "tax", "total")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_worked_case_comes_out(case: ProrationCase) -> None:
    found = preview(case.question(), case.policy)
    expected = case.expected
    amounts = {name: getattr(found, f"{name}_minor") for name in AMOUNTS}
    assert amounts == {**amounts, **{name: expected[name] for name in AMOUNTS if name in expected}}
    if "units" in expected:
        whole, *units = expected["units"]
        assert [one.units for one in found.segments] == units
        assert found.segments[0].whole_units == whole
    if "effective_at" in expected:
        assert found.effective_at == instant(expected["effective_at"])
    if "next" in expected:
        assert found.next_period is not None
        following = [found.next_period.start, found.next_period.end]
        assert following == [instant(one) for one in expected["next"]]
    if "invoiced" in expected:
        assert found.invoiced == expected["invoiced"]


@pytest.mark.parametrize("case", DISCOUNTS, ids=lambda case: case.id)
def test_a_worked_discount_is_shared_out(case: DiscountCase) -> None:
    policy = PRESETS[case.preset].billing
    assert list(share_discount(case.amounts, case.discount, policy)) == case.shares


@pytest.mark.skipif(not SHARED.exists(), reason="the shared cases are not on this machine")
def test_every_heading_of_the_shared_cases_is_covered() -> None:
    text = SHARED.read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (\S+)", text, re.MULTILINE)) - {"P"}
    rows = set(re.findall(r"^\| (P\d+) \|", text, re.MULTILINE))
    assert headings
    assert rows
    ids = [case.id for case in CASES] + [case.id for case in DISCOUNTS]
    assert headings | rows <= {one.split()[0] for one in ids}
