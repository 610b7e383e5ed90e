"""Commands on the log itself: setting an event aside that no projection can apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from ledger.errors import NotFound
from ledger.events.log import EventSetAside
from ledger.identifiers import derive
from ledger.values import MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from commands.context import Context


def set_event_aside(context: Context, position: int, reason: str) -> Done[EventSetAside]:
    """Have every projection pass over an event of the book, live and in every rebuild; twice is once."""
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    event = EventSetAside(position=position, reason=reason)
    stream = derive("set-aside", context.book.bytes, str(position))

    def decide(unit: Unit) -> EventSetAside:
        # Its row, not its event: what cannot be decoded must still be set aside.
        if not context.log.has_position(context.book, position):
            message = f"there is no event at position {position}"
            raise NotFound(message)
        if not context.log.load(context.book, stream):
            unit.add_first(stream, event)
        return event

    return execute(context, decide)
