"""The bulk path of the log: a batch of usage events copied, inserted under the lock, and its losers judged.

It runs on a cursor that the store lends it, inside the store's transaction.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

import msgspec
from msgspec.structs import astuple

from ledger.codec import decode_event, decode_state
from ledger.events.usage import UsageRecorded
from ledger.usage_row import UsageRow

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow


# More rows than this in one append would hold the log's lock too long (20,000 held it 162 ms).
MAX_USAGE_ROWS: Final = 5_000
CHANNEL: Final = "events"


class UsageConflict(msgspec.Struct, frozen=True):
    """A usage event whose identity is known with other facts; `position` is where that one stands."""

    index: int
    position: int
    known_digest: str


class UsageOutcome(msgspec.Struct, frozen=True):
    """What became of a batch of usage events; `position` is the highest of theirs, new or known."""

    accepted: int
    duplicates: int
    conflicts: tuple[UsageConflict, ...]
    position: int | None


_USAGE_TABLE: Final = (
    "CREATE TEMP TABLE IF NOT EXISTS usage_batch"
    " (number int, originator_id uuid, state bytea, book uuid) ON COMMIT DELETE ROWS"
)
_COPY: Final = "COPY usage_batch (number, originator_id, state, book) FROM STDIN (FORMAT BINARY)"
# One row with the last position given out and the notification sent, then what was not inserted: far fewer
# rows than what was, and found in memory, without the index.
_INSERT: Final = """
WITH new AS (
    INSERT INTO log.events (originator_id, originator_version, topic, state, book)
    SELECT originator_id, 1, 'usage.recorded', state, book FROM usage_batch ORDER BY number
    ON CONFLICT DO NOTHING RETURNING originator_id, notification_id
), losers AS (
    SELECT originator_id AS loser FROM usage_batch EXCEPT ALL SELECT originator_id FROM new
)
SELECT max(notification_id) AS position, pg_notify('events', '') AS told, NULL::uuid AS loser FROM new
UNION ALL SELECT NULL, NULL, loser FROM losers
"""
_LAST_POSITION: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS position FROM log.position"
# Joined, not compared with ANY: so each identity is looked for in its own partition only, not in all of them.
_KNOWN: Final = (
    "SELECT e.originator_id, e.notification_id, e.state FROM unnest(%s::uuid[]) AS wanted (identity)"
    " JOIN log.events AS e ON e.originator_id = wanted.identity AND e.originator_version = 1"
)
_POSITIONS: Final = (
    "SELECT originator_id, notification_id FROM log.events"
    " WHERE originator_id = ANY(%s) AND originator_version = 1"
)
_COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_COPY_TRAILER: Final = struct.pack("!h", -1)
# About what a socket's buffer holds (200 kB): encoding the next piece then overlaps with reading this one.
_COPY_ROWS: Final = 250
_pack_row: Final[Callable[..., bytes]] = struct.Struct("!hiii16si").pack


def prepare(connection: Connection[DictRow]) -> None:
    """Make the table that batches are copied to, once a connection; to be called outside a transaction."""
    if not getattr(connection, "daybook_usage_table", False):
        connection.execute(_USAGE_TABLE)
        cast("Any", connection).daybook_usage_table = True


class Copied(msgspec.Struct, frozen=True):
    """Rows that stand in the temporary table: of each identity the first, beside those that repeat one."""

    rows: Sequence[UsageRow]
    first: Sequence[int]
    repeats: Sequence[tuple[int, int]]


def copy_usage(cursor: Cursor[DictRow], rows: Sequence[UsageRow]) -> Copied:
    """Copy usage events, at most 5,000, to the temporary table: what can be done before the log is locked."""
    assert len(rows) <= MAX_USAGE_ROWS, "too many rows under one lock"
    first, repeats = _first_of_each(rows)
    if first:
        _copy(cursor, rows, first)
    return Copied(rows, first, repeats)


def insert_copied(
    cursor: Cursor[DictRow], copied: Copied, under_lock: Callable[[Cursor[DictRow]], None] | None = None
) -> UsageOutcome:
    """Insert what was copied, and say what became of each.

    `under_lock` may look once more at what they were judged by, and raise: nothing can be appended meanwhile.
    """
    rows, first, repeats = astuple(copied)
    position, losers = _insert(cursor, under_lock) if first else (None, [])
    known = _known_before(cursor, losers) if losers else {}
    assert len(known) == len(losers) <= len(first), "every identity is new or known"
    return _judge(cursor, rows, first, repeats, known, position)


def last_position(cursor: Cursor[DictRow]) -> int:
    """Give the last position that was given out, in any book; gaps below it are possible."""
    return int(one(cursor.execute(_LAST_POSITION))["position"])


def _first_of_each(rows: Sequence[UsageRow]) -> tuple[list[int], list[tuple[int, int]]]:
    """Split a batch into the first index of each identity and (index, first index) of the repeats."""
    first: dict[bytes, int] = {}
    repeats = []
    for index, row in enumerate(rows):
        kept = first.setdefault(row.stream, index)
        if kept != index:
            repeats.append((index, kept))
    return list(first.values()), repeats


def _judge(
    cursor: Cursor[DictRow],
    rows: Sequence[UsageRow],
    first: Sequence[int],
    repeats: Sequence[tuple[int, int]],
    known: Mapping[bytes, tuple[int, str]],
    position: int | None,
) -> UsageOutcome:
    """Compare the losers' facts, in the same transaction, with those of the events that were first."""
    losers = [(index, known[rows[index].stream][1]) for index in first if rows[index].stream in known]
    for index, kept in repeats:
        stream = rows[kept].stream
        losers.append((index, known[stream][1] if stream in known else rows[kept].digest))
    differing = [(index, digest) for index, digest in sorted(losers) if digest != rows[index].digest]
    positions = _positions_of(cursor, {rows[index].stream for index, _ in differing})
    conflicts = tuple(
        UsageConflict(index, positions[rows[index].stream], digest) for index, digest in differing
    )
    if position is None:
        position = max((at for at, _ in known.values()), default=None)
    return UsageOutcome(len(first) - len(known), len(losers) - len(conflicts), conflicts, position)


