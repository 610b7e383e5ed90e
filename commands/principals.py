"""Commands on principals: the people and services that own operator keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from commands.context import Done, Unit, execute
from commands.streams import new_id, stream_or_not_found
from ledger.errors import Invalid, NotFound
from ledger.events.principal import PrincipalRegistered
from ledger.identifiers import stream_of
from ledger.values import MAX_NAME_CHARACTERS, checked_text

if TYPE_CHECKING:
    from uuid import UUID

    from commands.context import Context
    from ledger.store import Log

KINDS: Final = ("person", "service")


def register_principal(context: Context, kind: str, name: str) -> Done[PrincipalRegistered]:
    """Register a person or a service."""
    if kind not in KINDS:
        message = "kind: must be person or service"
        raise Invalid(message, {"kind": ["must be person or service"]})
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    event = PrincipalRegistered(principal=new_id(context, "prn"), kind=kind, name=name)

    def decide(unit: Unit) -> PrincipalRegistered:
        unit.add_first(stream_of("prn", event.principal), event)
        return event

    return execute(context, decide)


def require_principal(log: Log, book: UUID, principal: str) -> PrincipalRegistered:
    """Give how a principal was registered, which never changes, or refuse: there is none in this book."""
    recorded = log.load(book, stream_or_not_found("prn", principal))
    if not recorded or not isinstance(recorded[0].event, PrincipalRegistered):
        message = "there is no such principal"
        raise NotFound(message)
    return recorded[0].event
