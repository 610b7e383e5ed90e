"""Corrected usage: what usage events come to once the corrections up to a position are taken in.

A correction never moves an event: whose it is, its meter and its time stay, and so does its place in the log.
So usage can be measured in two ways that agree: each event with the facts it has by now, in its own place;
or, where values add up, all events as they were recorded and what each correction changed beside them.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ledger.aggregates import EXACT, MeasuredEvent
from ledger.meters import adds_up, carries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from ledger.measuring import Ask, Measurement

_ZERO: Final = Decimal(0)


class Correction(msgspec.Struct, frozen=True, gc=False):
    """At its position an event was corrected: as it was and as it is from there on; none where it is void."""

    position: int
    original: int
    used_at: datetime
    was: MeasuredEvent | None
    becomes: MeasuredEvent | None

    @property
    def facts(self) -> MeasuredEvent:
        """The correction as one of the events behind what is measured: its position, its facts' digest."""
        if self.becomes is None:
            return MeasuredEvent(self.position, self.used_at, _ZERO, {})
        return msgspec.structs.replace(self.becomes, position=self.position)


class CorrectedUse(NamedTuple):
    """That usage of a type at an instant was corrected, at a position of the log."""

    event_type: str
    used_at: datetime
    position: int


class Supposed(NamedTuple):
    """A correction that is not in the log, to see what it would do; it is as if it were at its position."""

    account: str
    event_type: str
    correction: Correction


class Change(NamedTuple):
    """By how much corrections change a number of events and the sum of their quantities."""

    events: int
    quantity: Decimal


def standing(corrections: Iterable[Correction]) -> dict[int, MeasuredEvent | None]:
    """Give what corrected events are by now, by their positions; none where one is void."""
    return {one.original: one.becomes for one in corrections}


def corrected(
    events: Iterable[MeasuredEvent], standing_now: Mapping[int, MeasuredEvent | None]
) -> Iterator[MeasuredEvent]:
    """Give events with the facts they have by now, each in its place; those that are void are left out."""
    for event in events:
        found = standing_now.get(event.position, event)
        if found is not None:
            yield found


def change_of(corrections: Iterable[Correction]) -> Change:
    """Add up what corrections change."""
    events, quantity = 0, _ZERO
    for one in corrections:
        if one.becomes is not None:
            events, quantity = events + 1, EXACT.add(quantity, one.becomes.quantity)
        if one.was is not None:
            events, quantity = events - 1, EXACT.subtract(quantity, one.was.quantity)
    return Change(events, quantity)


def change_earlier(measurement: Measurement, ask: Ask, corrections: Iterable[Correction]) -> None:
    """Take in what corrections at an ask's positions changed of events before them, where values add up."""
    if not ask.after_position or not adds_up(ask.definition):
        return
    for one in corrections:
        if one.original <= ask.after_position:
            if one.was is not None:
                measurement.change(one.was, -1)
            if one.becomes is not None:
                measurement.change(one.becomes, 1)


def behind(
    corrections: Sequence[Correction], counts: Callable[[MeasuredEvent], bool]
) -> tuple[set[int], list[Correction]]:
    """Say which corrected events are behind what is measured, by their positions, and which corrections.

    An event is behind it that counted once, before a correction or after; all its corrections are then, too.
    """
    originals = {
        one.original
        for one in corrections
        if (one.was is not None and counts(one.was)) or (one.becomes is not None and counts(one.becomes))
    }
    return originals, [one for one in corrections if one.original in originals]


class CorrectedUses:
    """Where an account's usage was corrected, to find what was billed of it before."""

    def __init__(self, uses: Iterable[CorrectedUse] = ()) -> None:
        """Sort them by type and by time."""
        self._by_type: dict[str, list[tuple[datetime, int]]] = {}
        for use in uses:
            self._by_type.setdefault(use.event_type, []).append((use.used_at, use.position))
        for found in self._by_type.values():
            found.sort()

    def __bool__(self) -> bool:
        """Say whether there are any."""
        return bool(self._by_type)

    def touch(self, ask: Ask) -> bool:
        """Say whether a correction at the positions of an ask may change what it measures.

        A level that is carried into a period may have been corrected at any time before.
        """
        found = self._by_type.get(ask.definition.event_type)
        if found is None:
            return False
        first = 0 if carries(ask.definition) else bisect_left(found, (ask.period_from, 0))
        last = bisect_left(found, (ask.period_to, 0))
        return any(ask.after_position < position <= ask.through_position for _, position in found[first:last])
