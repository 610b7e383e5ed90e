"""`daybook serve` where there is a Kafka: its worker processes hand usage on, and outlive the broker."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from consumers.feed_producer import PATIENCE_SECONDS
from ledger.stamps import HEADER, read_stamp, stamp_key
from schemas.topics import USAGE
from tests.e2e.running import ROOT, Answer, Served, command, daybook, environment, free_port, until
from tests.integration.feed_topics import feed_of, records_on
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

MASTER_KEY = b"k" * 32
WORKERS = 2
REQUESTS = 60


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with running_cluster() as started:
        yield started


@contextmanager
def serving(database: Database, cluster: Cluster) -> Iterator[Served]:
    """Serve with several workers, and end them as a supervisor does."""
    port = free_port()
    arguments = command("serve", "--port", str(port), "--workers", str(WORKERS))
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment(**variables(database, cluster)), stderr=subprocess.PIPE
    )
    try:
        served = Served(port)
        # Projections never ran here: that is what it says once it answers.
        until(lambda: served.ask("/healthz").status == 200, 30, "the server")
        yield served
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 0, said
    assert "Traceback" not in said, said


def variables(database: Database, cluster: Cluster) -> dict[str, str]:
    secret = b64encode(MASTER_KEY).decode()
    return {
        "DAYBOOK_APP_URL": database.app_url,
        "DAYBOOK_MASTER_KEY": secret,
        "DAYBOOK_PEPPERS": f"1:{secret}",
        "KAFKA_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
    }


class Poster:
    """Somebody who posts usage of one account."""

    def __init__(self, served: Served, key: str) -> None:
        """Register the account."""
        self.served = served
        self.key = key
        registered = served.ask("/v1/accounts", key, {"name": "Ada"})
        assert registered.status == 201
        self.account = str(registered.body["id"])

    def post(self, event_id: str) -> Answer:
        """Post one event."""
        event = {
            "specversion": "1.0",
            "id": event_id,
            "source": "e2e",
            "type": "api_calls",
            "subject": self.account,
            "time": datetime.now(UTC).isoformat(),
            "data": {"quantity": "1"},
        }
        return self.served.ask("/v1/usage", self.key, {"events": [event]}, seconds=20)


def founded(database: Database, cluster: Cluster) -> str:
    done = daybook("init", "Acme", "--json", variables=variables(database, cluster))
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["live_key"])


def ids_of(records: list[Any]) -> list[str]:
    return sorted(json.loads(record.value)["id"] for record in records)


def test_workers_hand_usage_on_and_find_the_broker_again(database: Database, cluster: Cluster) -> None:
    feed = feed_of(cluster)
    with serving(database, cluster) as served:
        poster = Poster(served, founded(database, cluster))
        ids = [f"{number:03}" for number in range(REQUESTS)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(poster.post, ids))
        assert {answer.status for answer in answers} == {202}
        assert answers[0].body == {
            "accepted": 1,
            "duplicates": None,
            "conflicts": [],
            "rejected": [],
            "position": None,
        }
        records = records_on(feed, USAGE, poster.account)
        assert ids_of(records) == ids
        stamps = [
            read_stamp(dict(record.headers)[HEADER], USAGE, record.value, stamp_key(MASTER_KEY))
            for record in records
        ]
        assert None not in stamps

        cluster.stop()
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            refused = list(pool.map(poster.post, [f"down {number}" for number in range(40)]))
        assert {answer.status for answer in refused} == {503}
        assert time.monotonic() - began < 3 * PATIENCE_SECONDS
        cluster.restart(cluster.brokers[0])

        until(lambda: poster.post("back").status == 202, 30, "the way through")
        found = set(ids_of(records_on(feed, USAGE, poster.account)))
        assert found == {*ids, "back"}
