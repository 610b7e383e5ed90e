"""How fast usage is appended, against binary COPY into a table of the same shape in the same run."""

from __future__ import annotations

import resource
import struct
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from bench.database import fresh_database
from bench.made_up import BATCH_EVENTS, BOOK, usage_batches
from bench.progress import counted
from bench.results import Result, result
from ledger.codec import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.events import NewEvent
    from ledger.store import Log

# The shape of log.events (16 partitions, two indexes) with nothing that makes it a log: no trigger, no row-level
# security, no default; the rows bring their positions and times along.
_BARE_TABLE: Final = """
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
_POSTGRES_EPOCH_SECONDS: Final = 946_684_800
_TOPIC: Final = b"usage.recorded"


@dataclass
class Timing:
    """Seconds spent on batches of one kind, and the events in them."""

    seconds: float = 0.0
    events: int = 0

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    def time(self, events: int, work: Any, *arguments: Any) -> None:  # noqa: ANN401 - any work at all
        """Do the work and add what it took."""
        began = time.perf_counter()
        work(*arguments)
        self.seconds += time.perf_counter() - began
        self.events += events


def append_usage(events: int = 2_000_000) -> list[Result]:
    """Append through `Log.append_usage` and by COPY, a batch of each in turn, so that both meet the same machine."""
    ours, bare, building = Timing(), Timing(), Timing()
    with fresh_database() as database, database.log("ingest") as log:
        with psycopg.connect(database.owner_url, autocommit=True) as copying:
            copying.execute(_BARE_TABLE)
            batches = usage_batches(events)
            for number in counted("append_usage", range(0, events, BATCH_EVENTS), BATCH_EVENTS):
                began = time.perf_counter()
                batch = next(batches)
                building.seconds += time.perf_counter() - began
                encoded = _encoded(batch, number)
                turns = [(ours, _append, log, batch), (bare, _copy, copying, encoded)]
                for timing, work, target, rows in turns if number // BATCH_EVENTS % 2 else reversed(turns):
                    timing.time(len(batch), work, target, rows)
    with_building = ours.events / (ours.seconds + building.seconds)
    return [
        result("append_usage", ours.rate, "events/s", bare.rate),
        result("append_usage_with_building", with_building, "events/s", bare.rate),
        result("append_usage_memory", peak_memory_mib(), "MiB", 200),
    ]


def peak_memory_mib() -> float:
    """Give the most memory this process ever held; the unit is bytes on macOS, KiB elsewhere."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _append(log: Log, batch: Sequence[NewEvent]) -> None:
    outcome = log.append_usage(batch)
    assert outcome.accepted == len(batch), "every identity is new"


def _copy(connection: psycopg.Connection[Any], rows: bytes) -> None:
    with connection.cursor().copy(_COPY) as copy:
        copy.write(rows)


def _encoded(batch: Sequence[NewEvent], first: int) -> bytes:
    """Write a batch in COPY's binary format, every column given."""
    now = struct.pack("!q", int((time.time() - _POSTGRES_EPOCH_SECONDS) * 1_000_000))
    rows = [_HEADER]
    for number, new in enumerate(batch, first + 1):
        state = encode(new.event, new.metadata, new.stream, 1, {})
        columns = (new.stream.bytes, struct.pack("!q", 1), _TOPIC, state, struct.pack("!q", number), BOOK.bytes, now)
        rows.append(struct.pack("!h", len(columns)))
        rows += [struct.pack("!i", len(column)) + column for column in columns]
    return b"".join([*rows, _TRAILER])
