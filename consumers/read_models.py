"""Waiting until projections have read all that was written: what is found in them then is all there is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ledger.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

# What jobs are found by, and what usage is measured by.
READ_MODELS: Final = ("due", "timeline", "corrections")
_POLL_SECONDS: Final = 0.005

_TRACKED: Final = (
    "SELECT position, failure FROM daybook.tracking WHERE projection = ANY(%s) ORDER BY position"
)
# Row-level security shows the role of commands its own book: no other book's events need waiting for.
_LAST_AFTER: Final = "SELECT max(notification_id) AS last FROM log.events WHERE notification_id > %s"


class ProjectionsBehind(Unavailable):
    """The projections have not read what was written: nobody can say yet what is due."""

    code: ClassVar[str] = "projections_behind"


def wait_until_read(
    connection: Connection[Any], seconds: float, projections: Sequence[str] = READ_MODELS
) -> None:
    """Wait until projections have read all that the log holds now, or raise `ProjectionsBehind`."""
    deadline = time.monotonic() + seconds
    reached = _reached(connection, projections)
    row = connection.execute(_LAST_AFTER, (reached,)).fetchone()
    assert row is not None, "an aggregate gives one row"
    while row["last"] is not None and _reached(connection, projections) < row["last"]:
        if time.monotonic() > deadline:
            message = "the projections have not read the log's end yet: is `daybook project` running?"
            raise ProjectionsBehind(message)
        # Asked again: projections are another process's, and tell nobody that they have moved.
        time.sleep(_POLL_SECONDS)


def _reached(connection: Connection[Any], projections: Sequence[str]) -> int:
    rows = connection.execute(_TRACKED, (list(projections),)).fetchall()
    if any(row["failure"] is not None for row in rows):
        message = "a projection that says what is due has stopped: see /readyz"
        raise ProjectionsBehind(message)
    return int(rows[0]["position"]) if len(rows) == len(projections) else 0
