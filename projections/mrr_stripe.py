"""Subscriptions that Stripe manages, in the projection of MRR: their items carry prices of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledger.errors import Invalid
from ledger.mrr import INTERVALS
from ledger.mrr_values import OwnPrice, Part, Status
from ledger.values import checked_quantity
from projections.mrr_rows import SubscriptionRow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from ledger.events import Recorded
    from ledger.events.stripe import StripeSubscriptionItem, StripeSubscriptionObserved

_STRIPE_STATUSES: Final[Mapping[str, Status]] = {
    "trialing": "trial",
    "active": "active",
    "past_due": "past_due",
    "unpaid": "unpaid",
    "paused": "paused",
    "canceled": "ended",
    "incomplete_expired": "ended",
}


def observed(
    row: SubscriptionRow | None, event: StripeSubscriptionObserved, recorded: Recorded
) -> SubscriptionRow:
    """Take over what Stripe said of a subscription: the log holds only what was news."""
    status = _STRIPE_STATUSES.get(event.status, "pending")
    ends = [item.period_end for item in event.items if item.period_end is not None]
    paid = row is not None and row.status == "active" if status == "ended" else status == "active"
    currencies = [item.currency for item in event.items if item.currency is not None]
    return SubscriptionRow(
        book=recorded.metadata.book,
        subscription=event.stripe_subscription,
        account=event.account,
        currency=currencies[0] if currencies else row.currency if row else None,
        first_item=None,
        status=status,
        effective_at=(event.ended_at if status == "ended" else None) or event.observed_at,
        caused_by=recorded.position,
        topic=event.topic,
        parts=tuple(part for item in event.items if (part := _part(item)) is not None),
        paid_through=max(ends, default=None) if paid else None,
        position=recorded.position,
    )


def _part(item: StripeSubscriptionItem) -> Part | None:
    """Read an item's price; metered and tiered ones have none for a unit."""
    amount = _decimal(item.unit_amount)
    count = 1 if item.interval_count is None else item.interval_count
    if amount is None or item.quantity is None or item.interval not in INTERVALS or count < 1:
        return None
    return Part(
        item=item.item,
        plan=item.price or item.item,
        quantity=item.quantity,
        price=OwnPrice(unit_amount=amount, interval=item.interval, count=count),
    )


def _decimal(text: str | None) -> Decimal | None:
    """Read a number of the value domain, or nothing: what Stripe said is never in the way."""
    try:
        return None if text is None else checked_quantity(text)
    except Invalid:
        return None
