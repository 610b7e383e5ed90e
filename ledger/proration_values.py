"""What proration is given and what it gives: prices, changes of them, and the stretches that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ledger.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ledger.coupons import Discount
    from ledger.periods import Anchor, Interval, Period

SegmentKind: TypeAlias = Literal["used", "credit", "charge"]

_PER_YEAR: Final[Mapping[str, int]] = MappingProxyType({"week": 52, "month": 12, "quarter": 4, "year": 1})


class OutsidePeriod(Invalid):
    """The stretch to prorate does not lie inside its period, or runs backwards."""

    code = "outside_period"


class PeriodTooShort(Invalid):
    """The period holds no whole unit of the convention, so no share of it can be told."""

    code = "period_too_short"


class NothingToProrate(Invalid):
    """There is neither an old price nor a new one."""

    code = "nothing_to_prorate"


@dataclass(frozen=True, kw_only=True)
class RecurringPrice:
    """A price in advance: `amount_minor` for each unit of the quantity and each interval."""

    amount_minor: int
    interval: Interval
    quantity: Decimal = Decimal(1)

    @property
    def of_period(self) -> Fraction:
        """What a whole period costs."""
        return Fraction(self.amount_minor) * Fraction(self.quantity)

    @property
    def of_year(self) -> Fraction:
        """What a year costs, to tell a dearer price from a cheaper one."""
        return self.of_period * _PER_YEAR[self.interval]


@dataclass(frozen=True, kw_only=True)
class LastBilled:
    """What was last billed for an item: `amount_minor` for its present period, or what was left of it then.

    `price` is that of a whole period it was billed at; without it, it is worked back from the amount.
    """

    amount_minor: int
    price: Fraction | None = None


@dataclass(frozen=True, kw_only=True)
class ItemChange:
    """A change of one item's price at an instant; no old price begins the item, no new one ends it.

    `period` is what the item is billed for at present, and `whole` the period of its calendar that a price
    is for, of which the present one may be a part (a stub, the rest of a contract). `since` is when the old
    price began in it. `billed` is what was last billed for the item since then; where it is not told, that
    was the old price, less the discount. `new_cycle` is given when the new price has another interval.
    `prorates` says no where nothing is to be credited or charged for parts of a period.
    """

    at: datetime
    zone: str
    period: Period
    old: RecurringPrice | None = None
    new: RecurringPrice | None = None
    whole: Period | None = None
    since: datetime | None = None
    billed: LastBilled | None = None
    new_cycle: NewCycle | None = None
    trial_end: datetime | None = None
    discount: Discount | None = None
    tax_rate: Decimal = Decimal(0)
    prorates: bool = True

    @property
    def old_whole(self) -> Period:
        """The whole period that the present one is of."""
        return self.whole or self.period


@dataclass(frozen=True)
class NewCycle:
    """The period that a change of interval starts: `whole`, or the rest of it, in a calendar."""

    period: Period
    whole: Period
    anchor: Anchor


@dataclass(frozen=True)
class Segment:
    """One stretch [from_at, to_at): how many chargeable units of how many, and what it costs.

    A credit is negative throughout. `exact` is the amount before it was rounded, `tax_minor` the tax on it.
    """

    kind: SegmentKind
    from_at: datetime
    to_at: datetime
    units: int
    whole_units: int
    exact: Fraction
    amount_minor: int
    tax_minor: int = 0


@dataclass(frozen=True)
class Proration:
    """What a change does: the old price used and kept, its rest given back, the new price charged.

    A segment is none where there is no such price, or where nothing is prorated.
    """

    used: Segment | None
    credit: Segment | None
    charge: Segment | None

    @property
    def net_minor(self) -> int:
        """Give what the change adds to the customer's bill, before tax."""
        return sum(one.amount_minor for one in (self.credit, self.charge) if one is not None)

    @property
    def tax_minor(self) -> int:
        """Give the tax that the change adds to the customer's bill."""
        return sum(one.tax_minor for one in (self.credit, self.charge) if one is not None)
