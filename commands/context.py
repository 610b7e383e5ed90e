"""What every command is given: the book, who asks, why, the time, and where ids and secrets come from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ledger.errors import VersionConflict
from ledger.events import Event, Metadata, NewEvent
from ledger.store import Guard
from ledger.streams.base import Stream, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.ports import Measure, PaymentGateway
    from ledger.events import Actor, Recorded
    from ledger.measuring import Ask, Measured
    from ledger.settings import Settings
    from ledger.store import Extra, Log
    from ledger.usage_corrections import CorrectedUse, Supposed

S = TypeVar("S")
E = TypeVar("E", bound=Event)
R = TypeVar("R")

# A stream that many commands append to (a number series) is fought over; each loss means another won.
_MAX_TRIES = 50
# How long to wait for the projection that usage is measured by.
_WAIT_SECONDS = 5.0


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
    # How much was used, as the projections have it; none where nothing that is metered is billed.
    measure: Measure | None = None
    # Who can collect what is past due; none where customers pay by themselves.
    gateway: PaymentGateway | None = None


@dataclass(frozen=True)
class Done(Generic[R]):
    """A command's result and the position its events reached; no position when nothing was appended."""

    result: R
    position: int | None


class Unit:
    """The events one command is about to append, to any streams of its book, all or none."""

    def __init__(self, context: Context, through_position: int | None = None) -> None:
        """Begin with nothing; streams are read as they were at a position, if one is given."""
        self.context = context
        self._through_position = through_position
        self.events: list[NewEvent] = []
        self.guards: list[Guard] = []
        self._read: dict[UUID, list[Recorded]] = {}
        self._next: dict[UUID, int] = {}
        self._measured: dict[Ask, list[Measured]] = {}
        self._corrected: dict[str, Sequence[CorrectedUse]] = {}
        self._head: int | None = None

    def prefetch(self, streams: Iterable[UUID]) -> None:
        """Read streams that are about to be loaded in one go."""
        # Not a difference of sets: that would go through all that was read, again and again.
        wanted = {stream for stream in streams if stream not in self._read}
        if wanted:
            found = self.context.log.load_streams(self.context.book, wanted)
            self._read.update({stream: self._cut(found.get(stream, [])) for stream in wanted})

    def recorded(self, stream: UUID) -> list[Recorded]:
        """Read a stream of the book, once."""
        if stream not in self._read:
            self._read[stream] = self._cut(self.context.log.load(self.context.book, stream))
        return self._read[stream]

    def _cut(self, recorded: list[Recorded]) -> list[Recorded]:
        if self._through_position is None:
            return recorded
        return [one for one in recorded if one.position <= self._through_position]

    def load(self, evolve: Callable[[S | None, E], S], stream: UUID) -> Stream[S]:
        """Fold a stream of the book as it is in the log, without what this unit adds to it."""
        return fold(evolve, self.recorded(stream))

    def head(self) -> int:
        """Give the log's last position as this unit found it."""
        if self._head is None:
            self._head = self.context.log.head()
        return self._head

    def measured(self, asks: Sequence[Ask]) -> list[list[Measured]]:
        """Measure usage, once the projection has read as far as the asks go; what was measured is kept."""
        missing = [ask for ask in dict.fromkeys(asks) if ask not in self._measured]
        if missing:
            measure, book = self.context.measure, self.context.book
            assert measure is not None, "who bills usage can measure it"
            measure.wait_until(book, max(ask.through_position for ask in missing), _WAIT_SECONDS)
            self._measured.update(zip(missing, measure.measure(book, missing), strict=True))
        return [self._measured[ask] for ask in asks]

    def prefetch_corrected(self, accounts: Iterable[str]) -> None:
        """Look in one go where the usage of accounts was corrected."""
        missing = sorted(set(accounts) - self._corrected.keys())
        if missing:
            measure, book = self.context.measure, self.context.book
            assert measure is not None, "who bills usage can measure it"
            through = self.head() if self._through_position is None else self._through_position
            measure.wait_until(book, through, _WAIT_SECONDS)
            found = measure.corrected(book, missing, through)
            self._corrected.update({account: found.get(account, ()) for account in missing})

    def corrected(self, account: str) -> Sequence[CorrectedUse]:
        """Say where an account's usage was corrected."""
        self.prefetch_corrected([account])
        return self._corrected[account]

    def rehearsal(self, measure: Measure) -> Unit:
        """Give a unit that reads what this one has read, measures otherwise, and is then thrown away."""
        unit = Unit(replace(self.context, measure=measure))
        unit._read, unit._head, unit._corrected = self._read, self.head(), self._corrected
        return unit

    def supposing(self, supposed: Sequence[Supposed]) -> Unit:
        """Give a unit that works as if usage had been corrected already, and is then thrown away."""
        assert self.context.measure is not None, "who corrects usage can measure it"
        unit = Unit(replace(self.context, measure=self.context.measure.supposing(supposed)))
        # What was measured, and where it was corrected, is another matter.
        unit._read, unit._head = self._read, self.head()
        return unit

    def mark(self) -> tuple[int, int, dict[UUID, int]]:
        """Remember where this unit stands."""
        return len(self.events), len(self.guards), dict(self._next)

    def back_to(self, mark: tuple[int, int, dict[UUID, int]]) -> None:
        """Forget what was added since a mark."""
        events, guards, self._next = mark
        del self.events[events:], self.guards[guards:]

    def standing(self, stream: UUID, loaded: Stream[S], evolve: Callable[[S | None, E], S]) -> Stream[S]:
        """Give a stream as it will stand with all that this unit has added to it."""
        for new in self.events:
            if new.stream == stream and new.stream_version > loaded.version:
                loaded = loaded.after(evolve, new.event, new.metadata.occurred_at)  # type: ignore[arg-type]
        return loaded

    def next_version(self, stream: UUID) -> int:
        """Give the version that the next event of a stream whose state nobody folds will have."""
        if stream not in self._next:
            self._next[stream] = self.context.log.version_of(self.context.book, stream) + 1
        return self._next[stream]

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
        self._next[stream] = version + 1

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
