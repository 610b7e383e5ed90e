"""Reading timelines: a page of an account's life, the events of one run, and what a cut through it needs.

A page merges entries and runs by position, each read from an index that is already in that order, so that it
costs the same for a million usage events as for ten.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from projections.batch import USAGE_TOPIC
from projections.sentences import usage_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

_PAGE: Final = """
SELECT * FROM (
    (SELECT position, body, NULL::text AS meter, NULL::timestamptz AS hour, NULL::bigint AS last_position,
        NULL::integer AS events, NULL::text AS quantity, NULL::timestamptz AS first_occurred_at,
        NULL::timestamptz AS last_occurred_at, NULL::timestamptz AS first_booked_at,
        NULL::timestamptz AS recorded_at, NULL::text AS actor, NULL::text AS cause
    FROM timeline.entries
    WHERE account = %(account)s AND position {beyond} %(after)s
        AND (%(types)s::text[] IS NULL OR topic = ANY(%(types)s))
        AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
    ORDER BY position {order} LIMIT %(limit)s)
    UNION ALL
    (SELECT first_position, NULL, meter, hour, last_position, events, trim_scale(quantity)::text,
        first_occurred_at, last_occurred_at, first_booked_at, recorded_at, actor, cause
    FROM timeline.runs
    WHERE account = %(account)s AND first_position {beyond} %(after)s
        AND %(with_usage)s
        AND (%(since)s::timestamptz IS NULL OR last_occurred_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR first_occurred_at < %(until)s)
    ORDER BY first_position {order} LIMIT %(limit)s)
) AS life
ORDER BY position {order} LIMIT %(limit)s
"""
_RUN_EVENTS: Final = (
    " CROSS JOIN LATERAL (SELECT first_position AS position UNION ALL SELECT unnest(positions)"
    " FROM timeline.run_positions AS later"
    " WHERE later.book = runs.book AND later.run = first_position) AS event"
)
QUERIES: Final = {
    "page_oldest": _PAGE.format(beyond=">", order="ASC"),
    "page_newest": _PAGE.format(beyond="<", order="DESC"),
    "expand": (
        "SELECT position FROM timeline.runs"  # noqa: S608 - constant
        f"{_RUN_EVENTS}"
        " WHERE account = %(account)s AND first_position = %(run)s"
        " AND position > %(after)s AND position <= %(through)s"
        " ORDER BY position LIMIT %(limit)s"
    ),
    "positions": (
        "SELECT position FROM timeline.entries"
        " WHERE account = %(account)s AND position <= %(position)s"
        " ORDER BY position"
    ),
    # A run counts whole when it ends before the cut; the few that straddle it are looked into.
    "usage_whole": (
        "SELECT meter, sum(quantity) AS quantity, sum(events)::bigint AS events FROM timeline.runs"
        " WHERE account = %(account)s AND last_position <= %(position)s"
        " AND (%(known_at)s::timestamptz IS NULL OR last_booked_at <= %(known_at)s)"
        " GROUP BY meter"
    ),
    "usage_straddling": (
        "SELECT position FROM timeline.runs"  # noqa: S608 - constant
        f"{_RUN_EVENTS}"
        " WHERE account = %(account)s AND first_position <= %(position)s"
        " AND position <= %(position)s"
        " AND (%(known_at)s::timestamptz IS NULL OR first_booked_at <= %(known_at)s)"
        " AND (last_position > %(position)s"
        " OR (%(known_at)s::timestamptz IS NOT NULL AND last_booked_at > %(known_at)s))"
        " ORDER BY position"
    ),
}
_LAST: Final = (1 << 63) - 1


class Page(msgspec.Struct, frozen=True):
    """Rows as JSON texts, and the cursor of the next page if there is one."""

    rows: list[str]
    next: int | None


class _Run(msgspec.Struct):
    """A run as it is served: its first times, who made its first event and why, and what it adds up to."""

    position: int
    type: str
    occurred_at: datetime
    until: datetime
    booked_at: datetime
    recorded_at: datetime
    actor: msgspec.Raw
    cause: str
    sentence: str
    meter: str
    quantity: str
    events: int
    last_position: int


def page(
    connection: Connection[Any],
    account: str,
    after: int | None = None,
    limit: int = 50,
    *,
    newest_first: bool = False,
    types: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """Give a page of a timeline beyond a position; the time range is of `occurred_at`, [since, until)."""
    parameters = {
        "account": account,
        "after": after if after is not None else (_LAST if newest_first else 0),
        "limit": limit + 1,
        "types": None if types is None else list(types),
        "with_usage": types is None or USAGE_TOPIC in types,
        "since": since,
        "until": until,
    }
    query = QUERIES["page_newest" if newest_first else "page_oldest"]
    rows = connection.execute(query, parameters, binary=True).fetchall()
    more = len(rows) > limit
    return Page([_served(row) for row in rows[:limit]], rows[limit - 1]["position"] if more else None)


_encode: Final = msgspec.json.Encoder().encode


def _served(row: dict[str, Any]) -> str:
    if row["body"] is not None:
        body: str = row["body"]
        return body
    first, last = row["first_occurred_at"], row["last_occurred_at"]
    run = _Run(
        position=row["position"],
        type=USAGE_TOPIC,
        occurred_at=first,
        until=last,
        booked_at=row["first_booked_at"],
        recorded_at=row["recorded_at"],
        actor=msgspec.Raw(row["actor"]),
        cause=row["cause"],
        sentence=usage_sentence(row["meter"], row["quantity"], row["events"], first, last),
        meter=row["meter"],
        quantity=row["quantity"],
        events=row["events"],
        last_position=row["last_position"],
    )
    return _encode(run).decode()


def expand(
    connection: Connection[Any],
    account: str,
    run: int,
    after: int = 0,
    limit: int = 1_000,
    *,
    through: int | None = None,
) -> list[int]:
    """Give the positions of a run's events after a position and up to another; none of another account's."""
    parameters = {
        "account": account,
        "run": run,
        "after": after,
        "through": _LAST if through is None else through,
        "limit": limit,
    }
    return [row["position"] for row in connection.execute(QUERIES["expand"], parameters)]


def cut(at: int | datetime) -> dict[str, Any]:
    """Give the parameters of a cut through the log, at a position or at an instant of `booked_at`."""
    if isinstance(at, int):
        return {"position": at, "known_at": None}
    return {"position": _LAST, "known_at": at}


def positions(connection: Connection[Any], account: str, at: int | datetime) -> list[int]:
    """Give the positions of the account's events but usage, up to a position; an instant cuts none off."""
    rows = connection.execute(QUERIES["positions"], {"account": account, **cut(at)})
    return [row["position"] for row in rows]


def usage_whole(connection: Connection[Any], account: str, at: int | datetime) -> list[dict[str, Any]]:
    """Give, by meter, what the runs that lie before a cut as a whole add up to."""
    return connection.execute(QUERIES["usage_whole"], {"account": account, **cut(at)}).fetchall()


def usage_straddling(connection: Connection[Any], account: str, at: int | datetime) -> list[int]:
    """Give the positions, up to a position, of the events in runs that a cut goes through."""
    rows = connection.execute(QUERIES["usage_straddling"], {"account": account, **cut(at)})
    return [row["position"] for row in rows]
