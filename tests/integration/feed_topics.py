"""The feed's topics on a broker of the tests: made, and read from the first message to the last."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer, TopicPartition

from consumers.kafka_client import client_options
from consumers.topics import admin_client, create_topics, planned_topics
from ledger.feed_settings import FeedSettings

if TYPE_CHECKING:
    from tests.kafka.broker import Cluster


def feed_of(cluster: Cluster) -> FeedSettings:
    """Make the topics on a cluster and give the settings that reach it."""
    feed = FeedSettings(bootstrap_servers=cluster.bootstrap_servers)
    with admin_client(feed) as admin:
        create_topics(admin, planned_topics(feed, len(cluster.brokers)))
    return feed


def records_on(feed: FeedSettings, topic: str, key: str | None = None) -> list[Any]:
    """Read a topic whole, partition by partition, or only the messages of a key."""
    consumer = KafkaConsumer(
        **client_options(feed), auto_offset_reset="earliest", enable_auto_commit=False, group_id=None
    )
    with closing(consumer):
        partitions = [
            TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[Any] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                found += records
    found.sort(key=lambda one: (one.partition, one.offset))
    return [one for one in found if key is None or one.key == key.encode()]
