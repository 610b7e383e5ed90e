"""The lines of usage: each charge of a stretch of time measured, rated, and what came late told apart.

A stretch is billed by the events at positions up to that of the computation. Events of it that come later are
the difference between rating the whole stretch again and what was billed of it, on a later invoice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ledger.events.invoice import InvoiceLine, LineRating, LineUsage
from ledger.events.subscription import UsageBilled
from ledger.measuring import Ask, Measured, counting, group_of
from ledger.meters import adds_up, default_meter, property_number
from ledger.rating import Usage, line_amounts, needs_events, rate
from ledger.rating_values import number_text
from ledger.streams.subscription import line_id
from ledger.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from ledger.events.plan import UsageCharge
    from ledger.measuring import Group, MeasuredEvent
    from ledger.meters import MeterDefinition
    from ledger.prices import Price
    from ledger.rating_values import Rated, RatedLine, RatingConventions
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Stretch, Subscription

USAGE: Final = "usage"
LATE_USAGE: Final = "usage_adjustment"
_WORDS: Final = {
    "flat": "flat fee",
    "fixed": "fee for each event",
    "minimum": "minimum",
    "maximum_discount": "maximum reached",
    "event_minimum": "minimum for each event",
    "event_maximum": "maximum for each event",
}


@dataclass(frozen=True, kw_only=True)
class MeasuredByEvent(Measured):
    """What a group used, event by event in the order of the log, for a price that looks at each."""

    values: tuple[Decimal, ...]


@dataclass(frozen=True, kw_only=True)
class Charging:
    """One charge of one stretch that an invoice bills, and what was billed of it before, if it was."""

    plan: PricedPlan
    charge: UsageCharge
    item: str
    period: str
    policy_version: int
    service_from: datetime
    service_to: datetime
    before: UsageBilled | None = None
    # Whether usage of it was corrected since it was billed.
    corrected: bool = False


def chargings(
    subscription: Subscription,
    plans: Mapping[tuple[str, int], PricedPlan],
    late_since: datetime,
    was_corrected: Callable[[Charging], bool] | None = None,
) -> list[Charging]:
    """List what usage there is to bill: the stretches that are over, and those that may have changed since.

    None comes late any more for those that ended before `late_since`, but it may be corrected.
    """
    found = [
        Charging(
            plan=plan,
            charge=charge,
            item=stretch.item,
            period=stretch.period.period,
            policy_version=stretch.period.policy_version,
            service_from=stretch.from_at,
            service_to=stretch.to_at,
        )
        for stretch in merged(subscription.unbilled)
        if (plan := plans[stretch.plan, stretch.price_version]).charges
        for charge in plan.charges
    ]
    for billed in subscription.usage:
        again = _again(billed, plans)
        if was_corrected is not None and was_corrected(again):
            found.append(replace(again, corrected=True))
        elif billed.service_to > late_since:
            found.append(again)
    return found


def _again(billed: UsageBilled, plans: Mapping[tuple[str, int], PricedPlan]) -> Charging:
    plan = plans[billed.plan, billed.price_version]
    return Charging(
        plan=plan,
        charge=next(charge for charge in plan.charges if charge.code == billed.charge),
        item=billed.item,
        period=billed.period,
        policy_version=billed.policy_version,
        service_from=billed.service_from,
        service_to=billed.service_to,
        before=billed,
    )


def merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Join the stretches that only seats tell apart: tiers do not begin anew because a seat was added."""
    joined: list[Stretch] = []
    open_at: dict[tuple[str, str, int, str], int] = {}
    for stretch in stretches:
        key = (stretch.item, stretch.plan, stretch.price_version, stretch.period.period)
        known = open_at.get(key)
        if known is not None and joined[known].to_at == stretch.from_at:
            joined[known] = replace(joined[known], to_at=stretch.to_at)
        else:
            open_at[key] = len(joined)
            joined.append(stretch)
    return joined


def ask_of(
    charging: Charging, account: str, meters: Mapping[str, MeterDefinition], through_position: int
) -> Ask:
    """Say what to measure for a charge: all that the stretch has by now."""
    return Ask(
        account=account,
        definition=meters.get(charging.charge.meter) or default_meter(charging.charge.meter),
        period_from=charging.service_from,
        period_to=charging.service_to,
        through_position=through_position,
    )


