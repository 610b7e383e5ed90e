"""Billing calendars: which half-open period of UTC instants an anchor and an interval make around an instant.

An anchor is local: a day, a wall-clock time and a zone. Boundaries are counted from the anchor itself, never
from the boundary before, so a short month or a daylight-saving night does not make the later ones drift. A
period that was once opened is a fact of the log; nothing here is asked again about the past.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ledger.errors import Invalid
from ledger.values import checked_time

if TYPE_CHECKING:
    from collections.abc import Iterator

Interval: TypeAlias = Literal["week", "month", "quarter", "year"]

INTERVALS: Final[tuple[Interval, ...]] = get_args(Interval)

_MONTHS: Final[dict[str, int]] = {"month": 1, "quarter": 3, "year": 12}
_DAYS_PER_WEEK: Final = 7
_MONTHS_PER_YEAR: Final = 12
_MAX_DAY: Final = 31

# Names the zone database opens that are no place's rules: the machine's own zone, tables with leap seconds.
_NOT_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})
_NOT_ZONE_PREFIXES: Final = ("posix/", "right/")


class UnknownZone(Invalid):
    """The time zone is not a name of the IANA database."""

    code = "unknown_time_zone"


class UnknownInterval(Invalid):
    """The billing interval is not week, month, quarter or year."""

    code = "unknown_interval"


class MalformedAnchor(Invalid):
    """The billing anchor names a day, month, weekday or wall-clock time that no calendar has."""

    code = "malformed_anchor"


class MalformedPeriod(Invalid):
    """The period does not run forward from one instant with a UTC offset to another."""

    code = "malformed_period"


@dataclass(frozen=True)
class Anchor:
    """Where a billing calendar turns over, in local time.

    `day` is the day of the month (a shorter month turns over on its last day). `month` fixes where years
    begin and quarters are counted from; `weekday` (ISO: Monday is 1) fixes where weeks begin. Without them,
    quarters and years are counted from the last anchor day, and weeks from the last anchor time, at or before
    the instant asked about: that follows a chain of periods, but gives an instant no period of its own.
    """

    day: int
    time: time
    zone: str
    month: int | None = None
    weekday: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is no place in a calendar; the zone is looked up only when it is used."""
        _check_range("anchor.day", self.day, _MAX_DAY)
        if self.month is not None:
            _check_range("anchor.month", self.month, _MONTHS_PER_YEAR)
        if self.weekday is not None:
            _check_range("anchor.weekday", self.weekday, _DAYS_PER_WEEK)
        if self.time.tzinfo is not None or self.time.microsecond or self.time.fold:
            raise _malformed_anchor("anchor.time", "must be a whole second of the wall clock, with no offset")


