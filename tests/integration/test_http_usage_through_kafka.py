"""Usage over HTTP where there is a Kafka: judged at the door, taken once the broker has it, refused when not."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from consumers.feed_producer import PATIENCE_SECONDS, FeedProducer, Outgoing
from consumers.message import MAX_VALUE_BYTES
from ledger.errors import TooLarge, Unavailable
from ledger.feed_settings import FeedSettings
from ledger.identifiers import stream_of
from ledger.stamps import HEADER, read_stamp, stamp_key
from schemas.topics import ACCOUNTS, USAGE
from tests.integration.feed_topics import feed_of, records_on
from tests.integration.http_world import MASTER_KEY, NOW, http_world, ok, refused, usage_event
from tests.kafka.broker import running_cluster
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.test import TestResponse

    from ledger.stamps import Stamp
    from tests.integration.http_world import Caller, HttpWorld
    from tests.kafka.broker import Cluster
    from tests.postgres import Database

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
KEY = stamp_key(MASTER_KEY)
# Connecting, patience, and what a busy machine adds.
BOUND_SECONDS = PATIENCE_SECONDS + 2
SEEDS = [
    int(seed)
    for seed in os.environ.get("DAYBOOK_FEED_SEEDS", str(random.SystemRandom().randrange(10**6))).split()
]

# kafka-python leaves the sockets of refused connections to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def _sockets_are_collected_here() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def feed(kafka: Cluster) -> FeedSettings:
    return feed_of(kafka)


@pytest.fixture(scope="module")
def served(server_url: str, template_database: str, feed: FeedSettings) -> Iterator[HttpWorld]:
    with (
        temporary_database(server_url, template_database) as database,
        http_world(database, feed=feed) as made,
    ):
        yield made


@pytest.fixture
def world(served: HttpWorld) -> HttpWorld:
    served.now = NOW
    return served


@pytest.fixture
def account(world: HttpWorld) -> str:
    return world.operator.new_account()


def taken(response: TestResponse, accepted: int = 1) -> dict[str, Any]:
    """Give the body of an answer that says that Kafka has so many events."""
    body = ok(response, 202)
    assert (body["accepted"], body["duplicates"], body["conflicts"], body["position"]) == (
        accepted,
        None,
        [],
        None,
    )
    assert "Daybook-Position" not in response.headers
    return body


def stamp_of(record: Any) -> Stamp | None:
    headers = dict(record.headers)
    return read_stamp(headers[HEADER], record.topic, record.value, KEY)


def ids_of(records: list[Any]) -> list[str]:
    return [json.loads(record.value)["id"] for record in records]


def unavailable(response: TestResponse) -> None:
    refused(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1


# -- what is handed on --------------------------------------------------------------------------------


def test_an_event_is_handed_on_as_it_was_sent(world: HttpWorld, feed: FeedSettings, account: str) -> None:
    event = usage_event(account, "1", traceparent="00-1", book=world.founded.live_book)
    text = " \n" + json.dumps(event, indent=3).replace('"1"', '"\\u0031"') + "\n"
    response = world.operator.send("/v1/usage", text, SINGLE)
    assert taken(response)["rejected"] == []
    (record,) = records_on(feed, USAGE, account)
    assert record.value == text.strip().encode()
    assert [name for name, _ in record.headers] == [HEADER]


def test_the_stamp_says_when_it_was_taken_and_from_whom(
    world: HttpWorld, feed: FeedSettings, account: str
) -> None:
    world.now = NOW + timedelta(seconds=7)
    response = world.operator.new_key(account).post("/v1/usage", {"events": [usage_event(account, "1")]})
    taken(response)
    (record,) = records_on(feed, USAGE, account)
    stamp = stamp_of(record)
    assert stamp is not None
    assert stamp.accepted_at == world.now
    assert stamp.book == stream_of("book", world.founded.live_book)
    assert (stamp.actor.principal, stamp.actor.kind) == (account, "account")
    assert stamp.actor.key is not None
    assert stamp.actor.key.startswith("key_")
    assert stamp.cause == f"http:{response.headers['X-Request-Id']}"
    assert stamp.endpoint is None


def test_a_stamp_that_was_altered_or_moved_is_none(
    world: HttpWorld, feed: FeedSettings, account: str
) -> None:
    taken(world.operator.post("/v1/usage", {"events": [usage_event(account, "1")]}))
    (record,) = records_on(feed, USAGE, account)
    header = dict(record.headers)[HEADER]
    other_book = header.replace(str(stream_of("book", world.founded.live_book)).encode(), b"0" * 36)
    assert other_book != header
    assert read_stamp(header, USAGE, record.value, KEY) is not None
    assert read_stamp(other_book, USAGE, record.value, KEY) is None
    assert read_stamp(header, USAGE, record.value.replace(b'"1"', b'"9"'), KEY) is None
    assert read_stamp(header, ACCOUNTS, record.value, KEY) is None
    assert read_stamp(header, USAGE, record.value, stamp_key(b"x" * 32)) is None
    assert read_stamp(b"", USAGE, record.value, KEY) is None
    assert read_stamp(header[32:], USAGE, record.value, KEY) is None


@pytest.mark.parametrize("kind", [BATCH, "application/json"])
def test_a_batch_is_a_message_an_event_in_order(
    world: HttpWorld, feed: FeedSettings, account: str, kind: str
) -> None:
    texts = [json.dumps(usage_event(account, str(number)), indent=number % 3) for number in range(500)]
    batch = f"[{' , '.join(texts)}]"
    body = batch if kind == BATCH else f'{{"events": {batch}}}'
    taken(world.operator.send("/v1/usage", body, kind), accepted=500)
    records = records_on(feed, USAGE, account)
    assert [record.value for record in records] == [text.encode() for text in texts]
    assert len({record.partition for record in records}) == 1
    assert all(stamp_of(record) is not None for record in records)


def test_ten_thousand_events_are_handed_on(world: HttpWorld, feed: FeedSettings) -> None:
    accounts = [world.operator.new_account() for _ in range(20)]
    events = [usage_event(accounts[number % 20], str(number)) for number in range(10_000)]
    taken(world.operator.post("/v1/usage", {"events": events}), accepted=10_000)
    for first, account in enumerate(accounts):
        expected = [str(number) for number in range(first, 10_000, 20)]
        assert ids_of(records_on(feed, USAGE, account)) == expected


def test_nothing_is_written_to_the_log_by_the_request(world: HttpWorld, account: str) -> None:
    head = world.log.head()
    taken(world.operator.post("/v1/usage", {"events": [usage_event(account, "1")]}))
    assert world.log.head() == head


def test_the_same_event_is_handed_on_again_for_the_consumer_to_judge(
    world: HttpWorld, feed: FeedSettings, account: str
) -> None:
    for quantity in ("1", "1", "2"):
        taken(world.operator.post("/v1/usage", {"events": [usage_event(account, "1", quantity)]}))
    assert ids_of(records_on(feed, USAGE, account)) == ["1", "1", "1"]


# -- judged at the door -------------------------------------------------------------------------------


def test_what_may_not_be_recorded_is_said_at_once_and_not_handed_on(
    world: HttpWorld, feed: FeedSettings, account: str
) -> None:
    closed = world.operator.new_account()
    ok(world.operator.post(f"/v1/accounts/{closed}/close", {"reason": "x"}))
    theirs = world.stranger.new_account()
    events = [
        usage_event(theirs, "unknown"),
        usage_event(account, "malformed", "-1"),
        usage_event(account, "good"),
        usage_event(account, "old", time="1970-01-01T00:00:00Z"),
        usage_event(closed, "closed", time="2027-01-15T12:00:01Z"),
        usage_event(closed, "before"),
        usage_event(account, "early", time="2970-01-01T00:00:00Z"),
        usage_event(account, "other book", book=world.founded.test_book),
        usage_event(account, "large", traceparent="x" * MAX_VALUE_BYTES),
        "no event",
    ]
    body = taken(world.operator.post("/v1/usage", {"events": events}), accepted=2)
    assert [(one["index"], one["id"], list(one["errors"])) for one in body["rejected"]] == [
        (0, "unknown", ["subject"]),
        (1, "malformed", ["data.quantity"]),
        (3, "old", ["time"]),
        (4, "closed", ["subject"]),
        (6, "early", ["time"]),
        (7, "other book", ["book"]),
        (8, "large", ["event"]),
        (9, None, ["event"]),
    ]
    assert ids_of(records_on(feed, USAGE, account)) == ["good"]
    assert ids_of(records_on(feed, USAGE, closed)) == ["before"]
    assert records_on(feed, USAGE, theirs) == []


def test_an_account_hands_on_its_own_usage_only(world: HttpWorld, feed: FeedSettings, account: str) -> None:
    other = world.operator.new_account()
    events = [usage_event(other, "1"), usage_event(account, "2")]
    body = taken(world.operator.new_key(account).post("/v1/usage", {"events": events}))
    assert body["rejected"] == [
        {"index": 0, "id": "1", "errors": {"subject": [f"there is no account {other}"]}}
    ]
    assert records_on(feed, USAGE, other) == []


@pytest.mark.parametrize("events", [[], [{"id": "bad"}]])
def test_where_nothing_is_left_to_hand_on_the_answer_is_whole(
    world: HttpWorld, events: list[dict[str, Any]]
) -> None:
    body = ok(world.operator.post("/v1/usage", {"events": events}))
    assert (body["accepted"], body["duplicates"], body["position"]) == (0, 0, None)
    assert len(body["rejected"]) == len(events)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (BATCH, "{", 400),
        (BATCH, "{}", 422),
        ("application/json", '{"events": [], "more": 1}', 422),
        ("text/plain", "{}", 415),
    ],
)
def test_what_is_refused_whole_without_kafka_is_refused_with_it(
    world: HttpWorld, kind: str, body: str, status: int
) -> None:
    refused(world.operator.send("/v1/usage", body, kind), status)


def test_who_may_not_write_usage_hands_nothing_on(world: HttpWorld, feed: FeedSettings, account: str) -> None:
    event = {"events": [usage_event(account, "1")]}
    refused(world.limited_operator("read").post("/v1/usage", event), 403)
    refused(world.anonymous.post("/v1/usage", json=event), 401)
    assert records_on(feed, USAGE, account) == []


# -- once ---------------------------------------------------------------------------------------------


def test_a_request_sent_again_under_its_idempotency_key_is_answered_from_the_first(
    world: HttpWorld, feed: FeedSettings, account: str
) -> None:
    event = {"events": [usage_event(account, "1")]}
    first = world.operator.post("/v1/usage", event, Idempotency_Key=account)
    again = world.operator.post("/v1/usage", event, Idempotency_Key=account)
    assert taken(first) == taken(again)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = {"events": [usage_event(account, "2")]}
    refused(world.operator.post("/v1/usage", other, Idempotency_Key=account), 422)
    assert ids_of(records_on(feed, USAGE, account)) == ["1"]


def test_the_description_knows_both_answers(world: HttpWorld) -> None:
    paths = ok(world.client.get("/openapi.json"))["paths"]
    for path in ("/v1/usage", "/v1/stripe/webhook", "/v1/stripe/webhook/{endpoint}"):
        answers = paths[path]["post"]["responses"]
        assert answers["200"]["content"] == answers["202"]["content"]
        assert "503" in answers


# -- the producer alone -------------------------------------------------------------------------------


def test_a_message_that_is_too_large_is_refused_and_disturbs_no_other(feed: FeedSettings) -> None:
    producer = FeedProducer(feed)
    fits = Outgoing(USAGE, b"sizes", b"x" * MAX_VALUE_BYTES)
    with pytest.raises(TooLarge):
        producer.send_all([fits, Outgoing(USAGE, b"sizes", b"y" * (MAX_VALUE_BYTES + 1))])
    producer.send_all([fits])
    producer.close()
    assert [record.value for record in records_on(feed, USAGE, "sizes")] == [fits.value]


def test_many_threads_share_one_line(feed: FeedSettings) -> None:
    producer = FeedProducer(feed)

    def send(number: int) -> None:
        for index in range(50):
            producer.send_all([Outgoing(USAGE, b"threads", f"{number} {index}".encode())])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.close()
    values = sorted(record.value.decode() for record in records_on(feed, USAGE, "threads"))
    assert values == sorted(f"{number} {index}" for number in range(8) for index in range(50))


def test_a_topic_that_is_not_there_is_unavailable(feed: FeedSettings) -> None:
    producer = FeedProducer(feed)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        producer.send_all([Outgoing("daybook.nothing", b"k", b"v")])
    assert time.monotonic() - began < BOUND_SECONDS
    producer.send_all([Outgoing(USAGE, b"another", b"v")])
    producer.close()


# -- without a broker ---------------------------------------------------------------------------------


@dataclass
class Outage:
    """A service whose broker can be stopped, killed and frozen."""

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

    def ids(self) -> list[str]:
        """Give the ids of the events on the topic."""
        return ids_of(records_on(self.feed, USAGE, self.account))

    def until_taken(self, *ids: str, **headers: str) -> TestResponse:
        """Post again as a client does, until it is taken."""
        deadline = time.monotonic() + 20
        while (response := self.post(*ids, **headers)).status_code == 503:
            assert time.monotonic() < deadline, "the way is never open again"
            time.sleep(0.2)
        return response


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def outage(own_cluster: Cluster, database: Database) -> Iterator[Outage]:
    feed = feed_of(own_cluster)
    with http_world(database, feed=feed) as world:
        made = Outage(own_cluster, feed, world, world.operator.new_account())
        taken(made.post("first"))
        yield made


def within(seconds: float, response: Any) -> Any:
    began = time.monotonic()
    found = response()
    assert time.monotonic() - began < seconds
    return found


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
    deadline = time.monotonic() + 20
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
    chance: random.Random
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
            ids = [f"{self.number} {turn} {index}" for index in range(self.chance.choice((1, 1, 30)))]
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
    outage: Outage, seed: int
) -> None:
    chance = random.Random(seed)
    stop = threading.Event()
    clients = [Client(outage, number, random.Random(chance.random()), stop) for number in range(5)]
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
    # Of what was refused the broker may have taken some, but none after the caller was told.
    late = [
        (event_id, record.timestamp / 1000 - told[event_id])
        for event_id, record in zip(ids, records, strict=True)
        if event_id in told and record.timestamp / 1000 > told[event_id] + 0.1
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
        feed = FeedSettings(bootstrap_servers=empty.bootstrap_servers)
        with http_world(database, feed=feed) as world:
            world.follow()
            body = refused(
                within(BOUND_SECONDS, lambda: world.client.get("/readyz")), 503, "kafka_unavailable"
            )
    assert "daybook topics create" in body["detail"]
