"""Events of a plan: what an account can subscribe to, and at which prices, version by version."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from ledger.events.base import Event
from ledger.prices import Price


@dataclass(frozen=True, kw_only=True)
class RecurringFee:
    """A fee an interval, in minor units by currency: in advance or in arrears, once or for each seat."""

    code: str
    name: str
    amounts: dict[str, int]
    timing: str = "advance"
    per_seat: bool = False
    product: str | None = None
    tax_rates: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UsageCharge:
    """What usage of a meter costs, by currency; charged in arrears, with a minimum where there is one."""

    code: str
    name: str
    meter: str
    prices: dict[str, Price]
    minimums: dict[str, int] = field(default_factory=dict)
    product: str | None = None
    tax_rates: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SetupFee:
    """A fee charged once, with the first period that is billed; in minor units by currency."""

    name: str
    amounts: dict[str, int]
    product: str | None = None
    tax_rates: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entitlement:
    """What a subscriber may use of a feature or a meter in a period; no limit means as much as they like.

    A hard limit is one that the caller's own gateway refuses beyond; a soft one is told of and billed.
    """

    feature: str
    limit: Decimal | None = None
    hard: bool = False
    per_seat: bool = False


@dataclass(frozen=True, kw_only=True)
class PlanTerms:
    """The terms of one price version: fees, charges, trial, minimum and entitlements.

    `minimums` are what a period costs at least, by currency; `tax_rates` are ids that hold for every part
    that names none of its own; `calendar` plans turn over with the calendar, others on the day they began.
    """

    interval: str
    fees: tuple[RecurringFee, ...] = ()
    charges: tuple[UsageCharge, ...] = ()
    setup_fee: SetupFee | None = None
    trial_days: int = 0
    trial_needs_card: bool = False
    minimums: dict[str, int] = field(default_factory=dict)
    entitlements: tuple[Entitlement, ...] = ()
    tax_rates: tuple[str, ...] = ()
    calendar: bool = False


@dataclass(frozen=True, kw_only=True)
class PlanCreated(Event):
    """A plan and its first price version, sold from the moment it is created."""

    topic: ClassVar[str] = "plan.created"
    version: ClassVar[int] = 2

    plan: str
    product: str
    name: str
    price_version: int
    terms: PlanTerms
    external_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlanRepriced(Event):
    """A new price version, for those who subscribe or move to it from an instant on; others keep theirs."""

    topic: ClassVar[str] = "plan.repriced"

    plan: str
    price_version: int
    terms: PlanTerms
    effective_at: datetime


@dataclass(frozen=True, kw_only=True)
class PlanDescribed(Event):
    """The plan has another name or other metadata; what it costs stays."""

    topic: ClassVar[str] = "plan.described"

    plan: str
    name: str
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlanRetired(Event):
    """The plan takes no new subscriptions; those that have it keep it."""

    topic: ClassVar[str] = "plan.retired"

    plan: str
    reason: str


PlanEvent = PlanCreated | PlanRepriced | PlanDescribed | PlanRetired