def _positions_of(cursor: Cursor[DictRow], streams: Collection[bytes]) -> dict[bytes, int]:
    if not streams:
        return {}
    found = cursor.execute(_POSITIONS, ([UUID(bytes=stream) for stream in streams],)).fetchall()
    return {row["originator_id"].bytes: row["notification_id"] for row in found}


def _known_before(cursor: Cursor[DictRow], losers: Sequence[UUID]) -> dict[bytes, tuple[int, str]]:
    """Give position and digest of those identities of the batch that the log held before it."""
    known = {}
    for row in cursor.execute(_KNOWN, (losers,)).fetchall():
        stream = row["originator_id"]
        event = decode_event(UsageRecorded.topic, decode_state(row["state"]), stream, 1, {})
        assert isinstance(event, UsageRecorded), "a stream of usage holds usage"
        known[stream.bytes] = (row["notification_id"], event.digest)
    return known


def _copy_row(number: int, row: UsageRow) -> bytes:
    """Write one row in COPY's binary format by hand: psycopg's row writer costs more than the encoding."""
    stream, state, book, _ = astuple(row)
    return b"".join((_pack_row(4, 4, number, 16, stream, len(state)), state, b"\0\0\0\x10", book))


def _copy(cursor: Cursor[DictRow], rows: Sequence[UsageRow], first: Sequence[int]) -> None:
    """Copy the first of each identity to the temporary table, in pieces: the server reads one meanwhile."""
    with cursor.copy(_COPY) as copy:
        copy.write(_COPY_HEADER)
        for start in range(0, len(first), _COPY_ROWS):
            piece = enumerate(first[start : start + _COPY_ROWS], start)
            copy.write(b"".join([_copy_row(number, rows[index]) for number, index in piece]))
        copy.write(_COPY_TRAILER)


def _insert(
    cursor: Cursor[DictRow], under_lock: Callable[[Cursor[DictRow]], None] | None
) -> tuple[int | None, list[UUID]]:
    """Lock and insert; give the highest new position, and what was known."""
    cursor.execute("SELECT log.take_lock()")
    if under_lock is not None:
        under_lock(cursor)
    told, *losers = cursor.execute(_INSERT).fetchall()
    return told["position"], [row["loser"] for row in losers]


def one(cursor: Cursor[DictRow]) -> DictRow:
    """Give the row of a query that gives one."""
    row = cursor.fetchone()
    assert row is not None, "the query gives one row"
    return row
