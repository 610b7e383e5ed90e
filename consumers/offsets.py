"""How far each partition is read, kept in PostgreSQL with the events: taken, claimed, and fenced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

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
# Compare and set: a claim must begin exactly where the last one ended. "Less than" would let a batch that was
# polled ahead of a rollback skip the batch before it.
_CLAIM: Final = (
    "UPDATE daybook.feed_offsets SET next_offset = %s, claimed_at = now()"
    " WHERE feed = %s AND partition = %s AND next_offset = %s AND owner_epoch = %s"
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


class Claim(msgspec.Struct, frozen=True, order=True):
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
        raise _fenced(held.feed, held.partition)
    return Held(held.feed, held.partition, held.epoch, row["next_offset"])


@dataclass
class Claims:
    """The `Extra` that moves offsets in the transaction of what they stand for, in sorted order."""

    claims: Sequence[Claim]
    done: bool = False

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim every stretch, or refuse because another consumer owns one of the partitions."""
        for claim in sorted(self.claims):
            cursor.execute(_CLAIM, (claim.end, claim.feed, claim.partition, claim.start, claim.epoch))
            if cursor.rowcount != 1:
                raise _fenced(claim.feed, claim.partition)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:  # noqa: ARG002 - Extra's shape
        """Note that the claims commit with what was appended."""
        self.done = True


def _fenced(feed: str, partition: int) -> Fenced:
    return Fenced(f"another consumer has taken over partition {partition} of {feed}")
