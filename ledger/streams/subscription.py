"""A subscription: an account, a plan and a chain of billing periods, each a fact of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import Conflict, CurrencyConflict, NotFound, SubscriptionEnded
from ledger.events.subscription import (
    BillingAnchor,
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
from ledger.periods import Anchor, Period, anniversary_anchor, period_starting
from ledger.streams.base import begins_with
from ledger.values import instant_text

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.periods import Interval
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.plan import Plan

FEE: Final = "fee"
CREDIT: Final = "proration_credit"
CHARGE: Final = "proration_charge"


class PeriodNotOver(Conflict):
    """The subscription's present period has not ended yet."""

    code = "period_not_over"


class PeriodNotOpen(Conflict):
    """The subscription's last period has ended and the next is not open yet: try again once it is."""

    code = "period_not_open"


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
class Charged:
    """What the present plan was last charged by: which line, from when on; no amount means its whole fee."""

    line: str
    since: datetime
    amount: int | None = None


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
    charged: Charged | None = None
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
    """Subscribe an account to a plan and open the first period, which anchors the later ones in its zone."""
    if account.currency is not None and account.currency != plan.currency:
        message = f"the plan is priced in {plan.currency}, the account is billed in {account.currency}"
        raise CurrencyConflict(message)
    starts_at = starts_at.replace(microsecond=0)
    anchor = _anchor_at(starts_at, account.time_zone)
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
    first = period_starting(_anchor(anchor, account.time_zone), _interval(plan), starts_at)
    return [started, _opened(subscription, account.account, plan, book, first)]


def cancel(state: Subscription | None, now: datetime, *, at_period_end: bool) -> list[SubscriptionEvent]:
    """End the subscription with its present period, or now, without credit; ending it twice is refused."""
    subscription = _require_alive(state)
    names = {"subscription": subscription.subscription, "account": subscription.account}
    ends_at = subscription.cancels_at
    if at_period_end:
        if ends_at is not None:
            return []
        return [CancellationScheduled(**names, cancels_at=period_now(subscription, now).ends_at)]
    if ends_at is None or now < ends_at:
        ends_at = max(now.replace(microsecond=0), period_now(subscription, now).starts_at)
    return [SubscriptionCancelled(**names, ended_at=ends_at)]


def renew(
    state: Subscription | None, account: Account, old: Plan, new: Plan, book: Book, now: datetime
) -> list[SubscriptionEvent]:
    """Open the next period once the present one is over, or end the subscription where it was to end.

    `new` is the plan of the next period: the one scheduled, else the present one. No period begins once the
    account is closed.
    """
    subscription = _require_alive(state)
    assert new.plan == (subscription.next_plan or subscription.plan), (
        "the next period is on the plan that was asked for"
    )
    ends_at = _last_period(subscription).ends_at
    if now < ends_at:
        message = f"the period ends at {instant_text(ends_at)}"
        raise PeriodNotOver(message)
    names = {"subscription": subscription.subscription, "account": subscription.account}
    closed = account.closed_at is not None and account.closed_at <= ends_at
    if closed or subscription.cancels_at is not None:
        return [SubscriptionCancelled(**names, ended_at=ends_at)]
    events: list[SubscriptionEvent] = []
    anchor = subscription.anchor
    if new.plan != old.plan:
        changed = PlanChanged(
            **names,
            from_plan=old.plan,
            to_plan=new.plan,
            price_version=new.price_version,
            effective_at=ends_at,
            # A year counted from an old month's anchor would begin with part of one, at the price of a whole.
            anchor=None if new.interval == old.interval else _anchor_at(ends_at, anchor.zone),
        )
        events.append(changed)
        anchor = anchor if changed.anchor is None else _anchor(changed.anchor, anchor.zone)
    following = period_starting(anchor, _interval(new), ends_at)
    return [*events, _opened(subscription.subscription, subscription.account, new, book, following)]


def line_id(item: str, period: str, kind: str, sequence: int) -> str:
    """Give the id of the one invoice line for an item, a period, a kind and a sequence."""
    return derived_id("line", "invoice-line", item, period, kind, str(sequence))


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


def _anchor_at(starts_at: datetime, zone: str) -> BillingAnchor:
    anchor = anniversary_anchor(starts_at, zone)
    assert anchor.month is not None
    assert anchor.weekday is not None
    return BillingAnchor(day=anchor.day, month=anchor.month, weekday=anchor.weekday, time=anchor.time)


