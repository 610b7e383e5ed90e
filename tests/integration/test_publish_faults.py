"""Publishing while its process, PostgreSQL and Kafka are killed: nothing is missing, nothing out of order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from psycopg.rows import dict_row

from api.embedded_postgres import EmbeddedPostgres
from consumers import transactional_writer
from consumers.kafka_client import client_options
from consumers.published_event import Outgoing
from consumers.topics import admin_client, create_topics, planned_topics
from consumers.transactional_writer import TransactionalWriter
from ledger.feed_settings import FeedSettings
from projections.migrate import migrate
from schemas import topics
from tests.e2e.running import ROOT, command, environment, until
from tests.integration.histories import NOON, Writer
from tests.integration.outbound_world import (
    assert_in_order,
    new_topic,
    positions_of,
    published_through,
    publishing,
    read_all,
    sockets_left_open,
)
from tests.kafka.broker import running_cluster
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from psycopg import Connection

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

KILLS = 5
ACCOUNTS = 20
WAIT_SECONDS = 60.0
SEED = int(os.environ.get("DAYBOOK_KILL_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Run a broker whose topics have the names they have in an installation."""
    with running_cluster() as started:
        yield started


@pytest.fixture
def feed(cluster: Cluster) -> Iterator[FeedSettings]:
    """Make the topic daybook.events anew."""
    feed = FeedSettings(bootstrap_servers=cluster.bootstrap_servers)
    with admin_client(feed) as admin:
        create_topics(admin, planned_topics(feed, 1, [topics.EVENTS]))
    yield feed
    with admin_client(feed) as admin:
        admin.delete_topics([topics.EVENTS])
        until(lambda: topics.EVENTS not in admin.list_topics(), WAIT_SECONDS, "the topic to go")


