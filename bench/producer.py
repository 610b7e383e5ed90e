"""How fast one process publishes usage, against kafka-python's bare `send` of ready bytes."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from bench.made_up import ACCOUNTS
from bench.progress import counted
from bench.results import Result, result
from bench.timing import Timing
from ledger.identifiers import public_id
from schemas.producer import UsageProducer
from schemas.producer_client import client_options
from schemas.producer_message import Letterhead, key_of
from schemas.topics import USAGE
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.kafka.broker import Cluster

_EVENTS: Final = 1_000_000
_TURN_EVENTS: Final = 50_000
_PARTITIONS: Final = 4
_SOURCE: Final = "gateway/eu-1"
_BOOK: Final = public_id("book", UUID(int=7))
_PATIENCE_SECONDS: Final = 60.0


@dataclass
class _Way:
    """Seconds and processor seconds of one way to publish."""

    wall: Timing = field(default_factory=Timing)
    processor_seconds: float = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Add what is published inside."""
        began = time.process_time()
        with self.wall.of(_TURN_EVENTS):
            yield
        self.processor_seconds += time.process_time() - began

    @property
    def processor_us(self) -> float:
        """Processor microseconds an event, of all threads of this process."""
        return self.processor_seconds / self.wall.things * 1_000_000


def usage_producer(scale: float) -> list[Result]:
    """Publish a million events until Kafka has acknowledged all, and as many by bare `send`, in turns.

    The limit has its messages ready, and knows the partition of each.
    """
    ours, limit = _Way(), _Way()
    turns = range(2 * max(1, int(_EVENTS * scale / _TURN_EVENTS)))
    with running_cluster(steady=True) as cluster:
        _create_topic(cluster)
        with _producer(cluster) as producer, closing(_bare(cluster)) as bare:
            for turn in counted("usage_producer", turns, _TURN_EVENTS // 2):
                if turn % 2:
                    with ours.turn():
                        _record(producer)
                else:
                    ready = _ready()
                    with limit.turn():
                        _send(bare, ready)
            counts = producer.counts()
    assert counts.delivered == ours.wall.things, f"everything arrives: {counts}"
    return [
        result("usage_producer", ours.wall.rate, "events/s", limit.wall.rate),
        result("usage_producer_processor", ours.processor_us, "µs/event", limit.processor_us),
    ]


def _create_topic(cluster: Cluster) -> None:
    """Make the topic as `daybook topics create` does: the broker's time, no time of the producer's."""
    topic = NewTopic(USAGE, _PARTITIONS, 1, topic_configs={"message.timestamp.type": "LogAppendTime"})
    with closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)) as admin:
        admin.create_topics([topic])


def _producer(cluster: Cluster) -> UsageProducer:
    """Make a producer that waits for room: what is dropped would not be measured."""
    return UsageProducer(
        cluster.bootstrap_servers, source=_SOURCE, book=_BOOK, max_block_seconds=_PATIENCE_SECONDS
    )


def _bare(cluster: Cluster) -> KafkaProducer:
    """Make the library's own producer, with the options that ours has."""
    return KafkaProducer(**client_options(cluster.bootstrap_servers, _PATIENCE_SECONDS, {}))


def _record(producer: UsageProducer) -> None:
    for number in range(_TURN_EVENTS):
        producer.record(ACCOUNTS[number % len(ACCOUNTS)], "api_calls", number)
    assert producer.flush(_PATIENCE_SECONDS), producer.counts()


def _ready() -> list[tuple[bytes, bytes, int]]:
    """Write what `_record` would send: value, key, partition."""
    letterhead, now = Letterhead(_SOURCE, _BOOK), datetime.now(UTC)
    found = []
    for number in range(_TURN_EVENTS):
        account = ACCOUNTS[number % len(ACCOUNTS)]
        key, place = key_of(account)
        value = letterhead.cloud_event(uuid4().hex, account, "api_calls", number, now, {})
        found.append((value, key, place % _PARTITIONS))
    return found


def _send(bare: KafkaProducer, ready: Sequence[tuple[bytes, bytes, int]]) -> None:
    for value, key, partition in ready:
        bare.send(USAGE, value, key, partition=partition)
    bare.flush()
