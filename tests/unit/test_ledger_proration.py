"""A part of a period costs its share of the price, under any policy: none is billed twice, none is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.money import AmountOutOfRange, InexactAmount, RoundingName
from ledger.periods import Interval, Period, anniversary_anchor, local_day_number, local_day_start
from ledger.policies import KILLBILL, LAGO, PRESETS, STRIPE, BillingPolicy
from ledger.proration import (
    change_of_item,
    chargeable_units,
    is_downgrade,
    new_cycle,
    rounded,
    share_of_period,
    waits_for_period_end,
)
from ledger.proration_values import (
    ItemChange,
    LastBilled,
    NothingToProrate,
    OutsidePeriod,
    PeriodTooShort,
    Proration,
    RecurringPrice,
)

PRICES = st.integers(0, 10**9)
# Chosen for their trouble: clock changes at midnight and across it, by half an hour, a skipped date.
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/St_Johns", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia"]
)


POLICIES = st.builds(
    lambda preset, **axes: replace(PRESETS[preset].billing, **axes),
    st.sampled_from(list(PRESETS)),
    proration_unit=st.sampled_from(["second", "local_day", "elapsed_fraction"]),
    upgrade_day=st.sampled_from(["exact_instant", "whole_day_on_new_price"]),
    cancellation_day=st.sampled_from(["exact_instant", "kept_by_seller"]),
    days_in_year=st.sampled_from(["actual", "by_29_february"]),
    proration_rounding=st.sampled_from(get_args(RoundingName)),
)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def monthly(amount: int, quantity: str = "1") -> RecurringPrice:
    return RecurringPrice(amount_minor=amount, interval="month", quantity=Decimal(quantity))


JUNE = Period(day("2025-06-01"), day("2025-07-01"))
HALF_WAY = day("2025-06-16")


Price = int | RecurringPrice | None


def price_of(told: Price) -> RecurringPrice | None:
    return monthly(told) if isinstance(told, int) else told


def change(old: Price, new: Price, at: datetime = HALF_WAY, **more: Any) -> ItemChange:
    return ItemChange(
        **{"at": at, "zone": "UTC", "period": JUNE, "old": price_of(old), "new": price_of(new), **more}
    )


def amounts(proration: Proration) -> tuple[int | None, int | None]:
    credit, charge = proration.credit, proration.charge
    return (
        None if credit is None else credit.amount_minor,
        None if charge is None else charge.amount_minor,
    )


@st.composite
def periods_with_instants(draw: st.DrawFn) -> tuple[Period, list[datetime]]:
    """Draw a period of a day to a year and sorted instants in it, to the microsecond."""
    start = draw(st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1))).replace(tzinfo=UTC)  # noqa: DTZ001 - made UTC here
    length = timedelta(seconds=draw(st.integers(2 * 86_400, 367 * 86_400)))
    offsets = st.integers(0, length // timedelta(microseconds=1))
    instants = sorted(
        start + timedelta(microseconds=offset) for offset in draw(st.lists(offsets, max_size=8))
    )
    return Period(start, start + length), instants


# -- shares of a price ------------------------------------------------------------------------------


@given(st.integers(0, 10**18 - 1), periods_with_instants(), POLICIES, ZONES)
def test_a_whole_period_costs_its_whole_price_and_no_time_costs_nothing(
    price: int, drawn: tuple[Period, list[datetime]], policy: BillingPolicy, zone: str
) -> None:
    period, instants = drawn
    assert share_of_period(price, period, period.start, period.end, policy, zone) == price
    for instant in instants:
        assert share_of_period(price, period, instant, instant, policy, zone) == 0


@given(PRICES, periods_with_instants(), POLICIES, ZONES)
def test_the_parts_of_a_period_partition_its_units_and_its_price(
    price: int, drawn: tuple[Period, list[datetime]], policy: BillingPolicy, zone: str
) -> None:
    period, instants = drawn
    policy = replace(policy, days_in_year="actual")
    parts = list(pairwise([period.start, *instants, period.end]))
    units = [chargeable_units(*part, policy, zone) for part in parts]
    assert min(units) >= 0
    assert sum(units) == chargeable_units(period.start, period.end, policy, zone)
    shares = [share_of_period(price, period, *part, policy, zone) for part in parts]
    assert sum(shares) == price
    # Each part is rounded once, by at most half a unit.
    assert abs(sum(rounded(share, policy) for share in shares) - price) <= Fraction(len(parts), 2)


@given(PRICES, periods_with_instants(), POLICIES, ZONES)
def test_a_longer_part_never_costs_less(
    price: int, drawn: tuple[Period, list[datetime]], policy: BillingPolicy, zone: str
) -> None:
    period, instants = drawn
    costs = [share_of_period(price, period, period.start, instant, policy, zone) for instant in instants]
    assert costs == sorted(costs)


@given(PRICES, periods_with_instants(), POLICIES)
def test_a_credit_is_rounded_as_the_charge_that_it_undoes(
    price: int, drawn: tuple[Period, list[datetime]], policy: BillingPolicy
) -> None:
    period, instants = drawn
    for instant in instants:
        share = share_of_period(price, period, period.start, instant, policy)
        assert rounded(-share, policy) == -rounded(share, policy)


def test_the_policy_names_the_rounding_of_a_tie() -> None:
    tie = share_of_period(1, JUNE, JUNE.start, HALF_WAY)
    by_name = {"half_away": 1, "half_up": 1, "half_down": 0, "half_even": 0}
    for name in get_args(RoundingName):
        assert rounded(tie, replace(STRIPE, proration_rounding=name)) == by_name[name]


def test_a_stretch_that_runs_backwards_is_refused() -> None:
    with pytest.raises(OutsidePeriod):
        share_of_period(100, JUNE, day("2025-06-03"), day("2025-06-02"))


@pytest.mark.parametrize("unit", ["second", "local_day"])
def test_a_period_without_a_whole_unit_is_refused(unit: Any) -> None:
    blink = Period(JUNE.start, JUNE.start + timedelta(microseconds=1))
    with pytest.raises(PeriodTooShort):
        share_of_period(100, blink, blink.start, blink.end, replace(STRIPE, proration_unit=unit))


# -- local days -------------------------------------------------------------------------------------


def test_a_month_has_as_many_local_days_as_its_calendar_whatever_the_clock_does() -> None:
    # March in Berlin is an hour short, October an hour long.
    for start, end, days in (
        ("2026-02-28T23:00", "2026-03-31T22:00", 31),
        ("2026-09-30T22:00", "2026-10-31T23:00", 31),
    ):
        assert chargeable_units(day(start), day(end), LAGO, "Europe/Berlin") == days
    noon = [day("2026-03-28T11:00"), day("2026-03-29T10:00"), day("2026-03-30T10:00")]
    assert [chargeable_units(*pair, LAGO, "Europe/Berlin") for pair in pairwise(noon)] == [1, 1]


def test_a_local_day_belongs_to_what_begins_in_it() -> None:
    period = Period(day("2026-03-01T12:00"), day("2026-04-01T12:00"))
    evening = day("2026-03-11T23:00")
    assert share_of_period(3100, period, evening, period.end, LAGO, "UTC") == 2100
    assert share_of_period(3100, period, evening, period.end, LAGO, "Europe/Berlin") == 2000


def test_the_evening_that_a_clock_shows_twice_is_of_the_day_that_has_begun() -> None:
    # In St. John's in 2005, a minute into Sunday 30 October, it was 23:01 on Saturday again.
    zone = "America/St_Johns"
    midnight = day("2005-10-30T02:30")
    saturday = local_day_number(midnight - timedelta(seconds=1), zone)
    for minutes in (0, 1, 30, 59, 60, 61):
        assert local_day_number(midnight + timedelta(minutes=minutes), zone) == saturday + 1
    assert local_day_start(midnight + timedelta(minutes=30), zone) == midnight
    assert local_day_start(midnight + timedelta(minutes=30), zone, -1) == day("2005-10-29T02:30")


def test_a_day_without_a_midnight_begins_when_the_clock_jumps_over_it() -> None:
    jump = day("2018-11-04T03:00")
    assert local_day_start(day("2018-11-04T12:00"), "America/Sao_Paulo") == jump
    assert local_day_start(day("2018-11-03T12:00"), "America/Sao_Paulo", 1) == jump


@given(st.datetimes(datetime(2001, 1, 1), datetime(2051, 1, 1)), ZONES)  # noqa: DTZ001 - made UTC below
def test_an_instant_lies_between_the_start_of_its_local_day_and_the_next(at: datetime, zone: str) -> None:
    instant = at.replace(tzinfo=UTC)
    start, following = local_day_start(instant, zone), local_day_start(instant, zone, 1)
    assert start <= instant < following or zone == "Pacific/Apia"
    assert local_day_number(start, zone) == local_day_number(instant, zone)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2024-02-29", "2025-02-28", 366),
        ("2027-02-28", "2028-02-29", 365),
        ("2023-03-01", "2024-03-01", 366),
        ("2025-01-01", "2026-01-01", 365),
    ],
)
def test_a_year_has_366_days_if_it_holds_a_29_february(start: str, end: str, days: int) -> None:
    year = Period(day(start), day(end))
    half = year.start + timedelta(days=183)
    assert share_of_period(days, year, year.start, half, LAGO) == 183
    assert share_of_period(days, year, year.start, year.end, LAGO) == days


# -- changes of price -------------------------------------------------------------------------------


def play(
    policy: BillingPolicy, zone: str, period: Period, instants: list[datetime], prices: list[int]
) -> list[Proration]:
    """Bill the first price for the whole period, then change price at each instant."""
    since, billed, done = period.start, None, []
    for at, (old, new) in zip(instants, pairwise(prices), strict=False):
        asked = change(old, new, at, period=period, zone=zone, since=since, billed=billed)
        done.append(change_of_item(asked, policy))
        charge = done[-1].charge
        assert charge is not None
        since = charge.from_at
        billed = LastBilled(amount_minor=charge.amount_minor, price=Fraction(new))
    return done


@given(periods_with_instants(), st.lists(PRICES, min_size=9, max_size=9), POLICIES, ZONES)
def test_the_segments_of_any_sequence_of_changes_partition_the_period(
    drawn: tuple[Period, list[datetime]], prices: list[int], policy: BillingPolicy, zone: str
) -> None:
    period, instants = drawn
    reached, kept = period.start, 0
    for done in play(policy, zone, period, instants, prices):
        assert done.used is not None
        assert done.credit is not None
        assert done.charge is not None
        assert done.used.from_at == reached
        assert done.used.to_at == done.credit.from_at == done.charge.from_at
        assert done.credit.to_at == done.charge.to_at == period.end
        assert done.credit.units == done.charge.units
        kept += done.used.units
        reached = done.used.to_at
    rest = chargeable_units(reached, period.end, policy, zone)
    assert kept + rest == chargeable_units(period.start, period.end, policy, zone)


@given(periods_with_instants(), st.lists(PRICES, min_size=9, max_size=9), POLICIES, ZONES)
def test_what_is_kept_is_what_was_billed_less_what_was_given_back(
    drawn: tuple[Period, list[datetime]], prices: list[int], policy: BillingPolicy, zone: str
) -> None:
    period, instants = drawn
    changes = play(policy, zone, period, instants, prices)
    billed = prices[0] + sum(one.net_minor for one in changes)
    kept = sum(one.used.amount_minor for one in changes if one.used is not None)
    last = changes[-1].charge.amount_minor if changes and changes[-1].charge else prices[0]
    assert billed == kept + last


@given(periods_with_instants(), st.lists(PRICES, min_size=9, max_size=9), POLICIES, ZONES)
def test_changing_and_changing_back_costs_what_staying_does_but_for_rounding(
    drawn: tuple[Period, list[datetime]], prices: list[int], policy: BillingPolicy, zone: str
) -> None:
    period, instants = drawn
    changes = play(policy, zone, period, instants, [prices[0]] * 9)
    # Each line is rounded by at most half a unit.
    assert abs(sum(one.net_minor for one in changes)) <= len(changes)


@given(periods_with_instants().filter(lambda drawn: bool(drawn[1])), PRICES, PRICES, PRICES, POLICIES, ZONES)
def test_a_credit_never_exceeds_what_was_billed(
    drawn: tuple[Period, list[datetime]],
    old: int,
    new: int,
    billed: int,
    policy: BillingPolicy,
    zone: str,
) -> None:
    period, instants = drawn
    assume(policy.credit_base != "current_price")
    for price in (None, Fraction(old), Fraction(billed)):
        asked = change(old, new, instants[-1], period=period, zone=zone, since=instants[0])
        told = replace(asked, billed=LastBilled(amount_minor=billed, price=price))
        for one in (told, replace(told, new=None)):
            done = change_of_item(one, policy)
            assert done.credit is not None
            assert done.used is not None
            assert 0 <= -done.credit.amount_minor <= billed
            assert done.used.amount_minor >= 0


@given(periods_with_instants().filter(lambda drawn: len(drawn[1]) > 1), PRICES)
def test_what_was_billed_at_the_price_never_limits_the_credit(
    drawn: tuple[Period, list[datetime]], price: int
) -> None:
    period, instants = drawn
    since, at = instants[0], instants[-1]
    done = change_of_item(change(price, None, at, period=period, since=since), STRIPE)
    exact = share_of_period(price, period, at, period.end)
    assert amounts(done) == (-rounded(exact, STRIPE), None)


def test_a_quantity_is_priced_and_rounded_once() -> None:
    asked = change(monthly(333, "1.5"), monthly(333, "2.5"))
    done = change_of_item(asked, STRIPE)
    assert amounts(done) == (-250, 416)
    assert done.credit is not None
    assert done.credit.exact == Fraction(-999, 4)


def test_a_start_charges_the_rest_of_the_period_and_an_end_gives_it_back() -> None:
    assert amounts(change_of_item(change(None, 3000), STRIPE)) == (None, 1500)
    assert amounts(change_of_item(change(3000, None), STRIPE)) == (-1500, None)


def test_a_period_that_is_part_of_a_whole_one_costs_its_part() -> None:
    asked = change(3000, 6000, period=Period(day("2025-06-11"), day("2025-06-26")), whole=JUNE)
    assert amounts(change_of_item(asked, STRIPE)) == (-1000, 2000)


def test_instants_of_another_offset_count_the_same() -> None:
    elsewhere = HALF_WAY.astimezone(timezone(timedelta(hours=9)))
    assert change_of_item(change(1000, 2000, elsewhere), STRIPE) == change_of_item(change(1000, 2000), STRIPE)


# -- days of a change -------------------------------------------------------------------------------

EVENING = day("2025-06-16T18:00")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (STRIPE, (-1425, 2850)),
        (replace(STRIPE, upgrade_day="whole_day_on_new_price"), (-1500, 3000)),
        (KILLBILL, (-1500, 3000)),
        (LAGO, (-1500, 3000)),
    ],
)
def test_the_day_of_an_upgrade_is_split_or_goes_to_the_new_price(
    policy: BillingPolicy, expected: tuple[int, int]
) -> None:
    assert amounts(change_of_item(change(3000, 6000, EVENING), policy)) == expected


@pytest.mark.parametrize(
    ("policy", "credit"),
    [
        (STRIPE, -1425),
        (replace(STRIPE, cancellation_day="kept_by_seller"), -1400),
        (KILLBILL, -1500),
        (LAGO, -1400),
    ],
)
def test_the_day_of_a_cancellation_is_split_or_given_back_or_kept(policy: BillingPolicy, credit: int) -> None:
    assert amounts(change_of_item(change(3000, None, EVENING), policy)) == (credit, None)


def test_a_cancellation_on_the_last_day_gives_nothing_back_where_the_day_is_kept() -> None:
    assert amounts(change_of_item(change(3000, None, day("2025-06-30T18:00")), LAGO)) == (0, None)


# -- what is credited -------------------------------------------------------------------------------


def credited(policy: BillingPolicy, **more: Any) -> int | None:
    return amounts(change_of_item(change(2000, 1000, **more), policy))[0]


def test_unused_time_is_credited_at_the_price_that_the_policy_names() -> None:
    billed = LastBilled(amount_minor=900, price=Fraction(1000))
    by_base = {
        "current_price": -1000,
        "current_price_up_to_billed": -900,
        "last_billed_price": -500,
        "last_billed_price_less_discount": -500,
    }
    for base, credit in by_base.items():
        policy: BillingPolicy = replace(STRIPE, credit_base=base)  # type: ignore[arg-type]
        assert credited(policy, billed=billed) == credit


def test_a_price_that_is_not_told_is_worked_back_from_what_was_billed() -> None:
    policy = replace(STRIPE, credit_base="last_billed_price")
    since = day("2025-06-11")
    assert credited(policy, since=since, billed=LastBilled(amount_minor=400)) == -300
    assert credited(policy, since=HALF_WAY, billed=LastBilled(amount_minor=400)) == -400
    at_the_end = change(2000, 1000, JUNE.end, since=JUNE.end, billed=LastBilled(amount_minor=400))
    assert amounts(change_of_item(at_the_end, policy)) == (0, 0)


def test_classic_credits_are_at_the_current_price_whatever_was_billed() -> None:
    policy = replace(STRIPE, credit_base="current_price")
    assert credited(policy, billed=LastBilled(amount_minor=0)) == -1000


def test_where_nothing_is_prorated_only_a_whole_period_is_charged() -> None:
    mid = change_of_item(change(1000, 2000, prorates=False), STRIPE)
    assert amounts(mid) == (None, None)
    assert mid.used is not None
    assert mid.used.amount_minor == 1000
    assert amounts(change_of_item(change(None, 2000, prorates=False), STRIPE)) == (None, None)
    at_start = change(None, 2000, JUNE.start, prorates=False)
    assert amounts(change_of_item(at_start, STRIPE)) == (None, 2000)
    assert amounts(change_of_item(change(1000, 2000, JUNE.start, prorates=False), STRIPE)) == (None, None)


# -- trials -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("policy", "charge"), [(STRIPE, 525), (LAGO, 600), (KILLBILL, 600)])
def test_charges_begin_when_a_trial_ends(policy: BillingPolicy, charge: int) -> None:
    asked = change(None, 3000, JUNE.start, trial_end=day("2025-06-25T18:00"))
    assert amounts(change_of_item(asked, policy)) == (None, charge)


def test_a_trial_by_local_days_ends_with_the_day_before() -> None:
    policy = replace(STRIPE, trial_end="local_day")
    asked = change(None, 3000, JUNE.start, trial_end=day("2025-06-25T18:00"))
    assert amounts(change_of_item(asked, policy)) == (None, 600)


@pytest.mark.parametrize("policy", [STRIPE, replace(STRIPE, credit_base="current_price"), LAGO])
def test_a_change_during_the_trial_gives_nothing_back(policy: BillingPolicy) -> None:
    asked = change(1500, 3000, trial_end=day("2025-06-26"))
    assert amounts(change_of_item(asked, policy)) == (0, 500)


def test_what_was_billed_for_after_the_trial_is_given_back_from_there() -> None:
    trial_end = day("2025-06-26")
    asked = change(3000, None, trial_end=trial_end, billed=LastBilled(amount_minor=500))
    done = change_of_item(asked, STRIPE)
    assert amounts(done) == (-500, None)
    assert done.credit is not None
    assert (done.credit.from_at, done.credit.exact) == (trial_end, Fraction(-500))
    later = change_of_item(change(3000, None, day("2025-06-28"), trial_end=trial_end), STRIPE)
    assert amounts(later) == (-300, None)
    assert later.used is not None
    assert (later.used.from_at, later.used.amount_minor) == (trial_end, 200)


def test_a_trial_beyond_the_period_costs_nothing_in_it() -> None:
    asked = change(None, 3000, trial_end=day("2025-08-01"))
    assert amounts(change_of_item(asked, STRIPE)) == (None, 0)
    assert amounts(change_of_item(replace(asked, old=monthly(1)), STRIPE)) == (0, 0)


# -- taxes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "credit_tax", "charge_tax"),
    [
        ({"tax_rounding": "per_line"}, -1, 2),
        ({"tax_rounding": "per_rate_on_invoice"}, -1, 2),
        ({"tax_rounding": "per_rate_on_invoice", "change_credit": "credit_note_with_tax"}, 0, 2),
    ],
)
def test_tax_is_rounded_line_by_line_or_once_for_the_invoice(
    axes: dict[str, Any], credit_tax: int, charge_tax: int
) -> None:
    # 4.5 is credited and rounded to 5: a tenth of either rounds to another tax.
    asked = change(9, 30, tax_rate=Decimal(10))
    done = change_of_item(asked, replace(STRIPE, **axes))
    assert done.credit is not None
    assert done.charge is not None
    assert (done.credit.tax_minor, done.charge.tax_minor) == (credit_tax, charge_tax)
    assert done.tax_minor == credit_tax + charge_tax


def test_one_rounding_for_the_invoice_is_of_the_sum_of_its_lines() -> None:
    asked = change(10, 28, tax_rate=Decimal(10))
    # A tenth of -5 and of 14, each rounded; a tenth of 9, rounded.
    assert change_of_item(asked, STRIPE).tax_minor == -1 + 1
    together = replace(STRIPE, tax_rounding="per_rate_on_invoice")
    assert change_of_item(asked, together).tax_minor == 1
    apart = replace(together, change_credit="credit_note_with_tax")
    assert change_of_item(asked, apart).tax_minor == -1 + 1


# -- changes of interval ----------------------------------------------------------------------------


def test_a_change_of_interval_starts_a_period_at_the_change() -> None:
    fresh = new_cycle(HALF_WAY, "year", anniversary_anchor(day("2025-02-01"), "UTC"), STRIPE, "UTC")
    assert fresh.period == fresh.whole == Period(HALF_WAY, day("2026-06-16"))
    yearly = RecurringPrice(amount_minor=36_500, interval="year")
    asked = replace(change(3000, None), new=yearly, new_cycle=fresh)
    assert amounts(change_of_item(asked, STRIPE)) == (-1500, 36_500)
    assert amounts(change_of_item(replace(asked, prorates=False), STRIPE)) == (None, 36_500)


def test_a_change_of_interval_may_keep_the_anchor_and_cost_the_rest_of_a_period() -> None:
    anchor = anniversary_anchor(day("2025-02-01"), "UTC")
    kept = new_cycle(HALF_WAY, "year", anchor, LAGO, "UTC")
    assert (kept.period, kept.whole) == (
        Period(HALF_WAY, day("2026-02-01")),
        Period(day("2025-02-01"), day("2026-02-01")),
    )
    yearly = RecurringPrice(amount_minor=36_500, interval="year")
    asked = replace(change(3000, None), new=yearly, new_cycle=kept)
    assert amounts(change_of_item(asked, LAGO)) == (-1500, 23_000)
    assert new_cycle(HALF_WAY, "year", None, LAGO, "UTC").period == Period(HALF_WAY, day("2026-06-16"))


def test_the_day_of_a_change_of_interval_goes_whole_to_the_new_period() -> None:
    policy = replace(STRIPE, upgrade_day="whole_day_on_new_price")
    fresh = new_cycle(EVENING, "year", None, policy, "UTC")
    assert fresh.period == Period(HALF_WAY, day("2026-06-16"))
    yearly = RecurringPrice(amount_minor=36_500, interval="year")
    asked = replace(change(3000, None, EVENING), new=yearly, new_cycle=fresh)
    assert amounts(change_of_item(asked, policy)) == (-1500, 36_500)


def test_a_new_period_in_an_hour_shown_twice_starts_at_the_change_at_the_full_price() -> None:
    second_pass = day("2026-10-25T01:30")
    fresh = new_cycle(second_pass, "month", None, STRIPE, "Europe/Berlin")
    assert fresh.period == fresh.whole == Period(second_pass, day("2026-11-25T01:30"))


@pytest.mark.parametrize(
    ("old", "new", "cheaper"),
    [
        ((1000, "month"), (999, "month"), True),
        ((1000, "month"), (1000, "month"), False),
        ((1000, "month"), (11_999, "year"), True),
        ((1000, "month"), (12_000, "year"), False),
        ((3000, "quarter"), (1000, "month"), False),
        ((100, "week"), (1299, "quarter"), True),
        ((100, "week"), (1300, "quarter"), False),
    ],
)
def test_a_downgrade_costs_less_over_a_year(
    *, old: tuple[int, Interval], new: tuple[int, Interval], cheaper: bool
) -> None:
    before = RecurringPrice(amount_minor=old[0], interval=old[1])
    after = RecurringPrice(amount_minor=new[0], interval=new[1])
    assert is_downgrade(before, after) is cheaper
    assert waits_for_period_end(before, after, LAGO) is cheaper
    assert not waits_for_period_end(before, after, STRIPE)
    assert not is_downgrade(before, None)
    assert not is_downgrade(None, after)


# -- refusals ---------------------------------------------------------------------------------------


def refused(asked: ItemChange, error: type[Exception], field: str | None = None) -> None:
    with pytest.raises(error) as refusal:
        change_of_item(asked, STRIPE)
    if field is not None:
        assert list(refusal.value.errors) == [field]  # type: ignore[attr-defined]


def test_neither_price_is_refused() -> None:
    refused(change(None, None), NothingToProrate, "old")


@pytest.mark.parametrize("field", ["old", "new"])
def test_a_price_that_is_negative_or_too_large_is_refused(field: str) -> None:
    for price, path in (
        (monthly(-1), f"{field}.amount"),
        (monthly(1, "-1"), f"{field}.quantity"),
        (monthly(10**17, "10"), f"{field}.amount"),
        (monthly(10**18), "amount"),
    ):
        asked = change(price, 1) if field == "old" else change(1, price)
        refused(asked, AmountOutOfRange, path)


@pytest.mark.parametrize("amount", [1.5, True, None])
def test_a_price_that_is_not_an_integer_is_refused(amount: Any) -> None:
    refused(change(monthly(amount), 1), InexactAmount)


def test_a_negative_amount_billed_is_refused() -> None:
    refused(change(1, 2, billed=LastBilled(amount_minor=-1)), AmountOutOfRange, "last_billed.amount")


@pytest.mark.parametrize("at", ["2025-05-31", "2025-07-02"])
def test_a_change_outside_the_period_is_refused(at: str) -> None:
    refused(change(1000, 2000, day(at)), OutsidePeriod, "change_at")


def test_a_change_before_the_old_price_began_is_refused() -> None:
    refused(change(1000, 2000, since=day("2025-06-20")), OutsidePeriod, "change_at")
