"""Dead letters: messages that could not be applied, kept with their reason until somebody settles them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from commands.dead_letters import DISCARDED, REPLAYED, resolve
from consumers.message import Message
from ledger.identifiers import MalformedId, stream_of
from ledger.values import MAX_IDENTITY_CHARACTERS, MAX_REASON_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from ledger.store import Log

__all__ = [
    "DISCARDED",
    "OPEN",
    "PARKED",
    "PURPOSE",
    "REPLAYED",
    "Rejected",
    "clean",
    "count_attempt",
    "expire_parked",
    "insert",
    "reopen_with",
    "resolve",
    "retry_later",
]

OPEN: Final = "open"
PARKED: Final = "parked"
# What the values are wrapped for.
PURPOSE: Final = "dead-letter"

_MAX_CODE_CHARACTERS: Final = 100
_FIRST_RETRY: Final = timedelta(seconds=1)
_MAX_RETRY_SECONDS: Final = 60
# A statement's parameters are held in memory here and there, and must stay under 1 GiB.
_MAX_STATEMENT_BYTES: Final = 16 * 1024 * 1024


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is not applied, why, and what it seems to be about as far as it could be read.

    With `parked_until` it waits for what it names to be there, and is tried again until then.
    """

    message: Message
    code: str
    reason: str
    book: UUID | None = None
    account: str | None = None
    source: str | None = None
    event_id: str | None = None
    # A conflict: where the event stands that has the same identity and other facts.
    known_position: int | None = None
    parked_until: datetime | None = None


# Column to its type: the order in which `_values` gives them.
_COLUMNS: Final = {
    "dead_letter": "text",
    "book": "uuid",
    "status": "text",
    "code": "text",
    "reason": "text",
    "account": "text",
    "account_stream": "uuid",
    "source": "text",
    "event_id": "text",
    "known_position": "bigint",
    "feed": "text",
    "topic": "text",
    "partition": "integer",
    "record_offset": "bigint",
    "record_timestamp": "timestamptz",
    "record_key": "bytea",
    "record_headers": "text",
    "value_digest": "text",
    "value_bytes": "integer",
    "wrapped_value": "bytea",
    "rejected_at": "timestamptz",
    "retry_at": "timestamptz",
    "gives_up_at": "timestamptz",
}
_INSERT: Final = (
    f"INSERT INTO daybook.dead_letters ({', '.join(_COLUMNS)})"  # noqa: S608 - constant
    f" SELECT {', '.join(f'{name}::jsonb' if name == 'record_headers' else name for name in _COLUMNS)}"
    f" FROM unnest({', '.join(f'%s::{kind}[]' for kind in _COLUMNS.values())}) WITH ORDINALITY"
    f" AS t ({', '.join(_COLUMNS)}, line) ORDER BY line"
    " ON CONFLICT (dead_letter) DO NOTHING"
)


def insert(cursor: Cursor[DictRow], rejected: Sequence[Rejected], now: datetime, log: Log) -> None:
    """Keep messages that could not be applied, in the caller's transaction; a place in the feed is kept once.

    The app's role may keep those of the book it works for, the ingest role those of any.
    """
    for piece in _pieces(rejected):
        rows = [_values(one, now, log) for one in piece]
        cursor.execute(_INSERT, [list(column) for column in zip(*rows, strict=True)])


def _pieces(rejected: Sequence[Rejected]) -> Iterator[list[Rejected]]:
    piece: list[Rejected] = []
    size_bytes = 0
    for one in rejected:
        size_bytes += len(one.message.value or b"") + len(one.message.key or b"")
        if piece and size_bytes > _MAX_STATEMENT_BYTES:
            yield piece
            piece, size_bytes = [], len(one.message.value or b"")
        piece.append(one)
    if piece:
        yield piece


