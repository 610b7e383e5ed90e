"""A stretch of the log, decoded once for every projection that stands before it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import tuple_row

from ledger.codec import StoredRow, decode_event, decode_state
from ledger.errors import Unavailable
from ledger.events import EVENT_CLASSES
from ledger.events.usage import UsageRecorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from ledger.events import Recorded
    from ledger.store import Log

USAGE_TOPIC: Final = UsageRecorded.topic


class Usage(msgspec.Struct, gc=False):
    """What projections need of a usage event, in the shape that is cheapest to group and to write.

    `book` is a UUID's text. `occurred_at` and `booked_at` are RFC 3339 in UTC without the Z, which sorts as
    time does and begins with the day and the hour. `actor` is JSON, since few rows ever look at it.
    """

    position: int
    book: str
    account: str
    meter: str
    quantity: Decimal
    occurred_at: str
    booked_at: str
    recorded_at: datetime
    actor: msgspec.Raw
    cause: str


class _UsageData(msgspec.Struct, gc=False):
    account: str
    meter: str
    quantity: Decimal


class _UsageState(msgspec.Struct, gc=False):
    """The stored state of a usage event without the fields that no projection reads: four times faster."""

    version: int
    occurred_at: str
    booked_at: str
    actor: msgspec.Raw
    cause: str
    data: _UsageData


@dataclass(frozen=True)
class Unread:
    """An event that cannot be decoded: it stops the projections that handle its topic, or may have to."""

    position: int
    topic: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Events in log order after a position; `usage` and `others` are what is left of them once decoded.

    `prepared` holds, by name, what a projection worked out ahead of the batch's turn.
    """

    after: int
    positions: Sequence[int]
    usage: Sequence[Usage]
    others: Sequence[Recorded]
    unread: Sequence[Unread] = ()
    passed_over: Sequence[int] = ()
    prepared: dict[str, Any] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The position a projection stands at once it has applied the batch."""
        return self.positions[-1]

    def halves(self) -> tuple[Batch, Batch]:
        """Cut the batch in two, to find the one event that a projection fails on."""
        middle = len(self.positions) // 2
        cut = self.positions[middle - 1]
        return self._part(self.after, cut, self.positions[:middle]), self._part(
            cut, self.last, self.positions[middle:]
        )

    def _part(self, after: int, last: int, positions: Sequence[int]) -> Batch:
        usage = self.usage[_count(self.usage, after) : _count(self.usage, last)]
        others = self.others[_count(self.others, after) : _count(self.others, last)]
        unread = [one for one in self.unread if after < one.position <= last]
        passed_over = [position for position in self.passed_over if after < position <= last]
        return Batch(after, positions, usage, others, unread, passed_over)


def _count(events: Sequence[Any], through: int) -> int:
    return bisect_right(events, through, key=lambda event: event.position)


# Of a usage event only what is read below: two UUIDs a row would cost more than decoding its state.
_ROWS: Final = f"""
SELECT notification_id, topic, state, book::text, recorded_at,
    CASE WHEN topic <> '{USAGE_TOPIC}' THEN originator_id END,
    CASE WHEN topic <> '{USAGE_TOPIC}' THEN originator_version END
FROM log.events WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s
"""  # noqa: S608 - constant
_Row: TypeAlias = tuple[int, str, bytes, str, datetime, UUID | None, int | None]


def read_rows(connection: Connection[Any], after: int, limit: int, through: int | None) -> list[_Row]:
    """Read the next rows of all books, in log order."""
    bound = (1 << 63) - 1 if through is None else through
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        return cursor.execute(_ROWS, (after, bound, limit)).fetchall()


def decode_batch(
    log: Log,
    connection: Connection[Any],
    after: int,
    rows: Sequence[_Row],
    set_aside: frozenset[tuple[str, int]],
) -> Batch:
    """Decode rows once for all; those set aside in their own book are passed over."""
    kept, passed_over = rows, []
    if set_aside:
        kept = [row for row in rows if (row[3], row[0]) not in set_aside]
        passed_over = [row[0] for row in rows if (row[3], row[0]) in set_aside]
    usage, unread = _usage_of([row for row in kept if row[1] == USAGE_TOPIC])
    others, more_unread = _others_of(log, connection, [_stored(row) for row in kept if row[1] != USAGE_TOPIC])
    return Batch(after, [row[0] for row in rows], usage, others, unread + more_unread, passed_over)


def _stored(row: _Row) -> StoredRow:
    position, topic, state, book, recorded_at, stream, stream_version = row
    assert stream is not None, "only usage is read without its stream"
    assert stream_version is not None, "only usage is read without its version"
    return StoredRow(position, stream, stream_version, topic, state, UUID(book), recorded_at)


_decode_usage: Final = msgspec.json.Decoder(_UsageState).decode


def _usage_of(rows: Sequence[_Row]) -> tuple[list[Usage], list[Unread]]:
    usage: list[Usage] = []
    unread: list[Unread] = []
    for row in rows:
        try:
            usage.append(_read_usage(row))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one event must not stop the others
            unread.append(_unread(row[0], row[1], error))
    return usage, unread


def _read_usage(row: _Row) -> Usage:
    position, _, state_bytes, book, recorded_at, _, _ = row
    state = _decode_usage(state_bytes)
    data = state.data
    if state.version != UsageRecorded.version:
        event = decode_event(USAGE_TOPIC, decode_state(state_bytes), UUID(int=0), 1, {})
        assert isinstance(event, UsageRecorded), "the topic names the class"
        data = _UsageData(event.account, event.meter, event.quantity)
    return Usage(
        position,
        book,
        data.account,
        data.meter,
        data.quantity,
        _utc(state.occurred_at),
        _utc(state.booked_at),
        recorded_at,
        state.actor,
        state.cause,
    )


def _utc(text: str) -> str:
    if text[-1] == "Z":  # as the codec writes it
        return text[:-1]
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None).isoformat()


def _others_of(
    log: Log, connection: Connection[Any], rows: Sequence[StoredRow]
) -> tuple[list[Recorded], list[Unread]]:
    """Decode all in one go, or one by one once that failed, so that only the guilty ones are left out."""
    known = [row for row in rows if row.topic in EVENT_CLASSES]
    unread = [
        Unread(row.position, row.topic, "its topic is unknown to this version of Daybook")
        for row in rows
        if row.topic not in EVENT_CLASSES
    ]
    try:
        return log.decode(connection, known), unread
    except (psycopg.Error, Unavailable):
        raise
    except Exception:  # noqa: BLE001 - found out below which of them it is
        return _one_by_one(log, connection, known, unread)


def _one_by_one(
    log: Log, connection: Connection[Any], rows: Sequence[StoredRow], unread: list[Unread]
) -> tuple[list[Recorded], list[Unread]]:
    recorded: list[Recorded] = []
    for row in rows:
        try:
            recorded += log.decode(connection, [row])
        except (psycopg.Error, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one event must not stop the others
            unread.append(_unread(row.position, row.topic, error))
    return recorded, unread


def _unread(position: int, topic: str, error: Exception) -> Unread:
    # Not the error's own words: they may quote the event, which may hold personal data.
    return Unread(position, topic, f"it cannot be decoded ({type(error).__name__})")
