"""HTTP where Kafka is out of reach: refused in a bounded time, and nothing of it follows later."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from consumers.feed_producer import PATIENCE_SECONDS, FeedProducer
from consumers.outgoing import Outgoing
from ledger.errors import Unavailable
from ledger.feed_settings import FeedSettings
from schemas.topics import USAGE
from tests.integration.feed_topics import feed_of, records_on
from tests.integration.http_feed import (
    BACK_SECONDS,
    BOUND_SECONDS,
    Outage,
    ids_of,
    outage_on,
    taken,
    unavailable,
    within,
)
from tests.integration.http_world import http_world, ok, refused
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

# Several, separated by spaces, to search; a failure names its own.
SEEDS = os.environ.get("DAYBOOK_FEED_SEEDS", str(random.SystemRandom().randrange(10**6))).split()


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def outage(own_cluster: Cluster, database: Database) -> Iterator[Outage]:
    with outage_on(own_cluster, database) as made:
        yield made


def test_while_the_broker_is_down_requests_are_refused_and_nothing_of_them_follows(outage: Outage) -> None:
    broker = outage.cluster.brokers[0]
    outage.cluster.stop()
    unavailable(within(BOUND_SECONDS, lambda: outage.post("single")))
    unavailable(within(BOUND_SECONDS, lambda: outage.post(*(f"batch {number}" for number in range(100)))))
    unavailable(within(BOUND_SECONDS, lambda: outage.post("keyed", Idempotency_Key="k")))
    # What is refused for itself is not asked of Kafka at all.
    assert ok(outage.caller.post("/v1/usage", {"events": [{}]}))["accepted"] == 0
    outage.cluster.restart(broker)
    taken(outage.until_taken("after"))
    assert outage.ids() == ["first", "after"]
    assert taken(outage.post("keyed", Idempotency_Key="k"))["accepted"] == 1
    taken(outage.post("single"))
    assert outage.ids() == ["first", "after", "keyed", "single"]


def test_what_a_caller_lost_patience_with_is_not_sent_when_the_broker_returns(outage: Outage) -> None:
    producer = FeedProducer(outage.feed)
    producer.send_all([Outgoing(USAGE, b"patience", b"before")])
    broker = outage.cluster.brokers[0]
    broker.kill()
    broker.start()
    # The client itself would go on for seconds, and find the broker back by then.
    with pytest.raises(Unavailable):
        producer.send_all([Outgoing(USAGE, b"patience", b"refused")], timeout_seconds=0.1)
    outage.cluster.wait()
    time.sleep(1)
    taken(outage.until_taken("after"))
    producer.close()
    assert [record.value for record in records_on(outage.feed, USAGE, "patience")] == [b"before"]


def test_while_the_broker_is_down_requests_do_not_pile_up(outage: Outage) -> None:
    outage.cluster.stop()
    unavailable(outage.post("found out"))
    answered: list[float] = []

    def client(number: int) -> None:
        for index in range(20):
            began = time.monotonic()
            unavailable(outage.post(f"{number} {index}"))
            answered.append(time.monotonic() - began)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - began
    outage.cluster.restart(outage.cluster.brokers[0])
    assert len(answered) == 80
    # One at a time tries; everybody else is told at once.
    assert elapsed < 5
    assert sum(seconds > 1 for seconds in answered) <= 3
    taken(outage.until_taken("after"))
    assert outage.ids() == ["first", "after"]


def test_a_service_that_starts_without_a_broker_finds_it_later(own_cluster: Cluster) -> None:
    feed = feed_of(own_cluster)
    own_cluster.stop()
    producer = FeedProducer(feed)
    message = Outgoing(USAGE, b"later", b"v")
    for _ in range(3):
        with pytest.raises(Unavailable):
            within(BOUND_SECONDS, lambda: producer.send_all([message]))
    own_cluster.restart(own_cluster.brokers[0])
    deadline = time.monotonic() + BACK_SECONDS
    while True:
        try:
            producer.send_all([message])
            break
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    producer.close()
    assert [record.value for record in records_on(feed, USAGE, "later")] == [b"v"]


def test_a_broker_that_hangs_is_as_good_as_none(outage: Outage) -> None:
    pid = outage.cluster.brokers[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        unavailable(within(BOUND_SECONDS, lambda: outage.post("hanging")))
        unavailable(within(BOUND_SECONDS, lambda: outage.post("never sent")))
        refused(within(BOUND_SECONDS, lambda: outage.world.client.get("/readyz")), 503)
    finally:
        os.kill(pid, signal.SIGCONT)
    taken(outage.until_taken("after"))
    # The first may have been in the broker's hands already, once.
    assert outage.ids() in (["first", "after"], ["first", "hanging", "after"])


@dataclass
class Client(threading.Thread):
    """Posts events one request after another, each once, and remembers what it was told and when."""

    outage: Outage
    number: int
    stop: threading.Event
    acknowledged: list[str] = field(default_factory=list)
    refused: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(name=f"client {self.number}")

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        turn = 0
        while not self.stop.is_set():
            ids = [f"{self.number} {turn} {index}" for index in range(30 if turn % 3 == 2 else 1)]
            response = self.outage.post(*ids)
            if response.status_code == 202:
                self.acknowledged += ids
            else:
                unavailable(response)
                self.refused |= dict.fromkeys(ids, time.time())
                time.sleep(0.05)
            turn += 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_broker_killed_under_requests_loses_nothing_that_was_acknowledged(
    outage: Outage, seed: str
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    stop = threading.Event()
    clients = [Client(outage, number, stop) for number in range(5)]
    for client in clients:
        client.start()
    broker = outage.cluster.brokers[0]
    for _ in range(2):
        time.sleep(chance.uniform(0.2, 1.5))
        broker.kill()
        time.sleep(chance.uniform(0, PATIENCE_SECONDS))
        outage.cluster.restart(broker)
        taken(outage.until_taken(f"back {chance.random()}"))
    time.sleep(0.5)
    stop.set()
    for client in clients:
        client.join()
    records = records_on(outage.feed, USAGE, outage.account)
    ids = ids_of(records)
    acknowledged = {event_id for client in clients for event_id in client.acknowledged}
    told = {event_id: at for client in clients for event_id, at in client.refused.items()}
    assert acknowledged, "some got through"
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids)), "no event was sent twice by itself"
    # Of what was refused the broker may have taken what had left by then (and a second for a cold broker to
    # do it in), but nothing that left later.
    late = [
        (event_id, record.timestamp / 1000 - told[event_id])
        for event_id, record in zip(ids, records, strict=True)
        if event_id in told and record.timestamp / 1000 > told[event_id] + 1
    ]
    assert late == []


# -- readiness ----------------------------------------------------------------------------------------


def test_readiness_says_whether_kafka_answers(outage: Outage) -> None:
    outage.world.follow()
    assert ok(outage.world.client.get("/readyz")) == {"status": "ready"}
    outage.cluster.stop()
    time.sleep(1.1)  # it is asked once a second
    refused(within(BOUND_SECONDS, lambda: outage.world.client.get("/readyz")), 503, "kafka_unavailable")
    outage.cluster.restart(outage.cluster.brokers[0])
    time.sleep(1.1)
    assert ok(outage.world.client.get("/readyz")) == {"status": "ready"}


def test_readiness_says_that_topics_are_missing(database: Database) -> None:
    with running_cluster() as empty:
        settings = FeedSettings(bootstrap_servers=empty.bootstrap_servers)
        with http_world(database, feed=settings) as world:
            world.follow()
            body = refused(
                within(BOUND_SECONDS, lambda: world.client.get("/readyz")), 503, "kafka_unavailable"
            )
    assert "daybook topics create" in body["detail"]
