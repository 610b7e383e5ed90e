"""One plain sentence an event of a subscription."""

from __future__ import annotations

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
from projections.words import instant, money


def subscription_sentence(event: SubscriptionEvent) -> str:
    """Say what happened to a subscription, and to which."""
    return f"{_sentence(event)} ({event.subscription})."


def _sentence(event: SubscriptionEvent) -> str:  # noqa: C901, PLR0911, PLR0912 - one sentence an event
    match event:
        case SubscriptionStarted():
            trial = "" if event.trial_ends_at is None else f", free until {instant(event.trial_ends_at)}"
            seats = _seats(event.quantity)
            return f"Subscribed to plan {event.plan}{seats} from {instant(event.starts_at)}{trial}"
        case PeriodOpened():
            kind = "trial" if event.trial else "billing period"
            span = f"{instant(event.starts_at)} to {instant(event.ends_at)}"
            return f"A {kind} began on plan {event.plan}, from {span}"
        case PlanChanged():
            if event.from_plan == event.to_plan and event.quantity is not None:
                return (
                    f"Has {event.quantity} seats of plan {event.to_plan} from {instant(event.effective_at)}"
                )
            return f"Moved from plan {event.from_plan} to {event.to_plan} at {instant(event.effective_at)}"
        case PlanChangeScheduled():
            seats = "" if event.quantity is None else _seats(event.quantity)
            return f"Will be on plan {event.to_plan}{seats} from {instant(event.effective_at)}"
        case AddOnAdded():
            seats = _seats(event.quantity)
            return f"Added plan {event.plan}{seats} beside its own from {instant(event.effective_at)}"
        case AddOnRemoved():
            return f"Took an added plan away from {instant(event.effective_at)}, {event.item}"
        case ProrationAdded():
            span = f"{instant(event.service_from)} to {instant(event.service_to)}"
            kind = "credit" if event.amount < 0 else "charge"
            amount = money(abs(event.amount), event.currency)
            how = "waits for the next invoice"
            if event.credit_note is not None:
                how = f"is given back by credit note {event.credit_note}"
            return f"A {kind} of {amount} for plan {event.plan} from {span} {how}"
        case SubscriptionBilled():
            where = "with nothing to pay" if event.invoice is None else f"on invoice {event.invoice}"
            return f"Billed through {instant(event.billed_through)} {where}"
        case CouponApplied():
            return f"Coupon {event.coupon} is taken off its invoices, {event.terms.duration}"
        case CouponEnded():
            return f"Coupon {event.coupon} is taken off no more"
        case CancellationScheduled():
            return f"Asked to end the subscription at {instant(event.cancels_at)}"
        case CancellationWithdrawn():
            return "The subscription goes on after all"
        case SubscriptionPaused():
            kept = ", the time paid for is kept" if event.shifts else ""
            return f"Paused from {instant(event.paused_at)}{kept}"
        case SubscriptionResumed():
            return f"Resumed at {instant(event.resumed_at)}"
        case SubscriptionCancelled():
            return f"The subscription ended at {instant(event.ended_at)}"
        case SubscriptionReactivated():
            return f"The subscription began again at {instant(event.reactivated_at)}"
        case NoticeGiven():
            return f"Told of what comes at {instant(event.due_at)}: {event.kind.replace('_', ' ')}"
    raise AssertionError(event)


def _seats(quantity: int) -> str:
    return "" if quantity == 1 else f", {quantity} seats,"
