"""Usage folded into runs whose bounds are fixed: account, meter, hour, and a thousand events in log order.

This is the path that a rebuild's speed hangs on. Its statements are of a whole batch, and what can be worked
out without the database is worked out ahead of the batch's turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from projections.arrays import Numbering, array, exact_decimals, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from psycopg import Connection

    from projections.batch import Usage

MAX_RUN_EVENTS: Final = 1_000

# Book, account, meter, hour.
_Hour: TypeAlias = tuple[str, str, str, str]
# The columns of a run as texts: those of _GROW, then those that only _BEGIN has.
_Columns: TypeAlias = tuple[str, ...]
_GROW_COLUMNS: Final = 10


class _Open(NamedTuple):
    """The one run of an hour that is not full yet."""

    first_position: int
    events: int


class _Piece(NamedTuple):
    """What a batch adds to one run."""

    run: int
    events: Sequence[Usage]


@dataclass(frozen=True)
class Prepared:
    """A batch's usage by hour, in the order of the index; `columns` take each hour's events for one run."""

    hours: Sequence[_Hour]
    events: Sequence[Sequence[Usage]]
    columns: Sequence[_Columns]
    recorded: Numbering[datetime]
    actors: Numbering[bytes]


# Times come in UTC, and without saying so.
_OPEN: Final = f"""
SELECT wanted.number, runs.first_position, runs.events
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamp[])
    WITH ORDINALITY AS wanted (book, account, meter, hour, number)
JOIN runs ON (runs.book, runs.account, runs.meter, runs.hour)
    = (wanted.book, wanted.account, wanted.meter, wanted.hour AT TIME ZONE 'UTC')
WHERE runs.events < {MAX_RUN_EVENTS}
"""  # noqa: S608 - constant
_BEGIN: Final = """
INSERT INTO runs (book, account, meter, hour, first_position, last_position, events, quantity,
    first_occurred_at, last_occurred_at, first_booked_at, last_booked_at, recorded_at, actor, cause)
SELECT book, account, meter, date_trunc('hour', first_occurred_at) AT TIME ZONE 'UTC', first_position,
    last_position, events, quantity,
    first_occurred_at AT TIME ZONE 'UTC', coalesce(last_occurred_at, first_occurred_at) AT TIME ZONE 'UTC',
    first_booked_at AT TIME ZONE 'UTC', coalesce(last_booked_at, first_booked_at) AT TIME ZONE 'UTC',
    (%s::timestamptz[])[recorded_at], (%s::text[])[actor], cause
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::numeric[], %s::timestamp[],
    %s::timestamp[], %s::timestamp[], %s::timestamp[], %s::text[], %s::integer[], %s::integer[], %s::text[])
    AS added (book, account, first_position, last_position, events, quantity, first_occurred_at,
    last_occurred_at, first_booked_at, last_booked_at, meter, recorded_at, actor, cause)
"""
_GROW: Final = """
UPDATE runs SET
    last_position = added.last_position,
    events = runs.events + added.events,
    quantity = runs.quantity + added.quantity,
    first_occurred_at = least(runs.first_occurred_at, added.first_occurred_at AT TIME ZONE 'UTC'),
    last_occurred_at = greatest(
        runs.last_occurred_at, coalesce(added.last_occurred_at, added.first_occurred_at) AT TIME ZONE 'UTC'
    ),
    first_booked_at = least(runs.first_booked_at, added.first_booked_at AT TIME ZONE 'UTC'),
    last_booked_at = greatest(
        runs.last_booked_at, coalesce(added.last_booked_at, added.first_booked_at) AT TIME ZONE 'UTC'
    )
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::numeric[], %s::timestamp[],
    %s::timestamp[], %s::timestamp[], %s::timestamp[])
    AS added (book, account, first_position, last_position, events, quantity, first_occurred_at,
    last_occurred_at, first_booked_at, last_booked_at)
