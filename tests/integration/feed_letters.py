"""What the tests of dead letters make: messages of a feed, and rejections of them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from consumers.dead_letters import Rejected, insert
from consumers.message import Message
from ledger.events.account import AccountRegistered
from ledger.identifiers import public_id
from schemas import topics
from tests.integration.log_events import BOOK, new_event

if TYPE_CHECKING:
    from uuid import UUID

    from ledger.events import NewEvent
    from ledger.store import Log

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
_offsets = count(1)


def message(value: bytes | None = b"{}", *, topic: str = topics.USAGE, **more: Any) -> Message:
    """Make a message that stands somewhere of its own in the feed."""
    place = {"feed": f"cluster/{topic}", "partition": 0, "offset": next(_offsets), "timestamp": NOW}
    return Message(**{"topic": topic, "key": b"key", "value": value, **place, **more})


def rejected(value: bytes | None = b"{}", *, topic: str = topics.USAGE, **more: Any) -> Rejected:
    """Reject a message of its own."""
    told: dict[str, Any] = {"code": "invalid", "reason": "quantity: must not be negative", "book": BOOK}
    return Rejected(**{"message": message(value, topic=topic), **told, **more})


def keep(log: Log, *letters: Rejected, now: datetime = NOW, book: UUID | None = None) -> list[str]:
    """Insert dead letters as the log's role and give their ids."""
    with log.connection() as connection, connection.transaction():
        cursor = connection.cursor()
        cursor.execute("SELECT set_config('daybook.book', %s, true)", (str(book or ""),))
        insert(cursor, letters, now, log)
    return [one.message.dead_letter for one in letters]


def registered(stream: UUID, book: UUID = BOOK) -> NewEvent:
    """Register the account of a stream."""
    event = AccountRegistered(
        account=public_id("acc", stream), name="Ada", email=None, currency=None, time_zone="UTC"
    )
    return new_event(stream, 1, event, book)
