"""Finding the usage events behind an ask: runs that count whole, and the positions of all others.

A run of the timeline counts whole when it lies within the period and the positions of the ask. Of those that
a boundary goes through, and of all runs where whole ones do not do, the positions come from the timeline and
the events themselves from the log, some thousand at a time. Row-level security shows one book.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg.rows import tuple_row

from ledger.codec import decode_event, decode_state
from ledger.events.usage import UsageRecorded
from ledger.measuring import MeasuredEvent
from projections.arrays import array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from psycopg import Connection

    from ledger.measuring import Ask

CHUNK_EVENTS: Final = 5_000

# Always by the index of hours: "+ 0" keeps the planner off that of positions, by which it would go through an
# account's whole life. `whole` is a run with nothing outside of the ask.
_ASKS: Final = """
FROM unnest(%(accounts)s::text[], %(event_types)s::text[], %(hours)s::timestamptz[],
    %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(after)s::bigint[], %(through)s::bigint[])
    WITH ORDINALITY AS ask (account, event_type, hour, starts, ends, after, through, number)
"""
_RUNS: Final = f"""{_ASKS}
JOIN timeline.runs ON runs.account = ask.account AND runs.meter = ask.event_type
    AND runs.hour >= ask.hour AND runs.hour < ask.ends
    AND runs.last_occurred_at >= ask.starts AND runs.first_occurred_at < ask.ends
    AND runs.last_position > ask.after AND runs.first_position + 0 <= ask.through
CROSS JOIN LATERAL (
    SELECT runs.first_occurred_at >= ask.starts AND runs.last_occurred_at < ask.ends
        AND runs.first_position > ask.after AND runs.last_position <= ask.through AS whole
) AS run
"""
_EVENTS: Final = """
CROSS JOIN LATERAL (
    SELECT runs.first_position AS position UNION ALL SELECT unnest(later.positions)
    FROM timeline.run_positions AS later
    WHERE later.book = runs.book AND later.run = runs.first_position AND runs.events > 1
        AND later.block >= ask.after >> 14 AND later.block <= ask.through >> 14
) AS event
"""
_TOTALS: Final = f"""
SELECT ask.number, coalesce(sum(runs.quantity) FILTER (WHERE run.whole), 0) AS quantity,
    coalesce(sum(runs.events) FILTER (WHERE run.whole), 0)::bigint AS events,
    min(runs.first_position) FILTER (WHERE run.whole) AS first_position,
    max(runs.last_position) FILTER (WHERE run.whole) AS last_position,
    bool_or(NOT run.whole) AS has_cut_runs
{_RUNS} GROUP BY ask.number
"""
# The first and last events of whole runs, some left out.
_EDGES: Final = f"""
SELECT min(event.position) AS first_position, max(event.position) AS last_position
{_RUNS} {_EVENTS} WHERE run.whole AND event.position <> ALL(%(without)s::bigint[])
"""
_POSITIONS: Final = f"""
SELECT ask.number, event.position {_RUNS} {_EVENTS}
WHERE event.position > ask.after AND event.position <= ask.through
"""
CUT_RUNS: Final = f"{_POSITIONS} AND NOT run.whole"
BY_HOUR: Final = f"{_POSITIONS} ORDER BY ask.number, runs.hour, event.position"
IN_LOG_ORDER: Final = f"{_POSITIONS} ORDER BY ask.number, event.position"
# The hour in which the last so many runs before an instant begin: the next to be looked through, backwards.
_HOUR_BEFORE: Final = f"""
SELECT ask.number, (
    SELECT min(hour) FROM (
        SELECT runs.hour FROM timeline.runs
        WHERE runs.account = ask.account AND runs.meter = ask.event_type
            AND runs.hour < ask.ends AND runs.first_occurred_at < ask.ends
            AND runs.last_position > ask.after AND runs.first_position + 0 <= ask.through
        ORDER BY runs.hour DESC LIMIT %(runs)s
    ) AS last
) AS hour
{_ASKS}
"""  # noqa: S608 - constant
# Where a page ends: after as many events as it may have, of runs that begin on it, however they interleave.
_PAGE_END: Final = f"""
SELECT min(last_position) AS position FROM (
    SELECT runs.last_position, sum(runs.events) OVER (ORDER BY runs.last_position) AS total
    {_RUNS} WHERE runs.first_position > ask.after
) AS later WHERE total >= %(limit)s
"""  # noqa: S608 - constant
_PAGE: Final = f"SELECT position FROM ({_POSITIONS}) AS found ORDER BY position LIMIT %(limit)s"  # noqa: S608
_STATES: Final = "SELECT notification_id, state FROM log.events WHERE notification_id = ANY(%s::bigint[])"
# One snapshot for all that is read: a run that grows meanwhile must not count both whole and by its events.
# A young table has no statistics, and a pooled connection no time to compile: always by index, row by row.
_PLAN: Final = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;"
    " SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan',"
    " 'enable_hashjoin', 'enable_mergejoin', 'jit']) AS name"
)


class Window(NamedTuple):
    """Where to look: an account's events of a type in [starts, ends), at positions in (after, through]."""

    account: str
    event_type: str
    starts: datetime
    ends: datetime
    after: int
    through: int

    def holds(self, instant: datetime) -> bool:
        """Say whether an instant lies in [starts, ends)."""
        return self.starts <= instant < self.ends


