"""The thread that sends, held against a client that fails in every way Kafka's may."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
from kafka import errors
from kafka.future import Future

from ledger.identifiers import public_id
from schemas import producer_client, producer_delivery
from schemas.producer import Counts, Dropped, UsageProducer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNTS = [public_id("acc", UUID(int=number)) for number in range(50)]
DEADLINE_SECONDS = 30


class FakeKafka:
    """A topic of three partitions; what becomes of each message is for the test to say."""

    def __init__(self, outcome: Callable[[bytes], Exception | None]) -> None:
        self.outcome = outcome
        self.arrived: list[bytes] = []
        self.attempts: list[bytes] = []
        self.clients = 0
        self.refuse_to_connect = 0

    def connect(self, _: Any) -> FakeClient:
        self.clients += 1
        if self.refuse_to_connect:
            self.refuse_to_connect -= 1
            raise ConnectionRefusedError
        return FakeClient(self)

    def ids(self) -> list[str]:
        return [msgspec.json.decode(value)["id"] for value in self.arrived]


class FakeClient:
    """What of kafka-python's producer the delivery uses."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.closed = False
        self._fatal: Exception | None = None

    def partitions_for(self, topic: str) -> set[int]:
        assert topic == "daybook.usage"
        return {0, 1, 2}

    def send(self, _: str, value: bytes, key: bytes, *, partition: int) -> Future:
        assert not self.closed, "a client that was left is not used"
        assert msgspec.json.decode(value)["subject"].encode() == key
        assert partition in {0, 1, 2}
        self._kafka.attempts.append(value)
        error = self._fatal or self._kafka.outcome(value)
        if isinstance(error, Raised):
            raise error.error
        if error is None or isinstance(error, Lost):
            self._kafka.arrived.append(value)
        if isinstance(error, Lost):
            return Future().failure(errors.KafkaTimeoutError())
        if isinstance(error, Silence):
            return Future()
        if isinstance(error, errors.MessageSizeTooLargeError | errors.InvalidRecordError):
            self._fatal = error  # as the library has it: all that comes after fails alike
        return Future().success(None) if error is None else Future().failure(error)

    def close(self, timeout: float | None) -> None:
        assert timeout == 0, "nothing is waited for"
        self.closed = True


class Lost(Exception):
    """It arrives, and nobody says so."""


class Silence(Exception):
    """Nothing is ever heard of it."""


