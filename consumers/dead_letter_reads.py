"""Reading dead letters: one, a page, how many, and the parked ones whose time has come."""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from consumers.dead_letters import PURPOSE
from consumers.message import Headers, Message
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

    from ledger.store import Log

    Reader = Connection[DictRow] | Cursor[DictRow]


class DeadLetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that could not be applied, without its value: what lists show."""

    dead_letter: str
    number: int
    book: UUID | None
    status: str
    code: str
    reason: str
    account: str | None
    account_stream: UUID | None
    source: str | None
    event_id: str | None
    known_position: int | None
    feed: str
    topic: str
    partition: int
    record_offset: int
    record_timestamp: datetime
    record_key: bytes | None
    record_headers: list[tuple[str, str]]
    value_digest: str
    value_bytes: int
    rejected_at: datetime
    attempts: int
    retry_at: datetime | None
    gives_up_at: datetime | None
    relayed_at: datetime | None
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None

    @property
    def resolved(self) -> bool:
        """Say whether it was replayed or discarded; its value is erased then."""
        return self.resolved_at is not None

    @property
    def headers(self) -> Headers:
        """Give the headers as the message had them."""
        return tuple((name, b64decode(value)) for name, value in self.record_headers)


class DeadLetter(DeadLetterRow, frozen=True, kw_only=True):
    """A message that could not be applied, with its value, which is unwrapped when it is asked for."""

    wrapped_value: bytes | None

    def value(self, log: Log) -> bytes | None:
        """Give the message's bytes; none once it is resolved, or if it never had any."""
        if self.wrapped_value is None:
            return None
        return log.unwrap(self.wrapped_value, PURPOSE, self.dead_letter)

    def message(self, log: Log) -> Message:
        """Give the message back as it was read."""
        return Message(
            feed=self.feed,
            topic=self.topic,
            partition=self.partition,
            offset=self.record_offset,
            timestamp=self.record_timestamp,
            key=self.record_key,
            value=self.value(log),
            headers=self.headers,
        )


_SELECT_ROWS: Final = f"SELECT {', '.join(DeadLetterRow.__struct_fields__)} FROM daybook.dead_letters"  # noqa: S608 - constant
_SELECT: Final = f"SELECT {', '.join(DeadLetter.__struct_fields__)} FROM daybook.dead_letters"  # noqa: S608 - constant


def find(reader: Reader, dead_letter: str) -> DeadLetter | None:
    """Give a dead letter by its id, if the role sees it."""
    row = reader.execute(f"{_SELECT} WHERE dead_letter = %s", (dead_letter,)).fetchone()
    return None if row is None else _letter(row)


def page(
    reader: Reader,
    *,
    book: UUID | None = None,
    statuses: Sequence[str] = (),
    codes: Sequence[str] = (),
    topic: str | None = None,
    after: int | None = None,
    limit: int,
) -> list[DeadLetterRow]:
    """Give a page, newest first, of what comes below the number `after`; no book means those of all books."""
    wanted: dict[str, Any] = {
        "book = %s": book,
        "status = ANY(%s)": list(statuses) or None,
        "code = ANY(%s)": list(codes) or None,
        "topic = %s": topic,
        "number < %s": after,
    }
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = f" WHERE {' AND '.join(given)}" if given else ""
    query = f"{_SELECT_ROWS}{where} ORDER BY number DESC LIMIT %s"
    return [_row(row) for row in reader.execute(query, (*given.values(), limit))]


def counts(reader: Reader) -> dict[str, int]:
    """Say how many there are by status."""
    found = reader.execute("SELECT status, count(*) AS letters FROM daybook.dead_letters GROUP BY status")
    return dict.fromkeys(("parked", "open", "replayed", "discarded"), 0) | {
        row["status"]: row["letters"] for row in found
    }


def due(reader: Reader, now: datetime, limit: int) -> list[DeadLetter]:
    """Give the parked commands and webhooks that are to be tried again, oldest first."""
    query = (
        f"{_SELECT} WHERE status = 'parked' AND topic <> '{topics.USAGE}' AND retry_at <= %s"
        " ORDER BY number LIMIT %s"
    )
    return [_letter(row) for row in reader.execute(query, (now, limit))]


# The accounts that are waited for, found without reading every row of each: one may have very many.
_DUE_USAGE: Final = f"""
    WITH RECURSIVE waited_for (account_stream) AS (
        (SELECT account_stream FROM daybook.dead_letters
         WHERE status = 'parked' AND account_stream IS NOT NULL ORDER BY account_stream LIMIT 1)
        UNION ALL
        SELECT (SELECT d.account_stream FROM daybook.dead_letters AS d
                WHERE d.status = 'parked' AND d.account_stream > w.account_stream
                ORDER BY d.account_stream LIMIT 1)
        FROM waited_for AS w WHERE w.account_stream IS NOT NULL
    ), registered AS MATERIALIZED (
        SELECT e.originator_id, e.book FROM waited_for AS w
        JOIN log.events AS e ON e.originator_id = w.account_stream AND e.originator_version = 1
        WHERE e.topic = 'account.registered'
    )
    {_SELECT.replace("SELECT ", "SELECT d.", 1).replace(", ", ", d.")} AS d
    JOIN registered AS r ON d.account_stream = r.originator_id AND d.book = r.book
    WHERE d.status = 'parked' AND d.topic = '{topics.USAGE}'
    ORDER BY d.number LIMIT %s
"""  # noqa: S608 - constants


def due_usage(reader: Reader, limit: int) -> list[DeadLetter]:
    """Give the parked usage whose account is registered in its book by now, oldest first."""
    return [_letter(row) for row in reader.execute(_DUE_USAGE, (limit,))]


# As much at once as is held in memory without a thought; one at least, however large.
_UNRELAYED_BYTES: Final = 16 * 1024 * 1024
_UNRELAYED: Final = f"""
    SELECT {", ".join(DeadLetter.__struct_fields__)} FROM (
        SELECT *, sum(value_bytes) OVER (ORDER BY number) - value_bytes AS bytes_before
        FROM daybook.dead_letters WHERE relayed_at IS NULL AND status = 'open' ORDER BY number LIMIT %s
    ) AS oldest WHERE bytes_before < {_UNRELAYED_BYTES} ORDER BY number
"""  # noqa: S608 - constants


def unrelayed(reader: Reader, limit: int) -> list[DeadLetter]:
    """Give the open ones that the topic of dead letters was not told of yet, oldest first."""
    return [_letter(row) for row in reader.execute(_UNRELAYED, (limit,))]


def _row(row: DictRow) -> DeadLetterRow:
    return DeadLetterRow(**row)


def _letter(row: DictRow) -> DeadLetter:
    return DeadLetter(**row)