@dataclass(frozen=True)
class Period:
    """The half-open stretch of time [start, end), in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        """Bring both ends to UTC: within one zone Python compares wall clocks, wrongly one night a year."""
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise _malformed_period("both ends must carry a UTC offset")
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.start >= self.end:
            raise _malformed_period("the end must come after the start")

    def __contains__(self, instant: datetime) -> bool:
        """Say whether an instant lies in [start, end)."""
        return self.start <= instant.astimezone(UTC) < self.end


def anniversary_anchor(starts_at: datetime, zone: str) -> Anchor:
    """Anchor a calendar where something started: on that second, day, month and weekday of the zone."""
    local = checked_time(starts_at, "starts_at").astimezone(_zone(zone))
    wall_clock = local.time().replace(microsecond=0, fold=0)
    return Anchor(local.day, wall_clock, zone, month=local.month, weekday=local.isoweekday())


def calendar_anchor(zone: str) -> Anchor:
    """Anchor a calendar to local midnight of Mondays, firsts of the month, and firsts of January."""
    return Anchor(1, time(), zone, month=1, weekday=1)


def period_containing(anchor: Anchor, interval: Interval, at: datetime) -> Period:
    """Give the whole period around an instant."""
    instant = checked_time(at, "at")
    newest_first = _turnovers_back(anchor, interval, instant)
    first = next(day for day in newest_first if _instant(anchor, day) <= instant)
    return Period(_instant(anchor, first), _instant(anchor, _turnover_after(anchor, interval, first)))


def period_starting(anchor: Anchor, interval: Interval, at: datetime) -> Period:
    """Give the period that starts at an instant: a whole one on a boundary, else the stub up to the next."""
    return Period(at, period_containing(anchor, interval, at).end)


def next_period(anchor: Anchor, interval: Interval, period: Period) -> Period:
    """Give the period that follows without a gap."""
    return period_starting(anchor, interval, period.end)


def local_date(instant: datetime, zone: str) -> date:
    """Give the calendar date of an instant in a zone."""
    return checked_time(instant, "instant").astimezone(_zone(zone)).date()


def local_day_number(instant: datetime, zone: str) -> int:
    """Give the number of a local day: days begin in the order of their numbers, whatever the clock does.

    A day begins with its first midnight: a clock set back across midnight shows the evening before once more,
    which by then belongs to the new day. A day that a zone left out is counted, as its calendar does.
    """
    local = instant.astimezone(_zone(zone)).date()
    following = local + timedelta(days=1)
    return (following if _midnight(following, zone) <= instant else local).toordinal()


def local_day_start(instant: datetime, zone: str, days_later: int = 0) -> datetime:
    """Give the first instant of the local day that an instant lies in, or of one so many days later."""
    return _midnight(date.fromordinal(local_day_number(instant, zone) + days_later), zone)


def day_start(day: date, zone: str) -> datetime:
    """Give the first instant of a calendar day in a zone."""
    return _midnight(day, zone)


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=_zone(zone)).astimezone(UTC)


def _instant(anchor: Anchor, day: date) -> datetime:
    """Resolve the anchor's wall-clock time on a day.

    With fold 0 a time that happens twice is its first, and one that a jump of the clock left out is read by
    the offset from before the jump, which moves it forward by the length of the jump (02:30 becomes 03:30).
    """
    return datetime.combine(day, anchor.time, tzinfo=_zone(anchor.zone)).astimezone(UTC)


def _turnovers_back(anchor: Anchor, interval: Interval, instant: datetime) -> Iterator[date]:
    """List the days on which the calendar turns over, newest first, from just after an instant.

    It starts a step after today because a clock set back across midnight repeats the evening before: there,
    the first 00:15 of tomorrow is already past.
    """
    today = instant.astimezone(_zone(anchor.zone)).date()
    if interval == "week":
        return _week_starts_back(anchor, today + timedelta(days=1))
    return _month_starts_back(anchor, _step_months(interval), _month_index(today) + 1)


def _week_starts_back(anchor: Anchor, newest: date) -> Iterator[date]:
    if anchor.weekday is None:
        return map(date.fromordinal, count(newest.toordinal(), -1))
    behind_days = (newest.isoweekday() - anchor.weekday) % _DAYS_PER_WEEK
    return map(date.fromordinal, count(newest.toordinal() - behind_days, -_DAYS_PER_WEEK))


def _month_starts_back(anchor: Anchor, step_months: int, newest: int) -> Iterator[date]:
    if anchor.month is None:
        return (_day_in_month(anchor, index) for index in count(newest, -1))
    behind_months = (newest - (anchor.month - 1)) % step_months
    return (_day_in_month(anchor, index) for index in count(newest - behind_months, -step_months))


def _turnover_after(anchor: Anchor, interval: Interval, first: date) -> date:
    if interval == "week":
        return first + timedelta(days=_DAYS_PER_WEEK)
    return _day_in_month(anchor, _month_index(first) + _step_months(interval))


def _step_months(interval: Interval) -> int:
    if interval not in _MONTHS:
        reason = f"must be one of {', '.join(INTERVALS)}"
        raise UnknownInterval(f"interval: {reason}", {"interval": [reason]})
    return _MONTHS[interval]


def _month_index(day: date) -> int:
    return day.year * _MONTHS_PER_YEAR + day.month - 1


def _day_in_month(anchor: Anchor, month_index: int) -> date:
    year, month = divmod(month_index, _MONTHS_PER_YEAR)
    return date(year, month + 1, min(anchor.day, monthrange(year, month + 1)[1]))


def _zone(name: str) -> ZoneInfo:
    if name not in _NOT_ZONES and not name.startswith(_NOT_ZONE_PREFIXES):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    message = f"time zone: {name[:64]!r} is not a name of the IANA database"
    raise UnknownZone(message, {"zone": ["must be a time zone of the IANA database"]})


def _check_range(field: str, value: int, highest: int) -> None:
    if type(value) is not int or not 1 <= value <= highest:
        raise _malformed_anchor(field, f"must be an integer from 1 to {highest}")


def _malformed_anchor(field: str, reason: str) -> MalformedAnchor:
    return MalformedAnchor(f"{field}: {reason}", {field: [reason]})


def _malformed_period(reason: str) -> MalformedPeriod:
    return MalformedPeriod(f"period: {reason}", {"period": [reason]})
