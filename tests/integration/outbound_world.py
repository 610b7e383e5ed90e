"""A topic of a test's own that the log is published to, and what readers of it get."""

from __future__ import annotations

import gc
import threading
import warnings
from collections import defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
from kafka import KafkaConsumer, TopicPartition

from consumers.kafka_client import client_options
from consumers.publish import Publisher
from consumers.published_event import PublishedEvent
from consumers.topics import admin_client, create_topics, planned_topics
from ledger.feed_settings import FeedSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Read:
    """One message as a reader gets it."""

    partition: int
    key: str
    value: bytes
    event: PublishedEvent

    @property
    def place(self) -> tuple[int, int]:
        """Where the event stands in the log: epoch and position."""
        return self.event.logepoch, int(self.event.position)


def new_topic(cluster: Cluster, partitions: int = 3) -> tuple[FeedSettings, str]:
    """Make a topic of its own, and give the settings and its name."""
    feed = FeedSettings(bootstrap_servers=cluster.bootstrap_servers, partitions=partitions)
    topic = f"outbound-{uuid4().hex}"
    with admin_client(feed) as admin:
        create_topics(admin, planned_topics(feed, 1, [topic]))
    return feed, topic


def read_all(feed: FeedSettings, topic: str) -> list[Read]:
    """Read what is committed, partition by partition."""
    options: dict[str, Any] = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
    with closing(KafkaConsumer(**client_options(feed), **options, enable_auto_commit=False)) as consumer:
        partitions = [
            TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        records: list[Any] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for found in consumer.poll(timeout_ms=200).values():
                records += found
    records.sort(key=lambda record: (record.partition, record.offset))
    return [
        Read(
            record.partition,
            record.key.decode(),
            record.value,
            msgspec.json.decode(record.value, type=PublishedEvent, strict=True),
        )
        for record in records
    ]


def assert_in_order(messages: list[Read]) -> None:
    """Check that each partition's events, and each key's, came in order, leaving out what came again."""
    seen: dict[int | str, dict[tuple[int, int], None]] = defaultdict(dict)
    for message in messages:
        seen[message.partition].setdefault(message.place)
        seen[message.key].setdefault(message.place)
    for where, places in seen.items():
        assert list(places) == sorted(places), f"out of order: {where}"
    assert len({(message.key, message.partition) for message in messages}) == len(
        {message.key for message in messages}
    ), "a key is in two partitions"


def positions_of(owner: psycopg.Connection[Any]) -> list[int]:
    """Give every position of the log."""
    rows = owner.execute("SELECT notification_id AS position FROM log.events ORDER BY 1").fetchall()
    return [row["position"] for row in rows]


def published_through(owner: psycopg.Connection[Any]) -> int:
    """Give how far the only feed is published; 0 when it was never begun."""
    row = owner.execute("SELECT max(position) AS position FROM daybook.published").fetchone()
    return (row or {}).get("position") or 0


class Publishing(threading.Thread):
    """A publisher at work in this process; it ends with the error it ended with."""

    def __init__(self, publisher: Publisher) -> None:
        super().__init__(name="publishing")
        self.publisher = publisher
        self.asked = threading.Event()
        self.error: Exception | None = None

    def run(self) -> None:
        """Publish."""
        try:
            self.publisher.run(self.asked)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def end(self) -> None:
        """Tell it to stop, and wait until it has."""
        self.asked.set()
        self.join(WAIT_SECONDS)
        assert not self.is_alive()


@contextmanager
def publishing(database: Database, feed: FeedSettings, topic: str, **options: Any) -> Iterator[Publishing]:
    """Publish meanwhile."""
    thread = Publishing(Publisher(database.follower_url, feed, topic=topic, **options))
    thread.start()
    try:
        yield thread
    finally:
        thread.end()


@contextmanager
def sockets_left_open() -> Iterator[None]:
    """Collect the sockets of refused connections that kafka-python leaves open, which warn as they go."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()
