"""Plans beside the subscription's own: added and taken away, billed in the same periods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.errors import Conflict
from ledger.events.subscription import AddOnAdded, AddOnRemoved
from ledger.periods import Period
from ledger.proration import change_of_item
from ledger.proration_values import ItemChange
from ledger.streams.prorating import (
    IntervalDiffers,
    check_quantity,
    credit_of_rest,
    names_of,
    price_of,
    prorations,
    require_running,
)
from ledger.streams.subscription import CHARGE, period_now

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.book import Book
    from ledger.streams.plan import PricedPlan
    from ledger.streams.prorating import Held
    from ledger.streams.subscription import Subscription


class NotAnAddOn(Conflict):
    """The subscription's own plan cannot be taken away: change it, or cancel the subscription."""

    code = "not_an_add_on"


def add(
    state: Subscription | None,
    own: PricedPlan,
    plan: PricedPlan,
    item: str,
    quantity: int,
    book: Book,
    now: datetime,
) -> list[SubscriptionEvent]:
    """Add a plan beside the subscription's own, from now; the rest of the present period is charged."""
    subscription = require_running(state)
    check_quantity(quantity)
    if plan.interval != own.interval:
        message = f"{plan.name} is billed by the {plan.interval}, the subscription by the {own.interval}"
        raise IntervalDiffers(message)
    period = period_now(subscription, now)
    at = max(now.replace(microsecond=0), period.starts_at)
    added = AddOnAdded(
        **names_of(subscription),
        item=item,
        plan=plan.plan,
        price_version=plan.price_version,
        quantity=quantity,
        effective_at=at,
    )
    if period.trial:
        return [added]
    change_ = ItemChange(
        at=at,
        zone=subscription.anchor.zone,
        period=Period(period.starts_at, period.ends_at),
        whole=period.whole,
        new=price_of(plan, quantity),
    )
    charge = change_of_item(change_, book.policy.billing).charge
    return [added, *prorations(subscription, period, item, book, ((CHARGE, charge, plan, quantity),))]


def remove(state: Subscription | None, held: Held, book: Book, now: datetime) -> list[SubscriptionEvent]:
    """Take an added plan away from now on; what is left of its fee is credited."""
    subscription = require_running(state)
    item = held.item
    if item == subscription.first:
        message = "the subscription's own plan cannot be taken away: change it, or cancel the subscription"
        raise NotAnAddOn(message)
    period = period_now(subscription, now)
    at = max(now.replace(microsecond=0), item.charged.since if item.charged else period.starts_at)
    removed = AddOnRemoved(**names_of(subscription), item=item.item, effective_at=at)
    if period.trial:
        return [removed]
    return [*credit_of_rest(subscription, period, held, book, at), removed]
