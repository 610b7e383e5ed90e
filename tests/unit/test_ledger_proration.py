"""A part of a period costs its share of the price, by the second; no credit exceeds what was billed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.money import AmountOutOfRange, InexactAmount
from ledger.periods import Period
from ledger.proration import (
    PRESETS,
    STRIPE,
    ChangeSegments,
    OutsidePeriod,
    PeriodTooShort,
    PlanChange,
    ProrationPolicy,
    change_segments,
    chargeable_units,
    prorate,
)

PRICES = st.integers(0, 10**9)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


JUNE = Period(day("2025-06-01"), day("2025-07-01"))


def change_in(period: Period, at: datetime, old_minor: int, new_minor: int) -> PlanChange:
    return PlanChange(period, at, period.start, old_minor, new_minor, billed_minor=old_minor)


@st.composite
def periods_with_instants(draw: st.DrawFn) -> tuple[Period, list[datetime]]:
    """Draw a period of a second to a year and sorted instants in it, to the microsecond."""
    start = draw(st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1))).replace(tzinfo=UTC)  # noqa: DTZ001 - made UTC here
    length = timedelta(seconds=draw(st.integers(1, 366 * 86_400)))
    offsets = st.integers(0, length // timedelta(microseconds=1))
    instants = sorted(
        start + timedelta(microseconds=offset) for offset in draw(st.lists(offsets, max_size=8))
    )
    return Period(start, start + length), instants


# Worked cases: ids as in the published tables.


def test_p1_a_change_half_way_gives_back_half_and_charges_half() -> None:
    change = change_segments(change_in(JUNE, day("2025-06-16"), 1000, 2000))
    assert (change.credit.amount_minor, change.charge.amount_minor, change.net_minor) == (-500, 1000, 500)


def test_p7_a_credit_counts_seconds() -> None:
    start, at, end = (datetime.fromtimestamp(t, UTC) for t in (1596749288, 1598982148, 1599427688))
    change = change_segments(change_in(Period(start, end), at, 1000, 0))
    assert (change.credit.units, change.credit.amount_minor) == (445_540, -166)


@pytest.mark.parametrize(
    ("old", "new", "start", "end", "at", "credit", "debit"),
    [
        (10_000, 30_000, "2025-06-01", "2025-07-01", "2025-06-16", 5_000, 15_000),
        (10_000, 30_000, "2024-02-18", "2024-03-18", "2024-02-25", 7_586, 22_759),
        (100_000, 300_000, "2024-02-18", "2025-02-18", "2024-09-05", 45_355, 136_066),
    ],
)
def test_b8_an_upgrade_is_split_by_the_elapsed_fraction(
    old: int, new: int, start: str, end: str, at: str, credit: int, debit: int
) -> None:
    change = change_segments(change_in(Period(day(start), day(end)), day(at), old, new))
    assert (change.credit.amount_minor, change.charge.amount_minor) == (-credit, debit)


def test_b8_another_interval_starts_a_period_of_its_own_at_full_price() -> None:
    at = day("2025-06-16")
    change = replace(change_in(JUNE, at, 10_000, 100_000), new_period=Period(at, day("2026-06-16")))
    segments = change_segments(change)
    assert (segments.credit.amount_minor, segments.charge.amount_minor) == (-5_000, 100_000)
    assert segments.charge.to_at == day("2026-06-16")


def test_b9_four_switches_in_one_month() -> None:
    switches = [
        ("2025-06-07", 10_000, 20_000),
        ("2025-06-13", 20_000, 30_000),
        ("2025-06-19", 30_000, 40_000),
    ]
    amounts = []
    since, billed = JUNE.start, 10_000
    for at, old, new in switches:
        change = change_segments(PlanChange(JUNE, day(at), since, old, new, billed))
        amounts.append((change.credit.amount_minor, change.charge.amount_minor))
        since, billed = day(at), change.charge.amount_minor
    assert amounts == [(-8_000, 16_000), (-12_000, 18_000), (-12_000, 16_000)]


# Shares of a price.


def test_a_tie_is_rounded_away_from_zero_in_both_directions() -> None:
    half = day("2025-06-16")
    assert prorate(1, JUNE, JUNE.start, half) == 1
    assert prorate(-1, JUNE, JUNE.start, half) == -1


def test_the_policy_names_its_rounding() -> None:
    half = day("2025-06-16")
    assert prorate(1, JUNE, JUNE.start, half, ProrationPolicy(rounding="half_even")) == 0
    assert PRESETS["stripe"] is STRIPE


@given(st.integers(-(10**18) + 1, 10**18 - 1), periods_with_instants())
def test_a_whole_period_costs_its_whole_price_and_no_time_costs_nothing(
    price: int, drawn: tuple[Period, list[datetime]]
) -> None:
    period, instants = drawn
    assert prorate(price, period, period.start, period.end) == price
    for instant in instants:
        assert prorate(price, period, instant, instant) == 0


@given(PRICES, periods_with_instants())
def test_the_parts_of_a_period_partition_its_units_and_its_price(
    price: int, drawn: tuple[Period, list[datetime]]
) -> None:
    period, instants = drawn
    parts = list(pairwise([period.start, *instants, period.end]))
    assert sum(chargeable_units(*part) for part in parts) == chargeable_units(period.start, period.end)
    # Each part is rounded once, by at most half a unit.
    assert abs(sum(prorate(price, period, *part) for part in parts) - price) <= len(parts) / 2


@given(PRICES, periods_with_instants())
def test_a_longer_part_never_costs_less(price: int, drawn: tuple[Period, list[datetime]]) -> None:
    period, instants = drawn
    costs = [prorate(price, period, period.start, instant) for instant in instants]
    assert costs == sorted(costs)


@pytest.mark.parametrize(
    ("from_at", "to_at"),
    [
        ("2025-05-31T23:59:59", "2025-06-02"),
        ("2025-06-02", "2025-07-01T00:00:01"),
        ("2025-06-03", "2025-06-02"),
        ("2025-08-01", "2025-08-02"),
    ],
)
def test_a_part_outside_its_period_is_refused(from_at: str, to_at: str) -> None:
    with pytest.raises(OutsidePeriod) as refused:
        prorate(100, JUNE, day(from_at), day(to_at))
    assert refused.value.code == "outside_period"


def test_a_period_without_a_whole_unit_is_refused() -> None:
    blink = Period(JUNE.start, JUNE.start + timedelta(microseconds=1))
    with pytest.raises(PeriodTooShort):
        prorate(100, blink, blink.start, blink.end)


@pytest.mark.parametrize("amount", [1.5, True, None])
def test_a_price_that_is_not_an_integer_is_refused(amount: Any) -> None:
    with pytest.raises(InexactAmount):
        prorate(amount, JUNE, JUNE.start, JUNE.end)


def test_an_instant_without_an_offset_is_refused() -> None:
    with pytest.raises(Invalid):
        prorate(100, JUNE, JUNE.start.replace(tzinfo=None), JUNE.end)


def test_instants_of_another_offset_count_the_same() -> None:
    elsewhere = timezone(timedelta(hours=9))
    at = day("2025-06-16").astimezone(elsewhere)
    segments = change_segments(change_in(JUNE, at, 1000, 2000))
    assert segments == change_segments(change_in(JUNE, day("2025-06-16"), 1000, 2000))
    assert segments.credit.from_at.tzinfo is UTC


# Changes of plan.


def _play(period: Period, instants: list[datetime], prices: list[int]) -> tuple[int, list[ChangeSegments]]:
    """Bill the first price for the whole period, then change price at each instant."""
    since, billed, done = period.start, prices[0], []
    for at, (old, new) in zip(instants, pairwise(prices), strict=False):
        done.append(change_segments(PlanChange(period, at, since, old, new, billed)))
        since, billed = at, done[-1].charge.amount_minor
    return prices[0], done


@given(periods_with_instants(), st.lists(PRICES, min_size=9, max_size=9))
def test_the_segments_of_any_sequence_of_changes_partition_the_period(
    drawn: tuple[Period, list[datetime]], prices: list[int]
) -> None:
    period, instants = drawn
    _, changes = _play(period, instants, prices)
    reached = period.start
    for change in changes:
        assert change.used.from_at == reached
        assert change.used.to_at == change.credit.from_at == change.charge.from_at
        assert change.credit.units == change.charge.units
        reached = change.used.to_at
    kept = sum(change.used.units for change in changes)
    assert kept + chargeable_units(reached, period.end) == chargeable_units(period.start, period.end)


@given(periods_with_instants(), st.lists(PRICES, min_size=9, max_size=9))
def test_what_is_kept_is_what_was_billed_less_what_was_given_back(
    drawn: tuple[Period, list[datetime]], prices: list[int]
) -> None:
    period, instants = drawn
    first, changes = _play(period, instants, prices)
    billed = first + sum(change.net_minor for change in changes)
    held_to_the_end = changes[-1].charge.amount_minor if changes else first
    assert billed == sum(change.used.amount_minor for change in changes) + held_to_the_end


@given(periods_with_instants().filter(lambda drawn: bool(drawn[1])), PRICES, PRICES, PRICES)
def test_a_credit_never_exceeds_what_was_billed(
    drawn: tuple[Period, list[datetime]], old: int, new: int, billed: int
) -> None:
    period, instants = drawn
    change = change_segments(PlanChange(period, instants[-1], instants[0], old, new, billed))
    assert 0 <= -change.credit.amount_minor <= billed
    assert change.used.amount_minor >= 0


@given(periods_with_instants().filter(lambda drawn: len(drawn[1]) > 1), PRICES)
def test_what_was_billed_at_the_price_never_limits_the_credit(
    drawn: tuple[Period, list[datetime]], price: int
) -> None:
    period, instants = drawn
    since, at = instants[0], instants[-1]
    billed = prorate(price, period, since, period.end)
    change = change_segments(PlanChange(period, at, since, price, 0, billed))
    assert -change.credit.amount_minor == prorate(price, period, at, period.end)


def test_a_discounted_item_gives_back_no_more_than_was_taken() -> None:
    change = change_segments(replace(change_in(JUNE, JUNE.start, 1000, 0), billed_minor=400))
    assert (change.credit.amount_minor, change.used.amount_minor) == (-400, 0)


@pytest.mark.parametrize("old_new_billed", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_a_negative_price_is_refused(old_new_billed: tuple[int, int, int]) -> None:
    with pytest.raises(AmountOutOfRange):
        change_segments(PlanChange(JUNE, day("2025-06-16"), JUNE.start, *old_new_billed))


@pytest.mark.parametrize("at", ["2025-05-31", "2025-07-02"])
def test_a_change_outside_the_period_is_refused(at: str) -> None:
    with pytest.raises(OutsidePeriod):
        change_segments(change_in(JUNE, day(at), 1000, 2000))


def test_a_change_before_the_old_price_began_is_refused() -> None:
    change = PlanChange(JUNE, day("2025-06-10"), day("2025-06-20"), 1000, 2000, 300)
    with pytest.raises(OutsidePeriod):
        change_segments(change)
