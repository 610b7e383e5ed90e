"""The periods of one anchor partition time, whatever the zone, the month's length and the clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.periods import (
    INTERVALS,
    Anchor,
    Interval,
    MalformedAnchor,
    MalformedPeriod,
    Period,
    UnknownInterval,
    UnknownZone,
    anniversary_anchor,
    calendar_anchor,
    local_date,
    next_period,
    period_containing,
    period_starting,
)

# Chosen for their trouble: half-hour and midnight clock changes, a skipped date, a fold across midnight.
ZONES = [
    "UTC",
    "America/New_York",
    "America/Nuuk",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Kiritimati",
]
YEARS_50 = st.datetimes(datetime(2001, 1, 1), datetime(2051, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - made UTC here
TIMES = st.times().map(lambda at: at.replace(microsecond=0, fold=0))
ANCHORS = st.builds(
    Anchor,
    st.integers(1, 31),
    TIMES,
    st.sampled_from(ZONES),
    month=st.integers(1, 12),
    weekday=st.integers(1, 7),
)
BARE_ANCHORS = st.builds(Anchor, st.integers(1, 31), TIMES, st.sampled_from(ZONES))
KINDS = st.sampled_from(INTERVALS)
LONGEST_DAYS = {"week": 8, "month": 32, "quarter": 93, "year": 367}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def starts(anchor: Anchor, interval: Interval, at: datetime, count: int) -> list[str]:
    """List the local starts of this period and the next ones."""
    period = period_starting(anchor, interval, at)
    found = []
    for _ in range(count):
        found.append(period.start.astimezone(ZoneInfo(anchor.zone)).strftime("%Y-%m-%d %H:%M"))
        period = next_period(anchor, interval, period)
    return found


# The property everything else rests on.


@given(ANCHORS, KINDS, YEARS_50)
@example(Anchor(30, time(), "Pacific/Apia", month=12, weekday=5), "week", utc("2011-12-30T10:00"))
@example(Anchor(31, time(23, 30), "America/Nuuk", month=3, weekday=6), "week", utc("2024-03-31T01:30"))
@example(Anchor(6, time(0, 0, 30), "America/St_Johns", month=11, weekday=7), "week", utc("2005-10-30T02:45"))
@example(Anchor(1, time(0, 0, 30), "America/St_Johns", month=11), "month", utc("2009-11-01T02:45"))
def test_every_instant_lies_in_exactly_one_period(anchor: Anchor, interval: Interval, at: datetime) -> None:
    period = period_containing(anchor, interval, at)
    assert at in period
    assert timedelta(0) < period.end - period.start <= timedelta(days=LONGEST_DAYS[interval])
    # The neighbours meet it, and every instant of it leads back to it.
    tick = timedelta(microseconds=1)
    assert period_containing(anchor, interval, period.start) == period
    assert period_containing(anchor, interval, period.end - tick) == period
    assert period_containing(anchor, interval, period.start - tick).end == period.start
    assert period_containing(anchor, interval, period.end).start == period.end


@settings(max_examples=15)
@given(ANCHORS, KINDS, st.datetimes(datetime(2001, 1, 1), datetime(2002, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_fifty_years_of_periods_follow_each_other_without_a_gap(
    anchor: Anchor, interval: Interval, first_at: datetime
) -> None:
    at = first_at.replace(tzinfo=UTC)
    chain = [period_starting(anchor, interval, at)]
    while chain[-1].end.year <= 2051:
        chain.append(next_period(anchor, interval, chain[-1]))
    assert chain[0].start == at
    assert all(before.end == after.start for before, after in pairwise(chain))
    assert all(chained == period_containing(anchor, interval, chained.start) for chained in chain[1:])


@given(BARE_ANCHORS, KINDS, YEARS_50)
def test_an_anchor_of_day_and_time_alone_is_counted_from_the_start(
    anchor: Anchor, interval: Interval, at: datetime
) -> None:
    first = period_starting(anchor, interval, at)
    second = next_period(anchor, interval, first)
    assert at in first
    assert second.start == first.end
    assert period_containing(anchor, interval, second.start) == second


@given(st.sampled_from(ZONES), KINDS, YEARS_50)
def test_an_anniversary_period_is_whole_from_the_second_it_started(
    zone: str, interval: Interval, at: datetime
) -> None:
    on_the_second = at.replace(microsecond=0)
    anchor = anniversary_anchor(at, zone)
    whole = period_containing(anchor, interval, at)
    # In the second pass of a repeated hour the calendar turned over in the first pass.
    assert on_the_second - whole.start in (timedelta(0), timedelta(minutes=30), timedelta(hours=1))
    assert period_starting(anchor, interval, at) == Period(at, whole.end)


@given(ANCHORS, KINDS, YEARS_50)
def test_the_wall_clock_is_kept_unless_the_clock_jumped_over_it(
    anchor: Anchor, interval: Interval, at: datetime
) -> None:
    start = period_containing(anchor, interval, at).start
    assert start.tzinfo is UTC
    local = start.astimezone(ZoneInfo(anchor.zone))
    if local.time() != anchor.time:
        planned = datetime.combine(local.date(), anchor.time, tzinfo=ZoneInfo(anchor.zone))
        if planned > local:
            planned -= timedelta(days=1)
        assert planned.astimezone(UTC).astimezone(planned.tzinfo).replace(tzinfo=None) != planned.replace(
            tzinfo=None
        )


# Month ends and leap years.


def test_the_31st_falls_back_to_the_last_day_and_returns() -> None:
    anchor = Anchor(31, time(), "UTC")
    assert starts(anchor, "month", utc("2027-01-31"), 5) == [
        "2027-01-31 00:00",
        "2027-02-28 00:00",
        "2027-03-31 00:00",
        "2027-04-30 00:00",
        "2027-05-31 00:00",
    ]


def test_february_has_29_days_in_a_leap_year() -> None:
    assert starts(Anchor(31, time(), "UTC"), "month", utc("2028-01-31"), 3)[1:] == [
        "2028-02-29 00:00",
        "2028-03-31 00:00",
    ]


def test_a_year_from_29_february_returns_to_it_in_the_next_leap_year() -> None:
    anchor = anniversary_anchor(utc("2024-02-29T09:00"), "UTC")
    assert starts(anchor, "year", utc("2024-02-29T09:00"), 5) == [
        "2024-02-29 09:00",
        "2025-02-28 09:00",
        "2026-02-28 09:00",
        "2027-02-28 09:00",
        "2028-02-29 09:00",
    ]


def test_2100_is_no_leap_year() -> None:
    anchor = Anchor(29, time(), "UTC", month=2)
    assert period_containing(anchor, "year", utc("2100-03-01")).start == utc("2100-02-28")


def test_a_quarter_from_30_november_ends_on_the_last_of_february() -> None:
    anchor = anniversary_anchor(utc("2026-11-30"), "UTC")
    assert starts(anchor, "quarter", utc("2026-11-30"), 3) == [
        "2026-11-30 00:00",
        "2027-02-28 00:00",
        "2027-05-30 00:00",
    ]


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize(
    ("interval", "end"),
    [("week", "2026-03-22"), ("month", "2026-04-15"), ("quarter", "2026-06-15"), ("year", "2027-03-15")],
)
def test_every_interval_has_its_length(*, bare: bool, interval: Interval, end: str) -> None:
    at = utc("2026-03-15")
    anchor = Anchor(15, time(), "UTC") if bare else anniversary_anchor(at, "UTC")
    assert period_starting(anchor, interval, at) == Period(at, utc(end))


# Calendar billing.


@pytest.mark.parametrize(
    ("interval", "start", "end"),
    [
        ("week", "2026-03-02", "2026-03-09"),
        ("month", "2026-03-01", "2026-04-01"),
        ("quarter", "2026-01-01", "2026-04-01"),
        ("year", "2026-01-01", "2027-01-01"),
    ],
)
def test_a_calendar_turns_over_on_mondays_firsts_and_january(
    interval: Interval, start: str, end: str
) -> None:
    at = utc("2026-03-05T12:12")
    assert period_containing(calendar_anchor("UTC"), interval, at) == Period(utc(start), utc(end))
    assert period_starting(calendar_anchor("UTC"), interval, at) == Period(at, utc(end))


def test_a_stub_ends_on_the_next_boundary_and_whole_periods_follow() -> None:
    stub = period_starting(calendar_anchor("Asia/Tokyo"), "month", utc("2026-03-31T14:59:59"))
    assert stub == Period(utc("2026-03-31T14:59:59"), utc("2026-03-31T15:00"))
    assert next_period(calendar_anchor("Asia/Tokyo"), "month", stub).end == utc("2026-04-30T15:00")


# Clocks that change.


def test_the_local_time_is_kept_across_daylight_saving() -> None:
    anchor = Anchor(15, time(9), "Europe/Berlin")
    period = period_starting(anchor, "month", utc("2026-03-15T08:00"))
    assert period == Period(utc("2026-03-15T08:00"), utc("2026-04-15T07:00"))


def test_a_time_that_does_not_exist_moves_forward_and_does_not_drift() -> None:
    anchor = Anchor(29, time(2, 30), "Europe/Berlin")
    assert starts(anchor, "month", utc("2026-02-28T01:30"), 3) == [
        "2026-02-28 02:30",
        "2026-03-29 03:30",
        "2026-04-29 02:30",
    ]


def test_a_time_that_happens_twice_takes_the_first() -> None:
    anchor = Anchor(25, time(2, 30), "Europe/Berlin")
    assert period_starting(anchor, "month", utc("2026-09-25T00:30")).end == utc("2026-10-25T00:30")


def test_a_jump_over_midnight_starts_the_period_on_the_next_day_once() -> None:
    # In 2024 the clocks of Nuuk jumped from Saturday 23:00 to Sunday 00:00.
    anchor = Anchor(30, time(23, 30), "America/Nuuk")
    assert starts(anchor, "week", utc("2024-03-24T01:30"), 3) == [
        "2024-03-23 23:30",
        "2024-03-31 00:30",
        "2024-04-06 23:30",
    ]


def test_a_date_that_was_skipped_moves_to_the_next_one() -> None:
    # Samoa had no 30 December 2011.
    anchor = Anchor(30, time(), "Pacific/Apia", month=12)
    assert starts(anchor, "month", utc("2011-11-30T10:00"), 3) == [
        "2011-11-30 00:00",
        "2011-12-31 00:00",
        "2012-01-30 00:00",
    ]


def test_a_start_in_the_second_pass_of_an_hour_is_kept() -> None:
    second_pass = utc("2026-10-25T01:30:00.250000")
    anchor = anniversary_anchor(second_pass, "Europe/Berlin")
    assert anchor.time == time(2, 30)
    assert anchor.time.fold == 0
    assert period_starting(anchor, "month", second_pass) == Period(second_pass, utc("2026-11-25T01:30"))


# Dates.


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("UTC", 31), ("Asia/Tokyo", 1), ("America/Los_Angeles", 31), ("Pacific/Auckland", 1)],
)
def test_an_instant_has_the_date_of_the_zone(zone: str, expected: int) -> None:
    assert local_date(utc("2026-01-31T15:30"), zone).day == expected


def test_a_local_date_is_a_plain_date() -> None:
    assert local_date(utc("2026-01-31T15:30"), "UTC") == date(2026, 1, 31)


# Refusals.


@pytest.mark.parametrize(
    "zone",
    [
        "",
        "Mars/Olympus",
        "localtime",
        "right/UTC",
        "posix/UTC",
        "Factory",
        "../etc/passwd",
        "/etc",
        "a\0b",
        "Europe",
    ],
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(UnknownZone) as refused:
        local_date(utc("2026-01-01"), zone)
    assert refused.value.code == "unknown_time_zone"


@pytest.mark.parametrize("interval", ["day", "", "Month"])
@pytest.mark.parametrize("month", [None, 1])
def test_an_unknown_interval_is_refused(interval: Any, month: int | None) -> None:
    with pytest.raises(UnknownInterval):
        period_starting(Anchor(1, time(), "UTC", month=month), interval, utc("2026-01-01"))


@pytest.mark.parametrize(
    "fields",
    [
        {"day": 0},
        {"day": 32},
        {"day": True},
        {"day": 1.0},
        {"month": 0},
        {"month": 13},
        {"weekday": 0},
        {"weekday": 8},
        {"time": time(1, tzinfo=UTC)},
        {"time": time(1, 0, 0, 1)},
        {"time": time(1, fold=1)},
    ],
)
def test_a_malformed_anchor_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnchor) as refused:
        Anchor(**{"day": 1, "time": time(), "zone": "UTC", **fields})
    assert list(refused.value.errors) == [f"anchor.{next(iter(fields))}"]


def test_an_instant_without_an_offset_is_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
    for ask in (
        lambda: local_date(naive, "UTC"),
        lambda: period_starting(calendar_anchor("UTC"), "month", naive),
        lambda: anniversary_anchor(naive, "UTC"),
        lambda: Period(naive, utc("2026-02-01")),
        lambda: Period(utc("2026-01-01"), naive),
    ):
        with pytest.raises(Invalid):
            ask()


def test_a_period_that_does_not_run_forward_is_refused() -> None:
    for end in ("2026-01-01", "2025-12-31"):
        with pytest.raises(MalformedPeriod):
            Period(utc("2026-01-01"), utc(end))


def test_a_period_is_held_in_utc_and_half_open() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # One wall-clock hour is two hours long on this night.
    night = Period(datetime(2026, 10, 25, 2, tzinfo=berlin), datetime(2026, 10, 25, 3, tzinfo=berlin))
    assert night == Period(utc("2026-10-25T00:00"), utc("2026-10-25T02:00"))
    assert night.start in night
    assert night.end not in night
    assert datetime(2026, 10, 25, 2, 30, tzinfo=timezone(timedelta(hours=1))) in night
