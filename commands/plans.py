"""Commands on plans: create, reprice, describe, retire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from commands.catalogue import change, check_product, check_references
from commands.streams import new_id, stream_or_not_found
from ledger.identifiers import stream_of
from ledger.plan_terms import checked_terms
from ledger.streams import plan as plans
from ledger.streams import product as products

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from commands.catalogue import Desk
    from commands.context import Context, Done
    from ledger.events.plan import PlanTerms
    from ledger.streams.base import Stream
    from ledger.streams.plan import Plan


@dataclass(frozen=True, kw_only=True)
class PlanDraft:
    """A plan to be created; one that names no product gets a product of its own, of the same name."""

    name: str
    terms: PlanTerms
    product: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def create_plan(context: Context, name: str, currency: str, interval: str, amount: int) -> Done[Stream[Plan]]:
    """Create the plainest plan: one recurring fee in advance, in one currency."""
    terms = plans.one_fee(name, currency, interval, amount)
    return create_plan_of(context, PlanDraft(name=name, terms=terms))


def create_plan_of(context: Context, draft: PlanDraft) -> Done[Stream[Plan]]:
    """Create a plan; an external id names one plan for ever."""
    plan = (
        new_id(context, "plan")
        if draft.external_id is None
        else plans.plan_id(context.book, draft.external_id)
    )
    return change(context, lambda desk: add_plan(desk, plan, draft))


def add_plan(desk: Desk, plan: str, draft: PlanDraft) -> Stream[Plan]:
    """Add a new plan, and what it needs that is not there yet: its product, and meters of its event types."""
    product = draft.product or products.product_of_plan(plan)
    events = plans.create(plan, product, draft.name, draft.terms, draft.external_id, draft.metadata)
    if draft.product is not None:
        check_product(desk, draft.product)
    check_references(desk, draft.terms)
    what = f"a plan with the external id {draft.external_id}, {plan},"
    created = desk.begin(stream_of("plan", plan), plans.evolve, events, what)
    if draft.product is None:
        desk.add(stream_of("prod", product), products.evolve, products.define(product, draft.name))
    return created


def reprice_plan(
    context: Context, plan: str, terms: PlanTerms, effective_at: datetime | None = None
) -> Done[Stream[Plan]]:
    """Give a plan a new price version from an instant on, or from now."""
    stream = stream_or_not_found("plan", plan)

    def decide(desk: Desk) -> Stream[Plan]:
        state = plans.require_on_sale(desk.load(plans.evolve, stream).state)
        return add_price_version(desk, state, terms, effective_at)

    return change(context, decide)


def add_price_version(
    desk: Desk, state: Plan, terms: PlanTerms, effective_at: datetime | None
) -> Stream[Plan]:
    """Add a price version to a plan; the terms it has already change nothing."""
    check_references(desk, checked_terms(terms), state.newest.terms)
    events = plans.reprice(state, terms, effective_at or desk.now)
    return desk.add(stream_of("plan", state.plan), plans.evolve, events)


def describe_plan(
    context: Context, plan: str, name: str | None, metadata: Mapping[str, str] | None
) -> Done[Stream[Plan]]:
    """Give a plan another name or other metadata; what is not given stays."""
    stream = stream_or_not_found("plan", plan)

    def decide(desk: Desk) -> Stream[Plan]:
        state = plans.require(desk.load(plans.evolve, stream).state)
        kept = state.metadata if metadata is None else metadata
        return desk.add(stream, plans.evolve, plans.describe(state, name or state.name, kept))

    return change(context, decide)


def retire_plan(context: Context, plan: str, reason: str) -> Done[Stream[Plan]]:
    """Take a plan off sale."""
    stream = stream_or_not_found("plan", plan)

    def decide(desk: Desk) -> Stream[Plan]:
        return desk.add(stream, plans.evolve, plans.retire(desk.load(plans.evolve, stream).state, reason))

    return change(context, decide)
