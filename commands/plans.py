"""Commands on plans: create, retire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from commands.streams import new_id, stream_or_not_found
from ledger.identifiers import stream_of
from ledger.streams import plan as plans
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from commands.context import Context
    from ledger.streams.plan import Plan


def create_plan(context: Context, name: str, currency: str, interval: str, amount: int) -> Done[Stream[Plan]]:
    """Create a plan, and the product it sells."""
    plan = new_id(context, "plan")
    product = new_id(context, "prod")

    def decide(unit: Unit) -> Stream[Plan]:
        events = plans.create(plan, product, name, currency, interval, amount)
        return unit.add(stream_of("plan", plan), Stream(), plans.evolve, events)

    return execute(context, decide)


def retire_plan(context: Context, plan: str, reason: str) -> Done[Stream[Plan]]:
    """Take a plan off sale."""
    stream = stream_or_not_found("plan", plan)

    def decide(unit: Unit) -> Stream[Plan]:
        loaded = unit.load(plans.evolve, stream)
        return unit.add(stream, loaded, plans.evolve, plans.retire(loaded.state, reason))

    return execute(context, decide)
