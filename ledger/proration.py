"""Proration: which part of a price belongs to a part of its period, under a convention that is recorded.

The convention is a value, `ProrationPolicy`, so that an old line is computed again under the rules of its
day. Both ends of a stretch are counted in whole units from a fixed origin, which is why adjoining stretches
always partition the units of the period: none is billed twice and none is lost, whatever the instants.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ledger.errors import Invalid
from ledger.money import ROUNDINGS, AmountOutOfRange, RoundingName, checked_amount
from ledger.values import checked_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.periods import Period

ProrationUnit: TypeAlias = Literal["second"]
SegmentKind: TypeAlias = Literal["used", "credit", "charge"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final[Mapping[ProrationUnit, timedelta]] = MappingProxyType({"second": timedelta(seconds=1)})


class OutsidePeriod(Invalid):
    """The stretch to prorate does not lie inside its period, or runs backwards."""

    code = "outside_period"


class PeriodTooShort(Invalid):
    """The period holds no whole unit of the convention, so no share of it can be told."""

    code = "period_too_short"


@dataclass(frozen=True)
class ProrationPolicy:
    """A convention: the unit that time is counted in, and how a share is rounded to minor units."""

    unit: ProrationUnit = "second"
    rounding: RoundingName = "half_away"


STRIPE: Final = ProrationPolicy(unit="second", rounding="half_away")
PRESETS: Final[Mapping[str, ProrationPolicy]] = MappingProxyType({"stripe": STRIPE})


@dataclass(frozen=True)
class PlanChange:
    """A change of one item from an old price to a new one inside a period.

    `period` is the whole period the old price is for, even when the item joined late; `since` is when the old
    price began in it, and `billed_minor` is what was billed for it from `since` to the period's end.
    `new_period`, which starts at the change, is given when the new price has another interval. A cancellation
    has a new price of 0.
    """

    period: Period
    at: datetime
    since: datetime
    old_minor: int
    new_minor: int
    billed_minor: int
    new_period: Period | None = None


@dataclass(frozen=True)
class Segment:
    """One stretch [from_at, to_at) of a change: its chargeable units, its amount (negative for a credit)."""

    kind: SegmentKind
    from_at: datetime
    to_at: datetime
    units: int
    amount_minor: int


@dataclass(frozen=True)
class ChangeSegments:
    """What a change does: the old price used and kept, the old price given back, the new price charged."""

    used: Segment
    credit: Segment
    charge: Segment

    @property
    def net_minor(self) -> int:
        """Give what the change adds to the customer's bill."""
        return self.credit.amount_minor + self.charge.amount_minor


def chargeable_units(from_at: datetime, to_at: datetime, policy: ProrationPolicy = STRIPE) -> int:
    """Count the units of the convention in [from_at, to_at)."""
    unit = _UNITS[policy.unit]
    return (checked_time(to_at) - _EPOCH) // unit - (checked_time(from_at) - _EPOCH) // unit


def prorate(
    amount_minor: int, period: Period, from_at: datetime, to_at: datetime, policy: ProrationPolicy = STRIPE
) -> int:
    """Give the share of a whole period's price that belongs to [from_at, to_at), rounded once."""
    _check_inside(period, from_at, to_at)
    whole = chargeable_units(period.start, period.end, policy)
    if whole == 0:
        message = f"the period holds no whole {policy.unit}"
        raise PeriodTooShort(message)
    part = chargeable_units(from_at, to_at, policy)
    return ROUNDINGS[policy.rounding](Fraction(checked_amount(amount_minor) * part, whole))


def change_segments(change: PlanChange, policy: ProrationPolicy = STRIPE) -> ChangeSegments:
    """Split a change made now into what stays used, the credit of the unused old, and the charge of the new.

    The credit never exceeds what was billed: an item billed less than its price (a discount, a plan changed
    without proration) gives back no more than was taken for it.
    """
    _check_prices(change)
    _check_inside(change.period, change.since, change.at)
    unused_minor = prorate(change.old_minor, change.period, change.at, change.period.end, policy)
    credit_minor = min(unused_minor, change.billed_minor)
    return ChangeSegments(
        used=_segment("used", change.since, change.at, change.billed_minor - credit_minor, policy),
        credit=_segment("credit", change.at, change.period.end, -credit_minor, policy),
        charge=_charge_of_new(change, policy),
    )


def _charge_of_new(change: PlanChange, policy: ProrationPolicy) -> Segment:
    period = change.new_period or change.period
    amount_minor = prorate(change.new_minor, period, change.at, period.end, policy)
    return _segment("charge", change.at, period.end, amount_minor, policy)


def _segment(
    kind: SegmentKind, from_at: datetime, to_at: datetime, amount_minor: int, policy: ProrationPolicy
) -> Segment:
    units = chargeable_units(from_at, to_at, policy)
    return Segment(kind, checked_time(from_at), checked_time(to_at), units, amount_minor)


def _check_inside(period: Period, from_at: datetime, to_at: datetime) -> None:
    if not period.start <= checked_time(from_at) <= checked_time(to_at) <= period.end:
        message = "the stretch to prorate must lie inside its period and run forward"
        raise OutsidePeriod(message)


def _check_prices(change: PlanChange) -> None:
    for field in ("old_minor", "new_minor", "billed_minor"):
        if checked_amount(getattr(change, field)) < 0:
            raise AmountOutOfRange(f"{field}: must not be negative", {field: ["must not be negative"]})
