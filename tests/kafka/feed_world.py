"""An installation fed by Kafka: Acme's books on a database, topics of its own, a granted source."""

from __future__ import annotations

import json
import os
import threading
import time
from base64 import b64encode
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from kafka import KafkaProducer
from kafka.errors import UnknownTopicOrPartitionError
from prometheus_client import CollectorRegistry
from psycopg.rows import dict_row

from api.consuming import make_consumer
from api.feed_metrics import FeedMetrics
from commands.sources import grant_source
from consumers.topics import admin_client, broker_count, create_topics, planned_topics
from ledger.feed_settings import FeedSettings
from ledger.identifiers import public_id
from schemas import topics
from tests.acme import MASTER_KEY, Acme, acme_on, an_account, opened_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ledger.settings import Settings
    from ledger.store import Log
    from tests.kafka.broker import Cluster
    from tests.postgres import Database

SOURCE = "tests/gateway"
PEPPER = b"p" * 32


@dataclass
class FeedWorld:
    """What a test of the feed works with; every account it makes is in Acme's live book."""

    database: Database
    cluster: Cluster
    acme: Acme
    ingest_log: Log
    settings: Settings
    producer: KafkaProducer
    accounts: list[str] = field(default_factory=list)

    @property
    def book(self) -> str:
        """The live book's public id."""
        return public_id("book", self.acme.live.book)

    @property
    def variables(self) -> dict[str, str]:
        """What a process of this installation finds in its environment."""
        return {
            "DAYBOOK_APP_URL": self.database.app_url,
            "DAYBOOK_INGEST_URL": self.database.ingest_url,
            "DAYBOOK_FOLLOWER_URL": self.database.follower_url,
            "DAYBOOK_MASTER_KEY": b64encode(MASTER_KEY).decode(),
            "DAYBOOK_PEPPERS": f"1:{b64encode(PEPPER).decode()}",
            "KAFKA_BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers,
            "DAYBOOK_KAFKA_GROUP": self.settings.feed.group,
            "DAYBOOK_PARKED_SECONDS": str(self.settings.feed.parked_seconds),
            "DAYBOOK_MAX_BAD_SHARE": str(self.settings.feed.max_bad_share),
        }

    def account(self, name: str = "Ada") -> str:
        """Register an account."""
        made = an_account(replace(self.acme.live, now=datetime.now(UTC), cause=os.urandom(8).hex()), name)
        self.accounts.append(made)
        return made

    def event(self, account: str, event_id: str, quantity: object = "1", **changes: Any) -> dict[str, Any]:
        """Write a usage event as a service would."""
        return {
            "specversion": "1.0",
            "id": event_id,
            "source": SOURCE,
            "type": "api_calls",
            "subject": account,
            "time": datetime.now(UTC).isoformat(),
            "book": self.book,
            "data": {"quantity": quantity},
            **changes,
        }

    def send(self, *events: dict[str, Any] | bytes | None, topic: str = topics.USAGE, **named: Any) -> None:
        """Produce messages and wait until the broker has them."""
        for event in events:
            value = event if isinstance(event, bytes | None) else json.dumps(event).encode()
            subject = event.get("subject") if isinstance(event, dict) else None
            key = b"nobody" if subject is None else str(subject).encode()
            self.producer.send(topic, key=key, value=value, **named)
        self.producer.flush(timeout=60)

    @contextmanager
    def consuming(self, instance: str | None = None, **feed: Any) -> Iterator[InProcess]:
        """Consume on a thread of this process."""
        settings = replace(self.settings, feed=replace(self.settings.feed, **feed))
        running = InProcess(settings, self.ingest_log, self.acme.log, instance)
        running.thread.start()
        try:
            yield running
        finally:
            running.stop.set()
            running.thread.join(30)
            assert not running.thread.is_alive(), "the consumer does not stop"

    def stored(self) -> dict[str, str]:
        """Give the quantity of every usage event in the log, by its id."""
        rows = self._rows(
            "SELECT convert_from(state, 'UTF8')::json->'data' AS data FROM log.events"
            " WHERE topic = 'usage.recorded'"
        )
        found = {row["data"]["event_id"]: row["data"]["quantity"] for row in rows}
        assert len(found) == len(rows), "an event is stored twice"
        return found

    def letters(self, *statuses: str) -> list[dict[str, Any]]:
        """Give the dead letters of these statuses, the oldest first; of any, if none is named."""
        rows = self._rows("SELECT * FROM daybook.dead_letters ORDER BY number")
        return [row for row in rows if not statuses or row["status"] in statuses]

    def read_through(self) -> int:
        """Count the offsets that were claimed."""
        (row,) = self._rows("SELECT coalesce(sum(next_offset), 0)::bigint AS n FROM daybook.feed_offsets")
        return int(row["n"])

    def _rows(self, query: LiteralString) -> list[dict[str, Any]]:
        # Not from a pool: the server may have been killed since.
        with psycopg.connect(self.database.ingest_url, row_factory=dict_row) as connection:
            return connection.execute(query).fetchall()


class InProcess:
    """A consumer on a thread."""

    def __init__(
        self, settings: Settings, ingest_log: Log, app_log: Log, instance: str | None = None
    ) -> None:
        self.metrics = CollectorRegistry()
        self.consumer = make_consumer(
            settings, topics.INBOUND, ingest_log, app_log, FeedMetrics(self.metrics), instance
        )
        self.stop = threading.Event()
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="consumer of a test")

    def _run(self) -> None:
        try:
            self.consumer.run(self.stop)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error


def eventually(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for a condition, and fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


def remake_topics(feed: FeedSettings, names: Sequence[str] = (*topics.INBOUND, *topics.OUTBOUND)) -> None:
    """Make the topics anew: what was in them belongs to another test."""
    with admin_client(feed) as admin:
        there = sorted(set(admin.list_topics()) & set(names))
        if there:
            admin.delete_topics(there)
            eventually(lambda: not set(admin.list_topics()) & set(there), "topics to go")
        while True:
            try:
                create_topics(admin, planned_topics(feed, broker_count(admin), names))
            except UnknownTopicOrPartitionError:
                time.sleep(0.1)
            else:
                return


@contextmanager
def feed_world(database: Database, cluster: Cluster, **feed: Any) -> Iterator[FeedWorld]:
    """Found Acme, make the topics anew, and grant the source."""
    settings = FeedSettings(bootstrap_servers=cluster.bootstrap_servers, group=os.urandom(6).hex(), **feed)
    remake_topics(settings)
    with (
        acme_on(database) as acme,
        opened_log(database.ingest_url) as ingest_log,
        closing(KafkaProducer(bootstrap_servers=cluster.bootstrap_servers, linger_ms=5)) as producer,
    ):
        whole = replace(
            acme.settings, ingest_url=database.ingest_url, follower_url=database.follower_url, feed=settings
        )
        world = FeedWorld(database, cluster, acme, ingest_log, whole, producer)
        # The books of Acme are founded in the future; the grant is from before any message.
        early = replace(acme.live, now=datetime(2020, 1, 1, tzinfo=UTC), cause="grant")
        grant_source(early, SOURCE, acme.live.actor.principal, ["usage:write", "write"])
        yield world