def _values(one: Rejected, now: datetime, log: Log) -> tuple[Any, ...]:
    message = one.message
    value = message.value or b""
    dead_letter = message.dead_letter
    parked = one.parked_until is not None
    return (
        dead_letter,
        one.book,
        PARKED if parked else OPEN,
        clean(one.code, _MAX_CODE_CHARACTERS),
        clean(one.reason, MAX_REASON_CHARACTERS),
        _cleaned(one.account),
        account_stream(one.account),
        _cleaned(one.source),
        _cleaned(one.event_id),
        one.known_position,
        message.feed,
        message.topic,
        message.partition,
        message.offset,
        message.timestamp,
        message.key,
        headers_text(message),
        hashlib.sha256(value).hexdigest(),
        len(value),
        None if message.value is None else log.wrap(value, PURPOSE, dead_letter),
        now,
        now + _FIRST_RETRY if parked else None,
        one.parked_until,
    )


def headers_text(message: Message) -> str:
    """Write a message's headers as JSON: pairs of a name and its value in base 64."""
    pairs = [(clean(name), b64encode(value or b"").decode()) for name, value in message.headers]
    return msgspec.json.encode(pairs).decode()


def account_stream(account: str | None) -> UUID | None:
    """Give the stream of an account, if that is what the text names."""
    try:
        return None if account is None else stream_of("acc", account)
    except MalformedId:
        return None


def clean(text: str, limit_characters: int | None = None) -> str:
    """Make a bad message's text fit for a column: cut it, and replace what PostgreSQL cannot hold."""
    cut = text[:limit_characters]
    return cut.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _cleaned(text: str | None) -> str | None:
    return None if text is None else clean(text, MAX_IDENTITY_CHARACTERS)


# -- what becomes of parked and of replayed ones ------------------------------------------------------


def expire_parked(cursor: Cursor[DictRow], now: datetime) -> int:
    """Hand what has waited long enough to a person, and say how many that were."""
    cursor.execute(
        "UPDATE daybook.dead_letters SET status = 'open', retry_at = NULL"
        " WHERE status = 'parked' AND gives_up_at <= %s",
        (now,),
    )
    return cursor.rowcount


def retry_later(
    cursor: Cursor[DictRow], dead_letters: Sequence[str], now: datetime, reason: str, code: str | None = None
) -> None:
    """Have parked ones that still cannot be applied wait on, twice as long each time, up to a minute."""
    cursor.execute(
        "UPDATE daybook.dead_letters SET attempts = attempts + 1, code = coalesce(%s, code), reason = %s,"
        " retry_at = %s + make_interval(secs => least(2 ^ least(attempts, 30), %s))"
        " WHERE dead_letter = ANY(%s) AND status = 'parked'",
        (code, clean(reason, MAX_REASON_CHARACTERS), now, _MAX_RETRY_SECONDS, list(dead_letters)),
    )


def count_attempt(cursor: Cursor[DictRow], dead_letter: str) -> None:
    """Count a replay that failed with a correction: what is kept is as bad as it was, for the same reason."""
    cursor.execute(
        "UPDATE daybook.dead_letters SET attempts = attempts + 1"
        " WHERE dead_letter = %s AND status IN ('open', 'parked')",
        (dead_letter,),
    )


def reopen_with(
    cursor: Cursor[DictRow], dead_letter: str, code: str, reason: str, known_position: int | None = None
) -> bool:
    """Note that a replay was refused: it needs a person now; say whether it was not resolved meanwhile."""
    cursor.execute(
        "UPDATE daybook.dead_letters SET status = 'open', retry_at = NULL, attempts = attempts + 1,"
        " code = %s, reason = %s, known_position = coalesce(%s, known_position)"
        " WHERE dead_letter = %s AND status IN ('open', 'parked')",
        (
            clean(code, _MAX_CODE_CHARACTERS),
            clean(reason, MAX_REASON_CHARACTERS),
            known_position,
            dead_letter,
        ),
    )
    return cursor.rowcount == 1
