"""Stripe's webhook where there is a Kafka: verified at the door as ever, and taken once the broker has it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from stripe import WebhookSignature

from consumers.message import MAX_VALUE_BYTES
from consumers.stripe_intake import ENDPOINT_HEADER
from ledger.identifiers import stream_of
from ledger.stamps import HEADER
from schemas.topics import STRIPE
from tests.integration.feed_topics import feed_of, records_on
from tests.integration.http_feed import BOUND_SECONDS, outage_on, stamp_of, unavailable, until_back, within
from tests.integration.http_world import NOW, http_world, ok, refused
from tests.kafka.broker import running_cluster
from tests.unit.stripe_bodies import event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.test import TestResponse

    from ledger.feed_settings import FeedSettings
    from tests.integration.http_world import HttpWorld
    from tests.kafka.broker import Cluster
    from tests.postgres import Database

CUSTOMER = {"id": "cus_1", "object": "customer", "name": "Ada Lovelace", "email": "ada@example.com"}


@dataclass
class Stripe:
    """What Stripe does with a webhook endpoint of a served world."""

    world: HttpWorld
    feed: FeedSettings

    def send(self, text: str, signature: str | None = None, endpoint: str | None = None) -> TestResponse:
        """Deliver a body, signed as it must be unless another signature is given."""
        if signature is None:
            signature = self.signed(text)
        where = self.world.founded.endpoint if endpoint is None else endpoint
        path = f"/v1/stripe/webhook/{where}" if where else "/v1/stripe/webhook"
        return self.world.client.post(path, data=text.encode(), headers={"Stripe-Signature": signature})

    def signed(self, text: str) -> str:
        """Sign a body."""
        secret = self.world.founded.webhook_secret
        return str(WebhookSignature.generate_signature_header(text, secret, int(NOW.timestamp())))

    def records(self, event_id: str | None = None) -> list[Any]:
        """Give the messages on the topic that came through this world's endpoint."""
        endpoint = self.world.founded.endpoint.encode()
        found = records_on(self.feed, STRIPE, event_id)
        return [record for record in found if dict(record.headers)[ENDPOINT_HEADER] == endpoint]


def delivery(event_id: str = "evt_1", **more: Any) -> str:
    return json.dumps({**event("customer.created", CUSTOMER), "id": event_id, **more})


def taken(response: TestResponse) -> None:
    assert ok(response, 202) == {"received": True, "duplicate": None}
    assert "Daybook-Position" not in response.headers


@pytest.fixture
def stripe(kafka: Cluster, database: Database) -> Iterator[Stripe]:
    feed = feed_of(kafka)
    with http_world(database, feed=feed) as world:
        yield Stripe(world, feed)


@pytest.mark.parametrize("livemode", [True, False])
def test_a_delivery_is_handed_on_as_it_came(stripe: Stripe, *, livemode: bool) -> None:
    text = json.dumps(json.loads(delivery(livemode=livemode)), indent=3) + "\n"
    taken(stripe.send(text))
    (record,) = stripe.records()
    assert (record.key, record.value) == (b"evt_1", text.encode())
    assert [name for name, _ in record.headers] == [ENDPOINT_HEADER, HEADER]
    stamp = stamp_of(record)
    assert stamp is not None
    founded = stripe.world.founded
    assert stamp.book == stream_of("book", founded.live_book if livemode else founded.test_book)
    assert (stamp.actor.principal, stamp.actor.kind, stamp.actor.key) == ("stripe", "stripe", None)
    assert (stamp.accepted_at, stamp.cause, stamp.endpoint) == (NOW, "stripe:evt_1", founded.endpoint)


def test_the_default_endpoint_is_named_in_the_message(stripe: Stripe) -> None:
    taken(stripe.send(delivery(), endpoint=""))
    (record,) = stripe.records()
    stamp = stamp_of(record)
    assert stamp is not None
    assert stamp.endpoint == stripe.world.founded.endpoint


def test_nothing_is_written_to_the_log_by_the_request(stripe: Stripe) -> None:
    head = stripe.world.log.head()
    taken(stripe.send(delivery()))
    assert stripe.world.log.head() == head


def test_a_redelivery_is_handed_on_for_the_consumer_to_judge(stripe: Stripe) -> None:
    for _ in range(2):
        taken(stripe.send(delivery()))
    assert len({(record.partition, record.value) for record in stripe.records("evt_1")}) == 1
    assert len(stripe.records("evt_1")) == 2


@pytest.mark.parametrize(
    "signature", ["", "garbage", "t=1800000000,v1=abc", "t=1,v1=" + "0" * 64], ids=["", "x", "v1", "old"]
)
def test_what_stripe_did_not_sign_is_not_handed_on(stripe: Stripe, signature: str) -> None:
    refused(stripe.send(delivery(), signature=signature), 400, "signature_refused")
    assert stripe.records() == []


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"id": "evt_1"}', delivery(data=None)])
def test_a_signed_body_that_is_no_event_is_not_handed_on(stripe: Stripe, text: str) -> None:
    refused(stripe.send(text), 400, "payload_refused")
    assert stripe.records() == []


def test_an_unknown_endpoint_is_not_there(stripe: Stripe) -> None:
    refused(stripe.send(delivery(), endpoint="whe_unknown"), 404)


def test_a_delivery_larger_than_a_message_is_refused(stripe: Stripe) -> None:
    refused(stripe.send(delivery(padding="x" * MAX_VALUE_BYTES)), 413, "too_large")
    taken(stripe.send(delivery()))


def test_while_the_broker_is_down_stripe_is_asked_to_come_again(database: Database) -> None:
    with running_cluster() as cluster, outage_on(cluster, database) as outage:
        stripe = Stripe(outage.world, outage.feed)
        taken(stripe.send(delivery("evt_before")))
        cluster.stop()
        unavailable(within(BOUND_SECONDS, lambda: stripe.send(delivery("evt_down"))))
        unavailable(within(BOUND_SECONDS, lambda: stripe.send(delivery("evt_still_down"))))
        # What is not Stripe's is refused as ever.
        refused(stripe.send(delivery(), signature="garbage"), 400)
        cluster.restart(cluster.brokers[0])
        taken(until_back(lambda: stripe.send(delivery("evt_after"))))
        time.sleep(1)
        assert sorted(record.key for record in stripe.records()) == [b"evt_after", b"evt_before"]
        taken(stripe.send(delivery("evt_down")))
        assert [record.value.decode() for record in stripe.records("evt_down")] == [delivery("evt_down")]
