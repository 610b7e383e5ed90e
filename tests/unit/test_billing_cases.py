"""Cases from other systems' tests and pages, played as whole flows under the preset of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.acme import known
from tests.examples import charge, fee
from tests.memory_shop import open_shop

if TYPE_CHECKING:
    from commands.subscriptions import Billed
    from tests.memory_shop import Shop


def sides(billed: Billed) -> list[tuple[int, int]]:
    """Give what was credited and charged, each as its amount and its tax: by notes first, then by lines."""
    notes = [known(note).issued for note in billed.credit_notes]
    lines = [] if billed.invoice is None else known(billed.invoice).draft.lines
    return [
        *((-note.net_total, -note.tax_total) for note in notes),
        *((line.amount, sum(tax.amount for tax in line.taxes)) for line in lines),
    ]


def plan(shop: Shop, amount: int, percent: str | None = None, interval: str = "month") -> str:
    rates = () if percent is None else (shop.tax(percent),)
    return shop.plan(f"Plan of {amount}", interval=interval, fees=(fee(amount, tax_rates=rates),))


# D1: a coupon spread over lines of different taxes, one of them what tops a charge up to its minimum.


@pytest.mark.parametrize(
    ("off", "coupons", "taxes", "total"),
    [(1000, [500, 250, 150, 100], [950, 0, 570, 380], 20_900), (20_001, None, [0, 0, 0, 0], 0)],
)
def test_d1_a_coupon_over_lines_with_different_taxes(
    off: int, coupons: list[int] | None, taxes: list[int], total: int
) -> None:
    shop = open_shop("lago")
    ten, none, twenty = (shop.tax(percent) for percent in ("10", "0", "20"))
    charges = (
        charge(1, "a", "meter_a", tax_rates=(ten,)),
        charge(1, "b", "meter_b", tax_rates=(none,)),
        charge(1, "c", "meter_c", tax_rates=(twenty,), minimums={"USD": 5000}),
    )
    shop.subscribe(shop.plan("Usage", charges=charges), coupon=shop.coupon(amounts_off={"USD": off}))
    for meter, quantity in (("meter_a", 10_000), ("meter_b", 5_000), ("meter_c", 3_000)):
        shop.use(quantity, meter=meter)
    shop.advance_to(datetime(2027, 2, 1, tzinfo=UTC))
    (invoice,) = shop.invoices()
    lines = invoice.draft.lines
    assert [line.amount for line in lines] == [10_000, 5_000, 3_000, 2_000]
    if coupons is not None:
        assert [sum(share.amount for share in line.discounts) for line in lines] == coupons
    assert [sum(tax.amount for tax in line.taxes) for line in lines] == taxes
    assert invoice.header is not None
    header = invoice.header
    assert (header.subtotal, header.discount_total) == (20_000, min(off, 20_000))
    assert (header.tax_total, header.total) == (sum(taxes), total)


# B7: what is credited where a subscription is cancelled on its first day, tax included.


@pytest.mark.parametrize(
    ("amount", "percent", "net", "tax", "total"),
    [(20_000, "25", 19_333, 4_833, 24_166), (16_000, "25", 15_467, 3_867, 19_334)],
)
def test_b7_a_month_that_is_cancelled_on_its_first_day(
    amount: int, percent: str, net: int, tax: int, total: int
) -> None:
    shop = open_shop("lago", datetime(2025, 9, 8, 9, tzinfo=UTC))
    shop.subscribe(plan(shop, amount, percent))
    final = shop.at(shop.now + timedelta(hours=3)).cancel()
    assert sides(final) == [(-net, -tax)]
    (note,) = final.credit_notes
    assert (known(note).issued.total, final.invoice) == (total, None)


def test_b7_a_week_that_is_cancelled_on_its_first_day() -> None:
    shop = open_shop("lago", datetime(2025, 10, 6, 9, tzinfo=UTC))
    first = shop.subscribe(plan(shop, 2999, "23.33", "week"), calendar=True)
    assert sides(first) == [(2999, 700)]
    final = shop.at(shop.now + timedelta(hours=3)).cancel()
    assert sides(final) == [(-2571, -600)]
    (note,) = final.credit_notes
    assert known(note).issued.total == 3171


# B1 and B2: two upgrades on one day.


@pytest.mark.parametrize(
    ("calendar", "first", "upgrades"),
    [
        (True, 871, [[(-645, -161), (968, 242)], [(-968, -242), (1226, 307)]]),
        (False, 1000, [[(-774, -194), (1161, 290)], [(-1161, -290), (1471, 368)]]),
    ],
)
def test_b1_and_b2_two_upgrades_on_one_day(
    first: int, upgrades: list[list[tuple[int, int]]], *, calendar: bool
) -> None:
    shop = open_shop("lago", datetime(2024, 3, 5, 12, 12, tzinfo=UTC))
    plans = [plan(shop, amount, "25") for amount in (1000, 1500, 1900)]
    (line,) = known(shop.subscribe(plans[0], calendar=calendar).invoice).draft.lines
    assert line.amount == first
    second = shop.at(datetime(2024, 3, 12, 12, 12, tzinfo=UTC)).change(plan=plans[1])
    third = shop.at(datetime(2024, 3, 12, 13, 12, tzinfo=UTC)).change(plan=plans[2])
    assert [sides(second), sides(third)] == upgrades


# C1: a trial, and then the rest of a calendar month.


@pytest.mark.parametrize(
    ("start", "amounts"),
    [
        (datetime(2024, 3, 5, 12, 12, tzinfo=UTC), [2_741_935, 5_000_000]),
        (datetime(2024, 3, 22, tzinfo=UTC), [5_000_000]),
    ],
)
def test_c1_a_trial_before_the_rest_of_a_month(start: datetime, amounts: list[int]) -> None:
    shop = open_shop("lago", start)
    shop.subscribe(plan(shop, 5_000_000), calendar=True, trial_days=10)
    shop.advance_to(datetime(2024, 4, 2, tzinfo=UTC))
    assert [line.amount for line in shop.lines()] == amounts


# B9: four plans within a month, whose entries wait for the next invoice.


def test_b9_several_changes_within_a_month() -> None:
    shop = open_shop("polar", datetime(2025, 6, 1, tzinfo=UTC))
    plans = [plan(shop, amount) for amount in (10_000, 20_000, 30_000, 40_000)]
    shop.subscribe(plans[0])
    for day, wanted in ((7, plans[1]), (13, plans[2]), (19, plans[3])):
        assert shop.at(datetime(2025, 6, day, tzinfo=UTC)).change(plan=wanted).invoice is None
    found = [one.amount for one in shop.state.pending]
    assert found == [-8000, 16_000, -12_000, 18_000, -12_000, 16_000]
    shop.advance_to(datetime(2025, 7, 1, tzinfo=UTC))
    assert [line.amount for line in shop.invoices()[1].draft.lines] == [40_000, *found]


# P1 and P2: prorations at half a period, and after a change without them.


def test_p1_a_change_at_half_a_period() -> None:
    shop = open_shop(now=datetime(2027, 4, 1, tzinfo=UTC))
    shop.subscribe(plan(shop, 1000))
    changed = shop.at(datetime(2027, 4, 16, tzinfo=UTC)).change(plan=plan(shop, 2000), at_once=True)
    assert sides(changed) == [(-500, 0), (1000, 0)]


@pytest.mark.parametrize(("base", "credit"), [("current_price", -667), ("last_billed_price", -333)])
def test_p2_a_downgrade_after_an_upgrade_without_proration(base: str, credit: int) -> None:
    shop = open_shop(now=datetime(2027, 4, 1, tzinfo=UTC), credit_base=base)
    ten, twenty = plan(shop, 1000), plan(shop, 2000)
    shop.subscribe(ten)
    shop.at(datetime(2027, 4, 11, tzinfo=UTC)).change(plan=twenty, prorates=False)
    changed = shop.at(datetime(2027, 4, 21, tzinfo=UTC)).change(plan=ten, at_once=True)
    assert sides(changed) == [(credit, 0), (333, 0)]
