"""What else happens to a subscription: it is cancelled, goes on after all, pauses, resumes, begins again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from ledger.errors import Conflict
from ledger.events.subscription import (
    CancellationScheduled,
    CancellationWithdrawn,
    CouponApplied,
    CouponEnded,
    NoticeGiven,
    SubscriptionCancelled,
    SubscriptionEvent,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
)
from ledger.streams.subscribing import anchor_at
from ledger.streams.subscription import period_now, require, require_alive, require_changeable

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.events.coupon import CouponTerms
    from ledger.streams.subscription import Subscription


class NotPaused(Conflict):
    """The subscription is not paused."""

    code = "not_paused"


class AlreadyPaused(Conflict):
    """The subscription is paused: resume it first."""

    code = "already_paused"


class NotEnding(Conflict):
    """The subscription has not ended and is not set to end: there is nothing to take back."""

    code = "not_ending"


class CouponTwice(Conflict):
    """The subscription has this coupon already."""

    code = "coupon_twice"


def cancel(state: Subscription | None, now: datetime, *, at_period_end: bool) -> list[SubscriptionEvent]:
    """End the subscription with its present period, or now; ending it twice is refused."""
    subscription = require_alive(state)
    names = _names(subscription)
    if subscription.pause is not None:
        return [SubscriptionCancelled(**names, ended_at=subscription.pause.paused_at)]
    ends_at = subscription.cancels_at
    if at_period_end and (subscription.period is not None or now >= subscription.starts_at):
        if ends_at is not None:
            return []
        return [CancellationScheduled(**names, cancels_at=_paid_until(subscription, now))]
    if ends_at is None or now < ends_at:
        ends_at = _at(subscription, now)
    return [SubscriptionCancelled(**names, ended_at=ends_at)]


def _paid_until(subscription: Subscription, now: datetime) -> datetime:
    """Say when the present period ends; before the first one, that is when it begins."""
    return subscription.begins_at if subscription.period is None else period_now(subscription, now).ends_at


def _at(subscription: Subscription, now: datetime) -> datetime:
    """Give the second something happens in: in the present period, and not before what came before it.

    Two machines' clocks differ. What has not begun yet happens as it would begin.
    """
    at = now.replace(microsecond=0)
    if subscription.period is None:
        return max(at, subscription.starts_at)
    begun = [one.since for one in subscription.items if one.since is not None]
    return max([at, period_now(subscription, now).starts_at, *begun])


def reactivate(state: Subscription | None, now: datetime) -> list[SubscriptionEvent]:
    """Take a cancellation back that was set for later; or begin again, from now, what has ended."""
    subscription = require(state)
    names = _names(subscription)
    if subscription.status == "cancelled":
        at = _again_at(subscription, now)
        return [
            SubscriptionReactivated(
                **names, reactivated_at=at, anchor=anchor_at(at, subscription.anchor.zone)
            )
        ]
    if subscription.cancels_at is None:
        message = f"subscription {subscription.subscription} has not ended and is not set to end"
        raise NotEnding(message)
    return [CancellationWithdrawn(**names)]


def _again_at(subscription: Subscription, now: datetime) -> datetime:
    """Give the second a subscription begins again in: periods never overlap, and no two begin at once."""
    at = now.replace(microsecond=0)
    if subscription.period is None or subscription.ended_at is None:
        return at
    return max(at, subscription.ended_at, subscription.period.starts_at + timedelta(seconds=1))


def pause(state: Subscription | None, now: datetime, *, shifts: bool) -> list[SubscriptionEvent]:
    """Bill nothing from now on; with `shifts` the rest of the present period is kept for afterwards."""
    subscription = require_changeable(state)
    if subscription.pause is not None:
        message = f"subscription {subscription.subscription} is paused already"
        raise AlreadyPaused(message)
    period_now(subscription, now)
    at = _at(subscription, now)
    return [SubscriptionPaused(**_names(subscription), paused_at=at, shifts=shifts)]


def resume(state: Subscription | None, now: datetime) -> list[SubscriptionEvent]:
    """Go on billing: a period that shifted ends later by as long as the pause, and so do those after it."""
    subscription = require_alive(state)
    if subscription.pause is None:
        message = f"subscription {subscription.subscription} is not paused"
        raise NotPaused(message)
    at = max(now.replace(microsecond=0), subscription.pause.paused_at)
    resumed = SubscriptionResumed(
        subscription=subscription.subscription, account=subscription.account, resumed_at=at
    )
    if not subscription.pause.shifts or subscription.period is None:
        return [resumed]
    ends_at = subscription.period.ends_at + (at - subscription.pause.paused_at)
    if subscription.ends_at is not None:
        ends_at = min(ends_at, subscription.ends_at)
    anchor = anchor_at(ends_at, subscription.anchor.zone)
    return [replace(resumed, period_ends_at=ends_at, anchor=anchor)]


def apply_coupon(
    state: Subscription | None, coupon: str, name: str, terms: CouponTerms
) -> list[SubscriptionEvent]:
    """Take a coupon off the invoices to come; the same one twice is refused."""
    subscription = require_alive(state)
    if any(discount.applied.coupon == coupon for discount in subscription.discounts):
        message = f"subscription {subscription.subscription} has coupon {name} already"
        raise CouponTwice(message)
    return [CouponApplied(**_names(subscription), coupon=coupon, name=name, terms=terms)]


def end_coupon(state: Subscription | None, coupon: str, reason: str) -> list[SubscriptionEvent]:
    """Take a coupon off no more; one that the subscription does not have changes nothing."""
    subscription = require(state)
    if all(discount.applied.coupon != coupon for discount in subscription.discounts):
        return []
    return [CouponEnded(**_names(subscription), coupon=coupon, reason=reason)]


def give_notice(state: Subscription | None, kind: str, due: datetime) -> list[SubscriptionEvent]:
    """Record that the account was told of what comes, once for each thing."""
    subscription = require_alive(state)
    if (kind, due) in subscription.notices:
        return []
    return [NoticeGiven(**_names(subscription), kind=kind, due_at=due)]


def _names(subscription: Subscription) -> dict[str, str]:
    return {"subscription": subscription.subscription, "account": subscription.account}
