"""Which days, weeks, months, quarters and years a report is cut into."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.mrr_periods import INTERVALS, MAX_PERIODS, calendar, day_begins, twelve_months

DAYS = st.dates(date(2000, 1, 3), date(2199, 12, 30))


@pytest.mark.parametrize(("interval", "days"), [("day", [29, 30, 31, 1, 2]), ("week", [29, 31, 2])])
def test_a_stretch_is_cut_where_the_calendar_turns_over(interval: str, days: list[int]) -> None:
    # The 31st of May 2027 is a Monday.
    cut = calendar(date(2027, 5, 29), date(2027, 6, 2), interval, "UTC")
    assert [day.day for day in cut.days] == days


def test_months_quarters_and_years_begin_on_their_first_day() -> None:
    since, until = date(2026, 11, 15), date(2027, 5, 10)
    assert calendar(since, until, "month", "UTC").days[1:-1] == tuple(
        date(year, month, 1)
        for year, month in [(2026, 12), (2027, 1), (2027, 2), (2027, 3), (2027, 4), (2027, 5)]
    )
    assert calendar(since, until, "quarter", "UTC").days[1:-1] == (date(2027, 1, 1), date(2027, 4, 1))
    assert calendar(since, until, "year", "UTC").days[1:-1] == (date(2027, 1, 1),)


def test_days_begin_at_midnight_of_the_zone() -> None:
    cut = calendar(date(2027, 3, 27), date(2027, 3, 30), "day", "Europe/Berlin")
    assert [instant.hour for instant in cut.boundaries] == [23, 23, 22, 22]
    # In this night there was no midnight: the day began at one.
    assert day_begins(date(2018, 11, 4), "America/Sao_Paulo") == datetime(2018, 11, 4, 3, tzinfo=UTC)


def test_twelve_months_end_with_the_present_one() -> None:
    assert twelve_months(date(2027, 12, 31)) == (date(2027, 1, 1), date(2028, 1, 1))
    assert twelve_months(date(2027, 1, 1)) == (date(2026, 2, 1), date(2027, 2, 1))


@pytest.mark.parametrize(
    ("since", "until", "interval", "field"),
    [
        (date(2027, 1, 1), date(2027, 1, 1), "day", "to"),
        (date(2027, 1, 2), date(2027, 1, 1), "day", "to"),
        (date(1, 1, 1), date(2027, 1, 1), "year", "from"),
        (date(2027, 1, 1), date(9999, 12, 31), "year", "to"),
        (date(2020, 1, 1), date(2027, 1, 1), "day", "interval"),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(since: date, until: date, interval: str, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        calendar(since, until, interval, "UTC")
    assert list(refusal.value.errors) == [field]


@given(since=DAYS, length=st.integers(1, MAX_PERIODS), interval=st.sampled_from(INTERVALS))
def test_periods_lie_end_to_end_and_each_runs_forward(since: date, length: int, interval: str) -> None:
    until = min(since + timedelta(days=length), date(2199, 12, 30))
    if until <= since:
        return
    cut = calendar(since, until, interval, "America/New_York")
    assert (cut.days[0], cut.days[-1]) == (since, until)
    assert all(before < after for before, after in pairwise(cut.days))
    assert all(before < after for before, after in pairwise(cut.boundaries))
