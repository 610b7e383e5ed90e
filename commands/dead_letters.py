"""Commands on messages that could not be applied: settling one with its events, discarding it for good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from commands.context import Context, Done, Unit, execute
from ledger.bulk import one
from ledger.errors import Conflict, Forbidden, NotFound
from ledger.events.feed import DeadLetterDiscarded
from ledger.identifiers import derive
from ledger.values import MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from ledger.store import Extra

REPLAYED: Final = "replayed"
DISCARDED: Final = "discarded"

# The value may hold personal data and is of no more use; its digest stays.
_RESOLVE: Final = (
    "UPDATE daybook.dead_letters SET status = %s, resolved_at = %s, resolved_by = %s, resolution = %s,"
    " wrapped_value = NULL, retry_at = NULL"
    " WHERE dead_letter = ANY(%s) AND status IN ('open', 'parked') RETURNING dead_letter"
)
_BOUND: Final = "SELECT current_setting('daybook.book', true) AS book"
_LOCK: Final = "SELECT status FROM daybook.dead_letters WHERE dead_letter = %s FOR UPDATE"


def resolve(
    cursor: Cursor[DictRow], dead_letters: Sequence[str], status: str, by: str, resolution: str, now: datetime
) -> list[str]:
    """Mark dead letters replayed or discarded, and give those that were not resolved before."""
    assert status in (REPLAYED, DISCARDED), "a dead letter is resolved one way or the other"
    cursor.execute(_RESOLVE, (status, now, by, resolution, list(dead_letters)))
    return [row["dead_letter"] for row in cursor.fetchall()]


class AlreadySettled(Conflict):
    """The dead letter was replayed or discarded before."""

    code = "dead_letter_settled"


@dataclass(kw_only=True)
class Settling:
    """The `Extra` that resolves a dead letter in the transaction of the events that do so.

    The row is locked before the log is: the log's lock must never wait for somebody who holds the row.
    With a book, nothing is done in another. `elsewhere` lets the transaction run in a book that does not see
    the letter, because what the message said of its book was wrong; the caller then settles it.
    """

    dead_letter: str
    status: str
    by: str
    resolution: str
    now: datetime
    book: UUID | None = None
    elsewhere: bool = False
    held: bool = False
    position: int | None = None

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Take the row, or refuse because it is settled already or another book's."""
        if self.book is not None:
            self._bind(cursor, str(self.book))
        row = cursor.execute(_LOCK, (self.dead_letter,)).fetchone()
        self.held = row is not None
        if row is None and not self.elsewhere:
            raise NotFound(f"there is no dead letter {self.dead_letter}")
        if row is not None and row["status"] in (REPLAYED, DISCARDED):
            raise AlreadySettled(f"the dead letter was {row['status']} already")

    def _bind(self, cursor: Cursor[DictRow], book: str) -> None:
        """See that the transaction is bound to the book: row-level security then keeps it there."""
        bound = one(cursor.execute(_BOUND))["book"]
        if bound not in (None, "", book):
            raise Forbidden("the message is about another book")
        cursor.execute("SELECT set_config('daybook.book', %s, true)", (book,))

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Resolve the row, and note how far the events reached."""
        self.position = max(positions, default=None)
        if self.held:
            settled = resolve(cursor, [self.dead_letter], self.status, self.by, self.resolution, self.now)
            assert settled == [self.dead_letter], "the row is locked and was not settled"


@dataclass(frozen=True)
class Both:
    """Two extras as one: the first is claimed and written before the second."""

    first: Extra
    second: Extra | None

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim what each claims."""
        self.first.before(cursor)
        if self.second is not None:
            self.second.before(cursor)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Write what each writes."""
        self.first.after(cursor, positions)
        if self.second is not None:
            self.second.after(cursor, positions)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """What the event of a discarded message says of it."""

    dead_letter: str
    source_topic: str
    partition: int
    offset: int
    value_digest: str
    code: str


def discard_dead_letter(
    context: Context, letter: Letter, reason: str, by: str | None = None
) -> Done[DeadLetterDiscarded]:
    """Give a message up for good, with a reason; twice is once, and a replayed one is refused.

    The context's book is the message's, or the installation's own when nobody knows whose it is. `by` says
    more of who did it than the actor's principal.
    """
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    stream = derive("dead-letter-discarded", letter.dead_letter)
    event = _discarded(letter, reason)
    settling = Settling(
        dead_letter=letter.dead_letter,
        status=DISCARDED,
        by=by or context.actor.principal,
        resolution=reason,
        now=context.now,
    )

    def decide(unit: Unit) -> DeadLetterDiscarded:
        known = context.log.load(context.book, stream)
        if known:
            assert isinstance(known[0].event, DeadLetterDiscarded), "the stream holds nothing else"
            return known[0].event
        unit.add_first(stream, event)
        return event

    def extra_for(decided: DeadLetterDiscarded) -> Extra | None:
        extra = context.extra_for(decided)
        return Both(settling, extra) if decided is event else extra

    settled = replace(context, extra_for=extra_for)
    try:
        return execute(settled, decide)
    except AlreadySettled:
        if not context.log.load(context.book, stream):
            raise
        # Somebody else discarded it at the same moment.
        return execute(settled, decide)


def _discarded(letter: Letter, reason: str) -> DeadLetterDiscarded:
    return DeadLetterDiscarded(
        dead_letter=letter.dead_letter,
        source_topic=letter.source_topic,
        partition=letter.partition,
        offset=letter.offset,
        value_digest=letter.value_digest,
        code=letter.code,
        reason=reason,
    )
