"""Proration: which part of a price belongs to a part of its period, what a change gives back and asks for.

Every question on which systems differ is an axis of the billing policy. What a preview computes and what a
subscription's change records come from the same function, `change_of_item`.

    share = price x units of the stretch / units of the whole period

Both ends of a stretch are counted in whole units from a fixed origin, which is why adjoining stretches always
partition the units of the period: none is billed twice and none is lost, whatever the instants. Shares are
exact; each line is rounded once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from ledger.coupons import discounted
from ledger.money import MAX_AMOUNT, ROUNDINGS, AmountOutOfRange, checked_amount
from ledger.periods import (
    Period,
    anniversary_anchor,
    local_day_number,
    local_day_start,
    period_containing,
)
from ledger.policies import STRIPE
from ledger.proration_values import (
    LastBilled,
    NewCycle,
    NothingToProrate,
    OutsidePeriod,
    PeriodTooShort,
    Proration,
    Segment,
)
from ledger.values import MAX_AMOUNT_DIGITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.periods import Anchor, Interval
    from ledger.policies import BillingPolicy
    from ledger.proration_values import ItemChange, RecurringPrice

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final[Mapping[str, timedelta]] = MappingProxyType(
    {"second": timedelta(seconds=1), "elapsed_fraction": timedelta(microseconds=1)}
)
_DAYS_OF_A_YEAR: Final = (365, 366)
_FEBRUARY: Final = 2
_PER_CENT: Final = 100


# -- parts of a period ------------------------------------------------------------------------------------


def chargeable_units(from_at: datetime, to_at: datetime, policy: BillingPolicy, zone: str) -> int:
    """Count the units of the policy in [from_at, to_at); a local day belongs to what begins in it."""
    return _place(to_at, policy, zone) - _place(from_at, policy, zone)


def share_of_period(
    price: Fraction | int,
    whole: Period,
    from_at: datetime,
    to_at: datetime,
    policy: BillingPolicy = STRIPE,
    zone: str = "UTC",
) -> Fraction:
    """Give the exact share of a whole period's price that belongs to [from_at, to_at)."""
    _check_stretch(from_at, to_at)
    units, whole_units = _units_of(whole, from_at, to_at, policy, zone)
    return Fraction(price) * units / whole_units


def rounded(exact: Fraction, policy: BillingPolicy) -> int:
    """Round an exact amount as the policy rounds a prorated line; a credit as the charge that it undoes."""
    magnitude = ROUNDINGS[policy.proration_rounding](abs(exact))
    return magnitude if exact >= 0 else -magnitude


def _place(instant: datetime, policy: BillingPolicy, zone: str) -> int:
    """Give the number of the unit that an instant lies in."""
    if policy.proration_unit == "local_day":
        return local_day_number(instant, zone)
    return (instant - _EPOCH) // _UNITS[policy.proration_unit]


def _units_of(
    whole: Period, from_at: datetime, to_at: datetime, policy: BillingPolicy, zone: str
) -> tuple[int, int]:
    """Count the units of a stretch, and of the whole period as the policy counts a year."""
    counted = chargeable_units(whole.start, whole.end, policy, zone)
    if counted <= 0:
        message = f"the period holds no whole {policy.proration_unit}"
        raise PeriodTooShort(message)
    units = max(0, chargeable_units(from_at, to_at, policy, zone))
    if units >= counted:
        # A whole period costs its price, however many days its year is said to have.
        return counted, counted
    return _in_a_year_of_named_length(units, counted, whole, policy, zone)


def _in_a_year_of_named_length(
    units: int, counted: int, whole: Period, policy: BillingPolicy, zone: str
) -> tuple[int, int]:
    by_days = policy.proration_unit == "local_day" and policy.days_in_year == "by_29_february"
    if not by_days or counted not in _DAYS_OF_A_YEAR:
        return units, counted
    first = local_day_number(whole.start, zone)
    days = (date.fromordinal(first + later) for later in range(counted))
    named = max(_DAYS_OF_A_YEAR) if any(map(_is_leap_day, days)) else min(_DAYS_OF_A_YEAR)
    return min(units, named), named


def _is_leap_day(day: date) -> bool:
    return (day.month, day.day) == (_FEBRUARY, 29)


# -- changes ----------------------------------------------------------------------------------------------


def is_downgrade(old: RecurringPrice | None, new: RecurringPrice | None) -> bool:
    """Say whether a change is to a cheaper price, over a year; beginning and ending are no downgrades."""
    return old is not None and new is not None and new.of_year < old.of_year


def waits_for_period_end(
    old: RecurringPrice | None, new: RecurringPrice | None, policy: BillingPolicy
) -> bool:
    """Say whether a change that says nothing of when takes effect at the period's end, under the policy."""
    return policy.downgrade == "at_period_end" and is_downgrade(old, new)


