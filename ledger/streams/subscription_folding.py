"""How a subscription stands after each of its events; nothing here refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

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
from ledger.periods import Anchor, Period
from ledger.streams.base import begins_with
from ledger.streams.subscription_values import (
    CHARGE,
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

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ledger.events.subscription import UsageBilled


@begins_with(SubscriptionStarted)
def evolve(state: Subscription | None, event: SubscriptionEvent) -> Subscription:
    """Apply one event."""
    if isinstance(event, SubscriptionStarted):
        return _started(event)
    assert state is not None, "a stream begins with its first event"
    match event:
        case PeriodOpened():
            return _with_period(state, event)
        case PlanChanged():
            return _with_plan(state, event)
        case PlanChangeScheduled():
            return _with_schedule(state, event)
        case AddOnAdded():
            return _with_add_on(state, event)
        case AddOnRemoved():
            cut = _cut(state, event.item, event.effective_at)
            return replace(cut, items=tuple(one for one in cut.items if one.item != event.item))
        case ProrationAdded():
            return _with_proration(state, event)
        case SubscriptionBilled():
            return _billed(state, event)
        case CouponApplied():
            return replace(state, discounts=(*state.discounts, Discount(event)))
        case CouponEnded():
            left = tuple(one for one in state.discounts if one.applied.coupon != event.coupon)
            return replace(state, discounts=left)
        case CancellationScheduled():
            return replace(_without_schedule(state), cancels_at=event.cancels_at)
        case CancellationWithdrawn():
            return replace(state, cancels_at=None)
        case SubscriptionPaused():
            return _paused(state, event)
        case SubscriptionResumed():
            return _resumed(state, event)
        case SubscriptionCancelled():
            return _cancelled(state, event)
        case SubscriptionReactivated():
            return _reactivated(state, event)
        case NoticeGiven():
            return replace(state, notices=state.notices | {(event.kind, event.due_at)})
        case _:
            assert_never(event)


def _started(event: SubscriptionStarted) -> Subscription:
    return Subscription(
        subscription=event.subscription,
        account=event.account,
        items=(Item(event.item, event.plan, event.price_version, event.quantity),),
        anchor=Anchor(
            event.anchor_day,
            event.anchor_time,
            event.time_zone,
            month=event.anchor_month,
            weekday=event.anchor_weekday,
        ),
        status="active",
        starts_at=event.starts_at,
        started=event,
        currency=event.currency,
        trial_ends_at=event.trial_ends_at,
        ends_at=event.ends_at,
        billed_through=event.billed_through,
    )


def _with_period(state: Subscription, event: PeriodOpened) -> Subscription:
    """Begin a period: the invoice issued with it charges each item's whole fee."""
    closed = _closed(state, event.starts_at)
    period = OpenPeriod(
        event.period,
        event.starts_at,
        event.ends_at,
        event.plan,
        event.price_version,
        event.policy_version,
        Period(event.whole_from or event.starts_at, event.whole_to or event.ends_at),
        event.ends_at,
        event.trial,
    )
    items = tuple(replace(one, since=event.starts_at, charged=_fee_of(one, event)) for one in closed.items)
    return replace(closed, period=period, items=items, status="trialing" if event.trial else "active")


def _fee_of(item: Item, event: PeriodOpened) -> Charged:
    """Say that an item is charged by its fee of a period."""
    line = line_id(item.item, event.period, FEE, 1)
    return Charged(line, event.starts_at, item.plan, item.price_version, item.quantity)


def _closed(state: Subscription, at: datetime) -> Subscription:
    """Close what is open of the present period, which then waits to be billed; a trial costs nothing."""
    if state.period is None:
        return state
    for one in state.items:
        state = _cut(state, one.item, at)
    ended = () if last_period(state).trial else state.stretches
    return replace(state, unbilled=(*state.unbilled, *ended), stretches=())


def _cut(state: Subscription, item: str, at: datetime) -> Subscription:
    """End the present stretch of an item, if any of it lies behind."""
    one = next(one for one in state.items if one.item == item)
    if state.period is None or one.since is None or at <= one.since:
        return state
    stretch = Stretch(state.period, one.item, one.plan, one.price_version, one.quantity, one.since, at)
    return replace(
        state, stretches=(*state.stretches, stretch), items=_with_item(state, replace(one, since=at))
    )


def _with_item(state: Subscription, item: Item) -> tuple[Item, ...]:
    return tuple(item if one.item == item.item else one for one in state.items)


def _with_plan(state: Subscription, event: PlanChanged) -> Subscription:
    state = _cut(state, state.item, event.effective_at)
    anchor = state.anchor if event.anchor is None else anchor_of(event.anchor, state.anchor.zone)
    quantity = state.quantity if event.quantity is None else event.quantity
    moved = replace(state.first, plan=event.to_plan, price_version=event.price_version, quantity=quantity)
    return replace(_without_schedule(state), items=(moved, *state.items[1:]), anchor=anchor)


def _with_schedule(state: Subscription, event: PlanChangeScheduled) -> Subscription:
    quantity = state.quantity if event.quantity is None else event.quantity
    if (event.to_plan, event.price_version, quantity) == (state.plan, state.price_version, state.quantity):
        return _without_schedule(state)
    return replace(
        state, next_plan=event.to_plan, next_price_version=event.price_version, next_quantity=event.quantity
    )


def _without_schedule(state: Subscription) -> Subscription:
    return replace(state, next_plan=None, next_price_version=None, next_quantity=None)


