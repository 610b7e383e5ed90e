"""The aggregates of meters: what becomes of the values of one group's events, without ever rounding.

Events may come in any order, but for one thing: levels want them hour by hour (in UTC, in any order within an
hour), so that they never hold more than an hour of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.meters import MeterDefinition
    from ledger.periods import Period

# A Decimal wherever one can say it: only a time-weighted sum is a Fraction.
Exact: TypeAlias = Decimal | Fraction

# The longest number a property may be has 48 digits and an exponent of 99: sums of such are never rounded.
EXACT: Final = Context(prec=300, traps=[Inexact, InvalidOperation])
_ZERO: Final = Decimal(0)
_HOUR: Final = timedelta(hours=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class MeasuredEvent(msgspec.Struct, frozen=True, gc=False):
    """What measuring needs of a usage event; the instant is in UTC, the digest is that of its facts."""

    position: int
    occurred_at: datetime
    quantity: Decimal
    properties: dict[str, Any]
    digest: str = ""


class Aggregate(Protocol):
    """What becomes of the values of one group."""

    def add(self, event: MeasuredEvent, value: Any) -> None:  # noqa: ANN401 - a number, but a text to be unique
        """Take a value in."""

    def quantity(self) -> Exact:
        """Give what the values come to."""


@runtime_checkable
class Additive(Aggregate, Protocol):
    """An aggregate of which a value can be taken out again."""

    def change(self, value: Decimal, times: int) -> None:
        """Take a value in once, or, minus once, out."""


def new_aggregate(definition: MeterDefinition, period: Period) -> Aggregate:
    """Begin the aggregate of one group of a meter."""
    if definition.aggregation != "time_weighted_sum":
        return _SIMPLE[definition.aggregation]()
    if definition.values == "changes":
        return _Changes(period.start, period.end)
    return _Levels(period.start, period.end, since=period.start)


def when(event: MeasuredEvent) -> tuple[datetime, int]:
    """Order events by time; of two at one instant the later in the log is the later."""
    return event.occurred_at, event.position


@dataclass(slots=True)
class _Count:
    events: int = 0

    def add(self, _event: MeasuredEvent, _value: Decimal) -> None:
        self.events += 1

    def change(self, _value: Decimal, times: int) -> None:
        self.events += times

    def quantity(self) -> Decimal:
        return Decimal(self.events)


@dataclass(slots=True)
class _Sum:
    total: Decimal = _ZERO

    def add(self, _event: MeasuredEvent, value: Decimal) -> None:
        self.total = EXACT.add(self.total, value)

    def change(self, value: Decimal, times: int) -> None:
        self.total = EXACT.add(self.total, EXACT.multiply(value, times))

    def quantity(self) -> Decimal:
        return self.total


@dataclass(slots=True)
class _Max:
    highest: Decimal | None = None

    def add(self, _event: MeasuredEvent, value: Decimal) -> None:
        if self.highest is None or value > self.highest:
            self.highest = value

    def quantity(self) -> Decimal:
        return _ZERO if self.highest is None else self.highest


@dataclass(slots=True)
class _Unique:
    values: set[str] = field(default_factory=set)

    def add(self, _event: MeasuredEvent, value: str) -> None:
        self.values.add(value)

    def quantity(self) -> Decimal:
        return Decimal(len(self.values))


@dataclass(slots=True)
class _Latest:
    set_at: tuple[datetime, int] = (_NEVER, 0)
    value: Decimal = _ZERO

    def add(self, event: MeasuredEvent, value: Decimal) -> None:
        set_at = when(event)
        if set_at > self.set_at:
            self.set_at, self.value = set_at, value

    def quantity(self) -> Decimal:
        return self.value


@dataclass(slots=True)
class _Levels:
    """Adds up level x microseconds held; `waiting` are the levels set in the hour that ends at `until`."""

    start: datetime
    end: datetime
    since: datetime
    level: Decimal = _ZERO
    area: Decimal = _ZERO
    until: datetime = _NEVER
    waiting: list[tuple[datetime, int, Decimal]] = field(default_factory=list)

    def add(self, event: MeasuredEvent, level: Decimal) -> None:
        occurred_at = event.occurred_at
        if occurred_at >= self.until:
            self._settle()
            self.until = occurred_at.replace(minute=0, second=0, microsecond=0) + _HOUR
        assert occurred_at >= self.until - _HOUR, "levels come hour by hour"
        self.waiting.append((occurred_at, event.position, level))

    def quantity(self) -> Fraction:
        self._settle()
        self._hold(self.end)
        return Fraction(self.area) / _microseconds(self.start, self.end)

    def _settle(self) -> None:
        for occurred_at, _, level in sorted(self.waiting):
            # One set before the period holds from its start on.
            self._hold(max(occurred_at, self.start))
            self.level = level
        self.waiting.clear()

    def _hold(self, until: datetime) -> None:
        held = EXACT.multiply(self.level, _microseconds(self.since, until))
        self.area, self.since = EXACT.add(self.area, held), until


@dataclass(slots=True)
class _Changes:
    """Adds up change x microseconds for which it lasts: to the end of the period."""

    start: datetime
    end: datetime
    area: Decimal = _ZERO

    def add(self, event: MeasuredEvent, change: Decimal) -> None:
        lasts = _microseconds(max(event.occurred_at, self.start), self.end)
        self.area = EXACT.add(self.area, EXACT.multiply(change, lasts))

    def quantity(self) -> Fraction:
        return Fraction(self.area) / _microseconds(self.start, self.end)


def _microseconds(since: datetime, until: datetime) -> int:
    return (until - since) // _MICROSECOND


_SIMPLE: Final[dict[str, Callable[[], Aggregate]]] = {
    "count": _Count,
    "sum": _Sum,
    "max": _Max,
    "unique_count": _Unique,
    "latest_in_period": _Latest,
    "latest_ever": _Latest,
}
