"""Whatever the price: lines add up, splits of a period add up, and what is free never costs more."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.money import ROUNDINGS, RoundingName
from ledger.prices import MODELS, Price, Tier, checked_price
from ledger.rating import (
    RATING_PRESETS,
    Rated,
    RatingConventions,
    Usage,
    line_amounts,
    needs_events,
    number_text,
    rate,
)
from ledger.rating_values import VolumeSplit, ZeroUsageFlat, ZeroUsagePackage

D = Decimal
UNIT_MODELS = sorted(set(MODELS) - {"percentage"})
CONVENTIONS = st.builds(
    RatingConventions,
    zero_usage_flat=st.sampled_from(get_args(ZeroUsageFlat)),
    zero_usage_package=st.sampled_from(get_args(ZeroUsagePackage)),
    volume_split=st.sampled_from(get_args(VolumeSplit)),
    rounding=st.sampled_from(sorted(ROUNDINGS)),
)


def decimals(least: str, most: str, places: int = 2) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(least), D(most), places=places)


AMOUNTS = decimals("0", "20", 3)
# Small, and near the bounds of tiers, so that the odd places are met often.
QUANTITIES = st.one_of(st.integers(0, 40).map(Decimal), decimals("0", "40"))
SIZES = decimals("0.5", "7")


@st.composite
def tiers(draw: st.DrawFn, model: str) -> tuple[Tier, ...]:
    """Draw tiers with any of what they may have, the last one open."""
    bounds = sorted(draw(st.sets(st.integers(1, 30).map(Decimal), max_size=3)))
    made = []
    for bound in (*bounds, None):
        flat = draw(st.none() | AMOUNTS)
        if model == "graduated_percentage":
            made.append(Tier(up_to=bound, rate=draw(st.none() | AMOUNTS), flat_amount=flat))
            continue
        unit = draw(st.none() | AMOUNTS)
        size = None if unit is None else draw(st.none() | SIZES)
        made.append(Tier(up_to=bound, unit_amount=unit, package_size=size, flat_amount=flat))
    return tuple(made)


@st.composite
def prices(draw: st.DrawFn, *models: str) -> Price:
    """Draw a usable price of one of the models."""
    model = draw(st.sampled_from(models or UNIT_MODELS))
    price = Price(model=model, currency="USD")
    if model == "per_unit":
        price = replace(price, unit_amount=draw(AMOUNTS))
    elif model == "package":
        price = replace(price, package_size=draw(SIZES), package_amount=draw(AMOUNTS))
    elif model == "flat":
        price = replace(price, flat_amount=draw(AMOUNTS))
    elif model == "percentage":
        price = replace(price, rate=draw(AMOUNTS), fixed_amount=draw(st.none() | AMOUNTS))
        price = replace(price, free_events=draw(st.none() | st.integers(0, 3)))
        least, most = sorted((draw(AMOUNTS), draw(AMOUNTS)))
        if draw(st.booleans()):
            price = replace(price, event_min=least, event_max=most)
    else:
        price = replace(price, tiers=draw(tiers(model)))
    if model != "flat":
        price = replace(price, free_units=draw(st.none() | QUANTITIES))
    least, most = sorted((draw(decimals("0", "99")), draw(decimals("0", "99"))))
    price = replace(price, min_amount=draw(st.sampled_from([None, least])))
    price = replace(price, max_amount=draw(st.sampled_from([None, most])))
    return checked_price(price)


def sum_of(rated: Rated) -> Fraction:
    return sum((line.amount for line in rated.lines), Fraction(0))


def shown(rated: Rated) -> list[tuple[object, str, str]]:
    """Give tier or kind, quantity and amount of each line."""
    return [
        (line.tier or line.kind, number_text(line.quantity), number_text(line.amount)) for line in rated.lines
    ]


# Sums.


@given(
    prices(),
    QUANTITIES,
    st.none() | QUANTITIES,
    QUANTITIES,
    st.sampled_from(["only", "first", "middle", "last"]),
    CONVENTIONS,
)
def test_lines_add_up_to_the_exact_amount_and_to_the_rounded_one(
    price: Price,
    quantity: Decimal,
    tier_quantity: Decimal | None,
    prior: Decimal,
    position: str,
    conventions: RatingConventions,
) -> None:
    usage = Usage(
        quantity=quantity,
        tier_quantity=tier_quantity,
        prior_quantity=prior,
        line_position=position,  # type: ignore[arg-type] # drawn from its values
    )
    rated = rate(price, usage, conventions)
    assert rated.exact == sum_of(rated)
    assert rated.amount == ROUNDINGS[conventions.rounding](rated.exact)
    shares = line_amounts(rated, conventions.rounding)
    assert sum(shares) == rated.amount
    assert all(abs(share - line.amount) <= 1 for share, line in zip(shares, rated.lines, strict=True))


@given(prices(), QUANTITIES, CONVENTIONS)
def test_a_line_is_its_quantity_at_its_unit_amount_or_rate(
    price: Price, quantity: Decimal, conventions: RatingConventions
) -> None:
    for line in rate(price, Usage(quantity=quantity), conventions).lines:
        if line.rate is not None:
            assert line.amount == Fraction(line.quantity) * Fraction(line.rate) / 100
        elif line.unit_amount is not None:
            assert line.amount == Fraction(line.quantity) * Fraction(line.unit_amount)


# Splits of a period.


@given(prices(), st.lists(QUANTITIES, min_size=2, max_size=4), CONVENTIONS)
def test_the_lines_that_split_a_period_cost_what_one_line_would(
    price: Price, parts: list[Decimal], conventions: RatingConventions
) -> None:
    billed, used = Fraction(0), D(0)
    for index, part in enumerate(parts):
        position = "first" if index == 0 else "last" if index == len(parts) - 1 else "middle"
        usage = Usage(
            quantity=part,
            prior_quantity=used,
            prior_amount=billed,
            line_position=position,  # type: ignore[arg-type] # one of its values
        )
        billed += rate(price, usage, conventions).exact
        used += part
    assert billed == rate(price, Usage(quantity=used), conventions).exact


@given(prices("percentage"), st.lists(QUANTITIES, max_size=6), st.integers(0, 6), CONVENTIONS)
def test_events_billed_by_two_lines_cost_what_one_line_would(
    price: Price, events: list[Decimal], cut: int, conventions: RatingConventions
) -> None:
    before, after = events[:cut], events[cut:]
    first = rate(price, Usage(events=before, line_position="first"), conventions)
    last = Usage(
        events=after,
        prior_quantity=sum(before, D(0)),
        prior_events=len(before),
        prior_amount=first.exact,
        line_position="last",
    )
    assert first.exact + rate(price, last, conventions).exact == rate(price, Usage(events=events)).exact


# More and less.


@given(prices("graduated", "graduated_percentage"), QUANTITIES, QUANTITIES, CONVENTIONS)
def test_a_graduated_price_is_monotone(
    price: Price, quantity: Decimal, more: Decimal, conventions: RatingConventions
) -> None:
    less = rate(price, Usage(quantity=quantity), conventions)
    assert less.exact <= rate(price, Usage(quantity=quantity + more), conventions).exact


@given(prices(*(model for model in UNIT_MODELS if model != "flat")), QUANTITIES, QUANTITIES, CONVENTIONS)
def test_more_free_units_never_raise_a_price(
    price: Price, quantity: Decimal, more: Decimal, conventions: RatingConventions
) -> None:
    freer = replace(price, free_units=(price.free_units or D(0)) + more)
    usage = Usage(quantity=quantity)
    assert rate(freer, usage, conventions).exact <= rate(price, usage, conventions).exact


@given(prices("percentage"), st.lists(QUANTITIES, max_size=6), QUANTITIES, st.integers(0, 3))
def test_more_free_units_or_events_never_raise_the_price_of_events(
    price: Price, events: list[Decimal], more_units: Decimal, more_events: int
) -> None:
    # Both limits are given: without free units, the free events alone are limited by nothing else.
    units, count = (price.free_units or D(0)) + 1, (price.free_events or 0) + 1
    price = replace(price, free_units=units, free_events=count)
    freer = replace(price, free_units=units + more_units, free_events=count + more_events)
    assert rate(freer, Usage(events=events)).exact <= rate(price, Usage(events=events)).exact


@given(prices(), QUANTITIES, CONVENTIONS)
def test_a_charge_costs_its_minimum_and_maximum_at_least_and_at_most(
    price: Price, quantity: Decimal, conventions: RatingConventions
) -> None:
    exact = rate(price, Usage(quantity=quantity), conventions).exact
    assert price.min_amount is None or exact >= price.min_amount
    assert price.max_amount is None or exact <= price.max_amount


# Bounds of tiers.

VOLUME = Price(
    model="volume",
    currency="USD",
    tiers=(Tier(up_to=D(10), unit_amount=D(3)), Tier(up_to=D(20), unit_amount=D(2)), Tier(unit_amount=D(1))),
)


@pytest.mark.parametrize(
    ("quantity", "tier"),
    [("10", 1), ("10.000000000001", 2), ("10.5", 2), ("20", 2), ("20.1", 3), ("9999", 3)],
)
@pytest.mark.parametrize("model", ["volume", "graduated"])
def test_a_tier_holds_its_bound_and_what_is_beyond_falls_into_the_next(
    model: str, quantity: str, tier: int
) -> None:
    rated = rate(replace(VOLUME, model=model), Usage(quantity=D(quantity)))
    assert rated.lines[-1].tier == tier
    assert rated.lines[-1].to_quantity == D(quantity)


def test_free_units_count_towards_the_volume_that_chooses_the_tier() -> None:
    rated = rate(replace(VOLUME, free_units=D(5)), Usage(quantity=D(12)))
    assert shown(rated) == [(2, "7", "14")]


def test_free_units_are_taken_off_before_tiers_are_filled() -> None:
    rated = rate(replace(VOLUME, model="graduated", free_units=D(5)), Usage(quantity=D(12)))
    assert shown(rated) == [(1, "7", "21")]


PACKAGES = Price(
    model="graduated",
    currency="USD",
    tiers=(Tier(up_to=D(5), unit_amount=D(1), package_size=D(2)), Tier(unit_amount=D(3), package_size=D(10))),
)


def test_the_packages_of_a_tier_are_counted_from_where_it_begins() -> None:
    assert shown(rate(PACKAGES, Usage(quantity=D(16)))) == [(1, "3", "3"), (2, "2", "6")]
    assert shown(rate(PACKAGES, Usage(quantity=D(2), prior_quantity=D(14)))) == [(2, "1", "3")]
    assert shown(rate(replace(PACKAGES, model="volume"), Usage(quantity=D(12)))) == [(2, "2", "6")]


# Commitments.


def test_a_line_is_lowered_to_nothing_at_most_when_earlier_lines_passed_the_maximum() -> None:
    price = replace(VOLUME, model="graduated", max_amount=D(20))
    usage = Usage(quantity=D(4), prior_quantity=D(9), prior_amount=D(27), line_position="last")
    assert shown(rate(price, usage)) == [
        (1, "1", "3"),
        (1, "1", "-3"),
        (2, "3", "6"),
        (2, "1", "-6"),
    ]


# A prorated quantity.


def test_a_prorated_quantity_costs_its_share_of_each_tier_that_the_full_one_fills() -> None:
    price = replace(VOLUME, model="graduated")
    rated = rate(price, Usage(quantity=D(8), tier_quantity=D(24)))
    assert [line.amount for line in rated.lines] == [Fraction(30, 3), Fraction(20, 3), Fraction(4, 3)]
    assert number_text(rated.lines[1].amount) == "6.66666666666666666667"
    assert rated.exact == 18
    assert rated.effective_unit_amount == D("0.75"), "for each of the full units"


@given(prices(), QUANTITIES, CONVENTIONS)
def test_a_tier_quantity_that_is_the_quantity_changes_nothing(
    price: Price, quantity: Decimal, conventions: RatingConventions
) -> None:
    plain = rate(price, Usage(quantity=quantity), conventions)
    assert rate(price, Usage(quantity=quantity, tier_quantity=quantity), conventions) == plain


# Volume prices in a period of several lines.


@pytest.mark.parametrize(("split", "amounts"), [("progressive", [30, -8, 3]), ("closing_line", [0, 0, 25])])
def test_a_volume_price_is_billed_as_it_goes_or_when_the_period_closes(
    split: VolumeSplit, amounts: list[int]
) -> None:
    conventions = RatingConventions(volume_split=split)
    billed = [
        rate(VOLUME, Usage(quantity=D(10), line_position="first"), conventions),
        rate(VOLUME, Usage(quantity=D(1), prior_quantity=D(10), line_position="middle"), conventions),
        rate(VOLUME, Usage(quantity=D(14), prior_quantity=D(11), line_position="last"), conventions),
    ]
    assert [rated.exact for rated in billed] == amounts


def test_a_volume_price_that_falls_gives_back_what_was_billed_up_to_its_maximum() -> None:
    price = replace(VOLUME, max_amount=D(25))
    middle = Usage(quantity=D(1), prior_quantity=D(10), prior_amount=D(25), line_position="middle")
    assert shown(rate(price, middle)) == [("prior", "1", "-25"), (2, "11", "22")]


# Percentages.

FEE = Price(model="percentage", currency="USD", rate=D(1), fixed_amount=D(5))


def test_an_event_whose_value_is_all_free_pays_no_fee_and_the_next_one_does() -> None:
    price = replace(FEE, free_units=D(10))
    assert rate(price, Usage(events=[D(4), D(6)])).exact == 0
    assert rate(price, Usage(events=[D(4), D(6), D(0)])).exact == 0
    assert rate(price, Usage(events=[D(4), D(7)])).lines[0].quantity == 1
    assert rate(price, Usage(events=[D(4), D(7), D(0)])).exact == D("10.01")


def test_the_first_limit_that_is_met_ends_what_is_free() -> None:
    price = replace(FEE, free_units=D(100), free_events=2)
    assert rate(price, Usage(events=[D(1), D(1), D(1)])).exact == D("5.01")
    assert rate(price, Usage(events=[D(101), D(1)])).exact == D("10.02")


def test_later_lines_go_on_where_earlier_ones_left_what_is_free() -> None:
    price = replace(FEE, free_units=D(10), free_events=3)
    assert rate(price, Usage(events=[D(6)], prior_quantity=D(5), prior_events=1)).lines[0].quantity == 1
    assert rate(price, Usage(events=[D(6)], prior_quantity=D(15), prior_events=1)).lines[0].quantity == 6
    rated = rate(price, Usage(events=[D(1), D(2)], prior_quantity=D(2), prior_events=2))
    assert (rated.lines[0].quantity, rated.quantity) == (2, 3)


def test_free_units_of_a_sum_are_used_up_by_earlier_lines() -> None:
    price = replace(FEE, fixed_amount=None, free_units=D(10))
    assert rate(price, Usage(quantity=D(10), prior_quantity=D(5))).exact == D("0.05")
    assert rate(price, Usage(quantity=D(5), prior_quantity=D(15))).exact == D("0.05")


def test_an_event_limit_shows_what_it_adds_and_takes() -> None:
    price = replace(FEE, event_min=D(6), event_max=D(7))
    assert shown(rate(price, Usage(events=[D(0), D(150), D(1000)]))) == [
        ("percentage", "1150", "11.5"),
        ("fixed", "3", "15"),
        ("event_minimum", "1", "1"),
        ("event_maximum", "1", "-8"),
    ]


@given(st.lists(QUANTITIES, min_size=1, max_size=6), AMOUNTS, st.none() | AMOUNTS)
def test_without_limits_of_events_their_sum_and_count_are_enough(
    events: list[Decimal], rate_percent: Decimal, fixed: Decimal | None
) -> None:
    price = Price(model="percentage", currency="USD", rate=rate_percent, fixed_amount=fixed)
    assert not needs_events(price)
    summed = Usage(quantity=sum(events, D(0)), event_count=len(events))
    assert rate(price, summed).exact == rate(price, Usage(events=events)).exact


@given(prices("percentage"), QUANTITIES.filter(bool))
def test_a_quantity_at_a_percentage_is_one_event(price: Price, quantity: Decimal) -> None:
    assert rate(price, Usage(quantity=quantity)) == rate(price, Usage(events=[quantity]))


def test_events_of_the_largest_values_add_up_to_the_last_digit() -> None:
    value = D("999999999999999999.999999999999")
    rated = rate(replace(FEE, rate=D("0.000000000001"), event_min=D(0)), Usage(events=[value, value]))
    assert rated.exact == 2 * Fraction(value) / 10**14 + 10
    assert rated.quantity == D("1999999999999999999.999999999998")


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        ({}, False),
        ({"free_units": D(5)}, True),
        ({"free_units": D(5), "fixed_amount": None}, False),
        ({"free_events": 1}, True),
        ({"event_min": D(1)}, True),
        ({"event_max": D(1)}, True),
    ],
)
def test_what_looks_at_single_events_says_so(change: dict[str, Decimal], needed: bool) -> None:  # noqa: FBT001 - a column
    assert needs_events(replace(FEE, **change)) is needed  # type: ignore[arg-type] # mypy takes each for all


# Without usage.


@pytest.mark.parametrize(
    ("zero_usage_flat", "position", "prior_amount", "amount"),
    [
        ("none", "only", 0, 0),
        ("billed", "only", 0, 7),
        ("billed", "last", 0, 7),
        ("billed", "last", 7, 0),
        ("first_line", "only", 0, 7),
        ("first_line", "first", 0, 7),
        ("first_line", "last", 0, 0),
    ],
)
@pytest.mark.parametrize("model", ["graduated", "volume"])
def test_the_first_flat_amount_without_usage(
    model: str, zero_usage_flat: ZeroUsageFlat, position: str, prior_amount: int, amount: int
) -> None:
    price = Price(
        model=model, currency="USD", tiers=(Tier(up_to=D(5), flat_amount=D(7)), Tier(flat_amount=D(9)))
    )
    conventions = RatingConventions(zero_usage_flat=zero_usage_flat)
    usage = Usage(prior_amount=prior_amount, line_position=position)  # type: ignore[arg-type] # one of its values
    assert rate(price, usage, conventions).exact == amount


def test_usage_that_is_all_free_counts_as_none() -> None:
    price = Price(model="graduated", currency="USD", free_units=D(5), tiers=(Tier(flat_amount=D(7)),))
    assert rate(price, Usage(quantity=D(5))).lines == ()
    assert rate(price, Usage(quantity=D(5)), RATING_PRESETS["lago"]).exact == 7


def test_a_flat_price_is_billed_once_on_the_first_line() -> None:
    price = Price(model="flat", currency="USD", flat_amount=D(2900))
    for position, lines in {"only": 1, "first": 1, "middle": 0, "last": 0}.items():
        assert len(rate(price, Usage(line_position=position)).lines) == lines  # type: ignore[arg-type] # one of its values


# Numbers.


@pytest.mark.parametrize(
    ("rounding", "amount"), [("half_away", 3), ("half_up", 3), ("half_down", 2), ("half_even", 2)]
)
def test_the_total_is_rounded_once_as_the_convention_says(rounding: RoundingName, amount: int) -> None:
    price = replace(VOLUME, model="per_unit", tiers=(), unit_amount=D("0.25"))
    assert rate(price, Usage(quantity=D(10)), RatingConventions(rounding=rounding)).amount == amount


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**9), max_value=10**9))
def test_a_number_that_ends_is_written_with_all_its_digits(value: Decimal) -> None:
    assert Fraction(number_text(Fraction(value))) == Fraction(value)
    assert number_text(value) == number_text(Fraction(value)) or value == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(-2, 3), "-0.66666666666666666667"),
        (Fraction(1, 10**20), "0.00000000000000000001"),
        (Fraction(0), "0"),
        (Fraction(-1, 8), "-0.125"),
        (5, "5"),
        (D("1E+3"), "1000"),
    ],
)
def test_numbers_are_written_as_decimals(value: Fraction | Decimal | int, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("amount", "quantity", "each"),
    [("115", "12", "9.58333333333"), ("2", "3", "0.666666666667"), ("1e17", "0.3", "333333333333333333")],
)
def test_an_effective_unit_amount_has_12_digits_and_all_whole_ones(
    amount: str, quantity: str, each: str
) -> None:
    price = Price(model="flat", currency="USD", flat_amount=D(amount))
    assert number_text(rate(price, Usage(quantity=D(quantity))).effective_unit_amount) == each