def _with_add_on(state: Subscription, event: AddOnAdded) -> Subscription:
    item = Item(event.item, event.plan, event.price_version, event.quantity, event.effective_at)
    return replace(state, items=(*state.items, item))


def _with_proration(state: Subscription, event: ProrationAdded) -> Subscription:
    if event.credit_note is not None:
        return replace(state, prorations=event.sequence)
    added = replace(state, pending=(*state.pending, event), prorations=event.sequence)
    item = next((one for one in state.items if one.item == (event.item or state.item)), None)
    if item is None:
        return added
    if event.kind == CHARGE:
        line = line_id(item.item, event.period, event.kind, event.sequence)
        charged = Charged(
            line, event.service_from, event.plan, event.price_version, event.quantity, event.amount
        )
        return replace(added, items=_with_item(added, replace(item, charged=charged)))
    charged_on = None if item.charged is None else item.charged.invoice
    if event.adjusts_line is None or charged_on is None:
        return added
    return replace(added, adjusted={**state.adjusted, event.adjusts_line: charged_on})


def _billed(state: Subscription, event: SubscriptionBilled) -> Subscription:
    billed = {_key(one): one for one in state.usage} | {_key(one): one for one in event.usage}
    pending = tuple(one for one in state.pending if one.sequence > event.prorations_through)
    waiting = {one.adjusts_line for one in pending}
    metered = {(one.item, one.period) for one in event.usage}
    return replace(
        state,
        items=_with_invoice(state, event),
        billed_through=event.billed_through,
        fee_line=event.fee_line,
        invoice=event.invoice or state.invoice,
        metered_invoice=event.invoice if event.usage and event.invoice else state.metered_invoice,
        setup_billed=state.setup_billed or event.setup_fee,
        pending=pending,
        adjusted={line: invoice for line, invoice in state.adjusted.items() if line in waiting},
        unbilled=(),
        billed=(
            *state.billed,
            *(one for one in state.unbilled if (one.item, one.period.period) in metered),
        ),
        usage=tuple(billed.values()),
        usage_invoices=_usage_invoices(state, event),
        discounts=tuple(
            _taken_off(one, event.invoice) if one.applied.coupon in event.coupons else one
            for one in state.discounts
        ),
    )


def _usage_invoices(
    state: Subscription, event: SubscriptionBilled
) -> Mapping[tuple[str, str, datetime], tuple[str, ...]]:
    """Note the invoice that usage was billed on; a draft that is put together again is noted once."""
    if event.invoice is None or not event.usage:
        return state.usage_invoices
    found = dict(state.usage_invoices)
    for one in event.usage:
        key = (one.item, one.charge, one.service_from)
        before = found.get(key, ())
        if event.invoice not in before:
            found[key] = (event.invoice, *before)
    return found


def _with_invoice(state: Subscription, event: SubscriptionBilled) -> tuple[Item, ...]:
    """Note the invoice that what items were last charged by is on, the first time it is billed."""
    waiting = {
        line_id(one.item or state.item, one.period, one.kind, one.sequence)
        for one in state.pending
        if one.sequence > event.prorations_through
    }
    return tuple(
        one
        if one.charged is None or one.charged.invoice is not None or one.charged.line in waiting
        else replace(one, charged=replace(one.charged, invoice=event.invoice))
        for one in state.items
    )


def _taken_off(discount: Discount, invoice: str | None) -> Discount:
    """Count an invoice that a coupon was taken off, once."""
    if invoice is None or invoice in discount.invoices:
        return discount
    return replace(discount, invoices=(*discount.invoices, invoice))


def _key(usage: UsageBilled) -> tuple[str, str, datetime, int]:
    return usage.item, usage.charge, usage.service_from, usage.price_version


def _paused(state: Subscription, event: SubscriptionPaused) -> Subscription:
    """End what is billed of the present period so far: the time of the pause is not."""
    for one in state.items:
        state = _cut(state, one.item, event.paused_at)
    items = tuple(replace(one, since=None) for one in state.items)
    return replace(state, status="paused", pause=Pause(event.paused_at, event.shifts), items=items)


def _resumed(state: Subscription, event: SubscriptionResumed) -> Subscription:
    period = state.period
    if period is not None and event.period_ends_at is not None:
        period = replace(period, ends_at=event.period_ends_at)
    goes_on = period is not None and event.resumed_at < period.ends_at
    since = event.resumed_at if goes_on else None
    return replace(
        state,
        status="trialing" if period is not None and period.trial else "active",
        pause=None,
        resumed_at=event.resumed_at,
        period=period,
        anchor=state.anchor if event.anchor is None else anchor_of(event.anchor, state.anchor.zone),
        items=tuple(replace(one, since=since) for one in state.items),
    )


def _cancelled(state: Subscription, event: SubscriptionCancelled) -> Subscription:
    ended = replace(_closed(state, event.ended_at), status="cancelled", ended_at=event.ended_at)
    return replace(_without_schedule(ended), pause=None)


def _reactivated(state: Subscription, event: SubscriptionReactivated) -> Subscription:
    """Begin anew, without the trial and the end that the first contract had."""
    return replace(
        state,
        status="active",
        starts_at=event.reactivated_at,
        anchor=anchor_of(event.anchor, state.anchor.zone),
        items=tuple(replace(one, since=None, charged=None) for one in state.items),
        trial_ends_at=None,
        ends_at=None,
        period=None,
        cancels_at=None,
        ended_at=None,
        resumed_at=None,
    )
