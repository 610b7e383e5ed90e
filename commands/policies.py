"""Commands on a book's conventions: adopt others, and list those that were adopted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from ledger.events.book import BillingPolicyAdopted
from ledger.streams import book as books
from ledger.streams.base import fold
from ledger.streams.book import AdoptedPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.events import Recorded
    from ledger.store import Log


@dataclass(frozen=True)
class Adoption:
    """A version of the book's conventions and when it was adopted."""

    policy: AdoptedPolicy
    adopted_at: datetime


def adopt_policy(context: Context, preset: str, overrides: Mapping[str, str]) -> Done[Adoption]:
    """Bill by a preset with single axes overridden, from now on; what was billed before keeps its version."""

    def decide(unit: Unit) -> Adoption:
        recorded = context.log.load(context.book, context.book)
        loaded = fold(books.evolve, recorded)
        events = books.adopt_policy(loaded.state, preset, overrides)
        adopted = unit.add(context.book, loaded, books.evolve, events)
        if events:
            return Adoption(books.require(adopted.state).adopted_last, context.now)
        return _adoptions(recorded)[-1]

    return execute(context, decide)


def policies_adopted(log: Log, book: UUID) -> list[Adoption]:
    """List every version of a book's conventions, oldest first."""
    return _adoptions(log.load(book, book))


def _adoptions(recorded: Iterable[Recorded]) -> list[Adoption]:
    return [
        Adoption(
            AdoptedPolicy(one.event.policy_version, one.event.preset, one.event.overrides),
            one.metadata.occurred_at,
        )
        for one in recorded
        if isinstance(one.event, BillingPolicyAdopted)
    ]
