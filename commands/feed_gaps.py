"""Gaps of the feed: messages that Kafka gave up before they were read, accepted by a person with a reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from commands.context import Context, Done, Unit, execute
from ledger.errors import Conflict
from ledger.identifiers import derive
from ledger.values import MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from ledger.events.feed import FeedGapAccepted

# Whoever reads the partition now must begin anew from there: a new epoch fences its claims.
_MOVE: Final = (
    "UPDATE daybook.feed_offsets SET next_offset = %s, owner_epoch = owner_epoch + 1"
    " WHERE feed = %s AND partition = %s AND next_offset = %s"
)


@dataclass(frozen=True)
class _Moving:
    """The offset's move, in the transaction of the event that says why."""

    gap: FeedGapAccepted

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Move the offset, or refuse because it is not where the gap begins any more."""
        gap = self.gap
        cursor.execute(_MOVE, (gap.to_offset, gap.feed, gap.partition, gap.from_offset))
        if cursor.rowcount != 1:
            raise Conflict(f"reading is not at offset {gap.from_offset} any more")

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Write nothing more."""


def accept_gap(context: Context, gap: FeedGapAccepted) -> Done[FeedGapAccepted]:
    """Have reading go on behind a gap; the context's book is the installation's own."""
    checked_text(gap.reason, MAX_REASON_CHARACTERS, "reason")
    place = (gap.feed, str(gap.partition), str(gap.from_offset), str(gap.to_offset))
    stream = derive("feed-gap", *place)

    def decide(unit: Unit) -> FeedGapAccepted:
        # The same gap may open again: a topic may be cut short twice.
        unit.add_at(stream, context.log.version_of(context.book, stream) + 1, gap)
        return gap

    return execute(replace(context, extra_for=_Moving), decide)