def switch_instant(at: datetime, policy: BillingPolicy, zone: str) -> datetime:
    """Give the instant from which a change of price holds: its own, or the beginning of its local day."""
    return local_day_start(at, zone) if policy.upgrade_day == "whole_day_on_new_price" else at


def new_cycle(
    at: datetime, interval: Interval, anchor: Anchor | None, policy: BillingPolicy, zone: str
) -> NewCycle:
    """Give the period that a change to another interval starts.

    It is a whole one, which anchors the calendar anew, unless the policy keeps the subscription's anchor and
    one is given: then it ends where that calendar turns over.
    """
    starts_at = switch_instant(at, policy, zone).replace(microsecond=0)
    if anchor is None or policy.interval_change == "new_period_at_full_price":
        fresh = anniversary_anchor(starts_at, zone)
        # Not its start: in an hour that the clock repeats, the calendar has turned over in the first pass.
        whole = Period(starts_at, period_containing(fresh, interval, starts_at).end)
        return NewCycle(whole, whole, fresh)
    whole = period_containing(anchor, interval, starts_at)
    return NewCycle(Period(starts_at, whole.end), whole, anchor)


def change_of_item(change: ItemChange, policy: BillingPolicy) -> Proration:
    """Work out what a change made now gives back of the old price and asks of the new one."""
    _check(change)
    credit = _credit(change, policy)
    charge = _charge(change, policy)
    used = None if credit is None else _used(change, credit, policy)
    if not change.prorates:
        return Proration(used, None, charge if charge is not None and _is_no_part(change, charge) else None)
    return Proration(used, credit, _with_tax_of_invoice(change, credit, charge, policy))


def _credit(change: ItemChange, policy: BillingPolicy) -> Segment | None:
    """Give back what is left of the old price, from where the policy lets the new one begin."""
    if change.old is None:
        return None
    period = change.period
    from_at = min(max(_credit_starts(change, policy), _begins(change, policy)), period.end)
    units, whole_units = _units_of(change.old_whole, from_at, period.end, policy, change.zone)
    billed = _billed(change, policy)
    exact = _credit_base(change, billed, policy) * units / whole_units
    if policy.credit_base != "current_price" or not _was_billed(change, policy):
        exact = min(exact, Fraction(billed.amount_minor))
    amount = rounded(exact, policy)
    # The tax on a credit note is worked out from the same exact net, and rounded beside it.
    taxed = exact if policy.change_credit == "credit_note_with_tax" else Fraction(amount)
    tax = rounded(taxed * _rate(change), policy)
    return Segment("credit", from_at, period.end, units, whole_units, -exact, -amount, -tax)


def _credit_starts(change: ItemChange, policy: BillingPolicy) -> datetime:
    if change.new_cycle is not None:
        return change.new_cycle.period.start
    if change.new is not None:
        return switch_instant(change.at, policy, change.zone)
    if policy.cancellation_day == "kept_by_seller":
        return local_day_start(change.at, change.zone, days_later=1)
    return change.at


def _begins(change: ItemChange, policy: BillingPolicy) -> datetime:
    """Say from when the old price is chargeable: since it began, and not while the trial lasts."""
    since = max(change.since or change.period.start, change.period.start)
    trial_over = _trial_over(change, policy)
    return since if trial_over is None else max(since, trial_over)


def _trial_over(change: ItemChange, policy: BillingPolicy) -> datetime | None:
    if change.trial_end is None or policy.trial_end != "local_day":
        return change.trial_end
    return local_day_start(change.trial_end, change.zone)


def _was_billed(change: ItemChange, policy: BillingPolicy) -> bool:
    """Say whether anything was billed for the item yet: not while its trial lasts, unless that is told."""
    trial_over = _trial_over(change, policy)
    return change.billed is not None or trial_over is None or trial_over <= change.at


def _billed(change: ItemChange, policy: BillingPolicy) -> LastBilled:
    """Give what was billed for the item in the present period: what is told, or else the old price."""
    if change.billed is not None:
        return change.billed
    assert change.old is not None, "what was billed is asked of an old price"
    if not _was_billed(change, policy):
        return LastBilled(amount_minor=0, price=Fraction(0))
    price = discounted(change.old.of_period, change.discount)
    begins = min(_begins(change, policy), change.period.end)
    whole = change.old_whole
    exact = share_of_period(price, whole, begins, change.period.end, policy, change.zone)
    return LastBilled(amount_minor=rounded(exact, policy), price=price)


