"""How far the log is published: the row that says so, and the publisher that alone may move it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from psycopg.rows import tuple_row

from consumers.published_event import Epoch
from ledger.errors import DaybookError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from consumers.published_event import LogRow

_CLAIM: Final = (
    "INSERT INTO daybook.published (feed, publisher, epoch, epoch_after, position)"
    " SELECT %(feed)s, %(publisher)s, max(epoch), 0, 0 FROM daybook.log_epochs"
    " ON CONFLICT (feed) DO UPDATE SET publisher = excluded.publisher"
)
_STANDING: Final = (
    "SELECT publisher, epoch, epoch_after, position, (SELECT max(epoch) FROM daybook.log_epochs) AS current"
    " FROM daybook.published WHERE feed = %s"
)
_MOVE: Final = (
    "UPDATE daybook.published SET epoch = %(epoch)s, epoch_after = %(after)s, position = %(position)s,"
    " moved_at = now() WHERE feed = %(feed)s AND publisher = %(publisher)s"
    " AND epoch = %(from_epoch)s AND position = %(from_position)s"
)
_ROWS: Final = (
    "SELECT notification_id, originator_id::text, originator_version, topic, state, book::text, recorded_at"
    " FROM log.events WHERE notification_id > %s ORDER BY notification_id LIMIT %s"
)
_AT: Final = (
    "SELECT notification_id, originator_id::text, originator_version FROM log.events"
    " WHERE notification_id = ANY(%s)"
)


class Fenced(DaybookError):
    """Another publisher has taken this one's place."""

    code: ClassVar[str] = "fenced"


@dataclass(frozen=True)
class Standing:
    """Where publishing stands: the row's epoch and position, and the epoch that the log is in by now."""

    row_epoch: int
    position: int
    epoch: Epoch

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Standing:
        """Read a row; when the log's epoch was raised since, what is published next is of the new one."""
        after = row["epoch_after"] if row["epoch"] == row["current"] else row["position"]
        return cls(row["epoch"], row["position"], Epoch(row["current"], after))


class Published:
    """One feed's row, as one publisher sees it."""

    def __init__(self, connection: Connection[Any], feed: str, publisher: str) -> None:
        """Name the feed and the publisher."""
        self._connection = connection
        self._feed = feed
        self._publisher = publisher

    def claim(self) -> None:
        """Take the place of whoever published before: that one can move the row no more."""
        self._connection.execute(_CLAIM, {"feed": self._feed, "publisher": self._publisher})

    def standing(self) -> Standing:
        """Read where publishing stands; Fenced when another publisher has taken the place."""
        row = self._connection.execute(_STANDING, (self._feed,)).fetchone()
        if row is None or row["publisher"] != self._publisher:
            raise _fenced()
        return Standing.of(row)

    def move(self, standing: Standing, position: int) -> Standing:
        """Move the row from where it stood; Fenced when it was moved by another."""
        parameters = {
            "epoch": standing.epoch.number,
            "after": standing.epoch.after,
            "position": position,
            "feed": self._feed,
            "publisher": self._publisher,
            "from_epoch": standing.row_epoch,
            "from_position": standing.position,
        }
        if self._connection.execute(_MOVE, parameters).rowcount != 1:
            raise _fenced()
        return Standing(standing.epoch.number, position, standing.epoch)


def read_log(connection: Connection[Any], after: int, limit: int) -> list[LogRow]:
    """Read the next rows of all books as they are stored, in log order."""
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        return cursor.execute(_ROWS, (after, limit)).fetchall()


def events_at(connection: Connection[Any], positions: list[int]) -> dict[int, tuple[str, int]]:
    """Give stream and version of the events at these positions, leaving out those the log does not have."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        return {row[0]: (row[1], row[2]) for row in cursor.execute(_AT, (positions,))}


def _fenced() -> Fenced:
    return Fenced("another publisher has taken this one's place")
