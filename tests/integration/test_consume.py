"""Usage from Kafka to the log: exactly once, whatever comes, and nothing blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kafka.feed_world import FeedWorld, eventually, feed_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database


@pytest.fixture
def world(database: Database, kafka: Cluster) -> Iterator[FeedWorld]:
    with feed_world(database, kafka) as made:
        yield made


def test_usage_is_appended_once_however_often_it_is_published(world: FeedWorld) -> None:
    account = world.account()
    events = [world.event(account, f"event {number}") for number in range(50)]
    with world.consuming():
        world.send(*events, *events[:10])
        eventually(lambda: world.read_through() == 60, "everything to be read")
    assert world.stored() == {f"event {number}": "1" for number in range(50)}
    assert world.letters() == []
