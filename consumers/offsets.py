"""How far each partition is read, kept in PostgreSQL with the events: taken, claimed, and fenced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from msgspec.structs import astuple

from ledger.bulk import one
from ledger.errors import DaybookError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

# The first row is made here and nowhere else, from the feed's first offset on: what was deleted before it was
# ever read is a gap, and a gap is never passed over in silence.
_TAKE: Final = (
    "INSERT INTO daybook.feed_offsets AS kept (feed, topic, partition, next_offset, owner, owner_epoch)"
    " VALUES (%s, %s, %s, 0, %s, 1)"
    " ON CONFLICT (feed, partition) DO UPDATE SET owner = EXCLUDED.owner, owner_epoch = kept.owner_epoch + 1"
    " RETURNING next_offset, owner_epoch"
)
_LOOK: Final = "SELECT next_offset, owner_epoch FROM daybook.feed_offsets WHERE feed = %s AND partition = %s"
_TAKEN_OVER: Final = (
    "SELECT held.feed, held.partition FROM unnest(%s::text[], %s::int[], %s::bigint[])"
    " AS held (feed, partition, epoch) LEFT JOIN daybook.feed_offsets AS kept"
    " ON kept.feed = held.feed AND kept.partition = held.partition AND kept.owner_epoch = held.epoch"
    " WHERE kept.feed IS NULL"
)
# Compare and set: a claim must begin exactly where the last one ended. "Less than" would let a batch that was
# polled ahead of a rollback skip the batch before it.
_CLAIM: Final = (
    "WITH held AS (SELECT kept.feed, kept.partition, claim.ends FROM daybook.feed_offsets AS kept"
    " JOIN unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[])"
    " AS claim (feed, partition, starts, ends, epoch) ON kept.feed = claim.feed"
    " AND kept.partition = claim.partition"
    " WHERE kept.next_offset = claim.starts AND kept.owner_epoch = claim.epoch"
    " ORDER BY kept.feed, kept.partition FOR UPDATE OF kept)"
    " UPDATE daybook.feed_offsets AS kept SET next_offset = held.ends, claimed_at = now()"
    " FROM held WHERE kept.feed = held.feed AND kept.partition = held.partition"
)


class Fenced(DaybookError):
    """Another consumer has taken the partition over: this one must not go on with it."""

    code: ClassVar[str] = "fenced"


class Held(msgspec.Struct, frozen=True):
    """A partition that this consumer owns: under which epoch, and from which offset on."""

    feed: str
    partition: int
    epoch: int
    next_offset: int


class Claim(msgspec.Struct, frozen=True):
    """A stretch of a partition, [start, end), that one transaction stands for."""

    feed: str
    partition: int
    start: int
    end: int
    epoch: int


def take(connection: Connection[DictRow], feed: str, topic: str, partition: int, owner: str) -> Held:
    """Take a partition over, which fences whoever had it before."""
    row = one(connection.execute(_TAKE, (feed, topic, partition, owner)))
    return Held(feed, partition, row["owner_epoch"], row["next_offset"])


def look_again(connection: Connection[DictRow], held: Held) -> Held:
    """Find out where a partition stands after a transaction whose outcome is not known."""
    row = connection.execute(_LOOK, (held.feed, held.partition)).fetchone()
    if row is None or row["owner_epoch"] != held.epoch:
        raise Fenced(f"another consumer has taken over partition {held.partition} of {held.feed}")
    return Held(held.feed, held.partition, held.epoch, row["next_offset"])


def taken_over(connection: Connection[DictRow], held: Sequence[Held]) -> set[tuple[str, int]]:
    """Name the partitions, of these, that another consumer has taken over since."""
    columns = ([one.feed for one in held], [one.partition for one in held], [one.epoch for one in held])
    return {(row["feed"], row["partition"]) for row in connection.execute(_TAKEN_OVER, columns)}


@dataclass
class Claims:
    """The `Extra` that moves offsets in the transaction of what they stand for, in sorted order."""

    claims: Sequence[Claim]
    done: bool = False

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim every stretch, or refuse because another consumer owns one of the partitions."""
        columns = zip(*(astuple(claim) for claim in self.claims), strict=True)
        cursor.execute(_CLAIM, [list(column) for column in columns])
        if cursor.rowcount != len(self.claims):
            places = sorted((claim.feed, claim.partition) for claim in self.claims)
            raise Fenced(f"another consumer has taken over one of {places}")

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:  # noqa: ARG002 - Extra's shape
        """Note that the claims commit with what was appended."""
        self.done = True
