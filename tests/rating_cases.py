"""The worked rating cases, as what the ledger takes and as bodies of the preview over HTTP."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger.policies import policy_of
from ledger.prices import Price, Tier
from ledger.rating import RatingConventions, Usage

FILE = Path(__file__).parent / "cases" / "rating.toml"
_EXPECTED = ("exact", "amount", "effective", "lines", "tax_rate", "with_tax")
_COMMITMENTS = ("min_amount", "max_amount")


@dataclass(frozen=True)
class RatingCase:
    """One row of a case: its price, its usage, and what it must come to."""

    id: str
    price: dict[str, Any]
    asked: dict[str, Any]
    expected: dict[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """Give the body of a preview."""
        return {"price": self.price, **self.asked}

    def as_ledger(self) -> tuple[Price, Usage, RatingConventions]:
        """Give what rating takes."""
        tiers = tuple(Tier(**_numbers(tier)) for tier in self.price.get("tiers", ()))
        beside = {name: self.asked[name] for name in _COMMITMENTS if name in self.asked}
        price = Price(**_numbers({**self.price, **beside, "tiers": tiers}))
        usage = {
            name: value
            for name, value in self.asked.items()
            if name not in ("preset", "policy", *_COMMITMENTS)
        }
        conventions = policy_of(self.asked["preset"], self.asked.get("policy", {})).rating
        return price, Usage(**_numbers(usage)), conventions


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    texts = ("model", "currency", "line_position")
    return {name: value if name in texts else _number(value) for name, value in fields.items()}


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(item) for item in value]
    return Decimal(value) if isinstance(value, str) else value


def rating_cases() -> list[RatingCase]:
    """Read every row of every case."""
    found = []
    for case in tomllib.loads(FILE.read_text(encoding="utf-8"))["case"]:
        assert {"id", "source", "preset", "price", "rows"} == case.keys(), case["id"]
        for number, row in enumerate(case["rows"], 1):
            asked = {"preset": case["preset"], **{k: v for k, v in row.items() if k not in _EXPECTED}}
            expected = {k: v for k, v in row.items() if k in _EXPECTED}
            found.append(RatingCase(f"{case['id']} row {number}", case["price"], asked, expected))
    return found
