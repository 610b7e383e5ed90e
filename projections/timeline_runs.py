"""Usage folded into runs whose bounds are fixed: account, meter, hour, and a thousand events in log order."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from projections.arrays import exact_decimals, numbered, plain_array, text_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection

    from projections.batch import Usage

MAX_RUN_EVENTS: Final = 1_000

# Book, account, meter, hour.
_Hour: TypeAlias = tuple[str, str, str, str]


class _Open(NamedTuple):
    """The last run of an hour so far."""

    chunk: int
    first_position: int
    events: int


class _Piece(NamedTuple):
    """What a batch adds to one run."""

    hour: _Hour
    chunk: int
    first_position: int
    events: Sequence[Usage]

    @property
    def begins(self) -> bool:
        """Whether the run begins with this piece."""
        return self.events[0].position == self.first_position


_OPEN: Final = """
SELECT wanted.number, open.chunk, open.first_position, open.events
FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::timestamptz[])
    WITH ORDINALITY AS wanted (book, account, meter, hour, number)
CROSS JOIN LATERAL (
    SELECT chunk, first_position, events FROM runs
    WHERE (runs.book, runs.account, runs.meter, runs.hour) = (wanted.book, wanted.account, wanted.meter, wanted.hour)
    ORDER BY book DESC, account DESC, meter DESC, hour DESC, chunk DESC LIMIT 1
) AS open
"""
_BEGIN: Final = """
INSERT INTO runs (book, account, meter, hour, chunk, first_position, last_position, events, quantity,
    first_occurred_at, last_occurred_at, first_booked_at, last_booked_at, recorded_at, actor, cause)
SELECT book, account, meter, date_bin('1 hour', first_occurred_at, '2000-01-01 00:00:00Z'), chunk, first_position,
    last_position, events, quantity, first_occurred_at, coalesce(last_occurred_at, first_occurred_at),
    first_booked_at, coalesce(last_booked_at, first_booked_at), (%s::timestamptz[])[recorded_at],
    (%s::text[])[actor], cause
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::numeric[], %s::timestamptz[],
    %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::integer[], %s::integer[],
    %s::integer[], %s::text[])
    AS added (book, account, first_position, last_position, events, quantity, first_occurred_at, last_occurred_at,
    first_booked_at, last_booked_at, meter, chunk, recorded_at, actor, cause)
"""
_GROW: Final = """
UPDATE runs SET
    last_position = added.last_position,
    events = runs.events + added.events,
    quantity = runs.quantity + added.quantity,
    first_occurred_at = least(runs.first_occurred_at, added.first_occurred_at),
    last_occurred_at = greatest(runs.last_occurred_at, added.last_occurred_at, added.first_occurred_at),
    first_booked_at = least(runs.first_booked_at, added.first_booked_at),
    last_booked_at = greatest(runs.last_booked_at, added.last_booked_at, added.first_booked_at)
FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::numeric[], %s::timestamptz[],
    %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS added (book, account, first_position, last_position, events, quantity, first_occurred_at, last_occurred_at,
    first_booked_at, last_booked_at)
