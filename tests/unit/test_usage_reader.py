"""Reading usage into batches: how old, how large, and nothing that one bad message stops."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from consumers import usage_batch
from consumers.admission import Admission
from consumers.usage_batch import MAX_USAGE_BYTES, UsageReader
from ledger.errors import Unavailable
from ledger.usage_row import usage_row
from tests.unit.usage_reading import (
    BOOK,
    FUTURE,
    MASTER_KEY,
    MICROSECOND,
    PAST,
    SETTINGS,
    TAKEN_AT,
    CountingLog,
    Given,
    bad,
    direct,
    read,
    records_in,
    stamped,
    told,
    two_books,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def log() -> CountingLog:
    return two_books()


@pytest.fixture
def admission(log: CountingLog) -> Admission:
    return Admission(log.as_log(), MASTER_KEY)


@pytest.fixture
def reader(admission: Admission) -> UsageReader:
    return UsageReader(admission, SETTINGS)


# -- times ---------------------------------------------------------------------------------------------


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


# -- sizes and shapes ----------------------------------------------------------------------------------


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


# -- one among others ----------------------------------------------------------------------------------


def test_good_and_bad_keep_their_order_and_their_records(reader: UsageReader) -> None:
    records = [direct("1"), Given(None), direct("2"), Given(b"[]"), direct("3", book=None), direct("4")]
    batch = read(reader, *records)
    assert records_in(batch) == [records[0], records[2], records[5]]
    assert [fact.event_id for fact in batch.facts] == ["1", "2", "4"]
    assert len(batch.rows) == 3
    assert [one.record for one in batch.bad] == [records[1], records[3], records[4]]


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
    batch = read(reader)
    assert (batch.rows, batch.bad) == ([], [])


def test_some_rows_of_a_batch_can_be_taken_alone_or_made_bad(reader: UsageReader) -> None:
    records = [direct("1"), direct("2"), Given(None), direct("3")]
    batch = read(reader, *records)
    alone = batch.only([2, 0])
    assert [fact.event_id for fact in alone.facts] == ["3", "1"]
    assert (records_in(alone), alone.bad) == ([records[3], records[0]], [])
    assert alone.grants_version == batch.grants_version
    rest = batch.without({1, 0}, "internal", "cannot be held")
    assert [fact.event_id for fact in rest.facts] == ["3"]
    assert [(one.record, one.code, one.book) for one in rest.bad] == [
        (records[2], "no_value", None),
        (records[0], "internal", BOOK),
        (records[1], "internal", BOOK),
    ]
    assert len(batch.bad) == 1, "the batch it was made of is as it was"
