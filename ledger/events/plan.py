"""Events of a plan: what an account can subscribe to, and at which price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class PlanCreated(Event):
    """A plan with one recurring fee in advance; `amount` is in minor units of `currency` an interval."""

    topic: ClassVar[str] = "plan.created"

    plan: str
    product: str
    name: str
    currency: str
    interval: str
    amount: int
    price_version: int


@dataclass(frozen=True, kw_only=True)
class PlanRetired(Event):
    """The plan takes no new subscriptions; those that have it keep it."""

    topic: ClassVar[str] = "plan.retired"

    plan: str
    reason: str


PlanEvent = PlanCreated | PlanRetired
