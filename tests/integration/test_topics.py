"""The topics: made once as the settings say, compared afterwards, and a gap in one accepted by a person."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from commands.context import Context
from commands.feed_gaps import accept_gap
from consumers.gaps import find_gap
from consumers.kafka_client import client_options
from consumers.topic_states import offsets_read, topic_states
from consumers.topics import (
    TopicRefused,
    admin_client,
    broker_count,
    configs_of,
    create_topics,
    feed_name,
    planned_topics,
)
from ledger.errors import Conflict, NotFound
from ledger.events import Actor
from ledger.events.feed import FeedGapAccepted
from ledger.feed_settings import FeedSettings
from ledger.identifiers import INSTALLATION_BOOK
from ledger.settings import Settings
from schemas import topics
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from psycopg import Connection

    from ledger.store import Log
    from tests.kafka.broker import Cluster

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
OPERATOR = Actor(principal="operator", kind="system")


@pytest.fixture
def topic(kafka: Cluster) -> str:
    """Make a topic of the test's own with ten messages in partition 0."""
    name = f"topic-{uuid4().hex}"
    feed = feed_of(kafka)
    with admin_client(feed) as admin:
        create_topics(admin, planned_topics(feed, 1, [name]))
    write(feed, name, 10)
    return name


def feed_of(cluster: Cluster, **changes: Any) -> FeedSettings:
    return FeedSettings(bootstrap_servers=cluster.bootstrap_servers, **changes)


def write(feed: FeedSettings, topic: str, count: int) -> None:
    with closing(KafkaProducer(**client_options(feed))) as producer:
        for number in range(count):
            producer.send(topic, str(number).encode(), partition=0)
        producer.flush()


# -- making -------------------------------------------------------------------------------------------


def test_every_topic_is_made_once_and_left_alone_afterwards() -> None:
    with running_cluster() as cluster:
        feed = feed_of(cluster, partitions=2)
        with admin_client(feed) as admin:
            plans = planned_topics(feed, broker_count(admin))
            first, second = create_topics(admin, plans), create_topics(admin, plans)
            names = [state.topic for state in topic_states(admin)]
            configs = configs_of(admin, names)
    assert names == [*topics.INBOUND, *topics.OUTBOUND]
    assert [made.topic for made in first] == names
    assert all(made.created for made in first)
    assert not any(made.created or made.differences for made in second)
    assert {name for name in names if configs[name]["message.timestamp.type"] == "LogAppendTime"} == set(
        topics.INBOUND
    )
    assert {name for name in names if configs[name]["retention.ms"] == str(7 * 86_400_000)} == set(
        topics.INBOUND
    )


def test_a_topic_that_differs_from_the_settings_is_reported_and_not_changed(
    kafka: Cluster, topic: str
) -> None:
    feed = feed_of(kafka, partitions=9, events_retention_seconds=60, retention_seconds=60)
    with admin_client(feed) as admin:
        (made,) = create_topics(admin, planned_topics(feed, 1, [topic]))
        (state,) = topic_states(admin, [topic])
    assert not made.created
    assert made.differences == ("4 partitions, not 9", "retention.ms 604800000, not 60000")
    assert (len(state.partitions), state.retention_seconds) == (4, 604_800)


@pytest.mark.parametrize(
    ("brokers", "wanted", "replicas", "in_sync"),
    [(1, None, 1, "1"), (2, None, 2, "1"), (3, None, 3, "2"), (5, None, 3, "2"), (5, 5, 5, "2")],
)
def test_replicas_are_three_or_as_many_as_there_are_brokers(
    brokers: int, wanted: int | None, replicas: int, in_sync: str
) -> None:
    (plan, *_) = planned_topics(FeedSettings(replication=wanted), brokers)
    assert (plan.replication, plan.configs["min.insync.replicas"]) == (replicas, in_sync)


def test_a_topic_that_kafka_refuses_is_told_by_name(kafka: Cluster) -> None:
    feed = feed_of(kafka, replication=3)
    with admin_client(feed) as admin, pytest.raises(TopicRefused, match=r"beyond-us: .*replication"):
        create_topics(admin, planned_topics(feed, 1, ["beyond-us"]))


# -- naming -------------------------------------------------------------------------------------------


def test_a_topic_made_again_under_its_name_is_another_feed(kafka: Cluster) -> None:
    feed, name = feed_of(kafka), f"again-{uuid4().hex}"
    names = []
    with admin_client(feed) as admin:
        for _ in range(2):
            create_topics(admin, planned_topics(feed, 1, [name]))
            names.append(topic_states(admin, [name])[0].feed)
            admin.delete_topics([name])
    assert names[0] != names[1]
    assert len({one.partition("/")[0] for one in names}) == 1


def test_a_feed_has_the_same_name_for_a_consumer_as_for_an_operator(kafka: Cluster, topic: str) -> None:
    feed = feed_of(kafka)
    with admin_client(feed) as admin, closing(KafkaConsumer(**client_options(feed))) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.position(TopicPartition(topic, 0))
        assert feed_name(consumer._cluster, topic) == topic_states(admin, [topic])[0].feed
        with pytest.raises(NotFound, match="daybook topics create"):
            feed_name(consumer._cluster, "no-such-topic")


