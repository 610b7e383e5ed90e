"""What every stream shares: its state so far, folded from the events in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from ledger.events import Event, Recorded

S = TypeVar("S")
E = TypeVar("E", bound="Event")
Evolve = TypeVar("Evolve", bound="Callable[..., Any]")

_BEGINNING: Final = "begins_with"


@dataclass(frozen=True)
class Stream(Generic[S]):
    """A stream's state (none before its first event), how many events made it, and when they happened."""

    state: S | None = None
    version: int = 0
    created_at: datetime | None = None
    changed_at: datetime | None = None
    position: int = 0

    def after(self, evolve: Callable[[S | None, E], S], event: E, occurred_at: datetime) -> Stream[S]:
        """Give the stream with one more event, which has no position before it is appended."""
        return Stream(
            evolve(self.state, event),
            self.version + 1,
            self.created_at or occurred_at,
            occurred_at,
            self.position,
        )


def begins_with(beginning: type[Event]) -> Callable[[Evolve], Evolve]:
    """Mark how a kind of stream evolves with the event that every stream of the kind begins with."""

    def mark(evolve: Evolve) -> Evolve:
        setattr(evolve, _BEGINNING, beginning)
        return evolve

    return mark


def fold(evolve: Callable[[S | None, E], S], recorded: Iterable[Recorded]) -> Stream[S]:
    """Replay a stream's events in order; a stream of another kind is as if it were not there.

    Ids of all kinds share one space of streams: a plan's id with the prefix of an account's names a stream
    that there is, and no account.
    """
    beginning = cast("type[Event] | None", getattr(evolve, _BEGINNING, None))
    stream: Stream[S] = Stream()
    for one in recorded:
        if beginning is not None and not stream.version and not isinstance(one.event, beginning):
            return stream
        event: E = one.event  # type: ignore[assignment]
        stream = stream.after(evolve, event, one.metadata.occurred_at)
        stream = Stream(stream.state, stream.version, stream.created_at, stream.changed_at, one.position)
    return stream