WHERE (runs.book, runs.account, runs.first_position) = (added.book, added.account, added.first_position)
"""
_ADD_POSITIONS: Final = """
INSERT INTO run_positions (book, run, block, positions)
SELECT book, run, position >> 14, array_agg(position ORDER BY position)
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS added (book, run, position)
GROUP BY book, run, position >> 14
ON CONFLICT (book, run, block) DO UPDATE SET positions = run_positions.positions || EXCLUDED.positions
"""


def apply_usage(connection: Connection[Any], usage: Sequence[Usage]) -> None:
    """Add usage events, in log order, to the runs they belong to."""
    by_hour: dict[_Hour, list[Usage]] = {}
    for one in usage:
        by_hour.setdefault((one.book, one.account, one.meter, one.occurred_at[:13]), []).append(one)
    hours = sorted(by_hour)  # in the order of the index, which halves its page visits
    known = _read_open(connection, hours)
    pieces = [
        piece
        for number, hour in enumerate(hours, start=1)
        for piece in _cut(hour, known.get(number), by_hour[hour])
    ]
    with exact_decimals():
        _begin(connection, [piece for piece in pieces if piece.begins])
        _grow(connection, [piece for piece in pieces if not piece.begins])
    _add_positions(connection, pieces)


def _read_open(connection: Connection[Any], hours: Sequence[_Hour]) -> dict[int, _Open]:
    columns = (
        plain_array([book for book, _, _, _ in hours]),
        text_array([account for _, account, _, _ in hours]),
        text_array([meter for _, _, meter, _ in hours]),
        plain_array([f"{hour}:00Z" for _, _, _, hour in hours]),
    )
    rows = connection.execute(_OPEN, columns).fetchall()
    return {row["number"]: _Open(row["chunk"], row["first_position"], row["events"]) for row in rows}


def _cut(hour: _Hour, known: _Open | None, events: Sequence[Usage]) -> Iterator[_Piece]:
    """Fill the hour's last run up to its limit, then begin new ones."""
    if known is None and len(events) <= MAX_RUN_EVENTS:
        yield _Piece(hour, 0, events[0].position, events)
        return
    chunk, first_position, filled = known or _Open(0, events[0].position, 0)
    start = 0
    while start < len(events):
        if filled == MAX_RUN_EVENTS:
            chunk, first_position, filled = chunk + 1, events[start].position, 0
        piece = events[start : start + MAX_RUN_EVENTS - filled]
        yield _Piece(hour, chunk, first_position, piece)
        filled += len(piece)
        start += len(piece)


def _begin(connection: Connection[Any], pieces: Sequence[_Piece]) -> None:
    """Write the runs that begin in the batch.

    What costs most is to read the arrays at the other end: few distinct values are sent once and pointed at.
    """
    if not pieces:
        return
    firsts = [piece.events[0] for piece in pieces]
    recorded, recorded_numbers = numbered([first.recorded_at for first in firsts])
    actors, actor_numbers = numbered([bytes(first.actor) for first in firsts])
    connection.execute(
        _BEGIN,
        (
            recorded,
            [actor.decode() for actor in actors],
            *_sums(pieces),
            text_array([piece.hour[2] for piece in pieces]),
            plain_array([piece.chunk for piece in pieces]),
            recorded_numbers,
            actor_numbers,
            text_array([first.cause for first in firsts]),
        ),
    )


def _grow(connection: Connection[Any], pieces: Sequence[_Piece]) -> None:
    """Write what the batch adds to runs that were there before."""
    if pieces:
        connection.execute(_GROW, _sums(pieces))


def _sums(pieces: Sequence[_Piece]) -> tuple[str, ...]:
    """Give the columns of what each piece adds up to, beginning with its run's key."""
    return (
        plain_array([piece.hour[0] for piece in pieces]),
        text_array([piece.hour[1] for piece in pieces]),
        plain_array([piece.first_position for piece in pieces]),
        plain_array([piece.events[-1].position for piece in pieces]),
        plain_array([len(piece.events) for piece in pieces]),
        plain_array([_total(piece.events) for piece in pieces]),
        *_bounds([[one.occurred_at for one in piece.events] for piece in pieces]),
        *_bounds([[one.booked_at for one in piece.events] for piece in pieces]),
    )


def _bounds(pieces: Sequence[Sequence[str]]) -> tuple[str, str]:
    """Give the first and the last time of each piece, the last one NULL where it is the first."""
    firsts = [times[0] if len(times) == 1 else min(times) for times in pieces]
    lasts = ["NULL" if len(times) == 1 else max(times) + "Z" for times in pieces]
    return plain_array([f"{first}Z" for first in firsts]), plain_array(lasts)


def _total(events: Sequence[Usage]) -> Decimal:
    return events[0].quantity if len(events) == 1 else sum((one.quantity for one in events), start=Decimal(0))


def _add_positions(connection: Connection[Any], pieces: Sequence[_Piece]) -> None:
    """Write which events follow a run's first one, whose position is the run's own name."""
    added = [
        (piece, one.position) for piece in pieces for one in piece.events if one.position != piece.first_position
    ]
    if added:
        columns = (
            plain_array([piece.hour[0] for piece, _ in added]),
            plain_array([piece.first_position for piece, _ in added]),
            plain_array([position for _, position in added]),
        )
        connection.execute(_ADD_POSITIONS, columns)
