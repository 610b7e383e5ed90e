"""Discounts: what they leave of a price, and how an amount off is shared so that it adds up."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.coupons import (
    Discount,
    MalformedDiscount,
    checked_discount,
    discounted,
    exact_discount_shares,
    share_discount,
)
from ledger.policies import LAGO, POLAR, STRIPE, BillingPolicy

POLICIES = st.sampled_from([STRIPE, LAGO, POLAR])
AMOUNTS = st.lists(st.integers(-(10**9), 10**9), max_size=8)


@given(AMOUNTS, st.integers(0, 10**10), POLICIES)
def test_the_shares_add_up_to_the_discount_or_to_what_there_is_to_take_it_off(
    amounts: list[int], discount: int, policy: BillingPolicy
) -> None:
    asked = [max(0, amount) for amount in amounts]
    shares = share_discount(amounts, discount, policy)
    exact = exact_discount_shares(amounts, discount)
    assert sum(shares) == sum(exact) == min(discount, sum(asked))
    assert all(0 <= share <= amount for share, amount in zip(shares, asked, strict=True))


@given(AMOUNTS, st.integers(0, 10**10))
def test_a_share_by_largest_remainder_is_within_one_unit_of_the_exact_one(
    amounts: list[int], discount: int
) -> None:
    exact = exact_discount_shares(amounts, discount)
    shares = share_discount(amounts, discount, POLAR)
    assert all(abs(share - one) < 1 for share, one in zip(shares, exact, strict=True))


def test_the_last_line_takes_the_remainder() -> None:
    assert share_discount([1000, 1000, 1000], 100, STRIPE) == (33, 33, 34)


def test_what_the_last_line_cannot_take_falls_on_the_one_before() -> None:
    assert share_discount([1000, 1000, 1, 0, -5], 1999, STRIPE) == (999, 999, 1, 0, 0)
    assert share_discount([1000, 1000, 1], 2000, STRIPE) == (999, 1000, 1)


def test_a_discount_leaves_no_price_below_zero() -> None:
    price = Fraction(1000)
    assert discounted(price, None) == price
    assert discounted(price, Discount(percent_off=Decimal("33.3"))) == 667
    assert discounted(price, Discount(amount_off_minor=400)) == 600
    assert discounted(price, Discount(amount_off_minor=4000)) == 0


@pytest.mark.parametrize(
    ("discount", "path"),
    [
        (Discount(), "coupon"),
        (Discount(percent_off=Decimal(1), amount_off_minor=1), "coupon"),
        (Discount(percent_off=Decimal(101)), "coupon.percent_off"),
        (Discount(percent_off=Decimal(-1)), "coupon.percent_off"),
        (Discount(amount_off_minor=-1), "coupon.amount_off"),
    ],
)
def test_a_discount_that_is_none_or_two_is_refused(discount: Discount, path: str) -> None:
    with pytest.raises(MalformedDiscount) as refused:
        checked_discount(discount)
    assert list(refused.value.errors) == [path]


def test_a_discount_of_one_kind_is_taken() -> None:
    for discount in (Discount(percent_off=Decimal(0)), Discount(amount_off_minor=0)):
        assert checked_discount(discount) is discount
