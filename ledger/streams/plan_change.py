"""A change of a subscription's plan: now, with prorations, or where the present period ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledger.errors import Conflict, CurrencyConflict
from ledger.events.subscription import PlanChanged, PlanChangeScheduled, ProrationAdded, SubscriptionEvent
from ledger.periods import Period
from ledger.proration import PRESETS, ChangeSegments, PlanChange, change_segments
from ledger.streams.subscription import CHARGE, CREDIT, charged_now, period_now, require_changeable

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.streams.book import Book
    from ledger.streams.plan import Plan
    from ledger.streams.subscription import OpenPeriod, Subscription


class IntervalDiffers(Conflict):
    """A plan with another interval can only begin where a period ends."""

    code = "interval_differs"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of plan that is asked for: from which plan to which, when, and what the book says of it.

    `fee_is_void` says that the invoice which asked for the present period's fee was taken back: then there is
    nothing of that fee to credit.
    """

    old: Plan
    new: Plan
    book: Book
    now: datetime
    fee_is_void: bool = False


def change_plan(
    state: Subscription | None, change: Change, *, at_period_end: bool
) -> list[SubscriptionEvent]:
    """Move to another plan: now, crediting what is left of the old and charging the new, or at period end.

    Asking for the present plan takes back the change that was scheduled, if one was.
    """
    subscription = require_changeable(state)
    old, new = change.old, change.new
    stays = new.plan == subscription.plan
    nothing_to_take_back = stays and subscription.next_plan is None
    if nothing_to_take_back or (at_period_end and subscription.next_plan == new.plan):
        return []
    if new.currency != old.currency:
        message = f"the subscription is billed in {old.currency}, the plan is priced in {new.currency}"
        raise CurrencyConflict(message)
    period = period_now(subscription, change.now)
    if stays or at_period_end:
        return [_scheduled(subscription, new, period)]
    if new.interval != old.interval:
        message = f"{new.plan} is billed by the {new.interval}: ask for the change at_period_end"
        raise IntervalDiffers(message)
    return _changed_now(subscription, period, change)


def _scheduled(subscription: Subscription, new: Plan, period: OpenPeriod) -> PlanChangeScheduled:
    return PlanChangeScheduled(
        subscription=subscription.subscription,
        account=subscription.account,
        to_plan=new.plan,
        price_version=new.price_version,
        effective_at=period.ends_at,
    )


def _changed_now(subscription: Subscription, period: OpenPeriod, change: Change) -> list[SubscriptionEvent]:
    segments = _segments(subscription, period, change)
    changed = PlanChanged(
        subscription=subscription.subscription,
        account=subscription.account,
        from_plan=change.old.plan,
        to_plan=change.new.plan,
        price_version=change.new.price_version,
        effective_at=segments.charge.from_at,
    )
    return [changed, *_prorations(subscription, period, change, segments)]


def _segments(subscription: Subscription, period: OpenPeriod, change: Change) -> ChangeSegments:
    """Split the period, crediting no more than the old plan was charged with in it."""
    charged = charged_now(subscription)
    fee = 0 if change.fee_is_void else change.old.amount
    return change_segments(
        PlanChange(
            period=Period(period.starts_at, period.ends_at),
            # Two machines' clocks differ: a change is never before the one that came before it.
            at=max(change.now.replace(microsecond=0), charged.since),
            since=charged.since,
            old_minor=change.old.amount,
            new_minor=change.new.amount,
            billed_minor=fee if charged.amount is None else charged.amount,
        ),
        PRESETS[change.book.policy_preset],
    )


def _prorations(
    subscription: Subscription, period: OpenPeriod, change: Change, segments: ChangeSegments
) -> list[ProrationAdded]:
    credit = ProrationAdded(
        subscription=subscription.subscription,
        account=subscription.account,
        sequence=subscription.prorations + 1,
        kind=CREDIT,
        plan=change.old.plan,
        price_version=subscription.price_version,
        policy_version=change.book.policy_version,
        period=period.period,
        service_from=segments.credit.from_at,
        service_to=segments.credit.to_at,
        amount=segments.credit.amount_minor,
        currency=change.old.currency,
        adjusts_line=charged_now(subscription).line,
    )
    charge = replace(
        credit,
        sequence=credit.sequence + 1,
        kind=CHARGE,
        plan=change.new.plan,
        price_version=change.new.price_version,
        amount=segments.charge.amount_minor,
        adjusts_line=None,
    )
    return [credit, charge]
