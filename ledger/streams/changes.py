"""Changes of what a subscription has: another plan, another price version, more seats or fewer.

A change now closes a stretch of the present period: what is left of the old fee is credited and the new one
charged, both as prorations that wait for an invoice. A plan of another interval begins a period of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ledger.errors import CurrencyConflict
from ledger.events.subscription import PeriodOpened, PlanChanged, PlanChangeScheduled, SubscriptionEvent
from ledger.identifiers import derived_id
from ledger.periods import Period
from ledger.proration import change_of_item, new_cycle, waits_for_period_end
from ledger.proration_values import ItemChange
from ledger.streams.prorating import (
    Held,
    IntervalDiffers,
    billed_of,
    check_quantity,
    names_of,
    price_of,
    prorations,
    require_running,
    whole_price_of,
)
from ledger.streams.subscribing import interval_of, recorded_anchor
from ledger.streams.subscription import CHARGE, CREDIT, charged_now, last_period, period_now
from ledger.values import instant_text

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.policies import BillingPolicy
    from ledger.proration_values import NewCycle
    from ledger.streams.book import Book
    from ledger.streams.plan import PricedPlan
    from ledger.streams.prorating import Side
    from ledger.streams.subscription import Subscription

# Periods have their starts for names, so that two never share one.
_SHORTEST: Final = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change that is asked for: to which plan and how many seats, when, and what the book says of it.

    `at_period_end` is for the policy to say where it is not told. `charged` is the plan that the present one
    was last charged as, where that is another one, and `fee_is_void` says that the invoice which asked for it
    was taken back: then there is nothing to credit; `fee_credited` is what credit notes gave back of it.
    `keeps_plan` says that no plan was asked for: then one that was scheduled still comes.
    """

    old: PricedPlan
    new: PricedPlan
    book: Book
    now: datetime
    quantity: int | None = None
    at_period_end: bool | None = None
    prorates: bool = True
    charged: PricedPlan | None = None
    fee_is_void: bool = False
    fee_credited: int = 0
    keeps_plan: bool = False


def change(state: Subscription | None, asked: Change) -> list[SubscriptionEvent]:
    """Move to another plan, price version or number of seats: now, or where the present period ends.

    Asking for what there is takes back the change that was scheduled, if one was.
    """
    subscription = require_running(state)
    _check(subscription, asked)
    quantity = subscription.quantity if asked.quantity is None else asked.quantity
    present = (subscription.plan, subscription.price_version, subscription.quantity)
    wanted = (asked.new.plan, asked.new.price_version, quantity)
    keeps = asked.keeps_plan and subscription.next_plan not in (None, subscription.plan)
    if keeps and _waits(subscription, asked, quantity):
        return [] if quantity == _next_quantity(subscription) else [_scheduled_still(subscription, quantity)]
    if wanted == present:
        return [] if keeps or subscription.next_plan is None else [_scheduled(subscription, asked, None)]
    if subscription.period is None:
        return [_begins_otherwise(subscription, asked)]
    if not _waits(subscription, asked, quantity):
        changed = _changed_now(subscription, asked, quantity)
        return [*changed, _scheduled_still(subscription, subscription.next_quantity)] if keeps else changed
    if wanted == (subscription.next_plan, subscription.next_price_version, _next_quantity(subscription)):
        return []
    return [_scheduled(subscription, asked, asked.quantity)]


def _next_quantity(subscription: Subscription) -> int:
    return subscription.next_quantity or subscription.quantity


def _check(subscription: Subscription, asked: Change) -> None:
    if asked.new.currency != asked.old.currency:
        message = (
            f"the subscription is billed in {asked.old.currency}, the plan is priced in {asked.new.currency}"
        )
        raise CurrencyConflict(message)
    if asked.new.interval != asked.old.interval and len(subscription.items) > 1:
        message = (
            f"{asked.new.name} is billed by the {asked.new.interval}, the plans beside the subscription's own"
            f" by the {asked.old.interval}: take those away first"
        )
        raise IntervalDiffers(message)
    check_quantity(asked.quantity)


def _waits(subscription: Subscription, asked: Change, quantity: int) -> bool:
    if asked.at_period_end is not None:
        return asked.at_period_end
    old, new = whole_price_of(asked.old, subscription.quantity), whole_price_of(asked.new, quantity)
    return waits_for_period_end(old, new, asked.book.policy.billing)


def _begins_otherwise(subscription: Subscription, asked: Change) -> PlanChanged:
    """Let a subscription that has not begun yet begin with another plan: there is nothing to prorate."""
    return PlanChanged(
        subscription=subscription.subscription,
        account=subscription.account,
        from_plan=asked.old.plan,
        to_plan=asked.new.plan,
        price_version=asked.new.price_version,
        effective_at=subscription.starts_at,
        quantity=asked.quantity,
    )


