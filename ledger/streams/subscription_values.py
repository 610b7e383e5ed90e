"""What a subscription is made of: periods, items, what was charged for them, and what is still to bill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ledger.identifiers import derived_id
from ledger.periods import Anchor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ledger.events.subscription import (
        BillingAnchor,
        CouponApplied,
        ProrationAdded,
        SubscriptionStarted,
        UsageBilled,
    )
    from ledger.periods import Period

FEE: Final = "fee"
CREDIT: Final = "proration_credit"
CHARGE: Final = "proration_charge"


@dataclass(frozen=True)
class OpenPeriod:
    """The present billing period and the terms it was opened under; `whole` is what prices are for.

    `charged_to` is where it was to end when its fee was charged: a pause may have shifted its end since.
    """

    period: str
    starts_at: datetime
    ends_at: datetime
    plan: str
    price_version: int
    policy_version: int
    whole: Period
    charged_to: datetime
    trial: bool = False


@dataclass(frozen=True)
class Charged:
    """What an item was last charged by: which line, from when on, for what; no amount means its fee.

    `invoice` is where that line is, once there is one. The item itself may have become another plan or more
    seats since, where the change was not prorated.
    """

    line: str
    since: datetime
    plan: str
    price_version: int
    quantity: int
    amount: int | None = None
    invoice: str | None = None


@dataclass(frozen=True)
class Item:
    """One plan of the subscription, at a price version, in so many seats; the first item is its plan.

    `since` is when these terms began in the present period; none while nothing is billed.
    """

    item: str
    plan: str
    price_version: int
    quantity: int
    since: datetime | None = None
    charged: Charged | None = None


@dataclass(frozen=True)
class Stretch:
    """A stretch [from_at, to_at) of a period in which an item was one plan, version and number of seats."""

    period: OpenPeriod
    item: str
    plan: str
    price_version: int
    quantity: int
    from_at: datetime
    to_at: datetime


@dataclass(frozen=True)
class Discount:
    """A coupon that the subscription redeemed, and how many of its invoices it was taken off."""

    applied: CouponApplied
    invoices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pause:
    """Since when nothing is billed, and whether the time paid for is kept for afterwards."""

    paused_at: datetime
    shifts: bool


@dataclass(frozen=True)
class Subscription:
    """A subscription as it stands.

    `pending` are the prorations that wait for the next invoice, `adjusted` the invoices of lines that they
    adjust, `stretches` the closed parts of the present period, `unbilled` those of periods that are over and
    wait for an invoice, `billed` those that had usage to bill; `usage` is what was billed of it, last on
    `metered_invoice`, and `usage_invoices` on which invoices: by item, charge and start, the newest first.
    """

    subscription: str
    account: str
    items: tuple[Item, ...]
    anchor: Anchor
    status: str
    starts_at: datetime
    started: SubscriptionStarted
    currency: str | None = None
    trial_ends_at: datetime | None = None
    ends_at: datetime | None = None
    period: OpenPeriod | None = None
    next_plan: str | None = None
    next_price_version: int | None = None
    next_quantity: int | None = None
    cancels_at: datetime | None = None
    ended_at: datetime | None = None
    pause: Pause | None = None
    resumed_at: datetime | None = None
    billed_through: datetime | None = None
    fee_line: str | None = None
    invoice: str | None = None
    metered_invoice: str | None = None
    setup_billed: bool = False
    pending: tuple[ProrationAdded, ...] = ()
    prorations: int = 0
    adjusted: Mapping[str, str] = field(default_factory=dict)
    stretches: tuple[Stretch, ...] = ()
    unbilled: tuple[Stretch, ...] = ()
    billed: tuple[Stretch, ...] = ()
    usage: tuple[UsageBilled, ...] = ()
    usage_invoices: Mapping[tuple[str, str, datetime], tuple[str, ...]] = field(default_factory=dict)
    discounts: tuple[Discount, ...] = ()
    notices: frozenset[tuple[str, datetime]] = frozenset()

    @property
    def first(self) -> Item:
        """The item of the subscription's own plan."""
        return self.items[0]

    @property
    def item(self) -> str:
        """The id of the first item."""
        return self.first.item

    @property
    def plan(self) -> str:
        """The subscription's own plan."""
        return self.first.plan

    @property
    def price_version(self) -> int:
        """The price version of its own plan."""
        return self.first.price_version

    @property
    def quantity(self) -> int:
        """How many seats of its own plan it has."""
        return self.first.quantity

    @property
    def charged(self) -> Charged | None:
        """What its own plan was last charged by."""
        return self.first.charged

    @property
    def begins_at(self) -> datetime:
        """When its first period begins: nothing before `billed_through` is billed here."""
        told = self.started.billed_through if self.starts_at == self.started.starts_at else None
        in_trial = told is not None and self.trial_ends_at is not None and self.trial_ends_at > told
        return self.starts_at if told is None or in_trial else told


def line_id(item: str, period: str, kind: str, sequence: int) -> str:
    """Give the id of the one invoice line for an item, a period, a kind and a sequence."""
    return derived_id("line", "invoice-line", item, period, kind, str(sequence))


def anchor_of(anchor: BillingAnchor, zone: str) -> Anchor:
    """Read an anchor that was recorded."""
    return Anchor(anchor.day, anchor.time, zone, month=anchor.month, weekday=anchor.weekday)


def last_period(subscription: Subscription) -> OpenPeriod:
    """Give the period opened last, over or not."""
    assert subscription.period is not None, "a subscription that began has opened a period"
    return subscription.period
