"""The figures that other systems' pages assert come out, each under its preset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ledger.mrr_movements import roll
from ledger.policies import policy_of
from tests.mrr_story import instant, read_cases, told

SHARED = Path(__file__).parents[3] / "shared" / "data" / "cases" / "mrr.md"
CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_worked_case_comes_out(case: dict[str, Any]) -> None:
    changes = told(case).changes(policy_of(case["preset"], {}).mrr, case.get("currency"))
    assert {"movements", "mrr", "roll"} & case.keys(), "a case says what it comes to"
    if "movements" in case:
        found = [(one.account, one.kind, one.amount_minor, one.at) for one in changes if one.kind]
        assert found == [
            (account, kind, amount, instant(at)) for account, kind, amount, at in case["movements"]
        ]
    for name in ("mrr", "trial"):
        for expected in case.get(name, ()):
            (rolled,) = roll(changes, [instant("2026-01-01"), instant(expected["at"])], "USD")
            figure = rolled.closing_minor if name == "mrr" else rolled.trial_minor
            assert figure == expected["amount"], expected
    if "roll" in case:
        between = [instant(case["roll"][name]) for name in ("from", "to")]
        (rolled,) = roll(changes, between, "USD")
        figures = {"opening": rolled.opening_minor, **rolled.movements, "closing": rolled.closing_minor}
        assert figures == {name: case["roll"][name] for name in case["roll"] if name not in ("from", "to")}


@pytest.mark.skipif(not SHARED.exists(), reason="the shared cases are not on this machine")
def test_every_heading_of_the_shared_cases_is_covered() -> None:
    headings = re.findall(r"^### (\S+)", SHARED.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings
    assert set(headings) <= {case["id"].split()[0] for case in CASES}
