"""Rating by percentage: a share of each event's value and a fee for each event, after what is free."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ledger.rating_values import RatedLine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.money import Exact
    from ledger.prices import Price
    from ledger.rating_values import LineKind, Usage

_ZERO: Final = Decimal(0)
# Wide enough for the sum of all events there can be, times a rate; and loud if it were not.
_EXACT: Final = Context(prec=200, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact])


@dataclass
class _Tally:
    """What the events of a line come to: their value, what of it is paid for, what limits change."""

    units: Decimal = _ZERO
    paid_units: Decimal = _ZERO
    paid_events: int = 0
    raised: Decimal = _ZERO
    lowered: Decimal = _ZERO


def needs_events(price: Price) -> bool:
    """Say whether a price must see each event: its value, in order, and not just their sum and count."""
    limits = price.event_min is not None or price.event_max is not None
    return price.model == "percentage" and (
        limits or bool(price.free_events) or bool(price.free_units and price.fixed_amount)
    )


def percentage_lines(price: Price, usage: Usage) -> tuple[list[RatedLine], Exact]:
    """Rate the value of events and each event that is not free; give the lines and the value of them all."""
    if usage.events is not None:
        return _lines_of_events(price, usage, usage.events)
    if not needs_events(price):
        return _lines_of_sum(price, usage), usage.quantity
    assert usage.event_count in (None, 0, 1), "this price must see each event"
    assert not isinstance(usage.quantity, Fraction), "an event's value is a decimal"
    return _lines_of_events(price, usage, (Decimal(usage.quantity),) if usage.quantity else ())


def _lines_of_sum(price: Price, usage: Usage) -> list[RatedLine]:
    free = Fraction(price.free_units or 0)
    prior, quantity = Fraction(usage.prior_quantity), Fraction(usage.quantity)
    paid_units = max(Fraction(0), prior + quantity - free) - max(Fraction(0), prior - free)
    count = usage.event_count
    return _usage_lines(price, paid_units, (1 if quantity else 0) if count is None else count)


def _lines_of_events(
    price: Price, usage: Usage, events: Iterable[Decimal]
) -> tuple[list[RatedLine], Decimal]:
    tally = _tally(price, usage, events)
    lines = _usage_lines(price, Fraction(tally.paid_units), tally.paid_events)
    changes: tuple[tuple[LineKind, Decimal], ...] = (
        ("event_minimum", tally.raised),
        ("event_maximum", -tally.lowered),
    )
    lines += [RatedLine(kind=kind, amount=Fraction(amount)) for kind, amount in changes if amount]
    return lines, tally.units


def _usage_lines(price: Price, paid_units: Fraction, paid_events: int) -> list[RatedLine]:
    assert price.rate is not None, "a percentage price has its rate"
    lines = []
    if paid_units:
        amount = paid_units * Fraction(price.rate) / 100
        lines.append(RatedLine(kind="percentage", amount=amount, quantity=paid_units, rate=price.rate))
    if paid_events and price.fixed_amount:
        amount = paid_events * Fraction(price.fixed_amount)
        lines.append(
            RatedLine(kind="fixed", amount=amount, quantity=paid_events, unit_amount=price.fixed_amount)
        )
    return lines


def _tally(price: Price, usage: Usage, events: Iterable[Decimal]) -> _Tally:
    """Go through the events of a period in order, from where its earlier lines left off."""
    assert not isinstance(usage.prior_quantity, Fraction), "the sum of events is a decimal"
    prior = Decimal(usage.prior_quantity)
    tally, total, count = _Tally(), prior, usage.prior_events
    free = bool(price.free_events or price.free_units)
    limited = price.event_min is not None or price.event_max is not None
    add = _EXACT.add
    for value in events:
        paid = _paid_part(price, value, total, count) if free else value
        total, count = add(total, value), count + 1
        if paid is None:
            continue
        # After one that is paid for, none is free: the rest need not be looked at.
        free = False
        tally.paid_units = add(tally.paid_units, paid)
        tally.paid_events += 1
        if limited:
            _limit(price, paid, tally)
    tally.units = _EXACT.subtract(total, prior)
    return tally


def _paid_part(price: Price, value: Decimal, total: Decimal, count: int) -> Decimal | None:
    """Give the part of an event's value that is paid for, or none when the event is free.

    It is free while it is one of the first `free_events` and the values so far, its own included, are within
    `free_units`. The event that passes `free_units` pays for what is beyond them, and its own fee. Whichever
    limit is met first ends both; a limit of 0 is none.
    """
    if price.free_events and count >= price.free_events:
        return value
    if not price.free_units:
        return None
    room = _EXACT.subtract(price.free_units, total)
    if value <= room:
        return None
    return _EXACT.subtract(value, max(room, _ZERO))


def _limit(price: Price, paid: Decimal, tally: _Tally) -> None:
    """Keep a paid event's amount, fee included, between its least and its most."""
    assert price.rate is not None, "a percentage price has its rate"
    # A hundredth by moving the point, which is exact.
    amount = _EXACT.multiply(paid, price.rate).scaleb(-2, _EXACT)
    amount = _EXACT.add(amount, price.fixed_amount or _ZERO)
    if price.event_min is not None and amount < price.event_min:
        tally.raised = _EXACT.add(tally.raised, _EXACT.subtract(price.event_min, amount))
    elif price.event_max is not None and amount > price.event_max:
        tally.lowered = _EXACT.add(tally.lowered, _EXACT.subtract(amount, price.event_max))
