"""What monthly recurring revenue is worked out from, and what it is told in.

A projection keeps the values of `Standing` as JSON: a field that is renamed asks for a rebuild of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - msgspec reads the fields' annotations while running
from decimal import Decimal  # noqa: TC003 - the same
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# pending: not begun yet, worth nothing. What ended may still count until the end of what was paid for.
Status: TypeAlias = Literal["pending", "trial", "active", "past_due", "unpaid", "paused", "ended"]


@dataclass(frozen=True, kw_only=True)
class RecurringAmount:
    """A fee an interval, in minor units by currency, a seat or in all; its tax rates may lie within it."""

    amounts: dict[str, int]
    per_seat: bool = False
    tax_rates: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PlanPrice:
    """The recurring fees of a price version; what usage costs and what is charged once is no part of it."""

    interval: str
    fees: tuple[RecurringAmount, ...]


@dataclass(frozen=True, kw_only=True)
class TaxVersion:
    """A version of a tax rate from an instant on: how much of it, in per cent, lies within prices."""

    percent_within: Decimal
    effective_at: datetime


@dataclass(frozen=True)
class Catalogue:
    """The price versions by plan and number, and the versions of tax rates, oldest first."""

    prices: Mapping[tuple[str, int], PlanPrice] = field(default_factory=dict)
    tax_rates: Mapping[str, Sequence[TaxVersion]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OwnPrice:
    """A price that comes with the subscription itself: minor units a unit, every so many intervals."""

    unit_amount: Decimal
    interval: str
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Part:
    """One plan of a subscription in so many seats, at a price version of ours or at a price of its own.

    `since` is when the subscription took the price on, and with it the taxes that lay within it.
    """

    item: str
    plan: str
    quantity: int = 1
    price_version: int = 0
    since: datetime | None = None
    price: OwnPrice | None = None


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """A coupon taken off recurring fees in [since, until), off some plans or all.

    `applied_by` and `ended_by` are the positions of the events that say so.
    """

    coupon: str
    since: datetime
    applied_by: int
    until: datetime | None = None
    ended_by: int | None = None
    percent_off: Decimal | None = None
    amounts_off: dict[str, int] = field(default_factory=dict)
    forever: bool = False
    plans: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a subscription stands from an instant on, as an event said.

    A standing at a later position holds from its instant on, whatever was said of that time before.
    `caused_by` and `topic` are of the event that the standing goes back to. `paid_through` is told of a
    subscription that ended while it was paid for.
    """

    subscription: str
    account: str
    currency: str | None
    effective_at: datetime
    position: int
    caused_by: int
    topic: str
    status: Status
    parts: tuple[Part, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    paid_through: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a subscription is worth from an instant on, by plan, and which event made it so.

    `trial` is what it would be worth if it were paid for, where the definition asks for that. `fx` marks a
    step that only another exchange rate made.
    """

    at: datetime
    position: int
    topic: str
    by_plan: Mapping[str, Fraction]
    trial: Fraction = Fraction()
    fx: bool = False

    @property
    def value(self) -> Fraction:
        """What it is worth in all."""
        return sum(self.by_plan.values(), Fraction())


@dataclass(frozen=True, kw_only=True)
class History:
    """What one subscription was worth, step by step, in one currency."""

    subscription: str
    account: str
    currency: str
    steps: tuple[Step, ...]