def _credit_base(change: ItemChange, billed: LastBilled, policy: BillingPolicy) -> Fraction:
    """Give the price of a whole period that the unused time is credited at."""
    assert change.old is not None, "a credit is of an old price"
    if policy.credit_base in ("current_price", "current_price_up_to_billed"):
        return discounted(change.old.of_period, change.discount)
    price = _worked_back(change, billed, policy) if billed.price is None else billed.price
    told = change.billed is not None and billed.price is not None
    if policy.credit_base == "last_billed_price_less_discount" and told:
        return discounted(price, change.discount)
    return price


def _worked_back(change: ItemChange, billed: LastBilled, policy: BillingPolicy) -> Fraction:
    begins = min(_begins(change, policy), change.period.end)
    units, whole_units = _units_of(change.old_whole, begins, change.period.end, policy, change.zone)
    return Fraction(billed.amount_minor * whole_units, units) if units else Fraction(0)


def _charge(change: ItemChange, policy: BillingPolicy) -> Segment | None:
    """Charge what is left of the period at the new price, or the period that it starts."""
    if change.new is None:
        return None
    period, whole = change.period, change.old_whole
    from_at = change.at if change.old is None else switch_instant(change.at, policy, change.zone)
    if change.new_cycle is not None:
        period, whole, from_at = (
            change.new_cycle.period,
            change.new_cycle.whole,
            change.new_cycle.period.start,
        )
    trial_over = _trial_over(change, policy)
    from_at = max(from_at, period.start) if trial_over is None else max(from_at, period.start, trial_over)
    from_at = min(from_at, period.end)
    units, whole_units = _units_of(whole, from_at, period.end, policy, change.zone)
    exact = discounted(change.new.of_period, change.discount) * units / whole_units
    amount = rounded(exact, policy)
    tax = rounded(amount * _rate(change), policy)
    return Segment("charge", from_at, period.end, units, whole_units, exact, amount, tax)


def _used(change: ItemChange, credit: Segment, policy: BillingPolicy) -> Segment:
    """Tell what the old price keeps: the time up to the credit, and what was billed and not given back."""
    from_at = min(_begins(change, policy), credit.from_at)
    units = chargeable_units(from_at, credit.from_at, policy, change.zone)
    kept = _billed(change, policy).amount_minor + (credit.amount_minor if change.prorates else 0)
    return Segment("used", from_at, credit.from_at, units, credit.whole_units, Fraction(kept), kept)


def _is_no_part(change: ItemChange, charge: Segment) -> bool:
    """Say whether a charge is for a period of its own, whole: then it is a fee and no proration."""
    own = change.old is None or change.new_cycle is not None
    return own and charge.units == charge.whole_units


def _with_tax_of_invoice(
    change: ItemChange, credit: Segment | None, charge: Segment | None, policy: BillingPolicy
) -> Segment | None:
    """Where one rounding of tax is for all lines of an invoice, let the charge carry what makes it so."""
    apart = policy.tax_rounding == "per_line" or policy.change_credit == "credit_note_with_tax"
    if apart or credit is None or charge is None:
        return charge
    together = rounded((charge.amount_minor + credit.amount_minor) * _rate(change), policy)
    return replace(charge, tax_minor=together - credit.tax_minor)


def _rate(change: ItemChange) -> Fraction:
    return Fraction(change.tax_rate) / _PER_CENT


# -- refusals ---------------------------------------------------------------------------------------------


def _check(change: ItemChange) -> None:
    if change.old is None and change.new is None:
        message = "give an old price, a new price, or both"
        raise NothingToProrate(message, {"old": ["must be given when new is not"]})
    if change.old is not None:
        _check_price(change.old, "old")
    if change.new is not None:
        _check_price(change.new, "new")
    if change.billed is not None and checked_amount(change.billed.amount_minor) < 0:
        raise _negative("last_billed.amount")
    since = max(change.since or change.period.start, change.period.start)
    if not since <= change.at <= change.period.end:
        message = "change_at: must lie in the period, and not before the old price began"
        raise OutsidePeriod(message, {"change_at": ["must lie in the period, and not before the old price"]})


def _check_price(price: RecurringPrice, field: str) -> None:
    if checked_amount(price.amount_minor) < 0:
        raise _negative(f"{field}.amount")
    if price.quantity < 0:
        raise _negative(f"{field}.quantity")
    if price.of_period > MAX_AMOUNT:
        reason = f"must have at most {MAX_AMOUNT_DIGITS} digits for all of the quantity"
        raise AmountOutOfRange(f"{field}.amount: {reason}", {f"{field}.amount": [reason]})


def _negative(field: str) -> AmountOutOfRange:
    return AmountOutOfRange(f"{field}: must not be negative", {field: ["must not be negative"]})


def _check_stretch(from_at: datetime, to_at: datetime) -> None:
    if from_at > to_at:
        message = "a stretch to prorate must run forward"
        raise OutsidePeriod(message)
