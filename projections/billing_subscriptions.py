"""The subscriptions of the projection of billing."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from ledger.events.stripe import StripeSubscriptionObserved
from ledger.events.subscription import (
    AddOnAdded,
    AddOnRemoved,
    CancellationScheduled,
    CancellationWithdrawn,
    CouponApplied,
    CouponEnded,
    NoticeGiven,
    PeriodOpened,
    PlanChanged,
    PlanChangeScheduled,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
    SubscriptionEvent,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
    SubscriptionStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.events import Recorded
    from projections.base import Change


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription; `managed_by` is daybook or stripe, whose own id and words for status it then has."""

    book: UUID
    subscription: str
    account: str
    managed_by: str
    plan: str | None
    price_version: int | None
    status: str
    starts_at: datetime | None
    period_start: datetime | None
    period_end: datetime | None
    next_plan: str | None = None
    cancels_at: datetime | None = None
    ended_at: datetime | None = None
    billed_through: datetime | None = None
    observed_at: datetime | None = None
    version: int
    created_position: int
    position: int


def changes_of(events: Iterable[Recorded]) -> list[Change[SubscriptionRow]]:
    """Give what events do to the rows of subscriptions."""
    changes: list[Change[SubscriptionRow]] = []
    for recorded in events:
        event, book = recorded.event, recorded.metadata.book
        if isinstance(event, SubscriptionEvent):
            changes.append(((book, event.subscription), partial(_changed, event=event, recorded=recorded)))
        elif isinstance(event, StripeSubscriptionObserved):
            changes.append(
                ((book, event.stripe_subscription), partial(_observed, event=event, recorded=recorded))
            )
    return changes


def _changed(
    row: SubscriptionRow | None, event: SubscriptionEvent, recorded: Recorded
) -> SubscriptionRow | None:
    if isinstance(event, SubscriptionStarted):
        return SubscriptionRow(
            book=recorded.metadata.book,
            subscription=event.subscription,
            account=event.account,
            managed_by="daybook",
            plan=event.plan,
            price_version=event.price_version,
            status="active",
            starts_at=event.starts_at,
            period_start=None,
            period_end=None,
            version=recorded.stream_version,
            created_position=recorded.position,
            position=recorded.position,
        )
    if row is None:
        return None
    return msgspec.structs.replace(
        row, **_changes(row, event), version=recorded.stream_version, position=recorded.position
    )


def _changes(row: SubscriptionRow, event: SubscriptionEvent) -> dict[str, Any]:  # noqa: C901, PLR0911 - one return an event
    match event:
        case PeriodOpened():
            status = "trialing" if event.trial else "active"
            return {"period_start": event.starts_at, "period_end": event.ends_at, "status": status}
        case PlanChanged():
            return {"plan": event.to_plan, "price_version": event.price_version, "next_plan": None}
        case PlanChangeScheduled():
            stays = event.to_plan == row.plan and event.quantity is None
            return {"next_plan": None if stays else event.to_plan}
        case SubscriptionBilled():
            return {"billed_through": event.billed_through}
        case CancellationScheduled():
            return {"cancels_at": event.cancels_at, "next_plan": None}
        case CancellationWithdrawn():
            return {"cancels_at": None}
        case SubscriptionPaused():
            return {"status": "paused"}
        case SubscriptionResumed():
            return {"status": "active", "period_end": event.period_ends_at or row.period_end}
        case SubscriptionCancelled():
            return {"status": "cancelled", "ended_at": event.ended_at, "next_plan": None}
        case SubscriptionReactivated():
            again = {"status": "active", "starts_at": event.reactivated_at, "ended_at": None}
            return {**again, "cancels_at": None, "period_start": None, "period_end": None}
        case (
            ProrationAdded() | AddOnAdded() | AddOnRemoved() | CouponApplied() | CouponEnded() | NoticeGiven()
        ):
            return {}
        case _:
            raise AssertionError(event.topic)


def _observed(
    row: SubscriptionRow | None, event: StripeSubscriptionObserved, recorded: Recorded
) -> SubscriptionRow:
    """Take over what Stripe said of its subscription: the log holds only what was news."""
    first = event.items[0] if event.items else None
    return SubscriptionRow(
        book=recorded.metadata.book,
        subscription=event.stripe_subscription,
        account=event.account,
        managed_by="stripe",
        plan=first.price if first else None,
        price_version=None,
        status=event.status,
        starts_at=None,
        period_start=first.period_start if first else None,
        period_end=first.period_end if first else None,
        cancels_at=event.cancels_at,
        ended_at=event.ended_at,
        observed_at=event.observed_at,
        version=recorded.stream_version,
        created_position=row.created_position if row else recorded.position,
        position=recorded.position,
    )
