"""What the tests of HTTP through Kafka share: a served world, an outage, and what answers must say."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from consumers.feed_producer import PATIENCE_SECONDS
from ledger.stamps import HEADER, read_stamp, stamp_key
from schemas.topics import USAGE
from tests.integration.feed_topics import feed_of, records_on
from tests.integration.http_world import MASTER_KEY, http_world, ok, refused, usage_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from werkzeug.test import TestResponse

    from ledger.feed_settings import FeedSettings
    from ledger.stamps import Stamp
    from tests.integration.http_world import Caller, HttpWorld
    from tests.kafka.broker import Cluster
    from tests.postgres import Database

KEY = stamp_key(MASTER_KEY)
# Patience, and what a busy machine adds.
BOUND_SECONDS = PATIENCE_SECONDS + 2
BACK_SECONDS = 20

R = TypeVar("R")


def taken(response: TestResponse, accepted: int = 1) -> dict[str, Any]:
    """Give the body of an answer that says that Kafka has so many events."""
    body = ok(response, 202)
    known = (body["duplicates"], body["conflicts"], body["position"])
    assert (body["accepted"], *known) == (accepted, None, [], None)
    assert "Daybook-Position" not in response.headers
    return body


def unavailable(response: TestResponse, code: str = "unavailable") -> None:
    """Require the answer of a service that lacks Kafka."""
    refused(response, 503, code)
    assert int(response.headers["Retry-After"]) >= 1


def stamp_of(record: Any) -> Stamp | None:
    """Read the stamp beside a message."""
    return read_stamp(dict(record.headers)[HEADER], record.topic, record.value, KEY)


def ids_of(records: list[Any]) -> list[str]:
    """Give the ids of the events in messages."""
    return [json.loads(record.value)["id"] for record in records]


def within(seconds: float, action: Callable[[], R]) -> R:
    """Require that an action comes to its end in time."""
    began = time.monotonic()
    found = action()
    assert time.monotonic() - began < seconds
    return found


@dataclass
class Outage:
    """A service, an account with one event on the topic, and a broker that may be stopped under it."""

    cluster: Cluster
    feed: FeedSettings
    world: HttpWorld
    account: str

    @property
    def caller(self) -> Caller:
        """Who posts usage."""
        return self.world.operator

    def post(self, *ids: str, **headers: str) -> TestResponse:
        """Post events of these ids."""
        events = [usage_event(self.account, event_id) for event_id in ids]
        return self.caller.post("/v1/usage", {"events": events}, **headers)

    def until_taken(self, *ids: str) -> TestResponse:
        """Post again as a client does, until it is taken."""
        return until_back(lambda: self.post(*ids))

    def ids(self) -> list[str]:
        """Give the ids of the events on the topic."""
        return ids_of(records_on(self.feed, USAGE, self.account))


def until_back(post: Callable[[], TestResponse]) -> TestResponse:
    """Post again until it is not refused for want of Kafka."""
    deadline = time.monotonic() + BACK_SECONDS
    while (response := post()).status_code == 503:
        assert time.monotonic() < deadline, "the way is not open again"
        time.sleep(0.2)
    return response


@contextmanager
def outage_on(cluster: Cluster, database: Database) -> Iterator[Outage]:
    """Serve a world whose usage goes through a cluster that nobody else uses."""
    feed = feed_of(cluster)
    with http_world(database, feed=feed) as world:
        outage = Outage(cluster, feed, world, world.operator.new_account())
        taken(outage.post("first"))
        yield outage
