"""The feed under kill -9: of the consumer, the broker and PostgreSQL; every sum is exact afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import pytest

from api.embedded_postgres import EmbeddedPostgres
from api.postgres_cluster import running_postmaster
from projections.migrate import migrate
from tests.e2e.running import ROOT, command, environment
from tests.kafka.broker import running_cluster
from tests.kafka.feed_world import FeedWorld, eventually, feed_world
from tests.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kafka.broker import Cluster

CONSUMER_KILLS = 20
BROKER_KILLS = 3
POSTGRES_KILLS = 3
SEED = int(os.environ.get("DAYBOOK_FEED_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture
def choose() -> random.Random:
    print(f"DAYBOOK_FEED_SEED={SEED}")  # noqa: T201 - shown when the test fails, to play it again
    return random.Random(SEED)  # noqa: S311 - it chooses moments


@pytest.fixture
def world(database: Database, kafka: Cluster) -> Iterator[FeedWorld]:
    with feed_world(database, kafka) as made:
        yield made


class Supervised(threading.Thread):
    """A `daybook consume` that is started again whenever it ends, as a container would be."""

    def __init__(self, world: FeedWorld, log: Path) -> None:
        super().__init__(name="supervisor")
        self._world = world
        self._log = log
        self._stop_asked = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        arguments = command("consume", "--instance", "one")
        while not self._stop_asked.is_set():
            with self._log.open("ab") as errors:
                self.process = subprocess.Popen(
                    arguments, cwd=ROOT, env=environment(**self._world.variables), stderr=errors
                )
            self.process.wait()

    def kill(self) -> None:
        """Kill the consumer, once there is one."""
        former = self.process
        if former is not None:
            former.send_signal(signal.SIGKILL)
            former.wait(30)
        eventually(lambda: self.process is not former, "the consumer to start again")

    def stop(self) -> int:
        """Have it stop for good, and give how it ended."""
        self._stop_asked.set()
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.join(60)
        assert not self.is_alive(), "the consumer does not stop"
        return self.process.wait()

    def said(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def supervised(world: FeedWorld, folder: Path) -> Iterator[Supervised]:
    running = Supervised(world, folder / "consume.log")
    running.start()
    try:
        yield running
        assert running.stop() == 0, running.said()
    finally:
        running._stop_asked.set()
        if running.process is not None:
            running.process.kill()


@dataclass
class Sender(threading.Thread):
    """Publishes batches until it is told to stop; a tenth of every batch repeats the one before."""

    world: FeedWorld
    accounts: list[str]
    pause_seconds: float = 0.02
    sent: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None

    def __post_init__(self) -> None:
        super().__init__(name="sender")
        self._stop_asked = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        turn = 0
        try:
            while not self._stop_asked.wait(self.pause_seconds):
                self._send(turn)
                turn += 1
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    def _send(self, turn: int) -> None:
        names = [f"{turn}-{number}" for number in range(100)]
        again = [f"{turn - 1}-{number}" for number in range(10)] if turn else []
        account = self.accounts[turn % len(self.accounts)]
        before = self.accounts[(turn - 1) % len(self.accounts)]
        self.world.send(
            *(self.world.event(account, name, str(1 + turn % 7)) for name in names),
            *(self.world.event(before, name, str(1 + (turn - 1) % 7)) for name in again),
        )
        self.sent.update(dict.fromkeys(names, str(1 + turn % 7)))

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(120)
        assert not self.is_alive()
        assert self.failure is None, self.failure


@contextmanager
def sending(world: FeedWorld) -> Iterator[Sender]:
    accounts = [world.account(f"Ada {number}") for number in range(12)]
    sender = Sender(world, accounts)
    sender.start()
    try:
        yield sender
    finally:
        sender._stop_asked.set()


def assert_exact(world: FeedWorld, sender: Sender) -> None:
    """Hold the log against what was sent: counts and sums, and nothing in the dead letters."""
    eventually(lambda: len(world.stored()) >= len(sender.sent), "everything to be stored", 120)
    assert world.stored() == sender.sent
    assert world.letters() == []
    assert sum(map(int, world.stored().values())) == sum(map(int, sender.sent.values()))


def test_twenty_kills_of_the_consumer_lose_nothing_and_double_nothing(
    world: FeedWorld, choose: random.Random, tmp_path: Path
) -> None:
    with supervised(world, tmp_path) as consumer, sending(world) as sender:
        for _ in range(CONSUMER_KILLS):
            reached = world.read_through()
            # In the middle of its work: some are killed as they begin, and some in full run.
            eventually(lambda r=reached: world.read_through() > r, "the consumer to get on")  # type: ignore[misc]
            time.sleep(choose.uniform(0, 0.5))
            consumer.kill()
        sender.stop()
        assert_exact(world, sender)
    assert len(sender.sent) > CONSUMER_KILLS * 100, "the sender hardly got through"


def test_three_kills_of_the_broker_lose_nothing_that_it_acknowledged(
    database: Database, choose: random.Random, tmp_path: Path
) -> None:
    with (
        running_cluster() as cluster,
        feed_world(database, cluster) as world,
        supervised(world, tmp_path) as consumer,
        sending(world) as sender,
    ):
        (broker,) = cluster.brokers
        for _ in range(BROKER_KILLS):
            reached = world.read_through()
            eventually(lambda r=reached: world.read_through() > r, "the consumer to get on")  # type: ignore[misc]
            time.sleep(choose.uniform(0.1, 1))
            broker.kill()
            time.sleep(choose.uniform(0, 2))
            cluster.restart(broker)
        sender.stop()
        assert_exact(world, sender)
        assert consumer.process is not None
        assert consumer.process.poll() is None, consumer.said()


def test_three_kills_of_postgresql_pause_the_consumer_and_lose_nothing(
    kafka: Cluster, choose: random.Random, data_folder: Path, tmp_path: Path
) -> None:
    with EmbeddedPostgres(data_folder) as server:
        migrate(server.url)
        database = Database("daybook", server.url)
        with (
            feed_world(database, kafka) as world,
            supervised(world, tmp_path) as consumer,
            sending(world) as sender,
        ):
            first = consumer.process
            for _ in range(POSTGRES_KILLS):
                reached = world.read_through()
                eventually(lambda r=reached: world.read_through() > r, "the consumer to get on")  # type: ignore[misc]
                time.sleep(choose.uniform(0.1, 1))
                kill_postgres(data_folder)
                time.sleep(choose.uniform(0, 2))
                server.ensure_running()
            sender.stop()
            assert_exact(world, sender)
            # It paused and went on by itself: nobody had to start it again.
            assert consumer.process is first
            assert "paused" in consumer.said()


def kill_postgres(folder: Path) -> None:
    """Kill every process of the server, as a machine that loses power would."""
    pid = running_postmaster(folder / "postgres")
    assert pid is not None
    postmaster = psutil.Process(pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=30)


def test_one_of_three_brokers_dies_under_load_and_nothing_is_lost(
    database: Database, choose: random.Random, tmp_path: Path
) -> None:
    with (
        running_cluster(3) as cluster,
        feed_world(database, cluster) as world,
        supervised(world, tmp_path),
        sending(world) as sender,
    ):
        eventually(lambda: world.read_through() > 500, "the consumer to get on")
        time.sleep(choose.uniform(0.1, 1))
        dead = choose.choice(cluster.brokers)
        dead.kill()
        reached = world.read_through()
        eventually(lambda: world.read_through() > reached + 1000, "work to go on without it")
        sender.stop()
        assert_exact(world, sender)
        # Two of three are enough: it was not started again.
        assert replicas(world) == {(3, "2")}


def replicas(world: FeedWorld) -> set[tuple[int, str]]:
    """Give the replication factor and min.insync.replicas of every topic."""
    from consumers.topics import admin_client, configs_of, described  # noqa: PLC0415
    from schemas import topics  # noqa: PLC0415

    with admin_client(world.settings.feed) as admin:
        found = described(admin, topics.INBOUND)
        configs = configs_of(admin, topics.INBOUND)
    return {
        (len(partition["replica_nodes"]), configs[topic["name"]]["min.insync.replicas"])
        for topic in found
        for partition in topic["partitions"]
    }
