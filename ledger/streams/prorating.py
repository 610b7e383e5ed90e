"""What changes have in common: what an item was charged, what is left of it, and the prorations of both."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from ledger.errors import Conflict, Invalid
from ledger.events.subscription import ProrationAdded
from ledger.periods import Period
from ledger.proration import change_of_item, rounded, share_of_period
from ledger.proration_values import ItemChange, LastBilled, RecurringPrice
from ledger.streams.subscribing import MAX_SEATS, interval_of
from ledger.streams.subscription import CREDIT, charged_now, require_changeable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from ledger.events.subscription import SubscriptionEvent
    from ledger.proration_values import Segment
    from ledger.streams.book import Book
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Item, OpenPeriod, Subscription

# Credit or charge, the stretch it is of, and the plan and number of seats that it is for.
Side: TypeAlias = "tuple[str, Segment | None, PricedPlan, int]"


class NotWhilePaused(Conflict):
    """The subscription is paused: resume it first."""

    code = "subscription_paused"


class IntervalDiffers(Conflict):
    """A plan beside the subscription's own must be billed in the same periods."""

    code = "interval_differs"


@dataclass(frozen=True)
class Held:
    """An item, its plan as it is held, and the plan it was last charged as, where that is another one.

    `is_void` says that the invoice which asked for it was taken back: then there is nothing to credit. Credit
    notes have given `credited` of it back already.
    """

    item: Item
    plan: PricedPlan
    charged: PricedPlan | None = None
    is_void: bool = False
    credited: int = 0


def credits_of_the_rest(
    subscription: Subscription, held: Sequence[Held], book: Book, ends_at: datetime
) -> list[SubscriptionEvent]:
    """Credit what is left of every item's fee where the subscription ends within a period."""
    period = subscription.period
    if period is None or period.trial or ends_at >= period.ends_at:
        return []
    events: list[SubscriptionEvent] = []
    for one in held:
        events += credit_of_rest(subscription, period, one, book, ends_at, len(events))
    return events


def credit_of_rest(
    subscription: Subscription,
    period: OpenPeriod,
    held: Held,
    book: Book,
    at: datetime,
    after: int = 0,
) -> list[ProrationAdded]:
    """Credit what is left of an item's fee, if anything is."""
    item, charged = held.item, charged_now(held.item)
    credit = change_of_item(
        ItemChange(
            at=max(at, charged.since),
            zone=subscription.anchor.zone,
            period=Period(period.starts_at, period.ends_at),
            whole=period.whole,
            old=price_of(held.plan, item.quantity),
            since=charged.since,
            billed=billed_of(held, period, book, subscription.anchor.zone),
        ),
        book.policy.billing,
    ).credit
    if credit is None or not credit.amount_minor:
        return []
    sides = ((CREDIT, credit, held.plan, item.quantity),)
    return list(prorations(subscription, period, item, book, sides, after))


def billed_of(held: Held, period: OpenPeriod, book: Book, zone: str) -> LastBilled:
    """Say what was last billed for an item: what a change charged, or its fee of the period."""
    charged, plan = charged_now(held.item), held.charged or held.plan
    if held.is_void:
        return LastBilled(amount_minor=0, price=Fraction(0))
    amount = charged.amount
    if amount is None:
        policy = book.policies.get(period.policy_version, book.policy).billing
        times = (period.whole, period.starts_at, period.charged_to, policy, zone)
        fees = [plan.fee_amount(fee, charged.quantity) for fee in plan.fees("advance")]
        amount = sum(rounded(share_of_period(fee, *times), policy) for fee in fees)
    left = max(0, amount - held.credited)
    return LastBilled(amount_minor=left, price=Fraction(plan.amount(charged.quantity)))


def prorations(
    subscription: Subscription,
    period: OpenPeriod,
    item: Item | str,
    book: Book,
    sides: tuple[Side, ...],
    after: int = 0,
) -> Iterator[ProrationAdded]:
    """Record what is credited and charged, so that the next invoice takes it; nothing where nothing is."""
    sequence = subscription.prorations + after
    for kind, segment, plan, quantity in sides:
        if segment is None or segment.from_at >= segment.to_at:
            continue
        sequence += 1
        known = None if isinstance(item, str) else item
        yield ProrationAdded(
            **names_of(subscription),
            sequence=sequence,
            kind=kind,
            plan=plan.plan,
            price_version=plan.price_version,
            policy_version=book.policy_version,
            period=period.period,
            service_from=segment.from_at,
            service_to=segment.to_at,
            amount=segment.amount_minor,
            currency=plan.currency,
            adjusts_line=charged_now(known).line if kind == CREDIT and known is not None else None,
            item=item if isinstance(item, str) else item.item,
            quantity=quantity,
            exact=str(segment.exact),
        )


def price_of(plan: PricedPlan, quantity: int) -> RecurringPrice:
    """Give what a plan asks for in advance for a whole period, seats counted in."""
    return RecurringPrice(amount_minor=plan.amount(quantity), interval=interval_of(plan), quantity=Decimal(1))


def whole_price_of(plan: PricedPlan, quantity: int) -> RecurringPrice:
    """Give what a plan asks for in advance and in arrears, to tell a dearer plan from a cheaper one."""
    amount = plan.amount(quantity) + plan.amount(quantity, "arrears")
    return RecurringPrice(amount_minor=amount, interval=interval_of(plan), quantity=Decimal(1))


def require_running(state: Subscription | None) -> Subscription:
    """Give the subscription, or refuse: it is paused, has ended or is set to end."""
    subscription = require_changeable(state)
    if subscription.pause is not None:
        message = f"subscription {subscription.subscription} is paused: resume it before it is changed"
        raise NotWhilePaused(message)
    return subscription


def names_of(subscription: Subscription) -> dict[str, str]:
    """Name a subscription and its account, as every event of it does."""
    return {"subscription": subscription.subscription, "account": subscription.account}


def check_quantity(quantity: int | None) -> None:
    """Refuse a number of seats that no subscription may have."""
    if quantity is not None and not 1 <= quantity <= MAX_SEATS:
        reason = f"must be from 1 to {MAX_SEATS}"
        raise Invalid(f"quantity: {reason}", {"quantity": [reason]})
