"""A subscription: an account, a plan and a chain of billing periods, each a fact of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from ledger.errors import Conflict, CurrencyConflict, NotFound, SubscriptionEnded
from ledger.events.subscription import (
    CancellationScheduled,
    PeriodOpened,
    PlanChanged,
    PlanChangeScheduled,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
    SubscriptionEvent,
    SubscriptionStarted,
)
from ledger.identifiers import derived_id
from ledger.periods import Anchor, Period, anniversary_anchor, next_period, period_containing
from ledger.proration import PRESETS, prorate
from ledger.values import instant_text

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.periods import Interval
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.plan import Plan


class PeriodNotOver(Conflict):
    """The subscription's present period has not ended yet."""

    code = "period_not_over"


class IntervalDiffers(Conflict):
    """A plan with another interval can only begin where a period ends."""

    code = "interval_differs"


@dataclass(frozen=True)
class OpenPeriod:
    """The present billing period and the terms it was opened under."""

    period: str
    starts_at: datetime
    ends_at: datetime
    plan: str
    price_version: int
    policy_version: int


@dataclass(frozen=True)
class Subscription:
    """A subscription as it stands; `pending` are the prorations that wait for the next invoice."""

    subscription: str
    account: str
    item: str
    plan: str
    price_version: int
    anchor: Anchor
    status: str
    starts_at: datetime
    period: OpenPeriod | None = None
    next_plan: str | None = None
    next_price_version: int | None = None
    cancels_at: datetime | None = None
    ended_at: datetime | None = None
    billed_through: datetime | None = None
    fee_line: str | None = None
    pending: tuple[ProrationAdded, ...] = ()
    prorations: int = 0


def subscribe(
    subscription: str, account: Account, plan: Plan, book: Book, starts_at: datetime
) -> list[SubscriptionEvent]:
    """Subscribe an account to a plan and open the first period, anchored where it starts in the account's zone."""
    if account.currency is not None and account.currency != plan.currency:
        message = f"the plan is priced in {plan.currency}, the account is billed in {account.currency}"
        raise CurrencyConflict(message)
    starts_at = starts_at.replace(microsecond=0)
    anchor = anniversary_anchor(starts_at, account.time_zone)
    assert anchor.month is not None
    assert anchor.weekday is not None
    started = SubscriptionStarted(
        subscription=subscription,
        account=account.account,
        plan=plan.plan,
        price_version=plan.price_version,
        item=derived_id("item", "subscription-item", subscription, "plan"),
        anchor_day=anchor.day,
        anchor_month=anchor.month,
        anchor_weekday=anchor.weekday,
        anchor_time=anchor.time,
        time_zone=account.time_zone,
        starts_at=starts_at,
    )
    period = Period(starts_at, period_containing(anchor, _interval(plan), starts_at).end)
    return [started, _opened(subscription, account.account, plan, book, period)]


def change_plan(
    state: Subscription | None, old: Plan, new: Plan, book: Book, now: datetime, *, at_period_end: bool
) -> list[SubscriptionEvent]:
    """Move to another plan: now, crediting what is left of the old fee and charging the new, or at period end."""
    subscription = require_changeable(state)
    if new.plan == subscription.plan and subscription.next_plan is None:
        return []
    if new.currency != old.currency:
        message = f"the subscription is billed in {old.currency}, the plan is priced in {new.currency}"
        raise CurrencyConflict(message)
    period = _period_now(subscription, now)
    if at_period_end:
        return [
            PlanChangeScheduled(
                subscription=subscription.subscription,
                account=subscription.account,
                to_plan=new.plan,
                price_version=new.price_version,
                effective_at=period.ends_at,
            )
        ]
    if new.interval != old.interval:
        message = f"{new.plan} is billed by the {new.interval}: ask for the change at_period_end"
        raise IntervalDiffers(message)
    changed = PlanChanged(
        subscription=subscription.subscription,
        account=subscription.account,
        from_plan=old.plan,
        to_plan=new.plan,
        price_version=new.price_version,
        effective_at=now,
    )
    return [changed, *_prorations(subscription, period, old, new, book, now)]


def _prorations(
    subscription: Subscription, period: OpenPeriod, old: Plan, new: Plan, book: Book, now: datetime
) -> list[ProrationAdded]:
    whole = Period(period.starts_at, period.ends_at)
    convention = PRESETS[book.policy_preset]
    sides = (
        ("proration_credit", old, subscription.price_version, -prorate(old.amount, whole, now, whole.end, convention)),
        ("proration_charge", new, new.price_version, prorate(new.amount, whole, now, whole.end, convention)),
    )
    return [
        ProrationAdded(
            subscription=subscription.subscription,
            account=subscription.account,
            sequence=subscription.prorations + number,
            kind=kind,
            plan=plan.plan,
            price_version=price_version,
            policy_version=book.policy_version,
            period=period.period,
            service_from=now,
            service_to=whole.end,
            amount=amount,
            currency=plan.currency,
            adjusts_line=subscription.fee_line,
        )
        for number, (kind, plan, price_version, amount) in enumerate(sides, start=1)
    ]


