"""Offsets, gaps and owners: nothing is passed over, and nobody appends what is another's to append."""

from __future__ import annotations

import os
import random
import time
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

import pytest
from kafka import TopicPartition
from kafka.admin import OffsetSpec

from consumers.kafka_source import FeedGap
from consumers.offsets import Fenced
from consumers.topics import admin_client
from schemas import topics
from tests.kafka.feed_world import FeedWorld, InProcess, eventually, feed_world, remake_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

SEED = int(os.environ.get("DAYBOOK_FEED_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture
def world(database: Database, kafka: Cluster) -> Iterator[FeedWorld]:
    with feed_world(database, kafka) as made:
        yield made


def test_messages_deleted_before_they_were_read_are_a_gap_that_stops_the_consumer(world: FeedWorld) -> None:
    account = world.account()
    world.send(*(world.event(account, f"event {number}") for number in range(10)))
    with admin_client(world.settings.feed) as admin:
        partitions = [TopicPartition(topics.USAGE, number) for number in range(4)]
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        partition = next(one for one in partitions if ends[one].offset == 10)
        admin.delete_records({partition: 4})
    with world.consuming() as running:
        eventually(lambda: running.failure, "the gap to be found")
    assert isinstance(running.failure, FeedGap)
    assert "0 is next, but Kafka has 4 to 10" in str(running.failure)
    assert world.stored() == {}


def test_a_topic_that_was_made_again_is_read_from_its_beginning(world: FeedWorld) -> None:
    account = world.account()
    world.send(world.event(account, "a"), world.event(account, "b"))
    with world.consuming():
        eventually(lambda: len(world.stored()) == 2, "both to be stored")
    remake_topics(world.settings.feed, [topics.USAGE])
    world.send(world.event(account, "b"), world.event(account, "c"))
    with world.consuming():
        eventually(lambda: len(world.stored()) == 3, "the new one to be stored")
    assert world.letters() == []


def test_of_two_consumers_on_the_same_partitions_the_older_is_fenced_and_stops(world: FeedWorld) -> None:
    account = world.account()
    world.send(*(world.event(account, f"event {number}") for number in range(100)))
    with world.consuming() as older:
        eventually(lambda: len(world.stored()) == 100, "the first to be read")
        # Another group gets the same partitions: a mistake that costs nothing but the older consumer.
        with world.consuming(group="another") as newer:
            eventually(lambda: owners(world) == 2, "the newer to take over")
            world.send(*(world.event(account, f"event {number}") for number in range(50, 200)))
            eventually(lambda: len(world.stored()) == 200, "the rest to be read")
            eventually(lambda: older.failure, "the older to be fenced")
            assert newer.failure is None
    assert isinstance(older.failure, Fenced)
    assert world.letters() == []


def test_of_two_consumers_under_one_instance_name_the_older_is_fenced_and_stops(world: FeedWorld) -> None:
    account = world.account()
    with world.consuming(instance="one") as older:
        world.send(*(world.event(account, f"event {number}") for number in range(20)))
        eventually(lambda: len(world.stored()) == 20, "the first to be read")
        with world.consuming(instance="one") as newer:
            world.send(*(world.event(account, f"event {number}") for number in range(10, 40)))
            eventually(lambda: older.failure, "the older to be fenced")
            eventually(lambda: len(world.stored()) == 40, "the rest to be read")
            assert newer.failure is None
    assert isinstance(older.failure, Fenced)


def owners(world: FeedWorld) -> int:
    with world.ingest_log.connection() as connection:
        row = connection.execute(
            "SELECT min(owner_epoch) AS epoch FROM daybook.feed_offsets WHERE topic = 'daybook.usage'"
        ).fetchone()
    assert row is not None
    return int(row["epoch"])


@pytest.mark.parametrize("seed", [SEED + number for number in range(3)])
def test_a_rebalance_storm_loses_nothing_and_doubles_nothing(world: FeedWorld, seed: int) -> None:
    print(f"DAYBOOK_FEED_SEED={seed}")  # noqa: T201 - shown when the test fails, to play it again
    choose = random.Random(seed)  # noqa: S311 - it chooses moments
    accounts = [world.account(f"Ada {number}") for number in range(8)]
    sent: set[str] = set()
    running: list[AbstractContextManager[InProcess]] = []
    with ExitStack() as stack:
        stack.enter_context(world.consuming())
        for turn in range(12):
            names = [f"{turn} {number}" for number in range(100)]
            world.send(*(world.event(choose.choice(accounts), name) for name in names))
            sent.update(names)
            if running and choose.random() < 0.5:
                running.pop(choose.randrange(len(running))).__exit__(None, None, None)
            else:
                another = world.consuming()
                another.__enter__()
                running.append(another)
                stack.push(another)
            time.sleep(choose.uniform(0, 0.4))  # the moment of a change is what is random here
        eventually(lambda: len(world.stored()) >= len(sent), "everything to be stored", 120)
    assert world.stored() == dict.fromkeys(sent, "1")
    assert world.letters() == []


def test_the_lag_of_every_partition_is_told(world: FeedWorld) -> None:
    account = world.account()
    with world.consuming() as running:
        world.send(*(world.event(account, f"{number}") for number in range(10)))
        eventually(lambda: len(world.stored()) == 10, "everything to be stored")
        eventually(lambda: lag(running) == 0, "the lag to be told")
        seen = running.metrics.get_sample_value("daybook_feed_messages_total", {"outcome": "accepted"})
    assert seen == 10


def lag(running: InProcess) -> float | None:
    found = [
        running.metrics.get_sample_value(
            "daybook_feed_lag_messages", {"topic": topics.USAGE, "partition": str(number)}
        )
        for number in range(4)
    ]
    return sum(one for one in found if one is not None) if None not in found else None