def _scheduled(subscription: Subscription, asked: Change, quantity: int | None) -> PlanChangeScheduled:
    return PlanChangeScheduled(
        **names_of(subscription),
        to_plan=asked.new.plan,
        price_version=asked.new.price_version,
        effective_at=period_now(subscription, asked.now).ends_at,
        quantity=quantity,
    )


def _scheduled_still(subscription: Subscription, quantity: int | None) -> PlanChangeScheduled:
    """Let the plan that was scheduled come after all, in so many seats."""
    assert subscription.next_plan is not None, "a plan is scheduled"
    assert subscription.next_price_version is not None, "at a price version"
    return PlanChangeScheduled(
        **names_of(subscription),
        to_plan=subscription.next_plan,
        price_version=subscription.next_price_version,
        effective_at=last_period(subscription).ends_at,
        quantity=quantity,
    )


def _changed_now(subscription: Subscription, asked: Change, quantity: int) -> list[SubscriptionEvent]:
    period = period_now(subscription, asked.now)
    item, billing, zone = subscription.first, asked.book.policy.billing, subscription.anchor.zone
    # Two machines' clocks differ: a change is never before the one that came before it.
    before = charged_now(item).since
    at = max(asked.now.replace(microsecond=0), before, item.since or before)
    cycle = _cycle(subscription, asked, at, billing)
    sides: tuple[Side, ...] = ()
    if not period.trial:
        prorated = change_of_item(
            ItemChange(
                at=at,
                zone=zone,
                period=Period(period.starts_at, period.ends_at),
                whole=period.whole,
                old=price_of(asked.old, subscription.quantity),
                # The whole of a new period is a fee, which its own invoice charges.
                new=None if cycle is not None else price_of(asked.new, quantity),
                since=charged_now(item).since,
                billed=billed_of(
                    Held(item, asked.old, asked.charged, asked.fee_is_void, asked.fee_credited),
                    period,
                    asked.book,
                    zone,
                ),
                new_cycle=cycle,
                prorates=asked.prorates,
            ),
            billing,
        )
        sides = (
            (CREDIT, prorated.credit, asked.old, subscription.quantity),
            (CHARGE, prorated.charge, asked.new, quantity),
        )
    changed = PlanChanged(
        subscription=subscription.subscription,
        account=subscription.account,
        from_plan=asked.old.plan,
        to_plan=asked.new.plan,
        price_version=asked.new.price_version,
        effective_at=at if cycle is None else cycle.period.start,
        anchor=None if cycle is None else recorded_anchor(cycle.anchor),
        quantity=asked.quantity,
    )
    added = prorations(subscription, period, item, asked.book, sides)
    events: list[SubscriptionEvent] = [changed, *added]
    return events if cycle is None else [*events, _opened(subscription, asked, cycle)]


def _cycle(
    subscription: Subscription, asked: Change, at: datetime, billing: BillingPolicy
) -> NewCycle | None:
    """Give the period that a plan of another interval begins, unless the present one is free of charge."""
    period = period_now(subscription, asked.now)
    if asked.new.interval == asked.old.interval or period.trial:
        return None
    interval, zone = interval_of(asked.new), subscription.anchor.zone
    cycle = new_cycle(at, interval, subscription.anchor, billing, zone)
    begun = [one.since for one in subscription.items if one.since is not None]
    earliest = max([period.starts_at + _SHORTEST, *begun])
    if cycle.period.start >= earliest:
        return cycle
    # The day it is made on began in a period, or with terms, of its own.
    exactly = replace(billing, upgrade_day="exact_instant")
    return new_cycle(max(at, earliest), interval, subscription.anchor, exactly, zone)


def _opened(subscription: Subscription, asked: Change, cycle: NewCycle) -> PeriodOpened:
    start, end = cycle.period.start, cycle.period.end
    period = Period(start, end if subscription.ends_at is None else min(end, subscription.ends_at))
    return PeriodOpened(
        subscription=subscription.subscription,
        account=subscription.account,
        period=derived_id("per", "billing-period", subscription.subscription, instant_text(period.start)),
        starts_at=period.start,
        ends_at=period.end,
        plan=asked.new.plan,
        price_version=asked.new.price_version,
        policy_version=asked.book.policy_version,
        whole_from=None if cycle.whole == period else cycle.whole.start,
        whole_to=None if cycle.whole == period else cycle.whole.end,
    )
