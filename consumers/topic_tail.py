"""The last record of each partition of a topic, among what is committed."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from consumers.kafka_client import client_options

if TYPE_CHECKING:
    from ledger.feed_settings import FeedSettings

# Behind the last record there are marks of transactions, and records of those that were given up.
_FIRST_LOOK: Final = 16
_WIDER: Final = 32
_POLL_MS: Final = 200
_TIMEOUT_SECONDS: Final = 30.0


def last_values(feed: FeedSettings, topic: str) -> list[bytes]:
    """Read the value of the last committed record of each partition that has one."""
    options = client_options(feed)
    with closing(
        KafkaConsumer(
            **options,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
        )
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        first, end = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        found = [
            _last_value(consumer, partition, first[partition], end[partition]) for partition in partitions
        ]
    return [value for value in found if value is not None]


def _last_value(consumer: KafkaConsumer, partition: TopicPartition, first: int, end: int) -> bytes | None:
    """Look at the end of a partition, then at more and more of it."""
    look = _FIRST_LOOK
    while True:
        start = max(first, end - look)
        value = _last_between(consumer, partition, start, end)
        if value is not None or start == first:
            return value
        look *= _WIDER


def _last_between(consumer: KafkaConsumer, partition: TopicPartition, start: int, end: int) -> bytes | None:
    """Read from one offset to another, which a reader of what is committed passes even without a record."""
    consumer.assign([partition])
    consumer.seek(partition, start)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    last: bytes | None = None
    while consumer.position(partition) < end:
        for records in consumer.poll(timeout_ms=_POLL_MS).values():
            last = records[-1].value
        if time.monotonic() > deadline:
            message = f"the end of {partition.topic} {partition.partition} could not be read"
            raise KafkaTimeoutError(message)
    return last
