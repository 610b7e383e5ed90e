"""What tests of reading usage share: two books, messages as a client gives them, what was read of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec

from ledger.codec import decode_event, decode_state, metadata_of
from ledger.events import Actor, Metadata, NewEvent, Recorded
from ledger.events.book import BookOpened
from ledger.events.source import SourceGranted
from ledger.events.usage import UsageRecorded
from ledger.identifiers import public_id, source_stream
from ledger.settings import Settings
from ledger.stamps import HEADER, Stamp, sign_stamp, stamp_key
from schemas import topics
from tests.memory_log import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumers.usage_batch import Record, UsageBatch, UsageReader
    from ledger.events import Event

MASTER_KEY = b"k" * 32
BOOK, OTHER_BOOK = UUID(int=1), UUID(int=2)
ACCOUNT = public_id("acc", UUID(int=3))
SOURCE = "svc/gateway"
# What the broker took, in whole milliseconds, and when it is booked.
TAKEN_AT = datetime(2027, 1, 31, 12, 0, 0, 5_000, tzinfo=UTC)
BOOKED_AT = TAKEN_AT + timedelta(days=3)
GRANTED_AT = datetime(2027, 1, 1, tzinfo=UTC)
PAST, FUTURE = timedelta(seconds=1_000), timedelta(seconds=60)
MICROSECOND = timedelta(microseconds=1)
SERVICE = Actor(principal="prn_service", kind="service")
EDGE = Actor(principal="prn_person", kind="person", key="key_1")
SETTINGS = Settings(
    usage_max_past_seconds=int(PAST.total_seconds()), usage_max_future_seconds=int(FUTURE.total_seconds())
)


@dataclass(frozen=True)
class Given:
    """A record as a client gives it."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = round(TAKEN_AT.timestamp() * 1000)
    offset: int = 7
    topic: str = topics.USAGE
    partition: int = 2


class CountingLog(MemoryLog):
    """A log that counts what is read of it, and may be out of reach."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0
        self.failure: Exception | None = None

    def load(self, book: UUID, stream: UUID) -> list[Recorded]:
        self.loads += 1
        if self.failure is not None:
            raise self.failure
        return super().load(book, stream)

    def add(self, book: UUID, stream: UUID, *events: Event) -> None:
        """Append events to a stream."""
        around = Metadata(book=book, occurred_at=GRANTED_AT, booked_at=GRANTED_AT, actor=EDGE, cause="test")
        first = self.version_of(book, stream) + 1
        self.append(
            book,
            [
                NewEvent(stream=stream, stream_version=version, event=event, metadata=around)
                for version, event in enumerate(events, first)
            ],
        )


def two_books() -> CountingLog:
    """Make a log with two books, in the first of which the source is granted."""
    made = CountingLog()
    for book in (BOOK, OTHER_BOOK):
        opened = BookOpened(
            book=public_id("book", book),
            organisation="org_1",
            organisation_name="Acme",
            mode="live",
            functional_currency="USD",
            time_zone="UTC",
            fiscal_year_start_month=1,
        )
        made.add(book, book, opened)
    made.add(BOOK, source_stream(BOOK, SOURCE), granted(GRANTED_AT))
    return made


def granted(at: datetime, *scopes: str) -> SourceGranted:
    return SourceGranted(
        source=SOURCE,
        principal=SERVICE.principal,
        principal_kind=SERVICE.kind,
        scopes=scopes or ("usage:write",),
        granted_at=at,
    )


def event(event_id: str = "1", **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": "calls",
        "subject": ACCOUNT,
        "time": TAKEN_AT.isoformat(),
        "book": public_id("book", BOOK),
        "data": {"quantity": "1"},
        **changes,
    }


def value(event_id: str = "1", **changes: Any) -> bytes:
    return msgspec.json.encode(event(event_id, **changes))


def direct(event_id: str = "1", **changes: Any) -> Given:
    """Give a message of a direct producer."""
    return Given(value(event_id, **changes))


def stamped(
    text: bytes,
    accepted_at: datetime = TAKEN_AT,
    key: bytes = MASTER_KEY,
    *,
    book_time: bool = False,
    **changes: Any,
) -> Given:
    """Give a message that the edge took."""
    stamp = Stamp(accepted_at=accepted_at, book=BOOK, actor=EDGE, cause="http:1", book_time=book_time)
    header = sign_stamp(stamp, topics.USAGE, text, stamp_key(key))
    return Given(text, [("traceparent", b"00"), (HEADER, header)], **changes)


def read(reader: UsageReader, *records: Given) -> UsageBatch:
    return reader.read(cast("list[Record]", records), BOOKED_AT)


def records_in(batch: UsageBatch) -> list[Any]:
    """Give the records that became rows."""
    return list(batch.records)


def told(batch: UsageBatch) -> tuple[UsageRecorded, Metadata]:
    """Give what the only row of a batch says."""
    (row,) = batch.rows
    assert batch.bad == []
    state = decode_state(row.state)
    recorded = decode_event(UsageRecorded.topic, state, UUID(bytes=row.stream), 1, {})
    assert isinstance(recorded, UsageRecorded)
    return recorded, metadata_of(state, UUID(bytes=row.book))


def bad(batch: UsageBatch) -> tuple[str, str]:
    """Give what is wrong with the only message of a batch."""
    assert batch.rows == []
    (one,) = batch.bad
    return one.code, one.reason