class Background(threading.Thread):
    """Writes usage and renames of many accounts until it is told to stop."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(name="writing")
        self._writer = writer
        self._accounts = [writer.account(f"account-{number}") for number in range(ACCOUNTS)]
        self._asked = threading.Event()

    def run(self) -> None:
        turn = 0
        while not self._asked.wait(0.01):
            turn += 1
            self._writer.usage(self._accounts[turn % ACCOUNTS], *[NOON] * 20)
            self._writer.rename(f"account-{(turn * 7) % ACCOUNTS}", f"Name {turn}")

    def end(self) -> None:
        self._asked.set()
        self.join(WAIT_SECONDS)
        assert not self.is_alive()


@contextmanager
def writing(database: Database) -> Iterator[None]:
    with closing(Writer(database)) as writer:
        thread = Background(writer)
        thread.start()
        try:
            yield
        finally:
            thread.end()


class Process:
    """A `daybook publish`, from its start to its end."""

    def __init__(self, database: Database, feed: FeedSettings, log: Path) -> None:
        self._log = log
        variables = {
            "DATABASE_URL": database.owner_url,
            "KAFKA_BOOTSTRAP_SERVERS": feed.bootstrap_servers or "",
        }
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command("publish"), cwd=ROOT, env=environment(**variables), stderr=errors
            )

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def end(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(WAIT_SECONDS)


def moved_past(owner: Connection[Any], position: int) -> bool:
    return published_through(owner) > position


def until_all_is_published(owner: Connection[Any]) -> None:
    last = positions_of(owner)[-1]
    until(lambda: published_through(owner) >= last, WAIT_SECONDS, "everything to be published")


def assert_complete(owner: Connection[Any], feed: FeedSettings, topic: str = topics.EVENTS) -> None:
    messages = read_all(feed, topic)
    assert {int(message.event.position) for message in messages} == set(positions_of(owner))
    assert_in_order(messages)


def test_a_publisher_that_is_killed_again_and_again_leaves_nothing_out(
    database: Database, owner: Connection[Any], feed: FeedSettings, tmp_path: Path
) -> None:
    print(f"DAYBOOK_KILL_SEED={SEED}")  # noqa: T201 - to run it again
    chance = random.Random(SEED)  # noqa: S311 - when to kill is no secret
    log = tmp_path / "publish.log"
    with writing(database):
        for _ in range(KILLS):
            before = published_through(owner)
            process = Process(database, feed, log)
            until(lambda b=before: moved_past(owner, b), WAIT_SECONDS, "it to publish")  # type: ignore[misc]
            threading.Event().wait(chance.random() * 0.3)  # so that it is killed at any point of a batch
            process.end(signal.SIGKILL)
    process = Process(database, feed, log)
    until_all_is_published(owner)
    assert process.end() == 0, process.said()
    assert_complete(owner, feed)


def test_a_second_process_takes_over_and_the_first_says_so_and_fails(
    database: Database, owner: Connection[Any], feed: FeedSettings, tmp_path: Path
) -> None:
    with writing(database):
        first = Process(database, feed, tmp_path / "first.log")
        until(lambda: moved_past(owner, 0), WAIT_SECONDS, "the first to publish")
        second = Process(database, feed, tmp_path / "second.log")
        assert first.process.wait(WAIT_SECONDS) == 1
        assert "stopped: Fenced: another publisher" in first.said()
        here = published_through(owner)
        until(lambda: moved_past(owner, here), WAIT_SECONDS, "the second to publish")
    until_all_is_published(owner)
    assert second.end() == 0, second.said()
    assert_complete(owner, feed)


def test_publishing_goes_on_after_kafka_was_killed(
    database: Database, owner: Connection[Any], cluster: Cluster, feed: FeedSettings
) -> None:
    with sockets_left_open(), writing(database), publishing(database, feed, topics.EVENTS) as thread:
        until(lambda: moved_past(owner, 0), WAIT_SECONDS, "it to publish")
        (broker,) = cluster.brokers
        broker.kill()
        cluster.restart(broker)
        here = positions_of(owner)[-1]
        until(lambda: moved_past(owner, here), WAIT_SECONDS, "it to publish again")
        assert thread.error is None
    with publishing(database, feed, topics.EVENTS):
        until_all_is_published(owner)
    assert_complete(owner, feed)


def test_told_to_stop_while_kafka_is_away_it_ends_all_the_same(
    database: Database, owner: Connection[Any], cluster: Cluster, feed: FeedSettings, tmp_path: Path
) -> None:
    with closing(Writer(database)) as writer:
        writer.account()
        process = Process(database, feed, tmp_path / "publish.log")
        until(lambda: moved_past(owner, 0), WAIT_SECONDS, "it to publish")
        (broker,) = cluster.brokers
        broker.kill()
        try:
            writer.rename("ada", "Countess")
            assert process.end() == 0
        finally:
            cluster.restart(broker)
    assert "stopped in the middle of a batch" in process.said()
    assert "Traceback" not in process.said()
    with publishing(database, feed, topics.EVENTS):
        until_all_is_published(owner)
    assert_complete(owner, feed)


def test_a_writer_that_is_closed_while_kafka_is_away_leaves_no_thread_behind(
    cluster: Cluster, feed: FeedSettings
) -> None:
    with sockets_left_open():
        before = set(threading.enumerate())
        with closing(TransactionalWriter(feed, topics.EVENTS, "left behind")) as writer:
            writer.take_over()
            (broker,) = cluster.brokers
            broker.kill()
            try:
                writer.begin([Outgoing(1, b"key", b"{}")])
                writer.close()
            finally:
                cluster.restart(broker)
        assert set(threading.enumerate()) - before == set()


def test_publishing_goes_on_after_postgresql_was_restarted(kafka: Cluster, data_folder: Path) -> None:
    feed, topic = new_topic(kafka)
    with EmbeddedPostgres(data_folder) as server, temporary_database(server.url) as database:
        migrate(database.owner_url)
        with closing(Writer(database)) as writer:
            writer.account()
        with publishing(database, feed, topic) as thread:
            with connected(database) as owner:
                until(lambda: moved_past(owner, 0), WAIT_SECONDS, "it to publish")
            server.stop()
            server.start()
            with closing(Writer(database, writer.book)) as later, connected(database) as owner:
                later.versions = writer.versions
                later.rename("ada", "Countess")
                until_all_is_published(owner)
                assert thread.error is None
                assert_complete(owner, feed, topic)


@contextmanager
def connected(database: Database) -> Iterator[Connection[Any]]:
    with psycopg.connect(database.owner_url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


def test_a_transaction_that_kafka_gave_up_is_not_taken_for_another_publishers_doing(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactional_writer, "_TRANSACTION_MS", 1_000)
    feed, topic = new_topic(kafka)
    options = client_options(feed)
    del options["metrics_enabled"]
    with (
        closing(TransactionalWriter(feed, topic, topic)) as writer,
        closing(KafkaAdminClient(**options)) as admin,
    ):
        writer.take_over()
        sent = writer.begin([Outgoing(1, b"key", b"{}")])
        until(lambda: state_of(admin, topic) == "COMPLETE_ABORT", WAIT_SECONDS, "Kafka to give it up")
        with pytest.raises(KafkaError) as raised:
            writer.commit(sent)
        assert not writer.fenced_by(raised.value)


def state_of(admin: KafkaAdminClient, transactional_id: str) -> str:
    return str(admin.describe_transactions([transactional_id])[transactional_id].state.name)