class Total(NamedTuple):
    """What the whole runs of a window add up to, and whether there are others; `number` counts from one."""

    number: int
    quantity: Decimal
    events: int
    first_position: int | None
    last_position: int | None
    has_cut_runs: bool


class _Data(msgspec.Struct, gc=False):
    quantity: Decimal
    digest: str
    properties: dict[str, Any] = {}


class _State(msgspec.Struct, gc=False):
    version: int
    occurred_at: datetime
    data: _Data


def window_of(ask: Ask) -> Window:
    """Give where an ask looks."""
    period, definition = ask.period, ask.definition
    return Window(
        ask.account,
        definition.event_type,
        period.start,
        period.end,
        ask.after_position,
        ask.through_position,
    )


def plan(connection: Connection[Any]) -> None:
    """Have the transaction that begins read one snapshot, by plans that need no statistics."""
    connection.execute(_PLAN)


def totals(connection: Connection[Any], windows: Sequence[Window]) -> list[Total]:
    """Add up the whole runs of each window; a window without runs is left out."""
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        return [Total(*row) for row in cursor.execute(_TOTALS, _columns(windows))]


def edges(
    connection: Connection[Any], window: Window, without: Iterable[int]
) -> tuple[int | None, int | None]:
    """Give the positions of the first and the last event of a window's whole runs, without some of them."""
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        row = cursor.execute(_EDGES, {**_columns([window]), "without": list(without)}).fetchone()
    assert row is not None, "an aggregate gives one row"
    return row


def hours_before(connection: Connection[Any], windows: Sequence[Window], runs: int) -> list[datetime | None]:
    """Give, for each window, the hour of the last so many runs before its end; none when there are none."""
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        rows = cursor.execute(_HOUR_BEFORE, {**_columns(windows), "runs": runs}).fetchall()
    hours: dict[int, datetime | None] = dict(rows)
    return [hours[number] for number in range(1, len(windows) + 1)]


def page(connection: Connection[Any], window: Window, limit: int) -> list[int]:
    """Give the first positions, in log order, of what may be in a window: its runs straddle its bounds."""
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        # Only the runs up to there are unfolded, of however many there are.
        end = cursor.execute(_PAGE_END, {**_columns([window]), "limit": limit}).fetchone()
        if end is not None and end[0] is not None:
            window = window._replace(through=min(window.through, end[0]))
        rows = cursor.execute(_PAGE, {**_columns([window]), "limit": limit}).fetchall()
    return [position for (position,) in rows]


def events_of(
    connection: Connection[Any], query: str, windows: Sequence[Window]
) -> Iterator[tuple[int, list[MeasuredEvent]]]:
    """Read the events that may be in the windows, in pieces of one window each, named by its index.

    The runs they come from straddle the bounds of time, so that is still to be looked at.
    """
    with connection.cursor("measured_positions", row_factory=tuple_row) as cursor:
        cursor.execute(query, _columns(windows), binary=True)
        while rows := cursor.fetchmany(CHUNK_EVENTS):
            events = read_events(connection, {position for _, position in rows})
            for number, piece in groupby(rows, itemgetter(0)):
                yield number - 1, [events[position] for _, position in piece]


def read_events(connection: Connection[Any], positions: Iterable[int]) -> dict[int, MeasuredEvent]:
    """Read usage events of the log by their positions."""
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        rows = cursor.execute(_STATES, (array(map(str, sorted(positions))),)).fetchall()
    return {position: _event(position, state) for position, state in rows}


_decode: Final = msgspec.json.Decoder(_State, float_hook=Decimal).decode


def _event(position: int, stored: bytes) -> MeasuredEvent:
    state = _decode(stored)
    data: _Data | UsageRecorded = state.data
    if state.version != UsageRecorded.version:
        event = decode_event(UsageRecorded.topic, decode_state(stored), UUID(int=0), 1, {})
        assert isinstance(event, UsageRecorded), "the topic names the class"
        data = event
    return MeasuredEvent(position, state.occurred_at, data.quantity, data.properties, data.digest)


def _columns(windows: Sequence[Window]) -> dict[str, list[Any]]:
    return {
        "accounts": [one.account for one in windows],
        "event_types": [one.event_type for one in windows],
        "hours": [one.starts.replace(minute=0, second=0, microsecond=0) for one in windows],
        "starts": [one.starts for one in windows],
        "ends": [one.ends for one in windows],
        "after": [one.after for one in windows],
        "through": [one.through for one in windows],
    }
