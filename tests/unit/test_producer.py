"""What a publishing service sees of the producer when no Kafka is anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kafka.partitioner import DefaultPartitioner

from ledger.errors import Invalid
from ledger.identifiers import public_id
from ledger.usage_row import UsageFact
from schemas.producer import Counts, Dropped, UsageProducer
from schemas.producer_client import client_options, connect
from schemas.producer_message import EventIds, Letterhead, key_of
from schemas.usage_wire import Malformed, read_event

if TYPE_CHECKING:
    from collections.abc import Iterator

# Nobody listens there: it is a port that needs a right to be listened on.
NOWHERE = "127.0.0.1:1"
ACCOUNT = public_id("acc", UUID(int=1))
BOOK = public_id("book", UUID(int=2))
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
# Generous: what waited for Kafka would take far longer.
AT_ONCE_SECONDS = 0.5


@contextmanager
def usage_producer(**options: Any) -> Iterator[UsageProducer]:
    producer = UsageProducer(NOWHERE, **{"source": "gateway", "book": BOOK, "clock": lambda: NOON, **options})
    try:
        yield producer
    finally:
        producer.close(0)


def seconds_of(begin: float) -> float:
    return time.monotonic() - begin


def test_it_imports_nothing_that_a_publishing_service_does_not_need() -> None:
    script = "import schemas.producer, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True
    )
    found = set(done.stdout.split()) - sys.stdlib_module_names
    needed = {"kafka", "msgspec", "ledger", "schemas"}
    # The last ones come with Python's own start, or with the checksum that the library takes if it is there.
    assert needed <= found <= needed | {"crc32c", "typing_extensions", "__main__", "_distutils_hack"}


def test_making_one_neither_waits_nor_fails_while_kafka_is_away() -> None:
    begin = time.monotonic()
    with usage_producer() as producer:
        assert seconds_of(begin) < AT_ONCE_SECONDS
        assert producer.counts() == Counts(0, 0, 0, 0, Dropped())


def test_recording_does_not_wait_while_kafka_is_away() -> None:
    with usage_producer() as producer:
        begin = time.monotonic()
        ids = [producer.record(ACCOUNT, "api_calls", 1) for _ in range(1_000)]
        assert seconds_of(begin) < AT_ONCE_SECONDS
        assert None not in ids
        assert producer.counts() == Counts(1_000, 0, 1_000, 0, Dropped())


def test_an_event_has_the_id_its_caller_gave_it_or_one_nobody_else_has() -> None:
    with usage_producer() as producer:
        assert producer.record(ACCOUNT, "api_calls", 1, event_id="order-7/line 2") == "order-7/line 2"
        ids = {producer.record(ACCOUNT, "api_calls", 1) for _ in range(2_000)}
        assert len(ids) == 2_000
        assert all(event_id is not None and len(event_id) == 32 for event_id in ids)


def test_a_full_buffer_holds_a_caller_up_once_and_no_longer_than_it_may() -> None:
    with usage_producer(max_pending=10, max_block_seconds=0.2) as producer:
        for _ in range(10):
            assert producer.record(ACCOUNT, "api_calls", 1) is not None
        begin = time.monotonic()
        assert producer.record(ACCOUNT, "api_calls", 1) is None
        assert 0.2 <= seconds_of(begin) < 0.2 + AT_ONCE_SECONDS
        begin = time.monotonic()
        # Nothing has left since: waiting again would find out nothing.
        assert {producer.record(ACCOUNT, "api_calls", 1) for _ in range(100)} == {None}
        assert seconds_of(begin) < AT_ONCE_SECONDS
        assert producer.counts() == Counts(111, 0, 10, 0, Dropped(full=101))


def test_a_buffer_is_full_by_bytes_too() -> None:
    page: dict[str, Any] = {f"p{number}": "x" * 512 for number in range(50)}
    with usage_producer(max_pending_bytes=2**20, max_block_seconds=0) as producer:
        kept = [producer.record(ACCOUNT, "api_calls", 1, **page) for _ in range(60)]
        counts = producer.counts()
        assert 30 < counts.pending < 40
        assert counts == Counts(60, 0, counts.pending, 0, Dropped(full=60 - counts.pending))
        assert kept.count(None) == counts.dropped.full


def test_what_kafka_did_not_take_in_time_is_given_up_and_counted() -> None:
    with usage_producer(give_up_seconds=0.3) as producer:
        for _ in range(5):
            producer.record(ACCOUNT, "api_calls", 1)
        assert producer.flush(10)
        assert producer.counts() == Counts(5, 0, 0, 0, Dropped(gave_up=5))


def test_flushing_says_when_it_was_in_vain() -> None:
    with usage_producer() as producer:
        assert producer.flush(0)
        producer.record(ACCOUNT, "api_calls", 1)
        begin = time.monotonic()
        assert not producer.flush(0.1)
        assert seconds_of(begin) < 0.1 + AT_ONCE_SECONDS


def test_closing_counts_what_it_could_not_send_and_takes_no_more() -> None:
    with usage_producer() as producer:
        producer.record(ACCOUNT, "api_calls", 1)
        begin = time.monotonic()
        assert not producer.close(0.1)
        assert seconds_of(begin) < 0.1 + 1 + AT_ONCE_SECONDS
        assert producer.counts() == Counts(1, 0, 0, 0, Dropped(closed=1))
        assert producer.record(ACCOUNT, "api_calls", 1) is None
        assert producer.counts() == Counts(2, 0, 0, 0, Dropped(closed=2))
        assert producer.close(0)


def test_a_forked_child_begins_with_nothing_and_other_ids() -> None:
    with usage_producer() as producer:
        parents = producer.record(ACCOUNT, "api_calls", 1)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            own = producer.record(ACCOUNT, "api_calls", 1)
            says = own not in {parents, None} and producer.counts() == Counts(1, 0, 1, 0, Dropped())
            os.write(writing, b"yes" if says else b"no")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 3) == b"yes"
        os.close(reading)
        os.close(writing)
        assert producer.counts() == Counts(1, 0, 1, 0, Dropped())
        # The child's ids are not the parent's next ones either.
        assert producer.record(ACCOUNT, "api_calls", 1) != parents


def test_a_kafka_that_stays_away_leaves_nothing_open() -> None:
    options = client_options(NOWHERE, 0.1, {})
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect(options)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize(
    ("field", "event"),
    [
        ("account", {"account": 7}),
        ("", {"account": "acct_1"}),
        ("", {"account": BOOK}),
        ("meter", {"meter": ""}),
        ("meter", {"meter": "m" * 101}),
        ("meter", {"meter": None}),
        ("quantity", {"quantity": -1}),
        ("quantity", {"quantity": 10**18}),
        ("quantity", {"quantity": 1.5}),
        ("quantity", {"quantity": True}),
        ("quantity", {"quantity": "a few"}),
        ("quantity", {"quantity": Decimal("NaN")}),
        ("quantity", {"quantity": Decimal("1E-13")}),
        ("event_id", {"event_id": ""}),
        ("event_id", {"event_id": "\0"}),
        ("event_id", {"event_id": "\ud800"}),
        ("event_id", {"event_id": "i" * 256}),
        ("event_id", {"event_id": UUID(int=1)}),
        ("time", {"time": datetime(2026, 11, 1)}),  # noqa: DTZ001 - what is refused
        ("time", {"time": datetime(1970, 1, 1, tzinfo=UTC)}),
        ("time", {"time": datetime(2970, 1, 1, tzinfo=UTC)}),
        ("time", {"time": "2026-11-01T00:00:00Z"}),
        ("data.seconds", {"seconds": 0.1}),
        ("data.tags", {"tags": ["a"]}),
        ("data.at", {"at": NOON}),
        ("data.big", {"big": 10**18}),
        ("data.big", {"big": Decimal("Infinity")}),
        ("data.note", {"note": "x" * 513}),
        ("data.note", {"note": "a\0b"}),
        ("data.", {"": 1}),
        ("data", {f"p{number}": 1 for number in range(51)}),
    ],
)
def test_what_daybook_would_refuse_is_refused_at_once_and_not_counted(
    field: str, event: dict[str, Any]
) -> None:
    good: dict[str, Any] = {"account": ACCOUNT, "meter": "api_calls", "quantity": 1}
    with usage_producer() as producer:
        with pytest.raises(Invalid) as refused:
            producer.record(**good | event)
        assert set(refused.value.errors) <= {field}
        assert producer.counts().recorded == 0


@pytest.mark.parametrize(
    "options",
    [
        {"source": ""},
        {"source": "s" * 256},
        {"book": ACCOUNT},
        {"max_pending": 0},
        {"max_pending_bytes": 1},
        {"max_block_seconds": -1},
        {"give_up_seconds": 0},
    ],
)
def test_a_producer_that_could_not_work_is_not_made(options: dict[str, Any]) -> None:
    with pytest.raises((Invalid, ValueError)), usage_producer(**options):
        pass


@pytest.mark.parametrize("option", ["acks", "enable_idempotence", "transactional_id", "lingerms"])
def test_options_that_would_break_its_word_and_unknown_ones_are_refused(option: str) -> None:
    with pytest.raises(TypeError, match=option), usage_producer(**{option: 1}):
        pass


def test_kafkas_own_options_may_be_chosen() -> None:
    with usage_producer(security_protocol="SASL_SSL", sasl_mechanism="PLAIN", linger_ms=50):
        pass


_odd = st.lists(st.sampled_from([" ", "\t", "\0", "\x1f", "ä", "a", "\ud800"]), max_size=4).map("".join)
_texts = st.text(max_size=520) | _odd
_values = (
    _texts
    | st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**19)
    | st.decimals(allow_nan=True, allow_infinity=True)
)


@given(
    event_id=_texts,
    meter=st.text(max_size=101),
    quantity=st.integers(-1, 10**19) | st.decimals() | st.text(alphabet="0123456789.eE-+ ", max_size=12),
    at=st.datetimes(timezones=st.just(UTC)),
    properties=st.dictionaries(st.text(max_size=66), _values, max_size=3),
)
def test_what_it_writes_is_read_by_the_consumer_as_it_was_meant(
    event_id: str, meter: str, quantity: Any, at: datetime, properties: dict[str, Any]
) -> None:
    try:
        value = Letterhead("gateway", BOOK).cloud_event(event_id, ACCOUNT, meter, quantity, at, properties)
    except Invalid:
        return
    assert read_event(value) == UsageFact(
        event_id=event_id,
        source="gateway",
        meter=meter,
        account=ACCOUNT,
        quantity=Decimal(quantity),
        occurred_at=at,
        properties=properties,
        book=BOOK,
    )


@given(name=st.text(max_size=66) | _odd, value=_values)
def test_what_it_refuses_the_consumer_would_refuse(name: str, value: Any) -> None:
    assume(name != "quantity")
    try:
        Letterhead("gateway", BOOK).cloud_event("1", ACCOUNT, "api_calls", 1, NOON, {name: value})
    except Invalid:
        # What cannot be written at all needs no refusal by the consumer.
        with suppress(UnicodeEncodeError, OverflowError):
            assert isinstance(read_event(_as_json({"quantity": 1, name: value})), Malformed)


def _as_json(data: dict[str, Any]) -> bytes:
    event = {"specversion": "1.0", "id": "1", "source": "gateway", "type": "api_calls", "subject": ACCOUNT}
    encoder = msgspec.json.Encoder(decimal_format="number")
    return encoder.encode(event | {"time": NOON, "book": BOOK, "data": data})


@given(number=st.integers(0, 2**128 - 1), partitions=st.integers(1, 64))
def test_an_account_has_the_partition_that_any_client_of_kafka_would_choose(
    number: int, partitions: int
) -> None:
    numbers = set(range(partitions))
    cluster = SimpleNamespace(
        topics=lambda: {"usage"},
        partitions_for_topic=lambda _: numbers,
        available_partitions_for_topic=lambda _: numbers,
    )
    key, place = key_of(public_id("acc", UUID(int=number)))
    chosen = DefaultPartitioner().partition("usage", None, key, None, b"", cluster)
    assert sorted(numbers)[place % partitions] == chosen


def test_ids_are_made_in_blocks_without_a_seam() -> None:
    ids = EventIds()
    assert len({ids.new() for _ in range(1_000)}) == 1_000
