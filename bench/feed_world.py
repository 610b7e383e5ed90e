"""What the benchmarks of the feed share: a broker, a founded book with accounts, and messages made up."""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec
from kafka import KafkaProducer

from bench.database import MASTER_KEY, Database, fresh_database
from bench.progress import counted
from commands.accounts import register_account
from commands.bootstrap import Founding, found_organisation
from commands.context import Context
from commands.keys import check_key
from commands.sources import grant_source
from consumers.topics import admin_client, create_topics, planned_topics
from ledger.events import Actor
from ledger.identifiers import public_id
from ledger.settings import Settings
from schemas import topics
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg import Connection

    from tests.kafka.broker import Cluster

SOURCE: Final = "gateway/eu-1"
_FOUNDED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_CHUNK: Final = 50_000
_encode: Final = msgspec.json.encode


@dataclass(frozen=True)
class FeedWorld:
    """A migrated database, a broker with the topics, and a book whose accounts a source may write for."""

    database: Database
    cluster: Cluster
    book: str
    accounts: Sequence[str]

    @property
    def variables(self) -> dict[str, str]:
        """Give what its processes are told."""
        return {
            "DAYBOOK_APP_URL": self.database.url("app"),
            "DAYBOOK_INGEST_URL": self.database.url("ingest"),
            "DAYBOOK_FOLLOWER_URL": self.database.url("follower"),
            "DAYBOOK_MASTER_KEY": b64encode(MASTER_KEY).decode(),
            "DAYBOOK_PEPPERS": "1:" + b64encode(b"p" * 32).decode(),
            "KAFKA_BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers,
        }

    def producer(self) -> KafkaProducer:
        """Make a client that sends bytes."""
        return KafkaProducer(
            bootstrap_servers=self.cluster.bootstrap_servers,
            linger_ms=20,
            batch_size=256 * 1024,
            metrics_enabled=False,
        )

    def event(self, number: int, account: str) -> bytes:
        """Write one usage event of about 200 bytes."""
        return _encode(
            {
                "specversion": "1.0",
                "id": f"evt-{number:012}",
                "source": SOURCE,
                "type": "api_calls",
                "subject": account,
                "time": datetime.now(UTC),
                "book": self.book,
                "data": {"quantity": "1"},
            }
        )

    def fill(self, messages: int, duplicate_share: float) -> int:
        """Publish messages, a share of which repeat an earlier one, and give how many events they are of."""
        random, events = Random(7), 0
        recent: list[tuple[str, bytes]] = []
        with closing(self.producer()) as producer:
            for number in counted("publishing", range(messages), _CHUNK):
                if recent and random.random() < duplicate_share:
                    account, value = random.choice(recent)
                else:
                    account = self.accounts[int(len(self.accounts) * random.random() ** 3)]
                    value = self.event(events, account)
                    events += 1
                    if number % 100 == 0:
                        recent.append((account, value))
                producer.send(topics.USAGE, value, account.encode())
            producer.flush(timeout=120)
        return events


@contextmanager
def feed_world(accounts: int) -> Iterator[FeedWorld]:
    """Start a broker and a PostgreSQL, and found a book with so many accounts."""
    with ExitStack() as stack:
        database = stack.enter_context(fresh_database())
        cluster = stack.enter_context(running_cluster(steady=True))
        settings = Settings.from_mapping(FeedWorld(database, cluster, "", ()).variables)
        with admin_client(settings.feed) as admin:
            create_topics(admin, planned_topics(settings.feed, 1))
        with database.log("app") as log:
            founded = found_organisation(
                log, settings, Founding(name="Acme"), _FOUNDED_AT, Random(1).randbytes
            )
            checked = check_key(log, settings, founded.live_key, _FOUNDED_AT)
            actor = Actor(principal=checked.key.owner, kind="person", key=checked.key.key)
            context = Context(log, settings, checked.book, actor, "bench", _FOUNDED_AT, Random(2).randbytes)
            grant_source(context, SOURCE, actor.principal, ["usage:write"])
            made = [_account(context) for _ in range(accounts)]
        yield FeedWorld(database, cluster, public_id("book", checked.book), made)


def _account(context: Context) -> str:
    registered: Any = register_account(context, "Ada", None).result.state
    return str(registered.account)


def offsets_read(connection: Connection[Any]) -> int:
    """Count the messages that are read, in all partitions."""
    query = "SELECT coalesce(sum(next_offset), 0) AS read FROM daybook.feed_offsets"
    row = connection.execute(query).fetchone()
    assert row is not None, "an aggregate gives one row"
    return int(row[0])


def wait_for(condition: Callable[[], object], seconds: float, every: float = 0.05) -> None:
    """Wait for a condition, and fail when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the benchmark does not get on"
        time.sleep(every)  # what is waited for is another process's, and is asked again
