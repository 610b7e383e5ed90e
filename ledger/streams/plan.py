"""A plan: one recurring fee in advance, in one currency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, assert_never

from ledger.errors import Invalid, NotFound
from ledger.errors import PlanRetired as PlanIsRetired
from ledger.events.plan import PlanCreated, PlanEvent, PlanRetired
from ledger.money import checked_amount, exponent
from ledger.periods import INTERVALS
from ledger.streams.base import begins_with
from ledger.values import MAX_NAME_CHARACTERS, MAX_REASON_CHARACTERS, checked_text

_FIRST_PRICE_VERSION: Final = 1


@dataclass(frozen=True)
class Plan:
    """A plan as it stands; `amount` is in minor units an interval."""

    plan: str
    product: str
    name: str
    currency: str
    interval: str
    amount: int
    price_version: int
    status: str


def create(plan: str, product: str, name: str, currency: str, interval: str, amount: int) -> list[PlanEvent]:
    """Create a plan; its fee may be nothing, but not negative."""
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    exponent(currency)
    if interval not in INTERVALS:
        reason = f"must be one of {', '.join(INTERVALS)}"
        message = f"interval: {reason}"
        raise Invalid(message, {"interval": [reason]})
    if checked_amount(amount) < 0:
        message = "amount: must not be negative"
        raise Invalid(message, {"amount": ["must not be negative"]})
    return [
        PlanCreated(
            plan=plan,
            product=product,
            name=name,
            currency=currency,
            interval=interval,
            amount=amount,
            price_version=_FIRST_PRICE_VERSION,
        )
    ]


def retire(state: Plan | None, reason: str) -> list[PlanEvent]:
    """Take the plan off sale; retiring it twice changes nothing."""
    plan = require(state)
    if plan.status == "retired":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [PlanRetired(plan=plan.plan, reason=reason)]


def require(state: Plan | None) -> Plan:
    """Give the plan, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such plan"
        raise NotFound(message)
    return state


def require_on_sale(state: Plan | None) -> Plan:
    """Give the plan, or refuse: it takes no new subscriptions."""
    plan = require(state)
    if plan.status == "retired":
        message = f"plan {plan.plan} is retired"
        raise PlanIsRetired(message)
    return plan


@begins_with(PlanCreated)
def evolve(state: Plan | None, event: PlanEvent) -> Plan:
    """Apply one event."""
    match event:
        case PlanCreated():
            return Plan(
                plan=event.plan,
                product=event.product,
                name=event.name,
                currency=event.currency,
                interval=event.interval,
                amount=event.amount,
                price_version=event.price_version,
                status="active",
            )
        case PlanRetired():
            assert state is not None, "a stream begins with its first event"
            return replace(state, status="retired")
        case _:
            assert_never(event)
