"""What every command is given: the book, who asks, why, the time, and where ids and secrets come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ledger.errors import VersionConflict
from ledger.events import Event, Metadata, NewEvent
from ledger.store import Guard
from ledger.streams.base import Stream, fold

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from ledger.events import Actor
    from ledger.settings import Settings
    from ledger.store import Extra, Log

S = TypeVar("S")
E = TypeVar("E", bound=Event)
R = TypeVar("R")

# A stream that many commands append to (a number series) is fought over; each loss means another won.
_MAX_TRIES = 50


@dataclass(frozen=True)
class Context:
    """One request: `now` is the book's clock, `random_bytes` where ids and secrets come from."""

    log: Log
    settings: Settings
    book: UUID
    actor: Actor
    cause: str
    now: datetime
    random_bytes: Callable[[int], bytes]
    # Called with a command's result to make the rows that commit with its events (the idempotent answer).
    extra_for: Callable[[Any], Extra | None] = field(default=lambda _result: None)


@dataclass(frozen=True)
class Done(Generic[R]):
    """A command's result and the position its events reached; no position when nothing was appended."""

    result: R
    position: int | None


class Unit:
    """The events one command is about to append, to any streams of its book, all or none."""

    def __init__(self, context: Context) -> None:
        """Begin with nothing."""
        self.context = context
        self.events: list[NewEvent] = []
        self.guards: list[Guard] = []

    def load(self, evolve: Callable[[S | None, E], S], stream: UUID) -> Stream[S]:
        """Fold a stream of the book."""
        return fold(evolve, self.context.log.load(self.context.book, stream))

    def guard(self, stream: UUID, version: int) -> None:
        """Ask that a stream that was only read is still at its version when the events are appended."""
        self.guards.append(Guard(stream, version))

    def add(
        self,
        stream: UUID,
        loaded: Stream[S],
        evolve: Callable[[S | None, E], S],
        events: list[E],
        occurred_at: datetime | None = None,
    ) -> Stream[S]:
        """Add events to a stream and give the stream as it will stand."""
        happened_at = occurred_at or self.context.now
        for event in events:
            self._add(stream, loaded.version + 1, event, happened_at)
            loaded = loaded.after(evolve, event, happened_at)
        return loaded

    def add_first(self, stream: UUID, event: Event, occurred_at: datetime | None = None) -> None:
        """Add the only event of a one-event stream."""
        self._add(stream, 1, event, occurred_at or self.context.now)

    def add_at(self, stream: UUID, version: int, event: Event) -> None:
        """Add an event at a version of a stream whose state nobody folds."""
        self._add(stream, version, event, self.context.now)

    def _add(self, stream: UUID, version: int, event: Event, occurred_at: datetime) -> None:
        metadata = Metadata(
            book=self.context.book,
            occurred_at=occurred_at,
            booked_at=self.context.now,
            actor=self.context.actor,
            cause=self.context.cause,
        )
        self.events.append(NewEvent(stream=stream, stream_version=version, event=event, metadata=metadata))


def execute(context: Context, decide: Callable[[Unit], R], *, expected: bool = False) -> Done[R]:
    """Load, decide and append; when another writer was first, do it again on what is there now.

    With `expected` the caller named the version it saw, so losing the race is its answer: VersionConflict.
    """
    tries = 0
    while True:
        tries += 1
        unit = Unit(context)
        result = decide(unit)
        try:
            positions = context.log.append(context.book, unit.events, unit.guards, context.extra_for(result))
        except VersionConflict:
            if expected or tries == _MAX_TRIES:
                raise
            continue
        return Done(result, max(positions) if positions else None)
