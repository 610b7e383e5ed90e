"""The topic of dead letters: what needs a person arrives there, with where it came from, at least once."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaTimeoutError

from consumers.dead_letter_reads import find
from consumers.dead_letter_relay import relay, relay_producer
from consumers.dead_letters import resolve
from ledger.errors import Unavailable
from ledger.feed_settings import FeedSettings
from ledger.identifiers import public_id
from ledger.stamps import HEADER
from schemas import topics
from tests.integration.feed_letters import NOW, keep, message, rejected
from tests.integration.log_events import BOOK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafka import KafkaProducer

    from ledger.store import Log
    from tests.kafka.broker import Cluster


@pytest.fixture
def topic(kafka: Cluster) -> str:
    name = f"rejected-{uuid4()}"
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    return name


@pytest.fixture
def producer(kafka: Cluster) -> Iterator[KafkaProducer]:
    with closing(relay_producer(FeedSettings(bootstrap_servers=kafka.bootstrap_servers))) as made:
        yield made


def told(kafka: Cluster, topic: str, count: int) -> list[Any]:
    """Read so many records from the topic's beginning, and see that there are no more."""
    place = TopicPartition(topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)) as consumer:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        assert consumer.end_offsets([place])[place] == count
        found: list[Any] = []
        while len(found) < count:
            found += consumer.poll(timeout_ms=1_000).get(place, [])
        return found


def test_open_letters_arrive_once_in_order_with_where_they_came_from(
    ingest_log: Log, kafka: Cluster, topic: str, producer: KafkaProducer
) -> None:
    headers = (("a", b"\xff"), (HEADER, b"a stamp"), ("daybook-code", b"forged"))
    bad = message(b'{"bad": \xff', headers=headers, partition=3, offset=77)
    first, second = keep(
        ingest_log,
        rejected(message=bad, code="conflict", reason="other facts: é", known_position=9),
        rejected(None, book=None),
    )
    keep(ingest_log, rejected(parked_until=NOW))
    assert relay(ingest_log, producer, NOW, topic=topic) == 2
    assert relay(ingest_log, producer, NOW, topic=topic) == 0
    one, other = told(kafka, topic, 2)
    assert (one.key.decode(), one.value) == (first, b'{"bad": \xff')
    assert dict(one.headers) == {
        "daybook-dead-letter": first.encode(),
        "daybook-code": b"conflict",
        "daybook-reason": "other facts: é".encode(),
        "daybook-topic": topics.USAGE.encode(),
        "daybook-partition": b"3",
        "daybook-offset": b"77",
        "daybook-book": public_id("book", BOOK).encode(),
        "daybook-known-position": b"9",
        "a": b"\xff",
    }
    assert len(one.headers) == len(dict(one.headers))
    assert (other.key.decode(), other.value) == (second, None)
    assert "daybook-book" not in dict(other.headers)


def test_settled_letters_are_told_to_nobody(ingest_log: Log, topic: str, producer: KafkaProducer) -> None:
    kept = keep(ingest_log, rejected())
    with ingest_log.connection() as connection:
        resolve(connection.cursor(), kept, "discarded", "prn_1", "why", NOW)
    assert relay(ingest_log, producer, NOW, topic=topic) == 0


def test_what_is_too_large_for_the_topic_is_told_in_outline(
    ingest_log: Log, kafka: Cluster, topic: str, producer: KafkaProducer
) -> None:
    before, large, after = keep(ingest_log, rejected(), rejected(b"x" * 1_100_000), rejected())
    assert relay(ingest_log, producer, NOW, topic=topic) == 3
    records = {record.key.decode(): record for record in told(kafka, topic, 3)}
    assert records[large].value is None
    assert "daybook-value-left-out" in dict(records[large].headers)
    assert records[before].value == records[after].value == b"{}"


def test_a_relay_takes_as_many_as_it_is_asked_for_oldest_first(
    ingest_log: Log, kafka: Cluster, topic: str, producer: KafkaProducer
) -> None:
    kept = keep(ingest_log, *[rejected() for _ in range(5)])
    assert [relay(ingest_log, producer, NOW, 2, topic) for _ in range(4)] == [2, 2, 1, 0]
    assert [record.key.decode() for record in told(kafka, topic, 5)] == kept


def test_many_large_letters_are_told_in_several_goes(
    ingest_log: Log, topic: str, producer: KafkaProducer
) -> None:
    keep(ingest_log, *[rejected(b"x" * 900_000) for _ in range(30)])
    goes: list[int] = []
    while not goes or goes[-1]:
        goes.append(relay(ingest_log, producer, NOW, topic=topic))
    assert sum(goes) == 30
    assert max(goes) < 30


def test_while_one_relays_another_does_nothing(ingest_log: Log, topic: str, producer: KafkaProducer) -> None:
    keep(ingest_log, rejected())

    class Watching:
        """A producer that has somebody else relay while it is at it."""

        others: int | None = None

        def send(self, *arguments: Any, **more: Any) -> Any:
            self.others = relay(ingest_log, producer, NOW, topic=topic)
            return producer.send(*arguments, **more)

        def flush(self, timeout: float) -> None:
            producer.flush(timeout)

    watching = Watching()
    assert relay(ingest_log, watching, NOW, topic=topic) == 1
    assert watching.others == 0


def test_a_letter_is_settled_while_kafka_is_waited_for(
    ingest_log: Log, topic: str, producer: KafkaProducer
) -> None:
    [kept] = keep(ingest_log, rejected())

    class Slow:
        """A producer in whose waiting time the letter is settled."""

        def send(self, *arguments: Any, **more: Any) -> Any:
            return producer.send(*arguments, **more)

        def flush(self, timeout: float) -> None:
            with ingest_log.connection() as connection:
                assert resolve(connection.cursor(), [kept], "discarded", "prn_1", "why", NOW) == [kept]
            producer.flush(timeout)

    assert relay(ingest_log, Slow(), NOW, topic=topic) == 1


def test_without_kafka_nothing_counts_as_told(ingest_log: Log) -> None:
    first, _ = keep(ingest_log, rejected(), rejected())

    class Away:
        """A producer that reaches nobody; it is asked once, not once a letter."""

        asked = 0

        def send(self, *_: Any, **__: Any) -> Any:
            self.asked += 1
            raise KafkaTimeoutError

        def flush(self, timeout: float) -> None:
            """Wait for nothing."""

    away = Away()
    with pytest.raises(Unavailable):
        relay(ingest_log, away, NOW)
    assert away.asked == 1
    with ingest_log.connection() as connection:
        letter = find(connection, first)
    assert letter is not None
    assert letter.relayed_at is None
