"""How fast events are appended, against PostgreSQL's own limit in the same database and the same moments."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg

from bench import bare_table
from bench.database import fresh_database
from bench.made_up import BATCH_EVENTS, BOOK, usage_batches
from bench.progress import counted
from bench.results import Result, result
from bench.timing import Timing, peak_memory_mib
from ledger.usage_row import row_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from ledger.store import Log

_SINGLES: Final = 10_000
_SINGLES_A_TURN: Final = 250


@contextmanager
def _side_by_side(role: str) -> Iterator[tuple[Log, Connection[Any]]]:
    """Lend the log as a run-time role sees it, and the owner's connection to a bare table beside it."""
    with fresh_database() as database, psycopg.connect(database.owner_url, autocommit=True) as owner:
        bare_table.create(owner)
        with database.log(role) as log:
            yield log, owner


def append_usage(scale: float) -> list[Result]:
    """Append two million events through `Log.append_usage` and by COPY, a batch of each in turn.

    Taking turns lets both meet the same machine; which goes first alternates too.
    """
    events = int(2_000_000 * scale)
    ours, limit, building = Timing(), Timing(), Timing()
    with _side_by_side("ingest") as (log, owner):
        batches = usage_batches(events)
        for first in counted("append_usage", range(0, events, BATCH_EVENTS), BATCH_EVENTS):
            with building.of(BATCH_EVENTS):
                batch = next(batches)
            rows = bare_table.encoded(batch, first + 1)
            for ours_now in (True, False) if first // BATCH_EVENTS % 2 else (False, True):
                if ours_now:
                    with ours.of(len(batch)):
                        outcome = log.append_usage([row_of(new) for new in batch])
                    assert outcome.accepted == len(batch), "every identity is new"
                else:
                    with limit.of(len(batch)):
                        bare_table.copy(owner, rows)
    with_building = ours.things / (ours.seconds + building.seconds)
    return [
        result("append_usage", ours.rate, "events/s", limit.rate),
        result("append_usage_with_building", with_building, "events/s", limit.rate),
        result("append_usage_memory", peak_memory_mib(), "MiB", 200),
    ]


def append_single(scale: float) -> list[Result]:
    """Append events one a transaction through `Log.append`; the limit is INSERTs of the same rows."""
    ours, limit = Timing(), Timing()
    with _side_by_side("app") as (log, owner):
        batches = usage_batches(int(_SINGLES * scale))
        turns = [
            batch[at : at + _SINGLES_A_TURN]
            for batch in batches
            for at in range(0, len(batch), _SINGLES_A_TURN)
        ]
        for number, events in enumerate(counted("append_single", turns, _SINGLES_A_TURN)):
            rows = [bare_table.row_of(new, number) for new in events]
            with ours.of(len(events)):
                for new in events:
                    log.append(BOOK, [new])
            with limit.of(len(events)):
                for row in rows:
                    bare_table.insert(owner, row)
    return [result("append_single", ours.rate, "events/s", limit.rate)]