# -- gaps ---------------------------------------------------------------------------------------------


def context_of(log: Log) -> Context:
    return Context(log, Settings(), INSTALLATION_BOOK, OPERATOR, "test", NOW, lambda _: b"")


@pytest.fixture
def read_through_4(kafka: Cluster, topic: str, owner: Connection[Any]) -> str:
    """Have partition 0 read up to offset 4, and give the feed."""
    with admin_client(feed_of(kafka)) as admin:
        feed = topic_states(admin, [topic])[0].feed
    owner.execute(
        "INSERT INTO daybook.feed_offsets (feed, topic, partition, next_offset) VALUES (%s, %s, 0, 4)",
        (feed, topic),
    )
    return feed


def test_where_messages_were_deleted_unread_reading_goes_on_at_the_first_that_is_left(
    kafka: Cluster, topic: str, read_through_4: str, log: Log, owner: Connection[Any]
) -> None:
    with admin_client(feed_of(kafka)) as admin:
        admin.delete_records({TopicPartition(topic, 0): 7})
        gap = find_gap(admin, log, topic, 0, "kept too short")
        accept_gap(context_of(log), gap)
        assert (gap.from_offset, gap.to_offset) == (4, 7)
        assert offsets_read(owner, [read_through_4]) == {(read_through_4, 0): 7}
        with pytest.raises(Conflict, match="there is no gap"):
            find_gap(admin, log, topic, 0, "again")
        (state,) = [one.standing_at({(read_through_4, 0): 7}) for one in topic_states(admin, [topic])]
    assert [(one.first_offset, one.end_offset, one.lag) for one in state.partitions[:2]] == [
        (7, 10, 3),
        (0, 0, None),
    ]
    (event,) = installation_events(log, owner)
    assert event == gap


def installation_events(log: Log, owner: Connection[Any]) -> list[Any]:
    query = "SELECT notification_id AS position FROM log.events WHERE book = %s"
    positions = [row["position"] for row in owner.execute(query, (INSTALLATION_BOOK,))]
    return [recorded.event for recorded in log.at_positions(INSTALLATION_BOOK, positions)]


def test_where_the_topic_is_shorter_than_what_was_read_reading_goes_on_at_its_end(
    kafka: Cluster, topic: str, read_through_4: str, log: Log, owner: Connection[Any]
) -> None:
    owner.execute("UPDATE daybook.feed_offsets SET next_offset = 15")
    with admin_client(feed_of(kafka)) as admin:
        gap = find_gap(admin, log, topic, 0, "restored Kafka")
    accept_gap(context_of(log), gap)
    assert (gap.from_offset, gap.to_offset) == (15, 10)
    assert offsets_read(owner, [read_through_4]) == {(read_through_4, 0): 10}


def test_the_same_gap_may_open_twice(read_through_4: str, log: Log, owner: Connection[Any]) -> None:
    gap = FeedGapAccepted(
        feed=read_through_4, source_topic="any", partition=0, from_offset=4, to_offset=2, reason="cut"
    )
    accept_gap(context_of(log), gap)
    owner.execute("UPDATE daybook.feed_offsets SET next_offset = 4")
    accept_gap(context_of(log), gap)
    assert installation_events(log, owner) == [gap, gap]


def test_a_gap_is_refused_once_reading_has_moved_on(
    read_through_4: str, log: Log, owner: Connection[Any]
) -> None:
    gap = FeedGapAccepted(
        feed=read_through_4, source_topic="any", partition=0, from_offset=3, to_offset=9, reason="late"
    )
    with pytest.raises(Conflict, match="not at offset 3 any more"):
        accept_gap(context_of(log), gap)
    assert installation_events(log, owner) == []
    assert offsets_read(owner, [read_through_4]) == {(read_through_4, 0): 4}


def test_accepting_a_gap_fences_whoever_reads_the_partition(
    read_through_4: str, log: Log, owner: Connection[Any]
) -> None:
    gap = FeedGapAccepted(
        feed=read_through_4, source_topic="any", partition=0, from_offset=4, to_offset=9, reason="gone"
    )
    accept_gap(context_of(log), gap)
    row = owner.execute("SELECT owner_epoch FROM daybook.feed_offsets").fetchone()
    assert row is not None
    assert row["owner_epoch"] == 1


@pytest.mark.parametrize("partition", [1, 99])
def test_a_partition_that_was_never_read_has_no_gap(
    kafka: Cluster, topic: str, read_through_4: str, log: Log, partition: int
) -> None:
    assert read_through_4
    with admin_client(feed_of(kafka)) as admin, pytest.raises(NotFound, match="was never read"):
        find_gap(admin, log, topic, partition, "none")


def test_a_topic_that_is_not_there_has_no_gap(kafka: Cluster, log: Log) -> None:
    with admin_client(feed_of(kafka)) as admin, pytest.raises(NotFound, match="there is no topic"):
        find_gap(admin, log, "no-such-topic", 0, "none")
