"""Commands on sources: let one write into the book straight from Kafka, and no longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from commands.principals import require_principal
from ledger.identifiers import source_stream
from ledger.streams import source as sources
from ledger.values import MAX_IDENTITY_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from commands.context import Context
    from ledger.events.source import SourceEvent
    from ledger.streams.base import Stream
    from ledger.streams.source import Source


def grant_source(
    context: Context, source: str, principal: str, scopes: Sequence[str]
) -> Done[Stream[Source]]:
    """Take a source's messages from now on, as done by a principal of the book."""
    kind = require_principal(context.log, context.book, principal).kind
    return _change(
        context,
        source,
        lambda state: sources.grant(state, source, principal, kind, scopes, context.now),
    )


def withdraw_source(context: Context, source: str, reason: str) -> Done[Stream[Source]]:
    """Take no more of a source's messages from now on; what the broker took before still counts."""
    return _change(context, source, lambda state: sources.withdraw(state, reason, context.now))


def _change(
    context: Context, source: str, decide_events: Callable[[Source | None], list[SourceEvent]]
) -> Done[Stream[Source]]:
    stream = source_stream(context.book, checked_text(source, MAX_IDENTITY_CHARACTERS, "source"))

    def decide(unit: Unit) -> Stream[Source]:
        loaded = unit.load(sources.evolve, stream)
        return unit.add(stream, loaded, sources.evolve, decide_events(loaded.state))

    return execute(context, decide)
