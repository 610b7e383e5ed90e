"""Money adds up, shares out and rounds exactly, in whole minor units of one currency."""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import iso4217
import moneyed
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import DaybookError
from ledger.money import (
    EXPONENTS,
    MAX_AMOUNT,
    ROUNDINGS,
    WITHDRAWN,
    AmountOutOfRange,
    CurrencyMismatch,
    InexactAmount,
    Money,
    UnknownCurrency,
    UnusableWeights,
    checked_amount,
    exponent,
    format_plain,
    major_units,
    round_half_away,
    round_half_down,
    round_half_even,
    round_half_up,
    total,
    zero,
)

if TYPE_CHECKING:
    from collections.abc import Callable

AMOUNTS = st.integers(-MAX_AMOUNT, MAX_AMOUNT)
SMALL = st.integers(-(10**9), 10**9)
DECIMALS = st.decimals(-(10**12), 10**12, allow_nan=False, places=4)


def usd(amount: int) -> Money:
    return Money(amount, "USD")


# The currency table, against two packages that were made without us.


def test_every_active_currency_of_iso_4217_has_its_exponent() -> None:
    published = {currency.code: currency.exponent for currency in iso4217.Currency}
    billable = {code: digits for code, digits in published.items() if digits is not None}
    assert billable == {code: digits for code, digits in EXPONENTS.items() if code not in WITHDRAWN}


def test_every_exponent_agrees_with_py_moneyed_where_it_knows_the_currency() -> None:
    known = {code: currency.sub_unit for code, currency in moneyed.CURRENCIES.items() if code in EXPONENTS}
    assert len(known) > 160
    assert known == {code: 10 ** EXPONENTS[code] for code in known}


def test_every_withdrawn_currency_is_known_to_py_moneyed() -> None:
    assert set(moneyed.CURRENCIES) >= WITHDRAWN


@pytest.mark.parametrize("currency", ["", "usd", "US", "XAU", "XXX", "BTC", "USD ", "USD\0", None, 840])
def test_an_unknown_currency_is_refused(currency: Any) -> None:
    with pytest.raises(UnknownCurrency) as refused:
        Money(1, currency)
    assert refused.value.code == "unknown_currency"
    assert "currency" in refused.value.errors
    assert isinstance(refused.value, DaybookError)


@pytest.mark.parametrize(("currency", "digits"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("HRK", 2)])
def test_a_currency_knows_its_minor_unit_digits(currency: str, digits: int) -> None:
    assert exponent(currency) == digits


# What an amount may be.


@pytest.mark.parametrize("amount", [True, False, 1.0, "1", None, Decimal(1)])
def test_an_amount_that_is_not_an_integer_is_refused(amount: Any) -> None:
    with pytest.raises(InexactAmount):
        Money(amount, "USD")


@pytest.mark.parametrize("amount", [MAX_AMOUNT, -MAX_AMOUNT, 0])
def test_an_amount_of_eighteen_digits_is_accepted(amount: int) -> None:
    assert checked_amount(amount) == amount


@pytest.mark.parametrize("amount", [MAX_AMOUNT + 1, -MAX_AMOUNT - 1, 10**40])
def test_an_amount_beyond_eighteen_digits_is_refused(amount: int) -> None:
    with pytest.raises(AmountOutOfRange) as refused:
        usd(amount)
    assert "18 digits" in str(refused.value)


def test_a_sum_beyond_eighteen_digits_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        usd(MAX_AMOUNT) + usd(1)


# Arithmetic and comparison.


@given(SMALL, SMALL)
def test_money_adds_subtracts_and_compares_as_its_amounts_do(left: int, right: int) -> None:
    assert usd(left) + usd(right) == usd(left + right)
    assert usd(left) - usd(right) == usd(left - right)
    assert -usd(left) == usd(-left)
    assert (usd(left) < usd(right)) == (left < right)
    assert (usd(left) <= usd(right)) == (left <= right)
    assert (usd(left) > usd(right)) == (left > right)
    assert (usd(left) >= usd(right)) == (left >= right)


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a < b,
        lambda a, b: a <= b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
    ],
)
def test_two_currencies_never_mix(mix: Callable[[Money, Money], object]) -> None:
    with pytest.raises(CurrencyMismatch) as refused:
        mix(usd(1), Money(1, "EUR"))
    assert refused.value.code == "currency_mismatch"


def test_the_same_amount_in_two_currencies_is_not_equal() -> None:
    assert usd(0) != Money(0, "EUR")


def test_money_does_not_mix_with_bare_numbers() -> None:
    with pytest.raises(TypeError):
        usd(1) + 1  # type: ignore[operator]


def test_money_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        usd(1).amount = 2  # type: ignore[misc]


def test_the_total_of_nothing_is_zero_in_its_currency() -> None:
    assert total([], "JPY") == zero("JPY") == Money(0, "JPY")


def test_a_total_refuses_an_amount_of_another_currency() -> None:
    with pytest.raises(CurrencyMismatch):
        total([usd(1)], "EUR")


# Sharing out.


@given(AMOUNTS, st.lists(st.integers(0, 10**18) | st.fractions(0, 10**6), min_size=1, max_size=20))
def test_shares_sum_exactly_and_lie_within_one_unit(amount: int, weights: list[Any]) -> None:
    if not any(weights):
        weights[0] = 1
    shares = usd(amount).allocate(weights)
    assert total(shares, "USD") == usd(amount)
    whole = sum(Fraction(weight) for weight in weights)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share.amount - amount * Fraction(weight) / whole) < 1


