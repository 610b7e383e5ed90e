"""Events of a subscription: periods are facts, so that a later time-zone update cannot move an old one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, time
from decimal import Decimal
from typing import ClassVar

from ledger.events.base import Event
from ledger.events.coupon import CouponTerms


@dataclass(frozen=True, kw_only=True)
class _OfSubscription(Event):
    subscription: str
    account: str


@dataclass(frozen=True, kw_only=True)
class SubscriptionStarted(_OfSubscription):
    """An account subscribed to a plan; the anchor fixes where later periods begin, in the account's zone.

    Nothing before `billed_through` is billed: another system did so before the customer was moved here.
    """

    topic: ClassVar[str] = "subscription.started"
    version: ClassVar[int] = 2

    plan: str
    price_version: int
    item: str
    anchor_day: int
    anchor_month: int
    anchor_weekday: int
    anchor_time: time
    time_zone: str
    starts_at: datetime
    # None where the plan has a price in one currency only.
    currency: str | None = None
    quantity: int = 1
    trial_ends_at: datetime | None = None
    ends_at: datetime | None = None
    billed_through: datetime | None = None
    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PeriodOpened(_OfSubscription):
    """A billing period [from, to) began under a policy and a price that stay its own; a trial costs nothing.

    Prices are for the whole period of the calendar, which is told where this one is only part of it.
    """

    topic: ClassVar[str] = "subscription.period_opened"
    version: ClassVar[int] = 2

    period: str
    starts_at: datetime
    ends_at: datetime
    plan: str
    price_version: int
    policy_version: int
    trial: bool = False
    whole_from: datetime | None = None
    whole_to: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class BillingAnchor:
    """Where a billing calendar turns over, in the subscription's zone."""

    day: int
    month: int
    weekday: int
    time: time


@dataclass(frozen=True, kw_only=True)
class PlanChanged(_OfSubscription):
    """The subscription moved to another plan or number of seats; with an anchor, its calendar starts anew."""

    topic: ClassVar[str] = "subscription.plan_changed"
    version: ClassVar[int] = 2

    from_plan: str
    to_plan: str
    price_version: int
    effective_at: datetime
    anchor: BillingAnchor | None = None
    # None: as many as before.
    quantity: int | None = None


@dataclass(frozen=True, kw_only=True)
class PlanChangeScheduled(_OfSubscription):
    """The subscription moves to another plan when its period ends; to the present one: it stays after all."""

    topic: ClassVar[str] = "subscription.plan_change_scheduled"
    version: ClassVar[int] = 2

    to_plan: str
    price_version: int
    effective_at: datetime
    quantity: int | None = None


@dataclass(frozen=True, kw_only=True)
class AddOnAdded(_OfSubscription):
    """A plan beside the first one is billed in the same periods from an instant on."""

    topic: ClassVar[str] = "subscription.add_on_added"

    item: str
    plan: str
    price_version: int
    quantity: int
    effective_at: datetime


@dataclass(frozen=True, kw_only=True)
class AddOnRemoved(_OfSubscription):
    """A plan beside the first one is billed no more from an instant on."""

    topic: ClassVar[str] = "subscription.add_on_removed"

    item: str
    effective_at: datetime


@dataclass(frozen=True, kw_only=True)
class ProrationAdded(_OfSubscription):
    """An amount for part of a period waits for the next invoice: a negative credit or a positive charge.

    A credit that a credit note gives back names it, and waits for nothing.
    """

    topic: ClassVar[str] = "subscription.proration_added"
    version: ClassVar[int] = 2

    sequence: int
    kind: str
    plan: str
    price_version: int
    policy_version: int
    period: str
    service_from: datetime
    service_to: datetime
    amount: int
    currency: str
    adjusts_line: str | None
    # None: of the subscription's first item.
    item: str | None = None
    quantity: int = 1
    # The amount before it was rounded, as a fraction: "100000/31".
    exact: str | None = None
    credit_note: str | None = None


