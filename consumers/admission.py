"""Who a message is from and which book it is for: judged by when it was taken, not by when it is read."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from ledger.errors import Refusal
from ledger.events import Actor
from ledger.events.book import BookOpened
from ledger.identifiers import MalformedId, source_stream, stream_of
from ledger.stamps import HEADER, Stamp, read_stamp, stamp_key
from ledger.streams import source as sources
from ledger.streams.base import fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.store import Log

_MOST_REMEMBERED: Final = 10_000


class NotAdmitted(Refusal):
    """The message's book does not take it: no such book, a source without a grant, or a stamp not ours."""

    code = "not_admitted"


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """For which book a message is, from whom, since when, and why."""

    book: UUID
    mode: str
    actor: Actor
    accepted_at: datetime
    cause: str
    stamped: bool


class Granted(msgspec.Struct, frozen=True):
    """A grant as the hot path uses it."""

    book: UUID
    actor: Actor


class _Known(msgspec.Struct, frozen=True):
    book: UUID
    state: sources.Source | None


class Admission:
    """Judges messages by the grants and stamps there are; remembers grants until one changes."""

    def __init__(self, log: Log, master_key: bytes) -> None:
        """Take the log as a role sees it that reads every book."""
        self._log = log
        self._key = stamp_key(master_key)
        self._modes: dict[UUID, str] = {}
        self._sources: dict[tuple[str, str], _Known] = {}
        self._granted: dict[tuple[str, str, str, int], Granted | str] = {}
        # Counts the changes of grants: what was read under an older number may have been admitted by a grant
        # that is no more.
        self.grants_version = 0

    def forget_grants(self) -> None:
        """Forget what is remembered of grants, because one of them changed."""
        self.grants_version += 1
        self._sources.clear()
        self._granted.clear()

    def stamp(self, headers: Sequence[tuple[str, bytes]], topic: str, value: bytes) -> Stamp | None:
        """Read the edge's stamp, if the message carries one; a false one is refused."""
        found = next((header or b"" for name, header in headers if name == HEADER), None)
        if found is None:
            return None
        stamp = read_stamp(found, topic, value, self._key)
        if stamp is None:
            message = "the stamp is not one of ours for this message"
            raise NotAdmitted(message)
        return stamp

    def granted(self, book: str | None, source: str, scope: str, timestamp_ms: int, at: datetime) -> Granted:
        """Find the grant that a direct producer's message is admitted by, at the time the broker took it."""
        key = (book or "", source, scope, timestamp_ms)
        found = self._granted.get(key)
        if found is None:
            version = self.grants_version
            found = self._judge(book, source, scope, at)
            if len(self._granted) >= _MOST_REMEMBERED:
                self._granted.clear()
            if version == self.grants_version:
                self._granted[key] = found
        if isinstance(found, str):
            raise NotAdmitted(found)
        return found

    def admitted(self, granted: Granted, accepted_at: datetime, cause: str) -> Admitted:
        """Say all of a direct producer's message."""
        return Admitted(
            book=granted.book,
            mode=self.mode_of(granted.book),
            actor=granted.actor,
            accepted_at=accepted_at,
            cause=cause,
            stamped=False,
        )

    def stamped(self, stamp: Stamp) -> Admitted:
        """Say all of a message that the HTTP edge took."""
        return Admitted(
            book=stamp.book,
            mode=self.mode_of(stamp.book),
            actor=stamp.actor,
            accepted_at=stamp.accepted_at,
            cause=stamp.cause,
            stamped=True,
        )

    def mode_of(self, book: UUID) -> str:
        """Say whether a book is live or for tests, which never changes."""
        if book not in self._modes:
            recorded = self._log.load(book, book)
            if not recorded or not isinstance(recorded[0].event, BookOpened):
                message = "there is no such book"
                raise NotAdmitted(message)
            self._modes[book] = recorded[0].event.mode
        return self._modes[book]

    def _judge(self, book: str | None, source: str, scope: str, at: datetime) -> Granted | str:
        try:
            known = self._known(book, source)
        except NotAdmitted as refusal:
            return str(refusal)
        grant = sources.admits(known.state, scope, at)
        if grant is None:
            return f"the source {source[:100]!r} is not granted {scope} in this book at that time"
        return Granted(known.book, Actor(principal=grant.principal, kind=grant.principal_kind))

    def _known(self, book: str | None, source: str) -> _Known:
        if book is None:
            message = "book: is required of a message that does not come through the HTTP edge"
            raise NotAdmitted(message)
        known = self._sources.get((book, source))
        if known is None:
            identity = self._book(book)
            version = self.grants_version
            recorded = self._log.load(identity, source_stream(identity, source))
            known = _Known(identity, fold(sources.evolve, recorded).state)
            if len(self._sources) >= _MOST_REMEMBERED:
                self._sources.clear()
            if version == self.grants_version:
                self._sources[book, source] = known
        return known

    def _book(self, text: str) -> UUID:
        try:
            book = stream_of("book", text)
        except MalformedId as error:
            raise NotAdmitted(f"book: {error}") from None
        self.mode_of(book)
        return book
