"""Worked cases of invoices and credit notes, as whole flows through the commands under their preset."""

from __future__ import annotations

import re
import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ledger.events.plan import RecurringFee, UsageCharge
from ledger.prices import Price
from ledger.streams.invoice import totals_of
from tests.acme import known
from tests.note_shop import check_notes, note_shop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.events.invoice import InvoiceLine
    from ledger.streams.invoice import Invoice
    from tests.note_shop import NoteShop

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = tomllib.loads(
    (HERE.parent / "cases" / "invoices.toml").read_text(encoding="utf-8")
)["case"]
SHARED = HERE.parents[2] / "shared" / "data" / "cases" / "invoices.md"


def of_kind(kind: str) -> pytest.MarkDecorator:
    cases = [case for case in CASES if case["kind"] == kind]
    return pytest.mark.parametrize("case", cases, ids=[case["id"] for case in cases])


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@of_kind("flow")
def test_what_is_invoiced_and_given_back_comes_out(case: dict[str, Any]) -> None:
    shop = note_shop(case["preset"], now=instant(case["steps"][0]["at"]))
    for step in case["steps"]:
        known_notes = len(shop.notes)
        billed = take(shop.at(instant(step["at"])), case, step)
        lines = () if billed.invoice is None else known(billed.invoice).draft.lines
        assert [line.amount for line in lines] == step.get("fees", [])
        assert tax_of(lines) == step.get("tax", 0)
        found = [[one.net_total, one.tax_total, one.total] for one in shop.notes[known_notes:]]
        assert found == step.get("notes", [])
        check_notes(shop)


def take(shop: Any, case: dict[str, Any], step: dict[str, Any]) -> Any:
    """Take a step: what is due, or a plan for the first time, another plan, or none any more."""
    if step.get("due"):
        return shop.advance()
    if "plan" not in step:
        return shop.cancel()
    plan = shop.fees(step["plan"], tax=case.get("tax"), interval=case.get("interval", "month"))
    if shop.subscription:
        return shop.change(plan=plan)
    return shop.subscribe(plan, calendar=case.get("calendar", False), trial_days=case.get("trial_days"))


@of_kind("coupon")
def test_a_coupon_is_spread_and_tax_is_on_what_it_leaves(case: dict[str, Any]) -> None:
    invoice = invoice_of_parts(note_shop(case["preset"]), case)
    lines = sorted(invoice.draft.lines, key=lambda line: case["amounts"].index(line.amount))
    assert [line.amount for line in lines] == case["amounts"]
    assert [sum(share.amount for share in line.discounts) for line in lines] == case["shares"]
    assert [tax_of([line]) for line in lines] == case["taxes"]
    totals = totals_of(invoice.draft.lines)
    assert case["totals"] == {
        "fees": totals.subtotal,
        "coupons": totals.discount_total,
        "tax": totals.tax_total,
        "total": totals.total,
    }


def invoice_of_parts(shop: NoteShop, case: dict[str, Any]) -> Invoice:
    """Bill a period of fees in arrears, each under a tax of its own, and of a usage charge with a minimum."""
    (*fees, (usage, usage_tax)), (minimum, _) = case["lines"], case["minimum"]
    parts = tuple(
        RecurringFee(
            code=f"fee{number}",
            name=f"Fee {number}",
            amounts={"USD": amount},
            timing="arrears",
            tax_rates=(shop.tax(str(percent)),),
        )
        for number, (amount, percent) in enumerate(fees, 1)
    )
    charge = UsageCharge(
        code="calls",
        name="Calls",
        meter="api_calls",
        prices={"USD": Price(model="per_unit", currency="USD", unit_amount=Decimal(1))},
        minimums={"USD": minimum},
        tax_rates=(shop.tax(str(usage_tax)),),
    )
    plan = shop.plan(fees=parts, charges=(charge,))
    coupon = shop.coupon(amounts_off={"USD": case["coupon"]})
    shop.subscribe(plan, coupon=coupon)
    shop.use(usage)
    shop.at(shop.state.period.ends_at)  # type: ignore[union-attr]  # it has begun
    billed = shop.advance()
    invoice: Invoice = known(billed.invoice)
    return invoice


def tax_of(lines: Iterable[InvoiceLine]) -> int:
    """Add up the taxes of lines."""
    return sum(tax.amount for line in lines for tax in line.taxes)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared cases are not on this machine")
def test_every_heading_of_the_shared_cases_is_covered() -> None:
    headings = set(re.findall(r"^### (\S+)", SHARED.read_text(encoding="utf-8"), re.MULTILINE))
    assert headings
    assert headings <= {case["id"].split()[0] for case in CASES}
