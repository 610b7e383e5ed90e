"""The subscriptions of the projection of MRR: what each event makes of how a subscription stands."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.events.stripe import StripeSubscriptionObserved
from ledger.events.subscription import (
    AddOnAdded,
    AddOnRemoved,
    CouponApplied,
    CouponEnded,
    PeriodOpened,
    PlanChanged,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
    SubscriptionEvent,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
    SubscriptionStarted,
)
from ledger.mrr_values import Part, Reduction
from ledger.streams.subscription import CHARGE, CREDIT
from projections.mrr_invoices import happened_at
from projections.mrr_rows import Overdue, StandingRow, SubscriptionRow, standing_of, standing_row
from projections.mrr_stripe import observed

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.events import Recorded
    from projections.mrr_invoices import Dues


def changed(
    row: SubscriptionRow | None, recorded: Recorded, standings: list[StandingRow]
) -> SubscriptionRow | None:
    """Apply an event to a subscription, and add to the standings if it stands otherwise than before."""
    event = recorded.event
    if isinstance(event, SubscriptionStarted):
        after = _started(event, recorded)
    elif isinstance(event, StripeSubscriptionObserved):
        after = observed(row, event, recorded)
    elif row is None:
        return None
    else:
        assert isinstance(event, SubscriptionEvent), "only events of subscriptions are applied to them"
        after = _after(row, event, recorded)
    if row is None or standing_of(after) != standing_of(row):
        standings.append(standing_row(after, recorded))
    return after


def _started(event: SubscriptionStarted, recorded: Recorded) -> SubscriptionRow:
    first = Part(
        item=event.item,
        plan=event.plan,
        quantity=event.quantity,
        price_version=event.price_version,
        since=event.starts_at,
    )
    return SubscriptionRow(
        book=recorded.metadata.book,
        subscription=event.subscription,
        account=event.account,
        currency=event.currency,
        first_item=event.item,
        status="active" if event.trial_ends_at is None else "trial",
        effective_at=event.starts_at,
        caused_by=recorded.position,
        topic=event.topic,
        parts=(first,),
        position=recorded.position,
    )


def _after(row: SubscriptionRow, event: SubscriptionEvent, recorded: Recorded) -> SubscriptionRow:
    """Apply an event of a subscription of ours."""
    at, changes = _effect(row, event, recorded)
    return _stands(row, changes, at, recorded)


def owing(row: SubscriptionRow | None, dues: Dues, standings: list[StandingRow]) -> SubscriptionRow | None:
    """Apply what became of an invoice: one that is settled settles those before it too."""
    if row is None:
        return None
    settled = dues.status == "settled"
    overdue = tuple(
        one
        for one in row.overdue
        if one.invoice != dues.invoice and not (settled and one.finalized < dues.finalized)
    )
    if dues.status == "past_due" or dues.status == "unpaid":  # noqa: PLR1714 - so that its type is known
        one = Overdue(invoice=dues.invoice, finalized=dues.finalized, status=dues.status)
        overdue = (*overdue, one)
    at = max(happened_at(dues.recorded), row.effective_at)
    after = _stands(row, {"overdue": overdue}, at, dues.recorded)
    if standing_of(after) != standing_of(row):
        standings.append(standing_row(after, dues.recorded))
    return after


def _stands(
    row: SubscriptionRow, changes: dict[str, Any], at: datetime, recorded: Recorded
) -> SubscriptionRow:
    """Change a subscription, which then stands otherwise from an instant on, or as before."""
    after = msgspec.structs.replace(row, **changes, position=recorded.position)
    ended_already = row.status == after.status == "ended"
    if ended_already or standing_of(after) == standing_of(row):
        # What becomes known of one that ended still goes back to what ended it.
        return after
    return msgspec.structs.replace(
        after, effective_at=at, caused_by=recorded.position, topic=recorded.event.topic
    )


def _effect(  # noqa: PLR0911 - one return an event
    row: SubscriptionRow, event: SubscriptionEvent, recorded: Recorded
) -> tuple[datetime, dict[str, Any]]:
    """Give what an event changes, and from which instant on."""
    match event:
        case PeriodOpened():
            return event.starts_at, _opened(row, event)
        case PlanChanged():
            return event.effective_at, {"parts": tuple(_moved(part, row, event) for part in row.parts)}
        case AddOnAdded():
            return event.effective_at, {"parts": (*row.parts, _added(event))}
        case AddOnRemoved():
            return event.effective_at, {"parts": tuple(one for one in row.parts if one.item != event.item)}
        case SubscriptionPaused():
            return event.paused_at, {"status": "paused"}
        case SubscriptionResumed():
            return event.resumed_at, _resumed(row, event)
        case SubscriptionCancelled():
            paid_through = row.paid_through if row.standing == "active" else None
            return event.ended_at, {"status": "ended", "paid_through": paid_through}
        case SubscriptionReactivated():
            return event.reactivated_at, {"status": "active", "paid_through": None, "overdue": ()}
        case _:
            # These have no instant of their own, and one that is yet to begin does not begin by them.
            at = max(recorded.metadata.occurred_at, row.effective_at)
            return at, _of_billing(row, event, recorded)


def _of_billing(row: SubscriptionRow, event: SubscriptionEvent, recorded: Recorded) -> dict[str, Any]:
    match event:
        case CouponApplied():
            return _coupon_applied(row, event, recorded)
        case CouponEnded():
            return _coupon_ended(row, event, recorded)
        case SubscriptionBilled():
            return _billed(row, event)
        case ProrationAdded():
            return _prorated(row, event)
        case _:
            return {}


def _opened(row: SubscriptionRow, event: PeriodOpened) -> dict[str, Any]:
    if event.trial:
        return {"paid_through": None}
    return {"paid_through": event.ends_at, "status": "active" if row.status == "trial" else row.status}


def _resumed(row: SubscriptionRow, event: SubscriptionResumed) -> dict[str, Any]:
    if row.paid_through is None:
        # Only a trial's period is not paid for.
        return {"status": "trial"}
    return {"status": "active", "paid_through": event.period_ends_at or row.paid_through}


def _moved(part: Part, row: SubscriptionRow, event: PlanChanged) -> Part:
    if part.item != row.first_item:
        return part
    return replace(
        part,
        plan=event.to_plan,
        quantity=part.quantity if event.quantity is None else event.quantity,
        price_version=event.price_version,
        since=event.effective_at,
    )


def _added(event: AddOnAdded) -> Part:
    return Part(
        item=event.item,
        plan=event.plan,
        quantity=event.quantity,
        price_version=event.price_version,
        since=event.effective_at,
    )


def _prorated(row: SubscriptionRow, event: ProrationAdded) -> dict[str, Any]:
    """Follow through when the subscription's own plan is paid: a credit gives the rest of it back."""
    if row.paid_through is None or event.item not in (None, row.first_item):
        return {}
    paid_through = {CREDIT: event.service_from, CHARGE: event.service_to}
    return {"paid_through": paid_through.get(event.kind, row.paid_through)}


