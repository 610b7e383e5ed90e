"""Webhooks of Stripe's that come as messages: what HTTP keeps, once, with the offset or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from consumers.message import Message
from consumers.stripe_intake import STRIPE, verify
from consumers.stripe_messages import apply_delivery
from ledger.errors import NotFound, PayloadRefused, SignatureRefused
from ledger.events.stripe import StripeEventReceived
from ledger.stamps import Stamp
from schemas.topics import STRIPE as TOPIC
from tests.integration.message_world import OutOfTurn, Partition, Turn
from tests.integration.stripe_world import NOW, make_world
from tests.unit.stripe_bodies import event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ledger.store import Log
    from tests.integration.stripe_world import World
    from tests.postgres import Database

BODY = json.dumps(event("customer.created", {"id": "cus_1", "object": "customer", "name": "Ada"}))


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


@pytest.fixture
def feed(world: World) -> Partition:
    return Partition(world.database, world.test_book)


def message_of(body: str | bytes | None, **headers: str | bytes) -> Message:
    """Make the record of a delivery; header names are given with underscores for hyphens."""
    named = {
        name.replace("_", "-"): value.encode() if isinstance(value, str) else value
        for name, value in headers.items()
    }
    return Message(
        feed="cluster/topic",
        topic=TOPIC,
        partition=0,
        offset=0,
        timestamp=NOW,
        key=None,
        value=body.encode() if isinstance(body, str) else body,
        headers=tuple(named.items()),
    )


def apply(
    world: World, feed: Partition, message: Message, stamp: Stamp | None = None, now: datetime = NOW
) -> Turn:
    """Apply a delivery at the next offset."""
    turn = Turn(feed.read_to)
    apply_delivery(world.log, world.settings, message, stamp, now, turn)
    return turn


def signed(world: World, body: str = BODY, **headers: str) -> Message:
    return message_of(
        body,
        **{"stripe_signature": world.signed(body), "daybook_endpoint": world.founded.endpoint, **headers},
    )


def stamp_of(world: World, endpoint: str | None = None) -> Stamp:
    """Stamp a delivery as the HTTP edge does."""
    return Stamp(
        accepted_at=NOW,
        book=world.test_book,
        actor=STRIPE,
        cause="stripe:evt_1",
        endpoint=world.founded.endpoint if endpoint is None else endpoint,
    )


def kept(world: World) -> list[dict[str, Any]]:
    """Give every delivery that is kept, with what surrounds it."""
    return [
        {**asdict(one.event), "cause": one.metadata.cause, "actor": one.metadata.actor}
        for one in world.recorded()
        if isinstance(one.event, StripeEventReceived)
    ]


def test_a_signed_message_is_kept_as_http_keeps_it(world: World, feed: Partition) -> None:
    apply(world, feed, signed(world))
    through = kept(world)
    assert (through[0]["body"], feed.read_to) == (BODY, 1)
    assert not world.deliver(BODY).new
    other = world.with_another_organisation()
    other.deliver(BODY)
    (over,) = kept(other)
    assert [{**one, "endpoint": ""} for one in through] == [{**over, "endpoint": ""}]


def test_a_stamped_message_was_verified_by_the_edge(world: World, feed: Partition) -> None:
    # Long after: no signature is looked at any more.
    apply(world, feed, message_of(BODY), stamp_of(world), NOW + timedelta(days=3))
    assert ([one["endpoint"] for one in kept(world)], feed.read_to) == ([world.founded.endpoint], 1)


def test_a_delivery_takes_effect_whichever_way_it_came(world: World, feed: Partition) -> None:
    apply(world, feed, signed(world))
    assert world.process() == 1


def test_a_signature_is_judged_as_of_when_the_broker_took_it(world: World, feed: Partition) -> None:
    with pytest.raises(SignatureRefused, match="too far from now"):
        apply(world, feed, signed(world), now=NOW + timedelta(minutes=6))
    apply(world, feed, signed(world), now=NOW + timedelta(minutes=4))
    assert (len(kept(world)), feed.read_to) == (1, 1)


def test_without_an_endpoint_the_default_one_s_secret_is_wanted(world: World, feed: Partition) -> None:
    body = BODY
    apply(world, feed, message_of(body, stripe_signature=world.signed(body)))
    assert (
        verify(world.log, world.settings, "", body.encode(), world.signed(body), NOW).endpoint
        == (kept(world)[0]["endpoint"])
    )


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"stripe_signature": "t=1,v1=abc"}, SignatureRefused),
        ({"stripe_signature": b"\xff\xfe"}, SignatureRefused),
        ({"stripe_signature": b""}, SignatureRefused),
        ({"daybook_endpoint": "whe_other"}, NotFound),
        ({"daybook_endpoint": b"\xff\x00"}, NotFound),
    ],
)
def test_what_is_not_signed_for_its_endpoint_is_refused(
    world: World, feed: Partition, headers: dict[str, Any], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        apply(world, feed, signed(world, **headers))
    assert (kept(world), feed.read_to) == ([], 0)


def test_without_a_signature_or_a_stamp_nothing_is_kept(world: World, feed: Partition) -> None:
    with pytest.raises(SignatureRefused):
        apply(world, feed, message_of(BODY, daybook_endpoint=world.founded.endpoint))
    with pytest.raises(NotFound):
        apply(world, feed, message_of(BODY), stamp_of(world, "whe_other"))
    assert (kept(world), feed.read_to) == ([], 0)


@pytest.mark.parametrize("body", [None, b"", b"{}", b"\xff", b"nonsense", b"[]"])
def test_what_stripe_never_sends_is_refused_even_if_stamped(
    world: World, feed: Partition, body: bytes | None
) -> None:
    with pytest.raises(PayloadRefused):
        apply(world, feed, message_of(body), stamp_of(world))
    assert (kept(world), feed.read_to) == ([], 0)


def test_a_delivery_that_is_known_moves_on_alone(world: World, feed: Partition) -> None:
    world.deliver(BODY)
    turns = [apply(world, feed, signed(world)) for _ in range(2)]
    assert ([turn.claimed for turn in turns], feed.read_to, len(kept(world))) == ([1, 1], 2, 1)


def test_a_delivery_with_a_known_id_and_other_facts_is_kept_beside_the_first(
    world: World, feed: Partition
) -> None:
    apply(world, feed, signed(world))
    other = json.dumps(event("customer.created", {"id": "cus_1", "object": "customer", "name": "Grace"}))
    apply(world, feed, signed(world, other))
    apply(world, feed, signed(world, other))
    assert ([one["variant"] for one in kept(world)], feed.read_to) == ([False, True], 3)


def test_a_delivery_that_another_edge_keeps_meanwhile_moves_on(world: World, feed: Partition) -> None:
    class Slow:
        """A log in which the delivery arrives over HTTP just before it is appended here."""

        def __init__(self, log: Log) -> None:
            self.log, self.done = log, False

        def __getattr__(self, name: str) -> Any:
            return getattr(self.log, name)

        def append(self, *arguments: Any, **named: Any) -> list[int]:
            if not self.done:
                self.done = True
                world.deliver(BODY)
            return self.log.append(*arguments, **named)

    turn = Turn(0)
    log: Any = Slow(world.log)
    apply_delivery(log, world.settings, signed(world), None, NOW, turn)
    assert (feed.read_to, len(kept(world))) == (1, 1)


def test_nothing_is_kept_out_of_turn(world: World, feed: Partition) -> None:
    with pytest.raises(OutOfTurn):
        apply_delivery(world.log, world.settings, signed(world), None, NOW, Turn(7))
    assert (kept(world), feed.read_to) == ([], 0)
