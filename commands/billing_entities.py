"""Commands on billing entities: define a seller of the book, and change one from here on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from commands.context import Done, Unit, execute
from ledger.streams import billing_entity as entities
from ledger.streams import book as books

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from commands.context import Context
    from ledger.events.book import BillingEntityDefined
    from ledger.streams.billing_entity import BillingEntity
    from ledger.streams.book import Book

    Decide = Callable[[Mapping[str, BillingEntity]], list[BillingEntityDefined]]


def define_billing_entity(context: Context, entity: BillingEntity) -> Done[BillingEntity]:
    """Define a seller under a code that is its for good."""
    return _change(context, entity.billing_entity, lambda known: entities.define_new(known, entity))


def change_billing_entity(
    context: Context, billing_entity: str, changes: Mapping[str, Any]
) -> Done[BillingEntity]:
    """Change a seller from here on: its name, tax id, number series, payment terms or metadata."""

    def decide(known: Mapping[str, BillingEntity]) -> list[BillingEntityDefined]:
        return entities.define(known, replace(entities.require(known, billing_entity), **changes))

    return _change(context, billing_entity, decide)


def _change(context: Context, billing_entity: str, decide_events: Decide) -> Done[BillingEntity]:
    def decide(unit: Unit) -> BillingEntity:
        loaded = unit.load(books.evolve, context.book)
        events: list[books.BookEvent] = [*decide_events(books.require(loaded.state).billing_entities)]
        state: Book = books.require(unit.add(context.book, loaded, books.evolve, events).state)
        return state.billing_entities[billing_entity]

    return execute(context, decide)