# -- coupons ------------------------------------------------------------------------------------------


def _coupon_applied(row: SubscriptionRow, event: CouponApplied, recorded: Recorded) -> dict[str, Any]:
    if event.terms.meters:
        # It is taken off usage alone.
        return {}
    reduction = Reduction(
        coupon=event.coupon,
        since=recorded.metadata.occurred_at,
        applied_by=recorded.position,
        percent_off=event.terms.percent_off,
        amounts_off=event.terms.amounts_off,
        forever=event.terms.duration == "forever",
        plans=event.terms.plans,
    )
    return {"reductions": (*row.reductions, reduction)}


def _coupon_ended(row: SubscriptionRow, event: CouponEnded, recorded: Recorded) -> dict[str, Any]:
    """End a coupon: what is finite counts until the last period is over that an invoice took it off."""
    ended_at = recorded.metadata.occurred_at

    def ended(reduction: Reduction) -> Reduction:
        if reduction.coupon != event.coupon or reduction.until is not None:
            return reduction
        through = None if reduction.forever else row.reduced_through.get(event.coupon)
        until = ended_at if through is None else max(ended_at, through)
        return replace(reduction, until=until, ended_by=recorded.position)

    return {"reductions": tuple(ended(reduction) for reduction in row.reductions)}


def _billed(row: SubscriptionRow, event: SubscriptionBilled) -> dict[str, Any]:
    """Keep through when coupons were taken off; one that ended with this very invoice counts as long."""
    if not event.coupons:
        return {}
    through = dict.fromkeys(event.coupons, event.billed_through)
    reductions = tuple(
        replace(reduction, until=max(reduction.until, through[reduction.coupon]))
        if reduction.coupon in through and reduction.until is not None and not reduction.forever
        else reduction
        for reduction in row.reductions
    )
    return {"reduced_through": {**row.reduced_through, **through}, "reductions": reductions}