def _anchor(anchor: BillingAnchor, zone: str) -> Anchor:
    return Anchor(anchor.day, anchor.time, zone, month=anchor.month, weekday=anchor.weekday)


def _last_period(subscription: Subscription) -> OpenPeriod:
    assert subscription.period is not None, "a subscription opens its first period when it starts"
    return subscription.period


def charged_now(subscription: Subscription) -> Charged:
    """Give what the present plan was last charged by."""
    assert subscription.charged is not None, "a period begins with its fee"
    return subscription.charged


def period_now(subscription: Subscription, now: datetime) -> OpenPeriod:
    """Give the present period, or refuse: its end has passed and the next one is not open yet."""
    period = _last_period(subscription)
    if now >= period.ends_at:
        message = f"the period ended at {instant_text(period.ends_at)} and the next is not open yet"
        raise PeriodNotOpen(message)
    return period


def require(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such subscription"
        raise NotFound(message)
    return state


def _require_alive(state: Subscription | None) -> Subscription:
    subscription = require(state)
    if subscription.status == "cancelled":
        message = f"subscription {subscription.subscription} has ended"
        raise SubscriptionEnded(message)
    return subscription


def require_changeable(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: it has ended or is set to end."""
    subscription = _require_alive(state)
    if subscription.cancels_at is not None:
        message = f"subscription {subscription.subscription} ends at {instant_text(subscription.cancels_at)}"
        raise SubscriptionEnded(message)
    return subscription


@begins_with(SubscriptionStarted)
def evolve(state: Subscription | None, event: SubscriptionEvent) -> Subscription:
    """Apply one event."""
    match event:
        case SubscriptionStarted():
            return _started(event)
        case PeriodOpened():
            return _with_period(_known(state), event)
        case PlanChanged():
            return _with_plan(_known(state), event)
        case PlanChangeScheduled():
            return _with_schedule(_known(state), event)
        case ProrationAdded():
            return _with_proration(_known(state), event)
        case SubscriptionBilled():
            return _billed(_known(state), event)
        case CancellationScheduled():
            ending = replace(_known(state), cancels_at=event.cancels_at)
            return replace(ending, next_plan=None, next_price_version=None)
        case SubscriptionCancelled():
            ended = replace(_known(state), status="cancelled", ended_at=event.ended_at)
            return replace(ended, next_plan=None, next_price_version=None)
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


def _with_period(state: Subscription, event: PeriodOpened) -> Subscription:
    """Begin a period: the invoice issued with it charges the plan's whole fee."""
    period = OpenPeriod(
        event.period,
        event.starts_at,
        event.ends_at,
        event.plan,
        event.price_version,
        event.policy_version,
    )
    fee = Charged(line_id(state.item, event.period, FEE, 1), event.starts_at)
    return replace(state, period=period, charged=fee)


def _with_plan(state: Subscription, event: PlanChanged) -> Subscription:
    anchor = state.anchor if event.anchor is None else _anchor(event.anchor, state.anchor.zone)
    return replace(
        state,
        plan=event.to_plan,
        price_version=event.price_version,
        anchor=anchor,
        next_plan=None,
        next_price_version=None,
    )


def _with_schedule(state: Subscription, event: PlanChangeScheduled) -> Subscription:
    if event.to_plan == state.plan:
        return replace(state, next_plan=None, next_price_version=None)
    return replace(state, next_plan=event.to_plan, next_price_version=event.price_version)


def _with_proration(state: Subscription, event: ProrationAdded) -> Subscription:
    charged = state.charged
    if event.kind == CHARGE:
        line = line_id(state.item, event.period, event.kind, event.sequence)
        charged = Charged(line, event.service_from, event.amount)
    return replace(state, charged=charged, pending=(*state.pending, event), prorations=event.sequence)


def _billed(state: Subscription, event: SubscriptionBilled) -> Subscription:
    left = tuple(one for one in state.pending if one.sequence > event.prorations_through)
    return replace(state, billed_through=event.billed_through, fee_line=event.fee_line, pending=left)


def _known(state: Subscription | None) -> Subscription:
    assert state is not None, "a stream begins with its first event"
    return state
