"""Usage over HTTP where there is a Kafka: judged at the door, and taken once the broker has it."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from consumers.feed_producer import FeedProducer
from consumers.message import MAX_VALUE_BYTES
from consumers.outgoing import Outgoing
from consumers.usage_batch import MAX_USAGE_BYTES
from ledger.errors import TooLarge, Unavailable
from ledger.identifiers import stream_of
from ledger.stamps import HEADER, read_stamp, stamp_key
from schemas.topics import ACCOUNTS, USAGE
from tests.integration.feed_topics import feed_of, records_on
from tests.integration.http_feed import BOUND_SECONDS, KEY, ids_of, stamp_of, taken
from tests.integration.http_world import NOW, http_world, ok, refused, usage_event
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.feed_settings import FeedSettings
    from tests.integration.http_world import HttpWorld
    from tests.kafka.broker import Cluster

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


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
        usage_event(account, "large", traceparent="x" * MAX_USAGE_BYTES),
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
