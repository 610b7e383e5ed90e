"""How a subscription begins and goes on: which period opens next, and when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from ledger.errors import Conflict, Invalid
from ledger.events.subscription import (
    BillingAnchor,
    PeriodOpened,
    PlanChanged,
    SubscriptionCancelled,
    SubscriptionEvent,
    SubscriptionStarted,
)
from ledger.identifiers import derived_id
from ledger.periods import Anchor, Period, anniversary_anchor, calendar_anchor, period_containing
from ledger.plan_terms import MAX_TRIAL_DAYS
from ledger.streams.subscription import anchor_of, evolve, require_alive
from ledger.values import MAX_QUANTITY_INTEGER_DIGITS, checked_metadata, checked_time, instant_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ledger.periods import Interval
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription

MAX_SEATS: Final = 10 ** (MAX_QUANTITY_INTEGER_DIGITS // 2)


class NothingDue(Conflict):
    """Nothing about the subscription is due yet."""

    code = "period_not_over"


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """How a subscription is to begin; what is not said comes from the plan and from now."""

    starts_at: datetime
    trial_days: int | None = None
    quantity: int = 1
    calendar: bool | None = None
    ends_at: datetime | None = None
    billed_through: datetime | None = None
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: Mapping[str, Any], now: datetime) -> Beginning:
        """Read what a request asks for."""
        anchor = asked["anchor"]
        return cls(
            starts_at=asked["starts_at"] or now,
            trial_days=asked["trial_days"],
            quantity=asked["quantity"],
            calendar=None if anchor is None else anchor == "calendar",
            ends_at=asked["ends_at"],
            billed_through=asked["billed_through"],
            external_id=asked["external_id"],
            metadata=asked["metadata"],
        )


def subscribe(
    subscription: str, account: Account, plan: PricedPlan, book: Book, beginning: Beginning, now: datetime
) -> list[SubscriptionEvent]:
    """Subscribe an account to a plan; the first period opens at once, or when its time has come."""
    started = _started(subscription, account, plan, beginning)
    begun = evolve(None, started)
    if begun.begins_at > now:
        return [started]
    return [started, _opened(begun, plan, book, _first_period(begun, plan))]


def due_at(subscription: Subscription) -> datetime | None:
    """Say when something is next due: the beginning, or the end of the present period; not when paused."""
    if subscription.status in ("cancelled", "paused"):
        return None
    if subscription.period is None:
        return subscription.begins_at
    # The time of a pause that outlasted its period is not billed.
    return max(subscription.period.ends_at, subscription.resumed_at or subscription.period.ends_at)


def advance(
    state: Subscription | None, account: Account, old: PricedPlan, new: PricedPlan, book: Book, now: datetime
) -> list[SubscriptionEvent]:
    """Do the one thing that is due next: open the first period or the next, or end the subscription.

    `old` is the present plan and `new` that of the period to come: the one scheduled, else the present one.
    No period begins once the account is closed.
    """
    subscription = require_alive(state)
    due = due_at(subscription)
    if due is None or now < due:
        message = "nothing is due" if due is None else f"the period ends at {instant_text(due)}"
        raise NothingDue(message)
    names = {"subscription": subscription.subscription, "account": subscription.account}
    closed = account.closed_at is not None and account.closed_at <= due
    ends = [at for at in (subscription.ends_at, subscription.cancels_at) if at is not None and at <= due]
    if closed or ends:
        return [SubscriptionCancelled(**names, ended_at=min(ends, default=due))]
    if subscription.period is None:
        return [_opened(subscription, new, book, _first_period(subscription, new))]
    return _renewed(subscription, old, new, book, due)


def _renewed(
    subscription: Subscription, old: PricedPlan, new: PricedPlan, book: Book, due: datetime
) -> list[SubscriptionEvent]:
    events: list[SubscriptionEvent] = []
    anchor = subscription.anchor
    if subscription.next_plan is not None:
        assert (new.plan, new.price_version) == (subscription.next_plan, subscription.next_price_version), (
            "the next period is on the plan that was asked for"
        )
        changed = PlanChanged(
            subscription=subscription.subscription,
            account=subscription.account,
            from_plan=subscription.plan,
            to_plan=new.plan,
            price_version=new.price_version,
            effective_at=due,
            # A year counted from an old month's anchor would begin with part of one, at the price of a whole.
            anchor=None if new.interval == old.interval else anchor_at(due, anchor.zone),
            quantity=subscription.next_quantity,
        )
        events.append(changed)
        anchor = anchor if changed.anchor is None else anchor_of(changed.anchor, anchor.zone)
    whole = period_containing(anchor, interval_of(new), due)
    following = Period(due, _capped(whole.end, subscription))
    return [*events, _opened(subscription, new, book, (following, whole))]


def _capped(end: datetime, subscription: Subscription) -> datetime:
    """End a period no later than the contract does."""
    return end if subscription.ends_at is None else min(end, subscription.ends_at)


def _started(
    subscription: str, account: Account, plan: PricedPlan, beginning: Beginning
) -> SubscriptionStarted:
    starts_at = _second(beginning.starts_at, "starts_at")
    ends_at = None if beginning.ends_at is None else _second(beginning.ends_at, "ends_at")
    told = beginning.billed_through
    billed_through = None if told is None else _second(told, "billed_through")
    _check(beginning, starts_at, ends_at, billed_through)
    # Who was moved here is no new customer: without being told, they have no trial.
    usual_days = plan.terms.trial_days if billed_through is None else 0
    trial_days = usual_days if beginning.trial_days is None else beginning.trial_days
    trial_ends_at = starts_at + timedelta(days=trial_days) if trial_days else None
    calendar = plan.terms.calendar if beginning.calendar is None else beginning.calendar
    # The calendar begins with the first day that is paid for.
    anchor = (
        recorded_anchor(calendar_anchor(account.time_zone))
        if calendar
        else anchor_at(trial_ends_at or starts_at, account.time_zone)
    )
    return SubscriptionStarted(
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
        currency=plan.currency,
        quantity=beginning.quantity,
        trial_ends_at=trial_ends_at,
        ends_at=ends_at,
        billed_through=billed_through,
        external_id=beginning.external_id,
        metadata=checked_metadata(beginning.metadata),
    )


def _second(instant: datetime, field: str) -> datetime:
    """Return an instant to bill by: of whole seconds, in UTC."""
    return checked_time(instant, field).replace(microsecond=0)


def _check(
    beginning: Beginning, starts_at: datetime, ends_at: datetime | None, billed_through: datetime | None
) -> None:
    if not 1 <= beginning.quantity <= MAX_SEATS:
        raise _refused("quantity", f"must be from 1 to {MAX_SEATS}")
    if beginning.trial_days is not None and not 0 <= beginning.trial_days <= MAX_TRIAL_DAYS:
        raise _refused("trial_days", f"must be from 0 to {MAX_TRIAL_DAYS}")
    if ends_at is not None and ends_at <= starts_at:
        raise _refused("ends_at", "must come after starts_at")
    if billed_through is not None and billed_through < starts_at:
        raise _refused("billed_through", "must not be before starts_at")
    if billed_through is not None and ends_at is not None and billed_through >= ends_at:
        raise _refused("billed_through", "must come before ends_at: else there is nothing to bill")


def _first_period(subscription: Subscription, plan: PricedPlan) -> tuple[Period, Period]:
    """Give the first period and the whole one it is of: the trial, else from where nothing is billed yet."""
    from_at = subscription.begins_at
    if subscription.trial_ends_at is not None and from_at < subscription.trial_ends_at:
        trial = Period(from_at, _capped(subscription.trial_ends_at, subscription))
        return trial, trial
    whole = period_containing(subscription.anchor, interval_of(plan), from_at)
    return Period(from_at, _capped(whole.end, subscription)), whole


def _opened(
    subscription: Subscription, plan: PricedPlan, book: Book, periods: tuple[Period, Period]
) -> PeriodOpened:
    period, whole = periods
    return PeriodOpened(
        subscription=subscription.subscription,
        account=subscription.account,
        period=derived_id("per", "billing-period", subscription.subscription, instant_text(period.start)),
        starts_at=period.start,
        ends_at=period.end,
        plan=plan.plan,
        price_version=plan.price_version,
        policy_version=book.policy_version,
        trial=subscription.trial_ends_at is not None and period.start < subscription.trial_ends_at,
        whole_from=None if whole == period else whole.start,
        whole_to=None if whole == period else whole.end,
    )


def interval_of(plan: PricedPlan) -> Interval:
    """Give the plan's interval."""
    return plan.interval  # type: ignore[return-value]  # checked when the terms were recorded


def anchor_at(starts_at: datetime, zone: str) -> BillingAnchor:
    """Anchor a calendar where something started."""
    return recorded_anchor(anniversary_anchor(starts_at, zone))


def recorded_anchor(anchor: Anchor) -> BillingAnchor:
    """Write an anchor as it is recorded."""
    assert anchor.month is not None
    assert anchor.weekday is not None
    return BillingAnchor(day=anchor.day, month=anchor.month, weekday=anchor.weekday, time=anchor.time)


def _refused(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason}", {field: [reason]})
