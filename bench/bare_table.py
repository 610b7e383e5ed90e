"""The limit of every append: a table of the log's shape, without what makes it a log.

It has 16 partitions and two indexes, but no trigger, no row-level security and no defaults, and its rows are
encoded beforehand.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from ledger.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from psycopg import Connection

    from ledger.events import NewEvent

_CREATE: Final = """
CREATE SCHEMA bare;
CREATE TABLE bare.events (LIKE log.events, PRIMARY KEY (originator_id, originator_version))
    PARTITION BY HASH (originator_id);
DO $$ BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format('CREATE TABLE bare.events_%s PARTITION OF bare.events FOR VALUES WITH'
            ' (MODULUS 16, REMAINDER %s)', part, part);
    END LOOP;
END $$;
CREATE INDEX ON bare.events (notification_id);
"""
_COPY: Final = "COPY bare.events FROM STDIN (FORMAT BINARY)"
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER: Final = struct.pack("!h", -1)
_TOPIC: Final = b"usage.recorded"
# 21 November 2026, in PostgreSQL's microseconds since 2000.
_RECORDED_AT: Final = struct.pack("!q", 848_534_400 * 1_000_000)


def create(connection: Connection[Any]) -> None:
    """Make the table, as the owner."""
    connection.execute(_CREATE)


def copy(connection: Connection[Any], rows: bytes) -> None:
    """Copy encoded rows into the table, and commit."""
    with connection.cursor().copy(_COPY) as copying:
        copying.write(rows)


def insert(connection: Connection[Any], row: Sequence[Any]) -> None:
    """Insert one row with its seven columns, and commit."""
    connection.execute("INSERT INTO bare.events VALUES (%s, %s, %s, %s, %s, %s, now())", row)


def row_of(new: NewEvent, position: int) -> tuple[Any, ...]:
    """Give the columns that `insert` wants."""
    state = encode(new.event, new.metadata, new.stream, new.stream_version, {})
    return (new.stream, new.stream_version, new.event.topic, state, position, new.metadata.book)


def encoded_rows(rows: Iterable[tuple[UUID, bytes, int, UUID]]) -> bytes:
    """Write usage events as they are stored (stream, state, position, book) in COPY's binary format."""
    written = [_HEADER]
    version = struct.pack("!q", 1)
    for stream, state, position, book in rows:
        written.append(struct.pack("!h", 7))
        columns = (
            stream.bytes,
            version,
            _TOPIC,
            state,
            struct.pack("!q", position),
            book.bytes,
            _RECORDED_AT,
        )
        written += [struct.pack("!i", len(column)) + column for column in columns]
    return b"".join([*written, _TRAILER])


def encoded(batch: Sequence[NewEvent], first_position: int) -> bytes:
    """Write a batch of usage events in COPY's binary format, every column given."""
    return encoded_rows(
        (
            new.stream,
            encode(new.event, new.metadata, new.stream, new.stream_version, {}),
            position,
            new.metadata.book,
        )
        for position, new in enumerate(batch, first_position)
    )