def looks_at_events(charging: Charging, ask: Ask) -> bool:
    """Say whether a charge must see each event: its price asks for it, and its meter adds events up."""
    price = charging.charge.prices[charging.plan.currency]
    return needs_events(price) and adds_up(ask.definition)


def by_event(
    definition: MeterDefinition, groups: Iterable[Measured], events: Iterable[MeasuredEvent]
) -> list[Measured]:
    """Tell what groups used event by event; the events are those behind them, in the order of the log."""
    counts = counting(definition)
    values: dict[Group, list[Decimal]] = {}
    for event in events:
        if counts(event):
            values.setdefault(group_of(definition, event), []).append(_value(definition, event))
    return [
        MeasuredByEvent(
            **{field.name: getattr(group, field.name) for field in fields(Measured)},
            values=tuple(values.get(group.group, ())),
        )
        for group in groups
    ]


def _value(definition: MeterDefinition, event: MeasuredEvent) -> Decimal:
    if definition.aggregation == "count":
        return Decimal(1)
    if definition.property is None:
        return event.quantity
    number = property_number(event.properties.get(definition.property))
    assert number is not None, "an event without a value does not count"
    return number


@dataclass(frozen=True)
class Charged:
    """What a charge comes to: its lines, and the record that it was billed; neither when nothing is new."""

    lines: tuple[InvoiceLine, ...]
    billed: UsageBilled | None


def charge(
    charging: Charging, measured: Sequence[Measured], ask: Ask, conventions: RatingConventions
) -> Charged:
    """Bill a charge by what was measured for it."""
    events = sum(group.events for group in measured)
    rated = _rated(charging, measured, conventions)
    whole = sum(one.amount for _, one in rated)
    if charging.before is not None and (events, whole) == (charging.before.events, charging.before.rated):
        return Charged((), None)
    if charging.before is None:
        lines = tuple(
            line for group, one in rated for line in _tier_lines(charging, ask, group, one, conventions)
        )
    else:
        lines = _late_lines(charging, charging.before, ask, whole, measured)
    billed = UsageBilled(
        item=charging.item,
        charge=charging.charge.code,
        plan=charging.plan.plan,
        price_version=charging.plan.price_version,
        policy_version=charging.policy_version,
        period=charging.period,
        service_from=charging.service_from,
        service_to=charging.service_to,
        through_position=ask.through_position,
        events=events,
        quantity=_decimal(sum((Fraction(group.quantity) for group in measured), Fraction())),
        rated=whole,
        line=_first_line(charging, lines),
    )
    return Charged(lines, billed)


def amount_of(charging: Charging, measured: Sequence[Measured], conventions: RatingConventions) -> int:
    """Say what all that a stretch has by now comes to, in minor units."""
    return sum(one.amount for _, one in _rated(charging, measured, conventions))


def _rated(
    charging: Charging, measured: Sequence[Measured], conventions: RatingConventions
) -> list[tuple[Measured, Rated]]:
    price = charging.charge.prices[charging.plan.currency]
    return [(group, rate(price, _usage(price, group), conventions)) for group in measured]


def _first_line(charging: Charging, lines: Sequence[InvoiceLine]) -> str | None:
    """Name the line that what comes later adjusts: the first there was for the stretch."""
    known = None if charging.before is None else charging.before.line
    return known or (lines[0].line if lines else None)


def _usage(price: Price, group: Measured) -> Usage:
    """Say what of a group is rated; the values of a property may come to less than nothing: that is free."""
    quantity = max(group.quantity, Decimal(0))
    if not needs_events(price):
        return Usage(quantity=quantity, event_count=group.events)
    if isinstance(group, MeasuredByEvent):
        return Usage(events=group.values)
    # What is no sum of its events, the highest value say, is rated as one event.
    return Usage(quantity=quantity, event_count=1 if quantity else 0)


