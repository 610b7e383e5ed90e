"""A log in memory with the same promises as the real one, for histories too many to play on a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ledger.errors import VersionConflict
from ledger.events import Recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from ledger.events import Event, NewEvent
    from ledger.store import Extra, Guard, Log


class MemoryLog:
    """The part of the log that commands on billing use; positions are counted from 1."""

    def __init__(self) -> None:
        """Begin empty."""
        self.recorded: list[Recorded] = []
        self._streams: dict[tuple[UUID, UUID], list[Recorded]] = {}

    def as_log(self) -> Log:
        """Stand in for the real log."""
        return cast("Log", self)

    def events(self) -> list[Event]:
        """Give every event, in log order."""
        return [one.event for one in self.recorded]

    def load(self, book: UUID, stream: UUID) -> list[Recorded]:
        """Read one stream of a book."""
        return list(self._streams.get((book, stream), ()))

    def load_streams(self, book: UUID, streams: Iterable[UUID]) -> dict[UUID, list[Recorded]]:
        """Read several streams of a book."""
        return {stream: found for stream in streams if (found := self.load(book, stream))}

    def version_of(self, book: UUID, stream: UUID) -> int:
        """Give a stream's last version."""
        return len(self._streams.get((book, stream), ()))

    def head(self) -> int:
        """Give the last position."""
        return len(self.recorded)

    def append(
        self, book: UUID, events: Sequence[NewEvent], guards: Sequence[Guard] = (), extra: Extra | None = None
    ) -> list[int]:
        """Append all or none."""
        assert extra is None, "there is no database here to write rows to"
        if any(self.version_of(book, guard.stream) != guard.version for guard in guards):
            message = "a guard no longer holds"
            raise VersionConflict(message)
        versions: dict[UUID, int] = {}
        for new in events:
            known = versions.get(new.stream, self.version_of(book, new.stream))
            if new.stream_version != known + 1:
                message = "the stream has this version already, or not yet the one before"
                raise VersionConflict(message)
            versions[new.stream] = new.stream_version
        return [self._record(book, new) for new in events]

    def _record(self, book: UUID, new: NewEvent) -> int:
        one = Recorded(
            position=len(self.recorded) + 1,
            stream=new.stream,
            stream_version=new.stream_version,
            recorded_at=new.metadata.booked_at,
            event=new.event,
            metadata=new.metadata,
        )
        self.recorded.append(one)
        self._streams.setdefault((book, new.stream), []).append(one)
        return one.position
