"""How fast messages get from Kafka into the log, and how fresh the totals are that are read from it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg

from bench import bare_table
from bench.feed_world import feed_world, offsets_read, wait_for
from bench.processes import daybook
from bench.results import Result, result
from bench.timing import Timing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.feed_world import FeedWorld

_ACCOUNTS: Final = 5_000
_MESSAGES: Final = 5_000_000
_DUPLICATES: Final = 0.05
_BATCH_ROWS: Final = 5_000
_LIMIT_MIB: Final = 250
_PATIENCE_SECONDS: Final = 600.0


def kafka_to_log(scale: float) -> list[Result]:
    """Consume five million messages, one in twenty a duplicate, in one process; then COPY all those rows."""
    messages = int(_MESSAGES * scale)
    with feed_world(_ACCOUNTS) as world:
        events = world.fill(messages, _DUPLICATES)
        with psycopg.connect(world.database.owner_url, autocommit=True) as owner:
            rate, peaks = _consume(world, owner, messages)
            row = owner.execute("SELECT count(*) FROM log.events WHERE topic = 'usage.recorded'").fetchone()
            assert row == (events,), f"{row} events are in the log, of {events}"
            limit = _copy_again(owner, events)
    print(f"kafka_to_log: memory {peaks} MiB", file=sys.stderr)
    return [
        result("kafka_to_log", rate, "messages/s", limit),
        result("kafka_to_log_memory", max(peaks), "MiB", _LIMIT_MIB),
    ]


def _consume(world: FeedWorld, owner: psycopg.Connection[Any], messages: int) -> tuple[float, list[float]]:
    """Run the consumer until everything is read; give its rate, and its memory as it went."""
    peaks: list[float] = []
    with daybook("consume", variables=world.variables) as process:
        watched = psutil.Process(process.pid)
        wait_for(lambda: offsets_read(owner), _PATIENCE_SECONDS, 0.005)
        began, first = time.perf_counter(), offsets_read(owner)
        read, told = first, first
        while read < messages:
            time.sleep(0.05)  # seldom enough to cost the database nothing that is measured
            assert process.poll() is None, "the consumer has ended"
            read = offsets_read(owner)
            if read - told >= messages / 10:
                told = read
                peaks.append(round(watched.memory_info().rss / 2**20, 1))
                so_far = (read - first) / (time.perf_counter() - began)
                print(f"kafka_to_log: {read:,} read, {so_far:,.0f}/s, {peaks[-1]} MiB", file=sys.stderr)
        seconds = time.perf_counter() - began
        spent = watched.cpu_times()
        cpu = (spent.user + spent.system) / messages * 1e6
        print(f"kafka_to_log: {cpu:.1f} us of the consumer's CPU a message", file=sys.stderr)
        peaks.append(round(watched.memory_info().rss / 2**20, 1))
    return (messages - first) / seconds, peaks


def _copy_again(owner: psycopg.Connection[Any], rows: int) -> float:
    """Copy rows of the log into a bare table of its shape, and give the rate."""
    bare_table.create(owner)
    timing = Timing()
    for batch in _stored(owner, rows):
        encoded = bare_table.encoded_rows(batch)
        with timing.of(len(batch)):
            bare_table.copy(owner, encoded)
    return timing.rate


def _stored(owner: psycopg.Connection[Any], rows: int) -> Iterator[list[Any]]:
    after = 0
    for _ in range(0, rows, _BATCH_ROWS):
        query = (
            "SELECT originator_id, state, notification_id, book FROM log.events"
            " WHERE notification_id > %s AND topic = 'usage.recorded' ORDER BY notification_id LIMIT %s"
        )
        batch = owner.execute(query, (after, _BATCH_ROWS), binary=True).fetchall()
        if not batch:
            return
        after = batch[-1][2]
        yield batch
