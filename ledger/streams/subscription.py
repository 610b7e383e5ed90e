"""A subscription: an account, plans in so many seats, and a chain of billing periods, each a fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.errors import Conflict, NotFound, SubscriptionEnded
from ledger.streams.subscription_folding import evolve
from ledger.streams.subscription_values import (
    CHARGE,
    CREDIT,
    FEE,
    Charged,
    Discount,
    Item,
    OpenPeriod,
    Pause,
    Stretch,
    Subscription,
    anchor_of,
    last_period,
    line_id,
)
from ledger.values import instant_text

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "CHARGE",
    "CREDIT",
    "FEE",
    "Charged",
    "Discount",
    "Item",
    "OpenPeriod",
    "Pause",
    "PeriodNotOpen",
    "Stretch",
    "Subscription",
    "anchor_of",
    "charged_now",
    "evolve",
    "item_of",
    "last_period",
    "line_id",
    "period_now",
    "require",
    "require_alive",
    "require_changeable",
]


class PeriodNotOpen(Conflict):
    """The subscription's last period has ended and the next is not open yet: try again once it is."""

    code = "period_not_open"


def charged_now(item: Item) -> Charged:
    """Give what an item was last charged by."""
    assert item.charged is not None, "a period begins with its fee"
    return item.charged


def period_now(subscription: Subscription, now: datetime) -> OpenPeriod:
    """Give the present period, or refuse: none is open yet, or it is over and the next is not open yet."""
    if subscription.period is None:
        message = f"the first period begins at {instant_text(subscription.begins_at)}"
        raise PeriodNotOpen(message)
    if now >= subscription.period.ends_at:
        ended = instant_text(subscription.period.ends_at)
        message = f"the period ended at {ended} and the next is not open yet"
        raise PeriodNotOpen(message)
    return subscription.period


def item_of(subscription: Subscription, item: str) -> Item:
    """Give an item that the subscription has, or refuse."""
    for one in subscription.items:
        if one.item == item:
            return one
    message = f"the subscription has no item {item}"
    raise NotFound(message)


def require(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such subscription"
        raise NotFound(message)
    return state


def require_alive(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: it has ended."""
    subscription = require(state)
    if subscription.status == "cancelled":
        message = f"subscription {subscription.subscription} has ended"
        raise SubscriptionEnded(message)
    return subscription


def require_changeable(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: it has ended or is set to end."""
    subscription = require_alive(state)
    if subscription.cancels_at is not None:
        message = f"subscription {subscription.subscription} ends at {instant_text(subscription.cancels_at)}"
        raise SubscriptionEnded(message)
    return subscription
