"""Coupons, taxes and minimums over the invoices of a subscription in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from ledger.streams.coupon import CouponTwice, NoAmountInCurrency
from tests.examples import charge, fee
from tests.memory_shop import open_shop, told

if TYPE_CHECKING:
    from typing import Any

    from tests.memory_shop import Shop

JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC)
MAY = datetime(2027, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def shop() -> Shop:
    return open_shop()


def pro(shop: Shop, amount: int = 3100, **more: Any) -> str:
    return shop.plan("Pro", fees=(fee(amount),), **more)


def totals(shop: Shop) -> list[int]:
    return [one.header.total if one.header else -1 for one in shop.invoices()]


# -- coupons ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"duration": "once"}, [1550, 3100, 3100, 3100, 3100]),
        ({"duration": "repeating", "periods": 2}, [1550, 1550, 3100, 3100, 3100]),
        ({"duration": "forever"}, [1550] * 5),
    ],
)
def test_a_coupon_is_taken_off_once_several_times_or_for_ever(
    shop: Shop, terms: dict[str, Any], expected: list[int]
) -> None:
    shop.subscribe(pro(shop), coupon=shop.coupon(percent_off=Decimal(50), **terms))
    shop.advance_to(MAY)
    assert totals(shop) == expected


def test_a_trial_does_not_use_a_coupon_up(shop: Shop) -> None:
    shop.subscribe(pro(shop), trial_days=10, coupon=shop.coupon(percent_off=Decimal(50)))
    shop.advance_to(FEBRUARY + 20 * DAY)
    assert totals(shop) == [1550, 3100]


def test_an_amount_off_is_never_more_than_the_invoice(shop: Shop) -> None:
    shop.subscribe(pro(shop), coupon=shop.coupon(amounts_off={"USD": 5000}))
    shop.advance_to(FEBRUARY)
    assert totals(shop) == [0, 3100]
    assert shop.invoices()[0].status == "paid"


def test_coupons_are_taken_off_one_after_the_other(shop: Shop) -> None:
    shop.subscribe(pro(shop), coupon=shop.coupon("HALF", percent_off=Decimal(50)))
    shop.redeem(shop.coupon("TENNER", amounts_off={"USD": 1000}, duration="forever"))
    shop.redeem(shop.coupon("FIFTH", percent_off=Decimal(20), duration="forever"))
    shop.advance_to(FEBRUARY)
    assert totals(shop) == [1550, (3100 - 1000) * 4 // 5]


def test_a_coupon_for_a_plan_or_a_meter_is_taken_off_it_alone(shop: Shop) -> None:
    shop.subscribe(pro(shop, charges=(charge(1),)))
    extra = shop.plan("Extra", fees=(fee(310),))
    shop.add(extra)
    shop.redeem(shop.coupon("EXTRA", percent_off=Decimal(100), plans=(extra,), duration="forever"))
    shop.redeem(shop.coupon("CALLS", percent_off=Decimal(50), meters=("api_calls",), duration="forever"))
    shop.use(100)
    shop.advance_to(FEBRUARY)
    invoice = shop.invoices()[1]
    off = [(one.description, [share.amount for share in one.discounts]) for one in invoice.draft.lines]
    assert off == [("Base", []), ("Base", [310]), ("Remaining time on Extra", [310]), ("Calls", [50])]


def test_a_coupon_twice_or_in_no_currency_of_the_subscription_is_refused(shop: Shop) -> None:
    shop.subscribe(pro(shop), coupon=shop.coupon(percent_off=Decimal(50)))
    with pytest.raises(CouponTwice):
        shop.redeem("WELCOME")
    with pytest.raises(NoAmountInCurrency):
        shop.redeem(shop.coupon("EURO", amounts_off={"EUR": 100}))


def test_nobody_gets_more_back_than_was_paid(shop: Shop) -> None:
    shop.subscribe(pro(shop), coupon=shop.coupon(percent_off=Decimal(100)))
    shop.cancel()
    assert totals(shop) == [0, 0]
    assert [share.amount for share in shop.lines()[1].discounts] == [-3100]


@pytest.mark.parametrize("at_once", [True, False])
def test_an_upgrade_under_a_coupon_costs_the_difference_less_the_coupon(shop: Shop, *, at_once: bool) -> None:
    shop.subscribe(pro(shop), coupon=shop.coupon(percent_off=Decimal(50), duration="forever"))
    team = pro(shop, 6200)
    shop.at(JANUARY + 21 * DAY).change(plan=team, at_once=at_once)
    shop.change(plan=pro(shop), at_once=at_once)
    shop.advance_to(FEBRUARY)
    assert totals(shop) == ([1550, 500, -500, 1550] if at_once else [1550, 1550])


# -- taxes ------------------------------------------------------------------------------------------


def test_taxes_are_on_top_or_within(shop: Shop) -> None:
    vat, within = shop.tax("19"), shop.tax("19", "inclusive")
    shop.subscribe(shop.plan("Pro", fees=(fee(1000), fee(1190, "b", tax_rates=(within,))), tax_rates=(vat,)))
    (invoice,) = shop.invoices()
    assert [[tax.amount for tax in line.taxes] for line in invoice.draft.lines] == [[190], [190]]
    header = invoice.header
    assert header is not None
    assert (header.subtotal, header.tax_total, header.total) == (2190, 380, 2380)


def test_several_rates_hold_for_one_line(shop: Shop) -> None:
    state, city = shop.tax("5", jurisdiction="US-NY"), shop.tax("2.5", jurisdiction="US-NY-NYC")
    shop.subscribe(pro(shop, 1010, tax_rates=(state, city)))
    (line,) = shop.lines()
    assert [(tax.jurisdiction, tax.amount) for tax in line.taxes] == [("US-NY", 51), ("US-NY-NYC", 25)]


def test_a_change_is_taxed_as_the_fees_it_is_of(shop: Shop) -> None:
    reduced = shop.tax("10")
    shop.subscribe(shop.plan("Pro", fees=(fee(3100, tax_rates=(reduced,)),)))
    changed = shop.at(JANUARY + 21 * DAY).change(plan=pro(shop, 6200), at_once=True)
    assert told(changed.invoice) == [("Unused time on Pro", -1000), ("Remaining time on Pro", 2000)]
    taxes = [[tax.amount for tax in line.taxes] for line in shop.invoices()[1].draft.lines]
    assert taxes == [[-100], []]


# -- minimums ---------------------------------------------------------------------------------------


def test_a_minimum_is_asked_for_each_period_and_for_part_of_the_last_one(shop: Shop) -> None:
    shop.subscribe(shop.plan("Usage", charges=(charge(1, minimums={"USD": 3100}),)))
    shop.use(1000)
    shop.advance_to(FEBRUARY)
    shop.at(FEBRUARY + 14 * DAY).cancel()
    assert [told(one) for one in shop.invoices()] == [
        [("Calls", 1000), ("Calls, minimum", 2100)],
        [("Calls, minimum", 1550)],
    ]


def test_late_usage_is_not_asked_for_on_top_of_a_minimum(shop: Shop) -> None:
    shop.subscribe(shop.plan("Usage", charges=(charge(1, minimums={"USD": 3100}),)))
    shop.use(1000)
    shop.advance_to(FEBRUARY)
    shop.use(500, occurred_at=JANUARY + DAY)
    shop.use(5000)
    shop.advance_to(datetime(2027, 3, 1, tzinfo=UTC))
    assert told(shop.invoices()[1]) == [
        ("Calls", 5000),
        ("Calls, usage that came late", 500),
        ("Calls, minimum", -500),
    ]


def test_a_trial_asks_for_no_minimum(shop: Shop) -> None:
    shop.subscribe(shop.plan("Usage", charges=(charge(1),), minimums={"USD": 3100}), trial_days=31)
    shop.advance_to(FEBRUARY)
    assert shop.invoices() == []