WHERE (runs.book, runs.account, runs.first_position) = (added.book, added.account, added.first_position)
"""
_ADD_POSITIONS: Final = """
INSERT INTO run_positions (book, run, block, positions)
SELECT book, run, position >> 14, array_agg(position ORDER BY position)
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS added (book, run, position)
GROUP BY book, run, position >> 14
ON CONFLICT (book, run, block) DO UPDATE SET positions = run_positions.positions || EXCLUDED.positions
"""


def prepare_usage(usage: Sequence[Usage]) -> Prepared:
    """Work out all that does not depend on which runs there are already."""
    by_hour: dict[_Hour, list[Usage]] = {}
    for one in usage:
        by_hour.setdefault((one.book, one.account, one.meter, one.occurred_at[:13]), []).append(one)
    hours = sorted(by_hour)  # in the order of the index, which halves its page visits
    recorded: Numbering[datetime] = Numbering()
    actors: Numbering[bytes] = Numbering()
    with exact_decimals():
        columns = [_columns(by_hour[hour], recorded, actors) for hour in hours]
    return Prepared(hours, [by_hour[hour] for hour in hours], columns, recorded, actors)


def apply_usage(connection: Connection[Any], prepared: Prepared) -> None:
    """Add usage events, in log order, to the runs they belong to."""
    known = _read_open(connection, prepared.hours)
    begun: list[_Columns] = []
    grown: list[_Columns] = []
    pieces: list[_Piece] = []
    for hour, events, columns in zip(prepared.hours, prepared.events, prepared.columns, strict=True):
        cut = list(_cut(known.get(hour), events))
        pieces += cut
        for piece in cut:
            texts = columns if len(cut) == 1 else _columns_of(piece, prepared)
            if piece.run == piece.events[0].position:
                begun.append(texts)
            else:
                grown.append((*texts[:2], str(piece.run), *texts[3:_GROW_COLUMNS]))
    _write(connection, begun, grown, prepared)
    _add_positions(connection, pieces)


def _read_open(connection: Connection[Any], hours: Sequence[_Hour]) -> Mapping[_Hour, _Open]:
    columns = (
        array([book for book, _, _, _ in hours]),
        array([quoted(account) for _, account, _, _ in hours]),
        array([quoted(meter) for _, _, meter, _ in hours]),
        array([f"{hour}:00" for _, _, _, hour in hours]),
    )
    rows = connection.execute(_OPEN, columns).fetchall()
    return {hours[row["number"] - 1]: _Open(row["first_position"], row["events"]) for row in rows}


def _cut(known: _Open | None, events: Sequence[Usage]) -> Iterator[_Piece]:
    """Fill the hour's open run up to its limit, then begin new ones."""
    run, filled = known or (events[0].position, 0)
    if filled + len(events) <= MAX_RUN_EVENTS:
        yield _Piece(run, events)
        return
    start = 0
    while start < len(events):
        if filled == MAX_RUN_EVENTS:
            run, filled = events[start].position, 0
        piece = events[start : start + MAX_RUN_EVENTS - filled]
        yield _Piece(run, piece)
        filled += len(piece)
        start += len(piece)


def _columns_of(piece: _Piece, prepared: Prepared) -> _Columns:
    with exact_decimals():
        return _columns(piece.events, prepared.recorded, prepared.actors)


def _columns(events: Sequence[Usage], recorded: Numbering[datetime], actors: Numbering[bytes]) -> _Columns:
    """Write the columns of a run of these events.

    Reading them at the other end is what costs most: few distinct values are sent once and pointed at, and a
    last time that is the first one too, as in every run of one event, is left out.
    """
    first = events[0]
    if len(events) == 1:
        quantity, occurred, booked = first.quantity, (first.occurred_at, "NULL"), (first.booked_at, "NULL")
    else:
        quantity = sum((one.quantity for one in events), start=Decimal(0))
        occurred = _bounds([one.occurred_at for one in events])
        booked = _bounds([one.booked_at for one in events])
    return (
        first.book,
        quoted(first.account),
        str(first.position),
        str(events[-1].position),
        str(len(events)),
        str(quantity),
        *occurred,
        *booked,
        quoted(first.meter),
        recorded.number(first.recorded_at),
        actors.number(bytes(first.actor)),
        quoted(first.cause),
    )


def _bounds(times: Sequence[str]) -> tuple[str, str]:
    return min(times), max(times)


def _write(
    connection: Connection[Any], begun: Sequence[_Columns], grown: Sequence[_Columns], prepared: Prepared
) -> None:
    if begun:
        actors = [actor.decode() for actor in prepared.actors.values]
        columns = [array(column) for column in zip(*begun, strict=True)]
        connection.execute(_BEGIN, (prepared.recorded.values, actors, *columns))
    if grown:
        connection.execute(_GROW, [array(column) for column in zip(*grown, strict=True)])


def _add_positions(connection: Connection[Any], pieces: Sequence[_Piece]) -> None:
    """Write which events follow a run's first one, whose position is the run's own name."""
    added = [(piece.run, one) for piece in pieces for one in piece.events if one.position != piece.run]
    if added:
        columns = (
            array([one.book for _, one in added]),
            array([str(run) for run, _ in added]),
            array([str(one.position) for _, one in added]),
        )
        connection.execute(_ADD_POSITIONS, columns)
