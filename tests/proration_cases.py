"""The worked proration cases, as what the ledger takes and as bodies of the preview over HTTP."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger.coupons import Discount
from ledger.policies import BillingPolicy, policy_of
from ledger.proration_preview import Billed, Question
from ledger.proration_values import RecurringPrice

FILE = Path(__file__).parent / "cases" / "proration.toml"
EXPECTED = ("credit", "debit", "net", "tax", "total", "units", "effective_at", "next", "invoiced")
_INSTANTS = ("subscription_start", "cycle_start", "change_at", "trial_end")


@dataclass(frozen=True)
class ProrationCase:
    """One row of a case: a change of price, and what it must come to."""

    id: str
    body: dict[str, Any]
    expected: dict[str, Any]

    @property
    def policy(self) -> BillingPolicy:
        """Give the policy that the case is under."""
        return policy_of(self.body["preset"], self.body.get("policy", {})).billing

    def question(self) -> Question:
        """Give what the calculator takes."""
        told = {name: value for name, value in self.body.items() if name not in ("preset", "policy")}
        renamed = {"time_zone": "zone", "coupon": "discount"}
        fields = {renamed.get(name, name): _read(name, value) for name, value in told.items()}
        return Question(**{"zone": "UTC", **fields})


@dataclass(frozen=True)
class DiscountCase:
    """An amount off, shared among lines."""

    id: str
    preset: str
    amounts: list[int]
    discount: int
    shares: list[int]


def proration_cases() -> list[ProrationCase]:
    """Read every row of every case."""
    found = []
    for case in _file()["case"]:
        assert {"id", "source", "preset", "body", "rows"} == case.keys(), case["id"]
        for number, row in enumerate(case["rows"], 1):
            whole = {"preset": case["preset"], **case["body"], **row}
            body = {name: value for name, value in whole.items() if name not in EXPECTED}
            expected = {name: value for name, value in row.items() if name in EXPECTED}
            assert {"credit", "debit"} <= expected.keys(), case["id"]
            found.append(ProrationCase(f"{case['id']} row {number}", body, expected))
    return found


def discount_cases() -> list[DiscountCase]:
    """Read every discount."""
    return [
        DiscountCase(**{name: value for name, value in case.items() if name != "source"})
        for case in _file()["discount"]
    ]


def instant(text: str) -> datetime:
    """Read an instant."""
    return datetime.fromisoformat(text)


def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def _read(name: str, value: Any) -> Any:
    if name in _INSTANTS:
        return instant(value)
    if name in ("old", "new"):
        return RecurringPrice(**_price(value))
    if name == "last_billed":
        return Billed(**_price({"amount": value} if isinstance(value, int) else value))
    if name == "coupon":
        return _discount(value)
    return Decimal(value) if name == "tax_rate" else value


def _price(told: dict[str, Any]) -> dict[str, Any]:
    quantity = {"quantity": Decimal(told["quantity"])} if "quantity" in told else {}
    interval = {"interval": told["interval"]} if "interval" in told else {}
    return {"amount_minor": told["amount"], **interval, **quantity}


def _discount(told: dict[str, Any]) -> Discount:
    if "percent_off" in told:
        return Discount(percent_off=Decimal(told["percent_off"]))
    return Discount(amount_off_minor=told["amount_off"])
