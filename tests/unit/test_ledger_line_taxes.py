"""Coupons and taxes on an invoice's lines: shares that add up, and credits that give back no more."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events.coupon import CouponTerms
from ledger.events.invoice import DiscountShare, LineUsage
from ledger.events.subscription import CouponApplied
from ledger.line_taxes import discounted, taxed
from ledger.policies import LAGO, STRIPE
from ledger.streams.invoice import Totals, totals_of
from ledger.streams.subscription import CHARGE, CREDIT, FEE, Discount
from tests.bills import tax_rate
from tests.examples import NOON, TEAM, example_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ledger.events.invoice import InvoiceLine
    from ledger.policies import BillingPolicy

TAXED_10, TAXED_0, TAXED_20 = tax_rate(1, "10"), tax_rate(2, "0"), tax_rate(3, "20")


def coupon(name: str = "A", used: int = 0, **terms: Any) -> Discount:
    applied = CouponApplied(
        subscription="sub", account="acc", coupon=name, name=name, terms=CouponTerms(**terms)
    )
    return Discount(applied, tuple(f"inv_{number}" for number in range(used)))


def line(amount: int, number: int = 1, **more: Any) -> InvoiceLine:
    return replace(example_line(amount, number), subscription_item="item", period="per", **more)


def off(
    lines: list[InvoiceLine],
    *coupons: Discount,
    policy: BillingPolicy = STRIPE,
    earlier: tuple[InvoiceLine, ...] = (),
) -> list[dict[str, int]]:
    priced = discounted(lines, coupons, "USD", policy, earlier)
    return [{share.coupon: share.amount for share in one.discounts} for one in priced.lines]


# -- coupons ----------------------------------------------------------------------------------------


def test_a_percentage_is_taken_off_every_line() -> None:
    lines = [line(1000, 1), line(501, 2)]
    assert off(lines, coupon(percent_off=Decimal(50))) == [{"A": 500}, {"A": 251}]


def test_an_amount_is_shared_among_the_lines_by_the_book_s_policy() -> None:
    lines = [line(1000, 1), line(2000, 2)]
    assert off(lines, coupon(amounts_off={"USD": 500})) == [{"A": 166}, {"A": 334}]


def test_a_coupon_never_takes_off_more_than_there_is() -> None:
    assert off([line(300)], coupon(amounts_off={"USD": 500})) == [{"A": 300}]
    assert off([line(0)], coupon(amounts_off={"USD": 500})) == [{}]


def test_a_second_coupon_is_taken_off_what_the_first_one_left() -> None:
    coupons = (coupon("A", percent_off=Decimal(50)), coupon("B", percent_off=Decimal(50)))
    assert off([line(1000)], *coupons) == [{"A": 500, "B": 250}]


def test_a_coupon_of_another_currency_takes_nothing_off_and_is_not_used() -> None:
    priced = discounted([line(300)], (coupon(amounts_off={"EUR": 500}),), "USD", STRIPE)
    assert (priced.lines[0].discounts, priced.coupons) == ((), ())


@pytest.mark.parametrize(
    ("terms", "used", "is_taken"),
    [
        ({"duration": "once"}, 0, True),
        ({"duration": "once"}, 1, False),
        ({"duration": "repeating", "periods": 3}, 2, True),
        ({"duration": "repeating", "periods": 3}, 3, False),
        ({"duration": "forever"}, 99, True),
    ],
)
def test_a_coupon_is_taken_off_as_many_invoices_as_it_is_good_for(
    terms: dict[str, Any], used: int, *, is_taken: bool
) -> None:
    priced = discounted([line(300)], (coupon(used=used, percent_off=Decimal(10), **terms),), "USD", STRIPE)
    assert (priced.coupons == ("A",)) is is_taken


def test_a_coupon_for_plans_or_meters_is_taken_off_those_alone() -> None:
    usage = LineUsage(meter="calls", charge="calls", events=1, quantity=Decimal(1))
    lines = [line(1000, 1), line(1000, 2, plan=TEAM.plan), line(1000, 3, usage=usage)]
    half = Decimal(50)
    assert off(lines, coupon(percent_off=half, plans=(TEAM.plan,))) == [{}, {"A": 500}, {}]
    assert off(lines, coupon(percent_off=half, meters=("calls",))) == [{}, {}, {"A": 500}]
    assert off(lines, coupon(percent_off=half, meters=("calls",), plans=(TEAM.plan,))) == [{}, {}, {}]


# -- credits ----------------------------------------------------------------------------------------

FEE_LINE = line(1000, 1, kind=FEE, discounts=(DiscountShare(coupon="A", amount=400),))


def credit(amount: int, adjusts: InvoiceLine = FEE_LINE, number: int = 9, **more: Any) -> InvoiceLine:
    return line(-amount, number, kind=CREDIT, adjusts_line=adjusts.line, **more)


def test_a_credit_gives_back_no_more_than_was_paid_for_what_it_undoes() -> None:
    assert off([credit(500)], earlier=(FEE_LINE,)) == [{"A": -200}]
    assert off([credit(1000)], earlier=(FEE_LINE,)) == [{"A": -400}]


def test_a_coupon_that_came_later_is_not_given_back() -> None:
    plain = replace(FEE_LINE, discounts=())
    assert off([credit(500, plain)], coupon(percent_off=Decimal(50)), earlier=(plain,)) == [{}]


def test_a_coupon_is_given_back_with_what_the_same_invoice_charges_and_credits() -> None:
    charge = line(1000, 2, kind=CHARGE, sequence=2)
    undone = credit(500, charge, sequence=3)
    assert off([charge, undone], coupon(percent_off=Decimal(30))) == [{"A": 300}, {"A": -150}]


def test_a_credit_of_all_fees_of_a_period_gives_back_the_coupons_on_all_of_them() -> None:
    other = replace(FEE_LINE, line="other", sequence=2, discounts=(DiscountShare(coupon="B", amount=1000),))
    assert off([credit(1000)], earlier=(FEE_LINE, other)) == [{"A": -200, "B": -500}]


def test_credits_of_one_line_give_its_coupon_back_once_between_them() -> None:
    whole = replace(FEE_LINE, discounts=(DiscountShare(coupon="A", amount=1000),))
    lines = [credit(333, whole, 7), credit(333, whole, 8), credit(334, whole, 9)]
    assert off(lines, earlier=(whole,)) == [{"A": -333}, {"A": -333}, {"A": -334}]


def test_a_credit_of_more_than_was_charged_gives_the_coupon_back_once() -> None:
    assert off([credit(5000)], earlier=(FEE_LINE,)) == [{"A": -400}]


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_a_credit_gives_back_is_never_more_than_what_was_paid(
    amount: int, discount: int, back: int
) -> None:
    discount, back = min(discount, amount), min(back, amount)
    charged = line(amount, kind=FEE, discounts=(DiscountShare(coupon="A", amount=discount),))
    (shares,) = off([credit(back, charged)], earlier=(charged,))
    assert 0 <= back + shares.get("A", 0) <= amount - discount


# -- taxes ------------------------------------------------------------------------------------------


def with_taxes(
    lines: list[InvoiceLine],
    rates: Sequence[tuple[str, ...]],
    *coupons: Discount,
    policy: BillingPolicy = STRIPE,
) -> list[InvoiceLine]:
    priced = discounted(lines, coupons, "USD", policy)
    by_line = {one.line: names for one, names in zip(lines, rates, strict=True)}
    known = {rate.tax_rate: rate for rate in (TAXED_10, TAXED_0, TAXED_20, INCLUSIVE_19, INCLUSIVE_1)}
    return taxed(priced, by_line, known, policy, NOON)


INCLUSIVE_19 = tax_rate(4, "19", "inclusive")
INCLUSIVE_1 = tax_rate(5, "1", "inclusive", "DE-city")


def taxes(lines: list[InvoiceLine]) -> list[list[int]]:
    return [[tax.amount for tax in one.taxes] for one in lines]


def test_a_tax_says_its_rate_its_version_and_on_what_it_is() -> None:
    ((tax,),) = (one.taxes for one in with_taxes([line(1005)], [(TAXED_10.tax_rate,)]))
    assert (tax.rate, tax.rate_version, tax.jurisdiction) == (TAXED_10.tax_rate, 1, "DE")
    assert (tax.base, tax.amount, tax.behaviour) == (1005, 101, "exclusive")


def test_several_rates_are_added_each_on_the_price() -> None:
    both = (TAXED_10.tax_rate, TAXED_20.tax_rate)
    assert taxes(with_taxes([line(1000)], [both])) == [[100, 200]]


def test_inclusive_rates_are_taken_out_of_the_price_together() -> None:
    both = (INCLUSIVE_19.tax_rate, INCLUSIVE_1.tax_rate)
    (one,) = with_taxes([line(1200)], [both])
    assert [tax.amount for tax in one.taxes] == [190, 10]
    assert totals_of((one,)) == Totals(subtotal=1200, discount_total=0, tax_total=200, total=1200)


def test_an_exclusive_rate_beside_inclusive_ones_is_on_the_price_without_them() -> None:
    assert taxes(with_taxes([line(1190)], [(INCLUSIVE_19.tax_rate, TAXED_10.tax_rate)])) == [[190, 100]]


def test_tax_is_on_what_a_coupon_leaves() -> None:
    lines = with_taxes([line(1000)], [(TAXED_10.tax_rate,)], coupon(percent_off=Decimal(25)))
    assert taxes(lines) == [[75]]


def test_the_tax_on_a_credit_undoes_that_on_the_charge() -> None:
    rates = [(TAXED_10.tax_rate,), (TAXED_10.tax_rate,)]
    for rounding in ("half_away", "half_up", "half_down", "half_even"):
        policy = replace(STRIPE, proration_rounding=rounding)
        charged, credited = taxes(with_taxes([line(1005, 1), line(-1005, 2)], rates, policy=policy))
        assert charged[0] == -credited[0]


def test_a_rate_may_be_rounded_once_for_the_invoice() -> None:
    lines, rates = [line(5, number) for number in range(1, 5)], [(TAXED_10.tax_rate,)] * 4
    assert taxes(with_taxes(lines, rates)) == [[1], [1], [1], [1]]
    once = replace(STRIPE, tax_rounding="per_rate_on_invoice")
    assert taxes(with_taxes(lines, rates, policy=once)) == [[1], [0], [1], [0]]


D1 = [line(10_000, 1), line(5_000, 2), line(3_000, 3), line(2_000, 4)]
D1_RATES = [(TAXED_10.tax_rate,), (TAXED_0.tax_rate,), (TAXED_20.tax_rate,), (TAXED_20.tax_rate,)]


def test_a_coupon_over_lines_of_different_taxes() -> None:
    lines = with_taxes(D1, D1_RATES, coupon(amounts_off={"USD": 1000}), policy=LAGO)
    assert [[share.amount for share in one.discounts] for one in lines] == [[500], [250], [150], [100]]
    assert taxes(lines) == [[950], [0], [570], [380]]
    assert totals_of(tuple(lines)) == Totals(
        subtotal=20_000, discount_total=1_000, tax_total=1_900, total=20_900
    )


def test_a_coupon_of_more_than_the_fees_leaves_no_tax() -> None:
    lines = with_taxes(D1, D1_RATES, coupon(amounts_off={"USD": 20_001}), policy=LAGO)
    assert totals_of(tuple(lines)).total == totals_of(tuple(lines)).tax_total == 0


def test_shares_that_are_kept_exactly_are_taxed_exactly() -> None:
    lines = [line(1000, 1), line(1000, 2), line(1000, 3)]
    rates = [(TAXED_10.tax_rate,)] * 3
    result = with_taxes(lines, rates, coupon(amounts_off={"USD": 100}), policy=LAGO)
    assert [[share.amount for share in one.discounts] for one in result] == [[34], [33], [33]]
    assert taxes(result) == [[97], [96], [97]]
