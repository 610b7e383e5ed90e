"""Which accounts there are and when they were closed: remembered, and looked at again under the lock."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ledger.bulk import last_position
from ledger.codec import decode_event, decode_state
from ledger.errors import DaybookError
from ledger.events.account import AccountClosed
from ledger.identifiers import public_id, stream_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

_MOST_REMEMBERED: Final = 200_000
_ACCOUNTS: Final = (
    "SELECT originator_id, topic, state, book FROM log.events"
    " WHERE originator_id = ANY(%s) AND topic IN ('account.registered', 'account.closed')"
)
# Read through the index of exactly these topics.
_CHANGES: Final = (
    "SELECT originator_id, topic, state, book, notification_id FROM log.events"
    " WHERE topic IN ('account.closed', 'source.granted', 'source.withdrawn') AND notification_id > %s"
)


class StandingMoved(DaybookError):
    """What a batch was judged by changed before it was appended: it is judged again."""

    code = "standing_moved"


class Standing(msgspec.Struct, frozen=True):
    """An account's book, as 16 bytes, and since when it is closed."""

    book: bytes
    closed_at: datetime | None


class Accounts:
    """Remembers accounts: one that is registered stays so, and closings are seen as they are appended."""

    def __init__(self, on_grants_changed: Callable[[], None]) -> None:
        """Begin with nothing; `on_grants_changed` is told when a source was granted or withdrawn."""
        self._on_grants_changed = on_grants_changed
        # Batches are judged on more than one thread.
        self._lock = threading.Lock()
        self._known: dict[str, Standing] = {}
        self._seen: int | None = None

    def look_up(self, cursor: Cursor[DictRow], accounts: AbstractSet[str]) -> dict[str, Standing]:
        """Give the accounts that there are, having seen what has changed."""
        with self._lock:
            self._see(cursor, accounts)
            return {account: self._known[account] for account in accounts & self._known.keys()}

    def _see(self, cursor: Cursor[DictRow], accounts: AbstractSet[str]) -> None:
        if self._seen is None:
            # Before anything is read, so that nothing that is appended meanwhile can be missed; what was read
            # until now is read again.
            self._seen = last_position(cursor)
            self._on_grants_changed()
        self._see_changes(cursor)
        unknown: AbstractSet[str] = accounts - self._known.keys()
        if len(self._known) + len(unknown) > _MOST_REMEMBERED:
            self._known.clear()
            unknown = accounts
        if unknown:
            self._learn(cursor, unknown)

    def look_again(self, cursor: Cursor[DictRow], accounts: AbstractSet[str]) -> None:
        """Refuse when one of the accounts was closed since they were looked up; see what else changed.

        Under the log's lock, so that nothing can come between this and the append.
        """
        with self._lock:
            closed = self._see_changes(cursor)
        if not closed.isdisjoint(accounts):
            message = "an account was closed while the batch was judged"
            raise StandingMoved(message)

    def appended(self, position: int | None) -> None:
        """Note a position that was given to us under the lock: all that came before it was seen."""
        if position is not None:
            with self._lock:
                self._seen = max(self._seen or 0, position)

    def _learn(self, cursor: Cursor[DictRow], accounts: AbstractSet[str]) -> None:
        streams = {stream_of("acc", account): account for account in accounts}
        rows = cursor.execute(_ACCOUNTS, (list(streams),)).fetchall()
        for row in sorted(rows, key=lambda row: row["topic"], reverse=True):
            self._keep(streams[row["originator_id"]], row)

    def _see_changes(self, cursor: Cursor[DictRow]) -> set[str]:
        """See which accounts were closed, and whether a grant changed."""
        assert self._seen is not None, "something is looked up first"
        closed, grants_changed = set(), False
        for row in cursor.execute(_CHANGES, (self._seen,)).fetchall():
            self._seen = max(self._seen, row["notification_id"])
            if row["topic"] != AccountClosed.topic:
                grants_changed = True
                continue
            account = public_id("acc", row["originator_id"])
            closed.add(account)
            if account in self._known:
                self._keep(account, row)
        if grants_changed:
            self._on_grants_changed()
        return closed

    def _keep(self, account: str, row: dict[str, Any]) -> None:
        closed_at = None
        if row["topic"] == AccountClosed.topic:
            state = decode_state(bytes(row["state"]))
            closed = decode_event(row["topic"], state, row["originator_id"], 1, {})
            assert isinstance(closed, AccountClosed), "its topic says so"
            closed_at = closed.closed_at
        book: UUID = row["book"]
        self._known[account] = Standing(book.bytes, closed_at)
