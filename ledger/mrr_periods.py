"""The periods that a report is cut into: calendar days, weeks, months, quarters or years of a book's zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from ledger.errors import Invalid
from ledger.values import EARLIEST, LATEST

INTERVALS: Final = ("day", "week", "month", "quarter", "year")
MAX_PERIODS: Final = 1_500

_DAYS_PER_WEEK: Final = 7
_MONTHS_PER_YEAR: Final = 12
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
# A day within the domain of instants, wherever on earth.
_FIRST: Final = EARLIEST.date() + timedelta(days=2)
_LAST: Final = LATEST.date() - timedelta(days=2)


@dataclass(frozen=True)
class Calendar:
    """Local days that cut time into periods: each runs from one up to but without the next."""

    days: tuple[date, ...]
    zone: str

    @property
    def boundaries(self) -> tuple[datetime, ...]:
        """The instants at which the days begin."""
        return tuple(day_begins(day, self.zone) for day in self.days)


def calendar(since: date, until: date, interval: str, zone: str) -> Calendar:
    """Cut [since, until) where the calendar turns over; the first and the last period may be part of one."""
    _check_days(since, until)
    days = [since]
    while days[-1] < until:
        if len(days) > MAX_PERIODS:
            reason = f"makes more than {MAX_PERIODS} periods: ask for fewer days or a longer interval"
            raise Invalid(f"interval: {reason}", {"interval": [reason]})
        days.append(min(until, _turnover_after(days[-1], interval)))
    return Calendar(tuple(days), zone)


def twelve_months(today: date) -> tuple[date, date]:
    """Give the present month and the eleven before it, from the first day up to but without the last."""
    month_index = today.year * _MONTHS_PER_YEAR + today.month - 1
    return _first_of(month_index - _MONTHS_PER_YEAR + 1), _first_of(month_index + 1)


def day_begins(day: date, zone: str) -> datetime:
    """Give the instant at which a local day begins: its first midnight, or the end of a jump over it."""
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _check_days(since: date, until: date) -> None:
    for field, day in (("from", since), ("to", until)):
        if not _FIRST <= day <= _LAST:
            reason = f"must be a day from {_FIRST} to {_LAST}"
            raise Invalid(f"{field}: {reason}", {field: [reason]})
    if since >= until:
        raise Invalid("to: must come after from", {"to": ["must come after from"]})


def _turnover_after(day: date, interval: str) -> date:
    if interval == "day":
        return day + timedelta(days=1)
    if interval == "week":
        return day + timedelta(days=_DAYS_PER_WEEK - day.weekday())
    step = _MONTHS[interval]
    month_index = day.year * _MONTHS_PER_YEAR + day.month - 1
    return _first_of(month_index - month_index % step + step)


def _first_of(month_index: int) -> date:
    year, month = divmod(month_index, _MONTHS_PER_YEAR)
    return date(year, month + 1, 1)