def _tier_lines(
    charging: Charging, ask: Ask, group: Measured, rated: Rated, conventions: RatingConventions
) -> Iterable[InvoiceLine]:
    """Write a line a tier."""
    base = _of_charge(charging, ask)
    kind = f"{USAGE}:{charging.charge.code}:{instant_text(charging.service_from)}"
    if group.group:
        # Written so that no two groups look alike: a property that is missing, and one that is empty.
        kind = f"{kind}:{json.dumps(group.group)}"
    amounts = line_amounts(rated, conventions.rounding)
    assert sum(amounts) == rated.amount, "the lines of a rated quantity add up to it"
    for number, (line, amount) in enumerate(zip(rated.lines, amounts, strict=True), 1):
        yield replace(
            base,
            line=line_id(charging.item, charging.period, kind, number),
            sequence=number,
            description=_description(charging, group, line),
            quantity=number_text(line.quantity),
            amount=amount,
            usage=_behind(charging, group),
            rating=_how(line, conventions),
        )


def _late_lines(
    charging: Charging, before: UsageBilled, ask: Ask, whole: int, measured: Sequence[Measured]
) -> tuple[InvoiceLine, ...]:
    """Write what events that came late, and corrections, change of what was billed of the stretch."""
    quantity = sum((Fraction(group.quantity) for group in measured), Fraction()) - Fraction(before.quantity)
    amount = whole - before.rated
    from_text = instant_text(charging.service_from)
    kind = f"{LATE_USAGE}:{charging.charge.code}:{before.through_position}:{from_text}"
    why = "was corrected" if charging.corrected else "came late"
    line = replace(
        _of_charge(charging, ask),
        kind=LATE_USAGE,
        line=line_id(charging.item, charging.period, kind, 1),
        usage_after_position=before.through_position,
        adjusts_line=before.line,
        description=f"{charging.charge.name}, usage that {why}",
        quantity=number_text(quantity),
        amount=amount,
        usage=LineUsage(
            meter=charging.charge.meter,
            charge=charging.charge.code,
            events=sum(group.events for group in measured) - before.events,
            quantity=_decimal(quantity),
        ),
        rating=LineRating(
            formula=f"the whole stretch rated again, {whole}, less the {before.rated} billed of it",
            exact=str(amount),
            rounding="none",
        ),
    )
    return (line,)


def _of_charge(charging: Charging, ask: Ask) -> InvoiceLine:
    """Begin a line: of a charge, of the events of a stretch up to a position."""
    return InvoiceLine(
        line="",
        subscription_item=charging.item,
        period=charging.period,
        kind=USAGE,
        sequence=1,
        description=charging.charge.name,
        quantity="0",
        amount=0,
        service_from=charging.service_from,
        service_to=charging.service_to,
        usage_after_position=0,
        usage_through_position=ask.through_position,
        plan=charging.plan.plan,
        price_version=charging.plan.price_version,
        policy_version=charging.policy_version,
        performance_obligation=f"usage:{charging.charge.code}",
        recognition_rule="usage",
        revenue_account="revenue",
        product=charging.charge.product or charging.plan.product,
    )


def _behind(charging: Charging, group: Measured) -> LineUsage:
    return LineUsage(
        meter=charging.charge.meter,
        charge=charging.charge.code,
        events=group.events,
        quantity=_decimal(Fraction(group.quantity)),
        group=tuple(_words(group)),
    )


def _words(group: Measured) -> list[str]:
    return [text or "" for text in group.group]


def _description(charging: Charging, group: Measured, line: RatedLine) -> str:
    parts = [charging.charge.name, *filter(None, _words(group))]
    if line.kind in _WORDS:
        parts.append(_WORDS[line.kind])
    elif line.tier is not None and line.from_quantity is not None and line.to_quantity is not None:
        parts.append(f"{number_text(line.from_quantity)} to {number_text(line.to_quantity)}")
    return ", ".join(parts)


def _how(line: RatedLine, conventions: RatingConventions) -> LineRating:
    each = None if line.unit_amount is None else number_text(line.unit_amount)
    if line.rate is not None:
        formula = f"{number_text(line.quantity)} x {number_text(line.rate)} %"
    elif each is None:
        formula = number_text(line.amount)
    else:
        formula = f"{number_text(line.quantity)} x {each}"
    return LineRating(
        formula=formula,
        exact=str(line.amount),
        rounding=conventions.rounding,
        unit_amount=each,
        tier=line.tier,
    )


def _decimal(value: Fraction) -> Decimal:
    """Write what was measured as a decimal, to the digits that a quantity has."""
    return Decimal(number_text(value))
