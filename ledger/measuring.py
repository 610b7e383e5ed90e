"""Measuring: the usage events of an account folded, exactly, into what each group used of a meter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ledger.aggregates import EXACT, Additive, Aggregate, Exact, MeasuredEvent, new_aggregate, when
from ledger.identifiers import encode_parts
from ledger.meters import carries, property_number, property_text
from ledger.periods import Period

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from ledger.meters import MeterDefinition

__all__ = ["Ask", "Exact", "Group", "Measured", "MeasuredEvent", "Measurement", "measure"]

# The texts of the properties that a meter groups by, in its order; none where an event lacks one.
Group: TypeAlias = tuple[str | None, ...]

_ZERO: Final = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """How much of a meter an account used in [from, to), by its events at positions in (after, through]."""

    account: str
    definition: MeterDefinition
    period_from: datetime
    period_to: datetime
    through_position: int
    after_position: int = 0

    @property
    def period(self) -> Period:
        """The period, its ends in UTC."""
        return Period(self.period_from, self.period_to)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a group used, and the events behind it: how many, the sum of their quantities, the first and last.

    A meter that groups by nothing has the one group `()`. Where a level is carried into the period, the event
    that had set it is among those behind. `left_out` are events of the period that pass the filters but have
    no value of the kind that is measured. The quantity is negative only if values of a property are.
    """

    group: Group
    quantity: Exact
    events: int
    sum: Decimal
    first_position: int | None
    last_position: int | None
    left_out: int = 0


def measure(definition: MeterDefinition, events: Iterable[MeasuredEvent], period: Period) -> list[Measured]:
    """Fold an account's events of the meter's type into what each group used in the period.

    Events outside the period are passed over; where a level is carried into it, those before it are not. They
    may come in any order, but for the time-weighted sum of levels hour by hour.
    """
    measurement = Measurement(definition, period)
    for event in events:
        measurement.add(event)
    return measurement.result()


def counting(definition: MeterDefinition) -> Callable[[MeasuredEvent], bool]:
    """Give what says whether an event of the meter's type counts: it passes the filters and has a value."""
    passes, value_of = _passing(definition), valuing(definition)
    if passes is None:
        return lambda event: value_of(event) is not None
    return lambda event: passes(event) and value_of(event) is not None


def valuing(definition: MeterDefinition) -> Callable[[MeasuredEvent], Any]:
    """Give what reads an event's value: a number, or the text to be unique; nothing where it has none."""
    name = definition.property
    if name is None:
        return lambda event: event.quantity
    if definition.aggregation == "unique_count":
        return lambda event: property_text(event.properties.get(name))
    return lambda event: property_number(event.properties.get(name))


def group_of(definition: MeterDefinition, event: MeasuredEvent) -> Group:
    """Give the group that an event belongs to."""
    return tuple(property_text(event.properties.get(name)) for name in definition.group_by)


def usage_digest(events: Iterable[MeasuredEvent]) -> str:
    """Give the SHA-256, in hex, of events in log order, each by its position and the digest of its facts."""
    digest = hashlib.sha256(encode_parts("usage-behind", []))
    for event in events:
        facts = event.digest.encode()
        digest.update(event.position.to_bytes(8, "big") + len(facts).to_bytes(4, "big") + facts)
    return digest.hexdigest()


class Measurement:
    """One fold under way: events are added, and then the result is asked for, once."""

    def __init__(self, definition: MeterDefinition, period: Period) -> None:
        """Begin without events; what is not grouped has a result even then."""
        self._definition = definition
        self._period = period
        self._start, self._end = period.start, period.end
        self._carries = carries(definition)
        self._passes = _passing(definition)
        self._value_of = valuing(definition)
        self._groups: dict[Group, _Used] = {}
        if not definition.group_by:
            self._used(())

    def add(self, event: MeasuredEvent) -> None:
        """Add an event, if it counts."""
        occurred_at = event.occurred_at
        before = occurred_at < self._start
        if occurred_at >= self._end or (before and not self._carries):
            return
        if self._passes is not None and not self._passes(event):
            return
        value = self._value_of(event)
        if value is None and before:
            return
        used = self._used(group_of(self._definition, event) if self._definition.group_by else ())
        if value is None:
            used.left_out += 1
            return
        used.aggregate.add(event, value)
        # Of levels set before the period the last one counts, of changes all.
        if before and self._definition.values == "levels":
            used.set_before(event)
        else:
            used.count(event)

    def change(self, event: MeasuredEvent, times: int) -> None:
        """Take an event in, or with minus one out, that is of another stretch of the log than those added.

        Only what adds up has a rest from which it could be taken out.
        """
        if event.occurred_at not in self._period or (self._passes is not None and not self._passes(event)):
            return
        value = self._value_of(event)
        used = self._used(group_of(self._definition, event))
        if value is None:
            used.left_out += times
            return
        assert isinstance(used.aggregate, Additive), "what does not add up is measured whole"
        used.aggregate.change(value, times)
        used.events += times
        used.sum = EXACT.add(used.sum, EXACT.multiply(event.quantity, times))

    def result(self) -> list[Measured]:
        """Give what each group used, in the order of the groups."""
        groups = sorted(self._groups, key=lambda group: [(text is not None, text or "") for text in group])
        return [self._groups[group].measured(group) for group in groups]

    def _used(self, group: Group) -> _Used:
        used = self._groups.get(group)
        if used is None:
            used = self._groups[group] = _Used(new_aggregate(self._definition, self._period))
        return used


@dataclass(slots=True)
class _Used:
    """One group: its aggregate, and which events are behind it."""

    aggregate: Aggregate
    events: int = 0
    sum: Decimal = _ZERO
    first_position: int | None = None
    last_position: int | None = None
    left_out: int = 0
    before: MeasuredEvent | None = None

    def count(self, event: MeasuredEvent) -> None:
        self.events += 1
        self.sum = EXACT.add(self.sum, event.quantity)
        if self.first_position is None or event.position < self.first_position:
            self.first_position = event.position
        if self.last_position is None or event.position > self.last_position:
            self.last_position = event.position

    def set_before(self, event: MeasuredEvent) -> None:
        if self.before is None or when(event) > when(self.before):
            self.before = event

    def measured(self, group: Group) -> Measured:
        if self.before is not None:
            self.count(self.before)
        return Measured(
            group=group,
            quantity=self.aggregate.quantity(),
            events=self.events,
            sum=self.sum,
            first_position=self.first_position,
            last_position=self.last_position,
            left_out=self.left_out,
        )


def _passing(definition: MeterDefinition) -> Callable[[MeasuredEvent], bool] | None:
    """Give what says whether an event passes the filters, if there are any."""
    allowed = [(one.property, frozenset(one.values)) for one in definition.filters]
    if not allowed:
        return None
    return lambda event: all(property_text(event.properties.get(name)) in values for name, values in allowed)
