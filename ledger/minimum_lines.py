"""The lines that top up to a minimum: what a charge, or all of a plan, must come to in a stretch of time.

In part of a period it is that part of the minimum. Usage that comes late counts towards the minimum too: what
was topped up for want of it is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ledger.events.invoice import LineRating, LineUsage
from ledger.fee_lines import exact_share, fees_of_stretch, of_period
from ledger.money import ROUNDINGS
from ledger.streams.subscription import line_id
from ledger.usage_lines import merged
from ledger.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from fractions import Fraction

    from ledger.assembly import Bill
    from ledger.events.invoice import InvoiceLine
    from ledger.events.plan import UsageCharge
    from ledger.events.subscription import UsageBilled
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Stretch

MINIMUM: Final = "minimum"


@dataclass(frozen=True)
class _Spent:
    """What was asked for a stretch before this invoice, if it was billed before, and what is with it."""

    before: int | None
    now: int


def minimum_lines(bill: Bill, billed: Sequence[UsageBilled]) -> Iterator[InvoiceLine]:
    """Top up the stretches that are over, and look again at those that more usage has come for."""
    now = {_key(one): one for one in billed}
    for stretch in merged(bill.subscription.unbilled):
        yield from _of_stretch(bill, stretch, {}, now)
    before = {_key(one): one for one in bill.subscription.usage}
    for stretch in merged(bill.subscription.billed):
        if any(_key_of(stretch, charge) in now for charge in _plan(bill, stretch).charges):
            yield from _of_stretch(bill, stretch, before, before | now)


_Key = tuple[str, str, str, int, str, str]


def _key(billed: UsageBilled) -> _Key:
    from_text = instant_text(billed.service_from)
    return billed.item, billed.charge, billed.plan, billed.price_version, billed.period, from_text


def _key_of(stretch: Stretch, charge: UsageCharge) -> _Key:
    from_text = instant_text(stretch.from_at)
    names = (stretch.plan, stretch.price_version, stretch.period.period)
    return stretch.item, charge.code, *names, from_text


def _plan(bill: Bill, stretch: Stretch) -> PricedPlan:
    return bill.plans[stretch.plan, stretch.price_version]


def _of_stretch(
    bill: Bill, stretch: Stretch, before: Mapping[_Key, UsageBilled], now: Mapping[_Key, UsageBilled]
) -> Iterator[InvoiceLine]:
    """Top up each charge of a stretch, and then the plan; with charges in, the plan may lack nothing."""
    plan = _plan(bill, stretch)
    if not plan.terms.minimums and not any(charge.minimums for charge in plan.charges):
        return
    fees = sum(fees_of_stretch(bill, one) for one in _parts(bill, stretch))
    spent_before, spent_now = fees, fees
    for charge in plan.charges:
        was, is_now = before.get(_key_of(stretch, charge)), now[_key_of(stretch, charge)]
        spent = _Spent(None if was is None else was.rated, is_now.rated)
        minimum = _share(bill, stretch, charge.minimums.get(plan.currency, 0))
        through = 0 if was is None else was.through_position
        yield from _true_up(bill, stretch, charge, minimum, spent, through)
        spent_now += spent.now + _missing(bill, stretch, minimum, spent.now)
        spent_before += (spent.before or 0) + _missing(bill, stretch, minimum, spent.before or 0)
    was_billed = any(_key_of(stretch, charge) in before for charge in plan.charges)
    through = max((before[key].through_position for key in _keys(stretch, plan) if key in before), default=0)
    minimum = _share(bill, stretch, plan.terms.minimums.get(plan.currency, 0))
    whole = _Spent(spent_before if was_billed else None, spent_now)
    yield from _true_up(bill, stretch, None, minimum, whole, through)


def _keys(stretch: Stretch, plan: PricedPlan) -> list[_Key]:
    return [_key_of(stretch, charge) for charge in plan.charges]


def _parts(bill: Bill, stretch: Stretch) -> list[Stretch]:
    """Give the stretches that only seats tell apart, of which this one is made."""
    return [
        one
        for one in (*bill.subscription.billed, *bill.subscription.unbilled)
        if (one.item, one.plan, one.price_version, one.period.period)
        == (stretch.item, stretch.plan, stretch.price_version, stretch.period.period)
        and stretch.from_at <= one.from_at < stretch.to_at
    ]


def _share(bill: Bill, stretch: Stretch, minimum: int) -> Fraction:
    return exact_share(bill, minimum, stretch.period, stretch.from_at, stretch.to_at)


def _missing(bill: Bill, stretch: Stretch, minimum: Fraction, spent: int) -> int:
    """Say what is missing to a minimum."""
    rounding = bill.policies[stretch.period.policy_version].billing.proration_rounding
    return ROUNDINGS[rounding](minimum - spent) if minimum > spent else 0


def _true_up(
    bill: Bill,
    stretch: Stretch,
    charge: UsageCharge | None,
    minimum: Fraction,
    spent: _Spent,
    through_position: int,
) -> Iterator[InvoiceLine]:
    """Ask for what is missing to the minimum of a charge, or of the plan; or take back what no longer is."""
    asked = 0 if spent.before is None else _missing(bill, stretch, minimum, spent.before)
    amount = _missing(bill, stretch, minimum, spent.now) - asked
    if not amount:
        return
    plan = _plan(bill, stretch)
    kind = MINIMUM if charge is None else f"{MINIMUM}:{charge.code}"
    named = f"{kind}:{instant_text(stretch.from_at)}"
    first = line_id(stretch.item, stretch.period.period, named, 1)
    again = line_id(stretch.item, stretch.period.period, f"{named}:{through_position}", 1)
    exact = minimum - spent.now if minimum > spent.now else 0
    formula = f"{minimum} - {spent.now}" if exact else "0"
    rounding = bill.policies[stretch.period.policy_version].billing.proration_rounding
    yield replace(
        of_period(plan, stretch.item, stretch.period),
        line=first if spent.before is None else again,
        kind=MINIMUM,
        description=f"{plan.name if charge is None else charge.name}, minimum",
        amount=amount,
        service_from=stretch.from_at,
        service_to=stretch.to_at,
        product=plan.product if charge is None else charge.product or plan.product,
        performance_obligation="minimum",
        recognition_rule="period_end",
        adjusts_line=None if spent.before is None else first,
        usage=None
        if charge is None
        else LineUsage(meter=charge.meter, charge=charge.code, events=0, quantity=Decimal(0)),
        rating=LineRating(
            formula=formula if spent.before is None else f"{formula}, less the {asked} asked for before",
            exact=str(exact - asked),
            rounding=rounding,
        ),
    )
