"""A plan: its price versions, and what one of them asks for in one currency."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import CurrencyConflict, Invalid, NotFound
from ledger.errors import PlanRetired as PlanIsRetired
from ledger.events.plan import (
    PlanCreated,
    PlanDescribed,
    PlanEvent,
    PlanRepriced,
    PlanRetired,
    PlanTerms,
    RecurringFee,
)
from ledger.identifiers import derived_id
from ledger.plan_terms import checked_terms, currencies_of, tax_rates_of
from ledger.streams.base import begins_with
from ledger.values import (
    EARLIEST,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    checked_external_id,
    checked_metadata,
    checked_text,
    checked_time,
    instant_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from ledger.events.plan import UsageCharge

_FIRST_PRICE_VERSION: Final = 1


class NoPriceInCurrency(CurrencyConflict):
    """The plan has no price in the currency that the account is billed in."""


class UnknownPriceVersion(NotFound):
    """The plan has no such price version."""

    code = "unknown_price_version"


@dataclass(frozen=True)
class PriceVersion:
    """One version of a plan's terms; the first is in force from the beginning."""

    price_version: int
    terms: PlanTerms
    effective_at: datetime | None = None


@dataclass(frozen=True)
class Plan:
    """A plan as it stands, with every price version it ever had."""

    plan: str
    product: str
    name: str
    versions: tuple[PriceVersion, ...]
    status: str = "active"
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def newest(self) -> PriceVersion:
        """The last price version, in force or yet to come."""
        return self.versions[-1]


@dataclass(frozen=True)
class PricedPlan:
    """A plan at one price version in one currency: what a subscription is billed by."""

    plan: str
    product: str
    name: str
    price_version: int
    currency: str
    terms: PlanTerms

    @property
    def interval(self) -> str:
        """How long a period is."""
        return self.terms.interval

    @property
    def charges(self) -> tuple[UsageCharge, ...]:
        """What usage costs."""
        return self.terms.charges

    @property
    def tax_rates(self) -> frozenset[str]:
        """Name every tax rate that some part of the plan is under."""
        return frozenset(tax_rate for _, tax_rate in tax_rates_of(self.terms))

    def fees(self, timing: str) -> tuple[RecurringFee, ...]:
        """List the fees charged in advance, or those in arrears."""
        return tuple(fee for fee in self.terms.fees if fee.timing == timing)

    def amount(self, quantity: int = 1, timing: str = "advance") -> int:
        """Add up the fees of a whole period for so many seats, in minor units."""
        return sum(self.fee_amount(fee, quantity) for fee in self.fees(timing))

    def fee_amount(self, fee: RecurringFee, quantity: int = 1) -> int:
        """Give one fee of a whole period, in minor units."""
        return fee.amounts[self.currency] * (quantity if fee.per_seat else 1)


def plan_id(book: UUID, external_id: str) -> str:
    """Give the id of the plan that another system knows under an id of its own."""
    return derived_id("plan", "plan", book.bytes, external_id)


def one_fee(name: str, currency: str, interval: str, amount: int) -> PlanTerms:
    """Give the terms of the plainest plan: one recurring fee in advance, in one currency."""
    return PlanTerms(
        interval=interval,
        fees=(RecurringFee(code="fee", name=name, amounts={currency: amount}, per_seat=True),),
    )


def create(
    plan: str,
    product: str,
    name: str,
    terms: PlanTerms,
    external_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[PlanEvent]:
    """Create a plan with its first price version."""
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    return [
        PlanCreated(
            plan=plan,
            product=product,
            name=name,
            price_version=_FIRST_PRICE_VERSION,
            terms=checked_terms(terms),
            external_id=checked_external_id(external_id),
            metadata=checked_metadata(metadata or {}),
        )
    ]


def reprice(state: Plan | None, terms: PlanTerms, effective_at: datetime) -> list[PlanEvent]:
    """Give the plan a new price version from an instant on; the terms it has already change nothing."""
    plan = require_on_sale(state)
    checked_terms(terms)
    if terms == plan.newest.terms:
        return []
    newest = plan.newest.effective_at or EARLIEST
    instant = checked_time(effective_at, "effective_at")
    if instant < newest:
        reason = f"must not be before {instant_text(newest)}, when the newest version takes effect"
        raise Invalid(f"effective_at: {reason}", {"effective_at": [reason]})
    version = plan.newest.price_version + 1
    return [PlanRepriced(plan=plan.plan, price_version=version, terms=terms, effective_at=instant)]


def describe(state: Plan | None, name: str, metadata: Mapping[str, str]) -> list[PlanEvent]:
    """Give the plan another name or other metadata."""
    plan = require(state)
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    if (name, metadata) == (plan.name, plan.metadata):
        return []
    return [PlanDescribed(plan=plan.plan, name=name, metadata=checked_metadata(metadata))]


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
        message = f"plan {plan.external_id or plan.plan} is retired: it takes no new subscriptions"
        raise PlanIsRetired(message)
    return plan


def in_force(plan: Plan, at: datetime) -> PriceVersion:
    """Give the price version that who subscribes at an instant gets."""
    return next(
        version
        for version in reversed(plan.versions)
        if version.effective_at is None or version.effective_at <= at
    )


def version_of(plan: Plan, price_version: int) -> PriceVersion:
    """Give a price version by its number, or refuse."""
    for version in plan.versions:
        if version.price_version == price_version:
            return version
    message = f"plan {plan.plan} has no price version {price_version}"
    raise UnknownPriceVersion(message)


def priced(plan: Plan, version: PriceVersion, currency: str | None) -> PricedPlan:
    """Give what a price version asks for in a currency; without one, in the only currency it has."""
    offered = currencies_of(version.terms)
    if currency is None and len(offered) == 1:
        (currency,) = offered
    if currency not in offered:
        asked = "the account is billed in no currency yet" if currency is None else f"not in {currency}"
        message = f"{plan.name} is priced in {', '.join(sorted(offered)) or 'no currency'}, {asked}"
        raise NoPriceInCurrency(message)
    return PricedPlan(plan.plan, plan.product, plan.name, version.price_version, currency, version.terms)


@begins_with(PlanCreated)
def evolve(state: Plan | None, event: PlanEvent) -> Plan:
    """Apply one event."""
    match event:
        case PlanCreated():
            first = PriceVersion(event.price_version, event.terms)
            return Plan(
                event.plan,
                event.product,
                event.name,
                (first,),
                external_id=event.external_id,
                metadata=event.metadata,
            )
        case PlanRepriced():
            plan = _known(state)
            version = PriceVersion(event.price_version, event.terms, event.effective_at)
            return replace(plan, versions=(*plan.versions, version))
        case PlanDescribed():
            return replace(_known(state), name=event.name, metadata=event.metadata)
        case PlanRetired():
            return replace(_known(state), status="retired")
        case _:
            assert_never(event)


def _known(state: Plan | None) -> Plan:
    assert state is not None, "a stream begins with its first event"
    return state
