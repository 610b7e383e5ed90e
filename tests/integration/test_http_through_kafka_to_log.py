"""What HTTP handed to Kafka, once the consumer has read it: as if HTTP had recorded it itself."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from consumers.usage_batch import MAX_USAGE_BYTES
from ledger.feed_settings import FeedSettings
from ledger.store import Log
from tests.integration.http_feed import taken
from tests.integration.http_world import MASTER_KEY, http_world, ok, usage_event
from tests.integration.test_stripe_webhook_through_kafka import Stripe, delivery
from tests.kafka.feed_world import InProcess, eventually, remake_topics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import LiteralString

    from tests.integration.http_world import HttpWorld
    from tests.kafka.broker import Cluster
    from tests.postgres import Database


@pytest.fixture
def world(kafka: Cluster, database: Database) -> Iterator[HttpWorld]:
    feed = FeedSettings(bootstrap_servers=kafka.bootstrap_servers, group=os.urandom(6).hex())
    remake_topics(feed)
    with http_world(database, feed=feed) as made:
        yield made


def consume(world: HttpWorld, messages: int) -> None:
    """Let a consumer read so many messages."""
    with closing(Log(world.database.ingest_url, MASTER_KEY, pool_size=4)) as ingest_log:
        running = InProcess(world.settings, ingest_log, world.log)
        running.thread.start()
        try:
            eventually(lambda: read_through(world) == messages, "everything to be read")
        finally:
            running.stop.set()
            running.thread.join(30)
    assert running.failure is None


def read_through(world: HttpWorld) -> int:
    (row,) = rows(world, "SELECT coalesce(sum(next_offset), 0)::bigint AS n FROM daybook.feed_offsets")
    return int(row["n"])


def rows(world: HttpWorld, query: LiteralString) -> list[dict[str, Any]]:
    with psycopg.connect(world.database.ingest_url, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()


def test_usage_counts_once_and_says_who_sent_it(world: HttpWorld) -> None:
    account = world.operator.new_account()
    caller = world.operator.new_key(account)
    padding = "x" * (MAX_USAGE_BYTES - 400)
    first = usage_event(account, "1", "2.5", traceparent=padding)
    response = caller.post("/v1/usage", {"events": [first, first, usage_event(account, "2")]})
    taken(response, accepted=3)
    taken(caller.post("/v1/usage", {"events": [usage_event(account, "1", "7")]}))
    consume(world, 4)
    world.follow()
    (total,) = ok(world.operator.get(f"/v1/accounts/{account}/usage"))["totals"]
    assert (total["quantity"], total["events"]) == ("3.5", 2)
    recorded = rows(
        world,
        "SELECT convert_from(state, 'UTF8')::json AS state FROM log.events"
        " WHERE topic = 'usage.recorded' ORDER BY notification_id LIMIT 1",
    )[0]["state"]
    assert recorded["actor"]["principal"] == account
    assert recorded["actor"]["key"].startswith("key_")
    assert recorded["cause"] == f"http:{response.headers['X-Request-Id']}"
    assert recorded["data"]["accepted_at"] == "2027-01-15T12:00:00Z"
    (conflict,) = rows(world, "SELECT code FROM daybook.dead_letters")
    assert conflict["code"] == "conflict"


def test_a_delivery_of_stripes_is_kept_once(world: HttpWorld) -> None:
    stripe = Stripe(world, world.settings.feed)
    for text in (delivery("evt_1"), delivery("evt_1"), delivery("evt_2", livemode=True)):
        assert ok(stripe.send(text), 202) == {"received": True, "duplicate": None}
    consume(world, 3)
    kept = rows(
        world,
        "SELECT convert_from(state, 'UTF8')::json AS state, book FROM log.events"
        " WHERE topic = 'stripe.event_received' ORDER BY notification_id",
    )
    assert sorted(one["state"]["cause"] for one in kept) == ["stripe:evt_1", "stripe:evt_2"]
    assert len({one["book"] for one in kept}) == 2
    assert {one["state"]["actor"]["principal"] for one in kept} == {"stripe"}
    assert rows(world, "SELECT code FROM daybook.dead_letters") == []
    assert json.dumps(kept, default=str).count("ada@example.com") == 0