@given(AMOUNTS, st.lists(st.decimals(0, 1000, places=3), min_size=1, max_size=10).filter(any))
def test_a_negative_amount_is_shared_as_its_opposite(amount: int, weights: list[Decimal]) -> None:
    assert [-share for share in usd(amount).allocate(weights)] == list(usd(-amount).allocate(weights))


@given(SMALL, st.integers(1, 20), st.integers(1, 1000))
def test_a_weight_of_zero_gets_nothing(amount: int, count: int, weight: int) -> None:
    shares = usd(amount).allocate([0, *[weight] * count, 0])
    assert shares[0] == shares[-1] == usd(0)


@pytest.mark.parametrize(
    ("amount", "weights", "shares"),
    [
        (100, [1, 1, 1], [34, 33, 33]),
        (-100, [1, 1, 1], [-34, -33, -33]),
        (500, [1000, 2000], [167, 333]),
        (5, [Decimal("0.3"), Decimal("0.7")], [2, 3]),
        (0, [1, 2], [0, 0]),
        (1, [Fraction(1, 3), Fraction(1, 2)], [0, 1]),
    ],
)
def test_the_largest_remainder_gets_the_odd_unit(amount: int, weights: list[Any], shares: list[int]) -> None:
    assert usd(amount).allocate(weights) == tuple(map(usd, shares))


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [1, -1], [Decimal(-1)]])
def test_weights_that_share_nothing_out_are_refused(weights: list[Any]) -> None:
    with pytest.raises(UnusableWeights):
        usd(1).allocate(weights)


@pytest.mark.parametrize("weight", [0.5, True, "1", None])
def test_a_weight_that_is_not_exact_is_refused(weight: Any) -> None:
    with pytest.raises(InexactAmount):
        usd(1).allocate([weight])


# Rounding.


@pytest.mark.parametrize(
    ("value", "away", "up", "down", "even"),
    [
        ("2.5", 3, 3, 2, 2),
        ("-2.5", -3, -2, -3, -2),
        ("3.5", 4, 4, 3, 4),
        ("-3.5", -4, -3, -4, -4),
        ("0.5", 1, 1, 0, 0),
        ("-0.5", -1, 0, -1, 0),
        ("2.4999999999999999999999999999999999", 2, 2, 2, 2),
        ("-2.5000000000000000000000000000000001", -3, -3, -3, -3),
        ("7", 7, 7, 7, 7),
        ("-7", -7, -7, -7, -7),
    ],
)
def test_a_tie_goes_where_the_rounding_says(value: str, away: int, up: int, down: int, even: int) -> None:
    exact = Decimal(value)
    assert round_half_away(exact) == away
    assert round_half_up(exact) == up
    assert round_half_down(exact) == down
    assert round_half_even(exact) == even


@given(DECIMALS)
def test_rounding_agrees_with_the_decimal_module(value: Decimal) -> None:
    assert round_half_away(value) == int(value.to_integral_value(ROUND_HALF_UP))
    assert round_half_even(value) == int(value.to_integral_value(ROUND_HALF_EVEN))
    assert round_half_up(value) == int((value + Decimal("0.5")).to_integral_value(ROUND_FLOOR))
    assert round_half_down(value) == -round_half_up(-value)


@given(DECIMALS | st.fractions(-(10**9), 10**9) | SMALL, st.sampled_from(sorted(ROUNDINGS)))
def test_every_rounding_gives_a_nearest_integer(value: Any, name: Any) -> None:
    rounded = ROUNDINGS[name](value)
    assert type(rounded) is int
    assert abs(Fraction(value) - rounded) <= Fraction(1, 2)


@given(DECIMALS, DECIMALS, st.sampled_from(sorted(ROUNDINGS)))
def test_every_rounding_keeps_order(left: Decimal, right: Decimal, name: Any) -> None:
    low, high = sorted([left, right])
    assert ROUNDINGS[name](low) <= ROUNDINGS[name](high)


def test_a_fraction_a_hair_below_one_half_is_not_a_tie() -> None:
    assert round_half_away(Fraction(10**40 - 1, 2 * 10**40)) == 0


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1E+999999", "1E-999999999", "1E+18"])
def test_a_number_out_of_range_is_not_rounded(value: str) -> None:
    with pytest.raises(AmountOutOfRange):
        round_half_away(Decimal(value))


@pytest.mark.parametrize("value", [0.5, math.nan, True, "0.5"])
def test_a_number_that_is_not_exact_is_not_rounded(value: Any) -> None:
    with pytest.raises(InexactAmount):
        round_half_away(value)


# Writing.


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (2900, "USD", "USD 29.00"),
        (-5, "USD", "USD -0.05"),
        (0, "USD", "USD 0.00"),
        (500, "JPY", "JPY 500"),
        (-1, "KWD", "KWD -0.001"),
        (12345, "CLF", "CLF 1.2345"),
        (MAX_AMOUNT, "EUR", "EUR 9999999999999999.99"),
        (1, "CLF", "CLF 0.0001"),
    ],
)
def test_money_is_written_with_the_digits_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert format_plain(Money(amount, currency)) == text


@given(AMOUNTS, st.sampled_from(sorted(EXPONENTS)))
def test_major_units_lose_nothing(amount: int, currency: str) -> None:
    major = major_units(Money(amount, currency))
    assert Fraction(major) * 10 ** exponent(currency) == amount
