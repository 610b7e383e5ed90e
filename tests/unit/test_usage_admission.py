"""Who may write usage: judged by when it was taken, and remembered until a grant changes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from consumers.admission import Admission, NotAdmitted
from consumers.usage_batch import UsageReader
from ledger.events.source import SourceWithdrawn
from ledger.identifiers import public_id, source_stream, usage_stream
from ledger.stamps import HEADER
from tests.unit.usage_reading import (
    ACCOUNT,
    BOOK,
    BOOKED_AT,
    EDGE,
    GRANTED_AT,
    MASTER_KEY,
    OTHER_BOOK,
    SERVICE,
    SETTINGS,
    SOURCE,
    TAKEN_AT,
    CountingLog,
    Given,
    bad,
    direct,
    granted,
    read,
    stamped,
    told,
    two_books,
    value,
)

if TYPE_CHECKING:
    from ledger.events import Recorded


@pytest.fixture
def log() -> CountingLog:
    return two_books()


@pytest.fixture
def admission(log: CountingLog) -> Admission:
    return Admission(log.as_log(), MASTER_KEY)


@pytest.fixture
def reader(admission: Admission) -> UsageReader:
    return UsageReader(admission, SETTINGS)


def test_a_direct_producer_s_message_is_as_its_grant_says(reader: UsageReader) -> None:
    batch = read(reader, direct())
    recorded, around = told(batch)
    assert (around.book, around.actor, around.cause) == (BOOK, SERVICE, "kafka:daybook.usage/2/7")
    assert (recorded.accepted_at, around.occurred_at, around.booked_at) == (TAKEN_AT, TAKEN_AT, BOOKED_AT)
    assert UUID(bytes=batch.rows[0].stream) == usage_stream(BOOK, SOURCE, "1")


def test_what_a_test_book_takes_is_judged_and_booked_by_the_time_of_the_book(reader: UsageReader) -> None:
    book_now = TAKEN_AT + timedelta(days=400)
    text = value(time=book_now.isoformat())
    recorded, around = told(read(reader, stamped(text, book_now, book_time=True)))
    assert (recorded.accepted_at, around.occurred_at, around.booked_at) == (book_now, book_now, book_now)
    _, around = told(read(reader, stamped(text, book_now)))
    assert around.booked_at == BOOKED_AT


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


# -- remembering ---------------------------------------------------------------------------------------


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