def cancel(state: Subscription | None, now: datetime, *, at_period_end: bool) -> list[SubscriptionEvent]:
    """End the subscription with its present period, or now, without credit; ending it twice is refused."""
    subscription = require(state)
    if subscription.status == "cancelled":
        message = f"subscription {subscription.subscription} has ended"
        raise SubscriptionEnded(message)
    if at_period_end:
        if subscription.cancels_at is not None:
            return []
        period = _period_now(subscription, now)
        return [
            CancellationScheduled(
                subscription=subscription.subscription,
                account=subscription.account,
                cancels_at=period.ends_at,
            )
        ]
    return [
        SubscriptionCancelled(
            subscription=subscription.subscription, account=subscription.account, ended_at=now
        )
    ]


def renew(state: Subscription | None, plan: Plan, book: Book, now: datetime) -> list[SubscriptionEvent]:
    """Open the next period once the present one is over, or end the subscription where it was to end.

    `plan` is the plan of the next period: the one scheduled, else the present one.
    """
    subscription = require(state)
    if subscription.status == "cancelled":
        message = f"subscription {subscription.subscription} has ended"
        raise SubscriptionEnded(message)
    period = subscription.period
    assert period is not None, "a subscription opens its first period when it starts"
    if now < period.ends_at:
        message = f"the period ends at {instant_text(period.ends_at)}"
        raise PeriodNotOver(message)
    names = {"subscription": subscription.subscription, "account": subscription.account}
    if subscription.cancels_at is not None:
        return [SubscriptionCancelled(**names, ended_at=subscription.cancels_at)]
    events: list[SubscriptionEvent] = []
    if subscription.next_plan is not None:
        assert plan.plan == subscription.next_plan, "the next period is on the plan scheduled"
        events.append(
            PlanChanged(
                **names,
                from_plan=subscription.plan,
                to_plan=plan.plan,
                price_version=plan.price_version,
                effective_at=period.ends_at,
            )
        )
    following = next_period(subscription.anchor, _interval(plan), Period(period.starts_at, period.ends_at))
    return [*events, _opened(subscription.subscription, subscription.account, plan, book, following)]


def _opened(subscription: str, account: str, plan: Plan, book: Book, period: Period) -> PeriodOpened:
    return PeriodOpened(
        subscription=subscription,
        account=account,
        period=derived_id("per", "billing-period", subscription, instant_text(period.start)),
        starts_at=period.start,
        ends_at=period.end,
        plan=plan.plan,
        price_version=plan.price_version,
        policy_version=book.policy_version,
    )


def _interval(plan: Plan) -> Interval:
    return plan.interval  # type: ignore[return-value]  # checked when the plan was created


def _period_now(subscription: Subscription, now: datetime) -> OpenPeriod:
    """Give the present period, or refuse: its end has passed and the next one is not open yet."""
    period = subscription.period
    assert period is not None, "a subscription opens its first period when it starts"
    if now >= period.ends_at:
        message = "the period is over and the next is not open yet: try again once it is"
        raise Conflict(message)
    if now < period.starts_at:
        message = f"the subscription starts at {instant_text(period.starts_at)}"
        raise Conflict(message)
    return period


def require(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such subscription"
        raise NotFound(message)
    return state


def require_changeable(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: it has ended or is set to end."""
    subscription = require(state)
    if subscription.status == "cancelled":
        message = f"subscription {subscription.subscription} has ended"
        raise SubscriptionEnded(message)
    if subscription.cancels_at is not None:
        message = f"subscription {subscription.subscription} ends at {instant_text(subscription.cancels_at)}"
        raise SubscriptionEnded(message)
    return subscription


def evolve(state: Subscription | None, event: SubscriptionEvent) -> Subscription:
    """Apply one event."""
    match event:
        case SubscriptionStarted():
            return _started(event)
        case PeriodOpened():
            period = OpenPeriod(
                event.period,
                event.starts_at,
                event.ends_at,
                event.plan,
                event.price_version,
                event.policy_version,
            )
            return replace(_known(state), period=period)
        case PlanChanged():
            return replace(
                _known(state),
                plan=event.to_plan,
                price_version=event.price_version,
                next_plan=None,
                next_price_version=None,
            )
        case PlanChangeScheduled():
            return replace(_known(state), next_plan=event.to_plan, next_price_version=event.price_version)
        case ProrationAdded():
            known = _known(state)
            return replace(known, pending=(*known.pending, event), prorations=event.sequence)
        case SubscriptionBilled():
            return _billed(_known(state), event)
        case CancellationScheduled():
            return replace(_known(state), cancels_at=event.cancels_at)
        case SubscriptionCancelled():
            return replace(_known(state), status="cancelled", ended_at=event.ended_at, next_plan=None)
        case _:
            assert_never(event)


def _started(event: SubscriptionStarted) -> Subscription:
    return Subscription(
        subscription=event.subscription,
        account=event.account,
        item=event.item,
        plan=event.plan,
        price_version=event.price_version,
        anchor=Anchor(
            event.anchor_day,
            event.anchor_time,
            event.time_zone,
            month=event.anchor_month,
            weekday=event.anchor_weekday,
        ),
        status="active",
        starts_at=event.starts_at,
    )


def _billed(state: Subscription, event: SubscriptionBilled) -> Subscription:
    left = tuple(one for one in state.pending if one.sequence > event.prorations_through)
    return replace(state, billed_through=event.billed_through, fee_line=event.fee_line, pending=left)


def _known(state: Subscription | None) -> Subscription:
    assert state is not None, "a stream begins with its first event"
    return state