class Raised(Exception):
    """An error that `send` itself raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    fake = FakeKafka(lambda _: None)
    monkeypatch.setattr(producer_delivery, "connect", fake.connect)
    monkeypatch.setattr(producer_client, "_DELIVERY_TIMEOUT_MS", 200)
    return fake


@pytest.fixture
def producer(kafka: FakeKafka) -> Iterator[UsageProducer]:
    assert kafka.clients == 0
    with UsageProducer("nowhere:1", source="gateway", book=public_id("book", UUID(int=2))) as made:
        yield made


def once(*outcomes: Exception | None) -> Callable[[bytes], Exception | None]:
    """Let the first attempts have these ends, and all others succeed."""
    left = list(outcomes)
    return lambda _: left.pop(0) if left else None


def recorded(producer: UsageProducer, count: int) -> list[str | None]:
    ids = [producer.record(ACCOUNTS[number % 50], "api_calls", 1) for number in range(count)]
    assert producer.flush(DEADLINE_SECONDS)
    return ids


def test_everything_arrives_once(kafka: FakeKafka, producer: UsageProducer) -> None:
    ids = recorded(producer, 5_000)
    assert sorted(kafka.ids()) == sorted(filter(None, ids))
    assert producer.counts() == Counts(5_000, 5_000, 0, 0, Dropped())
    assert kafka.clients == 1


@pytest.mark.parametrize(
    "error",
    [
        errors.KafkaTimeoutError("late"),
        errors.OutOfOrderSequenceNumberError(),
        errors.TopicAuthorizationFailedError(),
        errors.KafkaError("another record of the batch was refused"),
        Raised(errors.KafkaTimeoutError("no metadata")),
        Raised(ValueError("Unrecognized partition")),
        Raised(errors.IllegalStateError("closed")),
    ],
)
def test_what_failed_is_sent_again_with_the_same_bytes_by_a_new_client(
    kafka: FakeKafka, producer: UsageProducer, error: Exception
) -> None:
    kafka.outcome = once(error)
    ids = recorded(producer, 1)
    assert kafka.ids() == ids
    assert kafka.attempts[0] == kafka.attempts[1] == kafka.arrived[0]
    assert kafka.clients == 2
    # What `send` did not take was never on its way.
    assert producer.counts() == Counts(1, 1, 0, 0 if isinstance(error, Raised) else 1, Dropped())


@pytest.mark.parametrize(
    ("error", "dropped"),
    [
        (errors.MessageSizeTooLargeError(), Dropped(too_large=1)),
        (errors.RecordListTooLargeError(), Dropped(too_large=1)),
        (Raised(errors.MessageSizeTooLargeError()), Dropped(too_large=1)),
        (errors.InvalidRecordError(), Dropped(refused=1)),
    ],
)
def test_what_kafka_will_never_take_is_dropped_and_not_what_failed_beside_it(
    kafka: FakeKafka, producer: UsageProducer, error: Exception, dropped: Dropped
) -> None:
    kafka.outcome = lambda value: error if b'"id":"bad"' in value else None
    ids = [producer.record(account, "api_calls", 1) for account in ACCOUNTS]
    producer.record(ACCOUNTS[0], "api_calls", 1, event_id="bad", why="so that it is the largest")
    ids += recorded(producer, 500)
    assert set(kafka.ids()) == set(ids)
    counts = producer.counts()
    assert counts == Counts(551, 550, 0, counts.retried, dropped)


def test_what_is_as_large_as_what_was_refused_is_not_tried_for_a_while(
    kafka: FakeKafka, producer: UsageProducer
) -> None:
    kafka.outcome = lambda value: errors.MessageSizeTooLargeError() if len(value) > 1_000 else None
    producer.record(ACCOUNTS[0], "api_calls", 1, why="x" * 500, how="y" * 500)
    assert producer.flush(DEADLINE_SECONDS)
    clients = kafka.clients
    for _ in range(100):
        producer.record(ACCOUNTS[0], "api_calls", 1, why="x" * 500, how="y" * 500)
        producer.record(ACCOUNTS[0], "api_calls", 1)
    assert producer.flush(DEADLINE_SECONDS)
    assert producer.counts() == Counts(201, 100, 0, 0, Dropped(too_large=101))
    assert kafka.clients <= clients + 1


def test_it_keeps_trying_to_connect(kafka: FakeKafka, producer: UsageProducer) -> None:
    kafka.refuse_to_connect = 4
    assert recorded(producer, 1) == kafka.ids()
    assert kafka.clients == 5
    assert producer.counts() == Counts(1, 1, 0, 0, Dropped())


def test_what_was_under_way_when_its_client_was_left_is_sent_again(
    kafka: FakeKafka, producer: UsageProducer
) -> None:
    silent = Silence()
    kafka.outcome = once(silent, silent, errors.KafkaTimeoutError("late"))
    ids = recorded(producer, 3)
    assert sorted(kafka.ids()) == sorted(filter(None, ids))
    assert producer.counts() == Counts(3, 3, 0, 3, Dropped())


@pytest.mark.parametrize("seed", range(5))
def test_many_threads_and_any_failures_lose_nothing_that_is_not_counted(
    kafka: FakeKafka, producer: UsageProducer, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same failures for the same seed
    ends: list[Exception | None] = [Lost(), Silence(), errors.KafkaTimeoutError(), Raised(OSError())]

    def outcome(_: bytes) -> Exception | None:
        if rng.random() < 0.99:
            return None
        return errors.InvalidRecordError() if rng.random() < 0.5 else rng.choice(ends)

    kafka.outcome = outcome
    ids: list[str | None] = []
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(lambda _: [record(producer) for _ in range(250)], range(8)):
            ids += found
    kafka.outcome = lambda value: None if rng.random() < 0.9 else outcome(value)
    assert producer.flush(DEADLINE_SECONDS)
    counts = producer.counts()
    assert counts.recorded == 2_000
    assert counts.delivered + counts.dropped.refused == 2_000
    assert len(set(ids)) == 2_000
    arrived = set(kafka.ids())
    assert arrived <= set(ids)
    # A message whose answer was lost may arrive and then be refused; no other is counted twice.
    assert counts.delivered <= len(arrived) <= counts.delivered + counts.dropped.refused
    assert len(set(kafka.attempts)) == 2_000


def record(producer: UsageProducer) -> str | None:
    return producer.record(ACCOUNTS[0], "api_calls", 1)
