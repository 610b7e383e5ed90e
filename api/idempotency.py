"""Idempotent POSTs: the answer to a key is stored in the transaction of its effect, wrapped, for a day."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ledger.errors import IdempotencyMismatch, Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from ledger.store import Log

KEPT_FOR: Final = timedelta(hours=24)
_MAX_KEY_CHARACTERS: Final = 255
_PURPOSE: Final = "idempotent-answer"


class Answer(msgspec.Struct, frozen=True):
    """A stored answer."""

    status: int
    body: bytes
    position: int | None


class Replay(Exception):
    """The request was carried out before; here is its answer."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer."""
        super().__init__("answered before")
        self.answer = answer


@dataclass(frozen=True)
class Slot:
    """Where the answer to one idempotency key of one API key goes; `digest` is the request's."""

    log: Log
    book: UUID
    key: str
    idempotency_key: str
    digest: str
    now: datetime

    def find(self) -> Answer | None:
        """Give the stored answer, if there is one and it has not expired; another request's is refused."""
        with self.log.reading(self.book) as connection:
            row = connection.execute(_FIND, (*self._identity(), self.now)).fetchone()
        return None if row is None else self._opened(row)

    def claim(self, cursor: Cursor[DictRow]) -> None:
        """Take the slot for this transaction, or replay; a concurrent request with the key is waited for."""
        cursor.execute(_DROP_EXPIRED, (*self._identity(), self.now))
        row = (*self._identity(), self.digest, self.now + KEPT_FOR)
        if cursor.execute(_CLAIM, row).rowcount == 1:
            cursor.execute(_DROP_SOME_EXPIRED, (self.now,))
            return
        known = cursor.execute(_FIND, (*self._identity(), self.now)).fetchone()
        assert known is not None, "the row in the way is there"
        raise Replay(self._opened(known))

    def fill(self, cursor: Cursor[DictRow], answer: Answer) -> None:
        """Store the answer, wrapped: it may hold a secret that is shown once."""
        wrapped = self.log.wrap(msgspec.json.encode(answer), _PURPOSE, *self._context())
        cursor.execute(_FILL, (wrapped, *self._identity()))

    def _opened(self, row: DictRow) -> Answer:
        if row["request_digest"] != self.digest:
            message = "this Idempotency-Key was used before with another request"
            raise IdempotencyMismatch(message)
        answer = self.log.unwrap(bytes(row["wrapped_answer"]), _PURPOSE, *self._context())
        return msgspec.json.decode(answer, type=Answer)

    def _identity(self) -> tuple[UUID, str, str]:
        return self.book, self.key, self.idempotency_key

    def _context(self) -> tuple[bytes, str, str]:
        return self.book.bytes, self.key, self.idempotency_key


@dataclass(frozen=True)
class StoredAnswer:
    """The `Extra` of a command: claims the slot before the log, fills it once the positions are known."""

    slot: Slot
    status: int
    body: bytes
    position: int | None = None

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim the slot."""
        self.slot.claim(cursor)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Fill the slot."""
        position = max(positions) if positions else self.position
        self.slot.fill(cursor, Answer(self.status, self.body, position))


_WHERE: Final = "book = %s AND key = %s AND idempotency_key = %s"
_FIND: Final = (
    "SELECT request_digest, wrapped_answer FROM daybook.idempotent_answers"  # noqa: S608 - constant
    f" WHERE {_WHERE} AND expires_at > %s AND wrapped_answer IS NOT NULL"
)
_DROP_EXPIRED: Final = f"DELETE FROM daybook.idempotent_answers WHERE {_WHERE} AND expires_at <= %s"  # noqa: S608 - constant
# Each new answer takes a few old ones of its book with it, so that they never pile up; what another request
# is taking already is left to it.
_DROP_SOME_EXPIRED: Final = (
    "DELETE FROM daybook.idempotent_answers WHERE ctid = ANY(ARRAY("
    "SELECT ctid FROM daybook.idempotent_answers WHERE expires_at <= %s LIMIT 10 FOR UPDATE SKIP LOCKED))"
)
_CLAIM: Final = (
    "INSERT INTO daybook.idempotent_answers (book, key, idempotency_key, request_digest, expires_at)"
    " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
_FILL: Final = f"UPDATE daybook.idempotent_answers SET wrapped_answer = %s WHERE {_WHERE}"  # noqa: S608 - constant


def slot_for(log: Log, book: UUID, key: str, idempotency_key: str, request: Any, now: datetime) -> Slot:
    """Make the slot of a request, told by its method, path, precondition, kind of content and body."""
    if not 0 < len(idempotency_key) <= _MAX_KEY_CHARACTERS or "\x00" in idempotency_key:
        reason = f"must have 1 to {_MAX_KEY_CHARACTERS} characters"
        message = f"Idempotency-Key {reason}"
        raise Invalid(message, {"Idempotency-Key": [reason]})
    digest = hashlib.sha256()
    precondition = request.headers.get("If-Match", "")
    for part in (request.method, request.full_path, request.mimetype, precondition):
        digest.update(part.encode() + b"\0")
    digest.update(request.get_data(cache=True))
    return Slot(log, book, key, idempotency_key, digest.hexdigest(), now)
