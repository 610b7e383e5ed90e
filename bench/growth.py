"""How the cost of an append grows with the log, and what it is with a hundred million rows."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import psycopg

from bench.database import Database, fresh_database
from bench.made_up import BATCH_EVENTS, usage_batches
from bench.progress import counted
from bench.results import Result, result
from bench.timing import Timing
from ledger.usage_row import row_of

if TYPE_CHECKING:
    from psycopg import Connection

_WINDOW: Final = 250_000
_EARLY: Final = 100_000
_LATE: Final = 5_000_000
_MANY: Final = 100_000_000
_CHUNK: Final = 1_000_000

# As a restore would: heap first, indexes when it is whole. The rows are small (their states are empty),
# because an append touches only the end of the heap, but pages all over the index of identities.
_BEFORE_FILL: Final = """
ALTER TABLE log.events DISABLE TRIGGER USER;
ALTER TABLE log.events DROP CONSTRAINT events_pkey;
DROP INDEX log.events_position;
"""
_FILL: Final = (
    "INSERT INTO log.events"
    " SELECT gen_random_uuid(), 1, 'usage.recorded', '', position, gen_random_uuid(), now()"
    " FROM generate_series(%s, %s) AS position"
)
_AFTER_FILL: Final = """
SET maintenance_work_mem = '2GB';
ALTER TABLE log.events ADD PRIMARY KEY (originator_id, originator_version);
CREATE INDEX events_position ON log.events (notification_id);
ALTER TABLE log.events ENABLE TRIGGER USER;
SELECT setval('log.position', max(notification_id)) FROM log.events;
"""
# Written to the write-ahead log so far, and the size of the index of identities.
_SIZES: Final = """
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'), sum(pg_relation_size(indexrelid)) / 2^20
FROM pg_index
WHERE indisprimary AND indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'log.events'::regclass)
"""


def append_usage_growth(scale: float) -> list[Result]:
    """Append until the log holds five million rows, and hold the rate there against that at 100,000."""
    rates: dict[int, float] = {}
    with fresh_database() as database:
        for start, end in pairwise([0, _EARLY, *range(_WINDOW, int(_LATE * scale) + 1, _WINDOW)]):
            rates[end] = _append(database, start, end - start)
    return [result("append_usage_growth", rates[max(rates)], "events/s", rates[_EARLY])]


def append_usage_at_100m(scale: float) -> list[Result]:
    """Fill a log with a hundred million small rows, then append a million events."""
    rows = int(_MANY * scale)
    with fresh_database() as database:
        early = _append(database, 0, _EARLY)
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            _fill(owner, rows)
        rates = [_append(database, _EARLY + number * _WINDOW, _WINDOW) for number in range(4)]
    return [result("append_usage_at_100m", rates[-1], "events/s", early)]


def _fill(owner: Connection[Any], rows: int) -> None:
    owner.execute(_BEFORE_FILL)
    for first in counted("filling", range(_CHUNK, rows, _CHUNK), _CHUNK):
        owner.execute(_FILL, (first, first + _CHUNK - 1))
    owner.execute(_AFTER_FILL)
    owner.execute("VACUUM (ANALYZE) log.events")
    owner.execute("CHECKPOINT")


def _append(database: Database, first: int, count: int) -> float:
    """Append so many events, say what it came to, and give their rate."""
    timing = Timing()
    with database.log("ingest") as log, psycopg.connect(database.owner_url, autocommit=True) as owner:
        wal_before, _ = _sizes(owner)
        batches = usage_batches(count, first=first)
        for _ in counted(f"from {first:,}", range(0, count, BATCH_EVENTS), BATCH_EVENTS):
            batch = next(batches)
            with timing.of(len(batch)):
                log.append_usage([row_of(new) for new in batch])
        wal, index_mib = _sizes(owner)
    said = f"{timing.rate:,.0f} events/s, {(wal - wal_before) / count:,.0f} bytes of WAL an event"
    print(f"after {first + count:,} appended: {said}, index {index_mib:,.0f} MiB", file=sys.stderr)
    return timing.rate


def _sizes(owner: Connection[Any]) -> tuple[int, float]:
    row = owner.execute(_SIZES).fetchone()
    assert row is not None, "an aggregate gives one row"
    return int(row[0]), float(row[1])
