"""A source: whose messages a book takes straight from Kafka, on whose behalf, and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import Conflict, Invalid, NotFound
from ledger.events.source import SourceEvent, SourceGranted, SourceWithdrawn
from ledger.streams.base import begins_with
from ledger.values import MAX_IDENTITY_CHARACTERS, MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

SCOPES: Final = ("usage:write", "write")
# The scopes that allow what a message needs: a wider one holds the narrower, as it does for a key.
_ALLOWED_BY: Final[dict[str, frozenset[str]]] = {
    "usage:write": frozenset({"usage:write", "write"}),
    "write": frozenset({"write"}),
}


@dataclass(frozen=True)
class Grant:
    """A time in which the source's messages are taken: from its start up to but without its end, if any."""

    principal: str
    principal_kind: str
    scopes: tuple[str, ...]
    granted_at: datetime
    withdrawn_at: datetime | None = None

    def holds_at(self, instant: datetime) -> bool:
        """Say whether an instant lies within the grant."""
        return self.granted_at <= instant and (self.withdrawn_at is None or instant < self.withdrawn_at)


@dataclass(frozen=True)
class Source:
    """A source with every grant it was ever given, the oldest first; no two of them overlap."""

    source: str
    grants: tuple[Grant, ...]

    @property
    def last(self) -> Grant:
        """The grant given last, withdrawn or not."""
        return self.grants[-1]

    @property
    def status(self) -> str:
        """Whether the source is granted or withdrawn as it stands."""
        return "granted" if self.last.withdrawn_at is None else "withdrawn"


def grant(
    state: Source | None,
    source: str,
    principal: str,
    principal_kind: str,
    scopes: Sequence[str],
    now: datetime,
) -> list[SourceEvent]:
    """Take the source's messages from now on, as done by a principal; again after it was withdrawn."""
    checked_text(source, MAX_IDENTITY_CHARACTERS, "source")
    if not scopes or set(scopes) - set(SCOPES):
        reason = f"must be one or more of {', '.join(SCOPES)}"
        message = f"scopes: {reason}"
        raise Invalid(message, {"scopes": [reason]})
    if state is not None and state.status == "granted":
        message = "the source is granted already; withdraw it first to grant it otherwise"
        raise Conflict(message)
    return [
        SourceGranted(
            source=source,
            principal=principal,
            principal_kind=principal_kind,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            granted_at=now if state is None else max(now, _end_of(state.last)),
        )
    ]


def withdraw(state: Source | None, reason: str, now: datetime) -> list[SourceEvent]:
    """Take no more of the source's messages from now on; withdrawing it twice changes nothing."""
    source = require(state)
    if source.status == "withdrawn":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [
        SourceWithdrawn(source=source.source, reason=reason, withdrawn_at=max(now, source.last.granted_at))
    ]


def require(state: Source | None) -> Source:
    """Give the source, or refuse: it was never granted in this book."""
    if state is None:
        message = "there is no such source"
        raise NotFound(message)
    return state


def admits(state: Source | None, scope: str, at: datetime) -> Grant | None:
    """Give the grant under which a message that the broker took at an instant may do what needs a scope.

    A grant withdrawn since still admits what came before its end, and one given since nothing from before it.
    """
    allowed_by = _ALLOWED_BY[scope]
    for one in reversed(() if state is None else state.grants):
        if one.holds_at(at):
            return None if allowed_by.isdisjoint(one.scopes) else one
    return None


@begins_with(SourceGranted)
def evolve(state: Source | None, event: SourceEvent) -> Source:
    """Apply one event."""
    match event:
        case SourceGranted():
            given = Grant(event.principal, event.principal_kind, event.scopes, event.granted_at)
            return Source(event.source, (*(() if state is None else state.grants), given))
        case SourceWithdrawn():
            assert state is not None, "a stream begins with its first event"
            ended = replace(state.last, withdrawn_at=event.withdrawn_at)
            return replace(state, grants=(*state.grants[:-1], ended))
        case _:
            assert_never(event)


# Clocks differ and may run backwards; grants follow one another all the same.
def _end_of(withdrawn: Grant) -> datetime:
    assert withdrawn.withdrawn_at is not None, "a grant that holds is not followed by another"
    return withdrawn.withdrawn_at