@dataclass(frozen=True, kw_only=True)
class UsageBilled:
    """What a charge took in of a stretch of time: the usage at positions after one and through another.

    `rated` is the whole amount of the stretch so far, in minor units: what comes late is billed beyond it.
    """

    item: str
    charge: str
    plan: str
    price_version: int
    policy_version: int
    period: str
    service_from: datetime
    service_to: datetime
    through_position: int
    events: int
    quantity: Decimal
    rated: int
    line: str | None = None


@dataclass(frozen=True, kw_only=True)
class SubscriptionBilled(_OfSubscription):
    """The subscription is billed up to an instant, and an invoice took every proration up to a sequence.

    A draft that is put together again says so again. No invoice is named where nothing was to pay.
    """

    topic: ClassVar[str] = "subscription.billed"
    version: ClassVar[int] = 2

    invoice: str | None
    billed_through: datetime
    prorations_through: int
    # None where the period that began is free of fees.
    fee_line: str | None
    usage: tuple[UsageBilled, ...] = ()
    # The coupons this invoice took into account, each once.
    coupons: tuple[str, ...] = ()
    setup_fee: bool = False


@dataclass(frozen=True, kw_only=True)
class CouponApplied(_OfSubscription):
    """A coupon is taken off the subscription's invoices, on the terms it was redeemed under."""

    topic: ClassVar[str] = "subscription.coupon_applied"

    coupon: str
    name: str
    terms: CouponTerms


@dataclass(frozen=True, kw_only=True)
class CouponEnded(_OfSubscription):
    """The coupon is taken off no more: used up, or removed."""

    topic: ClassVar[str] = "subscription.coupon_ended"

    coupon: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class CancellationScheduled(_OfSubscription):
    """The subscription ends when its present period does."""

    topic: ClassVar[str] = "subscription.cancellation_scheduled"

    cancels_at: datetime


@dataclass(frozen=True, kw_only=True)
class CancellationWithdrawn(_OfSubscription):
    """The subscription goes on after all."""

    topic: ClassVar[str] = "subscription.cancellation_withdrawn"


@dataclass(frozen=True, kw_only=True)
class SubscriptionPaused(_OfSubscription):
    """Nothing is billed from here on; `shifts` says that the time paid for is kept for afterwards."""

    topic: ClassVar[str] = "subscription.paused"

    paused_at: datetime
    shifts: bool


@dataclass(frozen=True, kw_only=True)
class SubscriptionResumed(_OfSubscription):
    """Billing goes on; where the period shifted, its new end and anchor are told."""

    topic: ClassVar[str] = "subscription.resumed"

    resumed_at: datetime
    period_ends_at: datetime | None = None
    anchor: BillingAnchor | None = None


@dataclass(frozen=True, kw_only=True)
class SubscriptionCancelled(_OfSubscription):
    """The subscription ended."""

    topic: ClassVar[str] = "subscription.cancelled"

    ended_at: datetime


@dataclass(frozen=True, kw_only=True)
class SubscriptionReactivated(_OfSubscription):
    """A subscription that had ended begins again, with a calendar of its own."""

    topic: ClassVar[str] = "subscription.reactivated"

    reactivated_at: datetime
    anchor: BillingAnchor


@dataclass(frozen=True, kw_only=True)
class NoticeGiven(_OfSubscription):
    """The account was told of what comes: `kind` is renewal or trial_end, `due_at` when it happens."""

    topic: ClassVar[str] = "subscription.notice_given"

    kind: str
    due_at: datetime


SubscriptionEvent = (
    SubscriptionStarted
    | PeriodOpened
    | PlanChanged
    | PlanChangeScheduled
    | AddOnAdded
    | AddOnRemoved
    | ProrationAdded
    | SubscriptionBilled
    | CouponApplied
    | CouponEnded
    | CancellationScheduled
    | CancellationWithdrawn
    | SubscriptionPaused
    | SubscriptionResumed
    | SubscriptionCancelled
    | SubscriptionReactivated
    | NoticeGiven
)
