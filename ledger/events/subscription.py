"""Events of a subscription: periods are facts, so that a later time-zone update cannot move an old one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class _OfSubscription(Event):
    subscription: str
    account: str


@dataclass(frozen=True, kw_only=True)
class SubscriptionStarted(_OfSubscription):
    """An account subscribed to a plan; the anchor fixes where later periods begin, in the account's zone."""

    topic: ClassVar[str] = "subscription.started"

    plan: str
    price_version: int
    item: str
    anchor_day: int
    anchor_month: int
    anchor_weekday: int
    anchor_time: time
    time_zone: str
    starts_at: datetime


@dataclass(frozen=True, kw_only=True)
class PeriodOpened(_OfSubscription):
    """A billing period [from, to) began under a policy and a price that stay its own."""

    topic: ClassVar[str] = "subscription.period_opened"

    period: str
    starts_at: datetime
    ends_at: datetime
    plan: str
    price_version: int
    policy_version: int


@dataclass(frozen=True, kw_only=True)
class BillingAnchor:
    """Where a billing calendar turns over, in the subscription's zone."""

    day: int
    month: int
    weekday: int
    time: time


@dataclass(frozen=True, kw_only=True)
class PlanChanged(_OfSubscription):
    """The subscription moved to another plan; with an anchor, its calendar starts anew."""

    topic: ClassVar[str] = "subscription.plan_changed"

    from_plan: str
    to_plan: str
    price_version: int
    effective_at: datetime
    anchor: BillingAnchor | None = None


@dataclass(frozen=True, kw_only=True)
class PlanChangeScheduled(_OfSubscription):
    """The subscription moves to another plan when its period ends; to the present one: it stays after all."""

    topic: ClassVar[str] = "subscription.plan_change_scheduled"

    to_plan: str
    price_version: int
    effective_at: datetime


@dataclass(frozen=True, kw_only=True)
class ProrationAdded(_OfSubscription):
    """An amount for part of a period waits for the next invoice: a negative credit or a positive charge."""

    topic: ClassVar[str] = "subscription.proration_added"

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


@dataclass(frozen=True, kw_only=True)
class SubscriptionBilled(_OfSubscription):
    """The subscription is billed up to an instant, and an invoice took every proration up to a sequence."""

    topic: ClassVar[str] = "subscription.billed"

    invoice: str
    billed_through: datetime
    prorations_through: int
    fee_line: str


@dataclass(frozen=True, kw_only=True)
class CancellationScheduled(_OfSubscription):
    """The subscription ends when its present period does."""

    topic: ClassVar[str] = "subscription.cancellation_scheduled"

    cancels_at: datetime


@dataclass(frozen=True, kw_only=True)
class SubscriptionCancelled(_OfSubscription):
    """The subscription ended."""

    topic: ClassVar[str] = "subscription.cancelled"

    ended_at: datetime


SubscriptionEvent = (
    SubscriptionStarted
    | PeriodOpened
    | PlanChanged
    | PlanChangeScheduled
    | ProrationAdded
    | SubscriptionBilled
    | CancellationScheduled
    | SubscriptionCancelled
)
