"""Reading usage into batches: who may write, how large, how old, and nothing that one bad message stops."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import msgspec
import psycopg
import pytest

from consumers import usage_batch
from consumers.admission import Admission, NotAdmitted
from consumers.usage_batch import MAX_USAGE_BYTES, UsageBatch, UsageReader
from ledger.codec import decode_event, decode_state, metadata_of
from ledger.errors import Unavailable
from ledger.events import Actor, Metadata, NewEvent, Recorded
from ledger.events.book import BookOpened
from ledger.events.source import SourceGranted, SourceWithdrawn
from ledger.events.usage import UsageRecorded
from ledger.identifiers import public_id, source_stream, usage_stream
from ledger.settings import Settings
from ledger.stamps import HEADER, Stamp, sign_stamp, stamp_key
from ledger.usage_row import usage_row
from schemas import topics
from tests.memory_log import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consumers.usage_batch import Record
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


@pytest.fixture
def log() -> CountingLog:
    """Open two books, in the first of which the source is granted."""
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


@pytest.fixture
def admission(log: CountingLog) -> Admission:
    return Admission(log.as_log(), MASTER_KEY)


@pytest.fixture
def reader(admission: Admission) -> UsageReader:
    return UsageReader(admission, SETTINGS)


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


def stamped(text: bytes, accepted_at: datetime = TAKEN_AT, key: bytes = MASTER_KEY, **changes: Any) -> Given:
    """Give a message that the edge took."""
    stamp = Stamp(accepted_at=accepted_at, book=BOOK, actor=EDGE, cause="http:1")
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


# -- who may write ------------------------------------------------------------------------------------


def test_a_direct_producer_s_message_is_as_its_grant_says(reader: UsageReader) -> None:
    batch = read(reader, direct())
    recorded, around = told(batch)
    assert (around.book, around.actor, around.cause) == (BOOK, SERVICE, "kafka:daybook.usage/2/7")
    assert (recorded.accepted_at, around.occurred_at, around.booked_at) == (TAKEN_AT, TAKEN_AT, BOOKED_AT)
    assert UUID(bytes=batch.rows[0].stream) == usage_stream(BOOK, SOURCE, "1")


def test_a_stamped_message_is_as_its_stamp_says_whatever_it_says_itself(
    reader: UsageReader, log: CountingLog
) -> None:
    taken_at = TAKEN_AT - timedelta(seconds=30)
    for text in (value(source="anyone", book=None), value(book=public_id("book", OTHER_BOOK))):
        recorded, around = told(read(reader, stamped(text, taken_at)))
        assert (around.book, around.actor, around.cause) == (BOOK, EDGE, "http:1")
        assert recorded.accepted_at == taken_at
    assert log.loads == 0, "a stamp needs no grant"


def test_a_stamp_that_is_not_ours_is_refused_although_the_source_is_granted(reader: UsageReader) -> None:
    moved = Given(value("2"), stamped(value("1")).headers)
    for record in (stamped(value(), key=b"x" * 32), moved, Given(value(), [(HEADER, b"")])):
        assert bad(read(reader, record))[0] == "not_admitted"


def test_other_headers_do_not_matter(reader: UsageReader) -> None:
    assert told(read(reader, Given(value(), [("traceparent", b"00"), ("x-stamp", b"")])))[1].actor == SERVICE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"book": None}, "book: is required"),
        ({"book": "book_1"}, "book: "),
        ({"book": ACCOUNT}, "book: "),
        ({"book": public_id("book", UUID(int=9))}, "there is no such book"),
        ({"book": public_id("book", OTHER_BOOK)}, "not granted usage:write in this book"),
        ({"source": "svc"}, "the source 'svc' is not granted"),
    ],
    ids=str,
)
def test_without_a_grant_in_its_book_a_message_is_refused(
    reader: UsageReader, changes: dict[str, Any], reason: str
) -> None:
    batch = read(reader, direct(**changes))
    assert bad(batch)[0] == "not_admitted"
    assert reason in bad(batch)[1]
    # The book that did not take it is not told of it.
    assert (batch.bad[0].book, batch.bad[0].fact) == (None, None)


def test_a_grant_of_the_wider_scope_is_one_for_usage_too(log: CountingLog, reader: UsageReader) -> None:
    log.add(OTHER_BOOK, source_stream(OTHER_BOOK, SOURCE), granted(GRANTED_AT, "write"))
    _, around = told(read(reader, direct(book=public_id("book", OTHER_BOOK))))
    assert around.book == OTHER_BOOK


def test_a_grant_for_usage_is_none_for_commands(admission: Admission) -> None:
    at_ms = round(TAKEN_AT.timestamp() * 1000)
    with pytest.raises(NotAdmitted, match="not granted write"):
        admission.granted(public_id("book", BOOK), SOURCE, "write", at_ms, TAKEN_AT)


@pytest.mark.parametrize(
    ("milliseconds", "admitted"), [(-1, True), (0, False), (999, False), (1_000, True), (1_001, True)]
)
def test_a_grant_is_judged_by_when_the_broker_took_the_message(
    log: CountingLog, reader: UsageReader, milliseconds: int, *, admitted: bool
) -> None:
    withdrawn = SourceWithdrawn(source=SOURCE, reason="replaced", withdrawn_at=TAKEN_AT)
    log.add(BOOK, source_stream(BOOK, SOURCE), withdrawn, granted(TAKEN_AT + timedelta(seconds=1)))
    at = round(TAKEN_AT.timestamp() * 1000) + milliseconds
    assert len(read(reader, Given(value(), timestamp=at)).rows) == admitted


def test_grants_are_remembered_until_one_changes(
    log: CountingLog, admission: Admission, reader: UsageReader
) -> None:
    first = read(reader, *(direct(str(number)) for number in range(50)))
    loads = log.loads
    assert len(read(reader, direct()).rows) == 1
    assert log.loads == loads
    withdrawn = SourceWithdrawn(source=SOURCE, reason="replaced", withdrawn_at=GRANTED_AT)
    log.add(BOOK, source_stream(BOOK, SOURCE), withdrawn)
    assert len(read(reader, direct()).rows) == 1, "nobody has said that one changed"
    admission.forget_grants()
    second = read(reader, direct())
    assert bad(second)[0] == "not_admitted"
    assert second.grants_version == first.grants_version + 1


# -- times --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("away", "good"),
    [
        (-PAST - MICROSECOND, False),
        (-PAST, True),
        (timedelta(0), True),
        (FUTURE, True),
        (FUTURE + MICROSECOND, False),
    ],
    ids=["too early", "just early enough", "at once", "just late enough", "too late"],
)
@pytest.mark.parametrize("edge_took_it", [False, True], ids=["direct", "stamped"])
def test_usage_lies_within_limits_of_when_it_was_taken(
    reader: UsageReader, away: timedelta, *, good: bool, edge_took_it: bool
) -> None:
    # The edge took it long before the broker did, and it is by the edge's time that it is judged.
    taken_at = TAKEN_AT - timedelta(days=2) + 3 * MICROSECOND if edge_took_it else TAKEN_AT
    text = value(time=(taken_at + away).isoformat())
    batch = read(reader, stamped(text, taken_at) if edge_took_it else Given(text))
    if good:
        assert told(batch)[1].occurred_at == taken_at + away
        return
    code, reason = bad(batch)
    assert code == "invalid"
    assert (
        reason == f"time: must lie from {(taken_at - PAST).isoformat()} to {(taken_at + FUTURE).isoformat()}"
    )
    # It was admitted, so the book it is for is told of it.
    assert batch.bad[0].book == BOOK
    assert batch.bad[0].fact is not None


def test_every_message_is_judged_by_its_own_time(reader: UsageReader) -> None:
    early = TAKEN_AT - timedelta(days=2)
    at = round(early.timestamp() * 1000)
    records = [
        Given(value("1")),
        Given(value("2"), timestamp=at),
        Given(value("3", time=early.isoformat()), timestamp=at),
        stamped(value("4", time=early.isoformat()), early),
        Given(value("5", time=early.isoformat())),
        Given(value("6")),
    ]
    batch = read(reader, *records)
    assert [fact.event_id for fact in batch.facts] == ["1", "3", "4", "6"]
    assert [one.fact.event_id for one in batch.bad if one.fact is not None] == ["2", "5"]


# -- sizes and shapes ---------------------------------------------------------------------------------


def test_a_message_may_have_64_kib_and_no_more(reader: UsageReader) -> None:
    text = value()
    largest = text + b" " * (MAX_USAGE_BYTES - len(text))
    assert len(read(reader, Given(largest)).rows) == 1
    assert bad(read(reader, Given(largest + b" "))) == (
        "too_large",
        "a usage event has at most 65536 bytes",
    )


def test_a_message_without_a_value_says_nothing(reader: UsageReader) -> None:
    assert bad(read(reader, Given(None)))[0] == "no_value"
    assert bad(read(reader, Given(b"")))[0] == "payload_refused"


def test_what_is_wrong_is_told_with_the_id_as_far_as_it_can_be_read(reader: UsageReader) -> None:
    batch = read(reader, direct("7", data={"quantity": "-1"}), Given(b"{not json"))
    first, second = batch.bad
    assert (first.code, first.reason, first.event_id) == (
        "invalid",
        "data.quantity: must not be negative",
        "7",
    )
    assert (second.code, second.event_id) == ("payload_refused", None)


# -- one among others ---------------------------------------------------------------------------------


def test_good_and_bad_keep_their_order_and_their_records(reader: UsageReader) -> None:
    records = [direct("1"), Given(None), direct("2"), Given(b"[]"), direct("3", book=None), direct("4")]
    batch = read(reader, *records)
    assert records_in(batch) == [records[0], records[2], records[5]]
    assert [fact.event_id for fact in batch.facts] == ["1", "2", "4"]
    assert len(batch.rows) == 3
    assert [one.record for one in batch.bad] == [records[1], records[3], records[4]]
    assert batch.messages == len(records)


def failing_on(event_id: str, error: Exception) -> Callable[..., Any]:
    """Give what makes rows, but fails on one event."""

    def make(fact: Any, *given: Any) -> Any:
        if fact.event_id == event_id:
            raise error
        return usage_row(fact, *given)

    return make


def test_what_nobody_foresaw_is_one_bad_message_and_not_the_batch_s_end(
    reader: UsageReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_batch, "usage_row", failing_on("2", ZeroDivisionError("by zero")))
    records = [direct(str(number)) for number in range(1, 4)]
    batch = read(reader, *records)
    assert records_in(batch) == [records[0], records[2]]
    assert [fact.event_id for fact in batch.facts] == ["1", "3"]
    assert len(batch.rows) == 2
    (one,) = batch.bad
    assert (one.record, one.code, one.waits) == (records[1], "internal", False)
    # Not what the error says, which may quote the message.
    assert one.reason.startswith("ZeroDivisionError at ")


@pytest.mark.parametrize(
    "error", [Unavailable("out of reach"), psycopg.OperationalError("gone"), psycopg.InterfaceError("gone")]
)
def test_a_database_out_of_reach_is_no_message_s_fault(
    log: CountingLog, reader: UsageReader, error: Exception
) -> None:
    log.failure = error
    with pytest.raises(type(error)):
        read(reader, direct())
    log.failure = None
    assert len(read(reader, direct()).rows) == 1, "nothing wrong was remembered"


def test_an_empty_batch_is_of_no_messages(reader: UsageReader) -> None:
    assert read(reader).messages == 0


def test_some_rows_of_a_batch_can_be_taken_alone_or_made_bad(reader: UsageReader) -> None:
    records = [direct("1"), direct("2"), Given(None), direct("3")]
    batch = read(reader, *records)
    alone = batch.only([2, 0])
    assert [fact.event_id for fact in alone.facts] == ["3", "1"]
    assert (records_in(alone), alone.bad) == ([records[3], records[0]], [])
    assert alone.grants_version == batch.grants_version
    rest = batch.without({1, 0}, "internal", "cannot be held")
    assert [fact.event_id for fact in rest.facts] == ["3"]
    assert rest.messages == batch.messages
    assert [(one.record, one.code, one.book) for one in rest.bad] == [
        (records[2], "no_value", None),
        (records[0], "internal", BOOK),
        (records[1], "internal", BOOK),
    ]
    assert len(batch.bad) == 1, "the batch it was made of is as it was"


# -- remembering --------------------------------------------------------------------------------------


def test_what_is_remembered_has_a_limit(
    log: CountingLog, reader: UsageReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.admission._MOST_REMEMBERED", 3)
    for number in range(20):
        read(reader, direct(source=f"svc/{number}"))
    assert len(read(reader, direct()).rows) == 1
    loads = log.loads
    assert len(read(reader, direct()).rows) == 1
    assert log.loads == loads


def test_a_grant_that_changes_while_it_is_read_is_not_remembered(
    log: CountingLog, admission: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = log.load

    def change_meanwhile(book: UUID, stream: UUID) -> list[Recorded]:
        found = load(book, stream)
        admission.forget_grants()
        return found

    monkeypatch.setattr(log, "load", change_meanwhile)
    at_ms = round(TAKEN_AT.timestamp() * 1000)
    for _ in range(2):
        before = log.loads
        found = admission.granted(public_id("book", BOOK), SOURCE, "usage:write", at_ms, TAKEN_AT)
        assert found.actor == SERVICE
        assert log.loads > before


def test_a_stream_that_is_no_book_s_is_no_book(log: CountingLog, admission: Admission) -> None:
    log.add(UUID(int=5), UUID(int=5), granted(GRANTED_AT))
    with pytest.raises(NotAdmitted, match="no such book"):
        admission.mode_of(UUID(int=5))
    assert admission.mode_of(BOOK) == "live"
