"""Whatever the order in which Stripe's deliveries come, and however often, the books end the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from ledger.events.journal import JournalEntryPosted
from ledger.events.payment import PaymentReceived
from ledger.events.stripe import StripeEventReceived
from ledger.posting import is_balanced
from tests.integration.stripe_world import make_world
from tests.unit.stripe_bodies import (
    BASIL,
    CHARGE,
    EVENT_FILES,
    INTENT,
    INVOICE_PAYMENT,
    LEGACY,
    RECORDINGS,
    recorded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stripe_world import World
    from tests.postgres import Database

SEED = 20_261_121
ORDERS = 20
CREATED = 1_800_000_000

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recorded Stripe payloads are not on this machine"
)


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


def wrapped(number: int, kind: str, about: dict[str, Any], api_version: str = BASIL) -> dict[str, Any]:
    return {
        "id": f"evt_made_{number}",
        "object": "event",
        "type": kind,
        "livemode": False,
        "api_version": api_version,
        "created": CREATED + number,
        "data": {"object": about},
    }


def life_of_an_invoice() -> list[dict[str, Any]]:
    """Tell of one invoice and its payment in every way, old and new, from the recorded body of it."""
    paid = recorded("pay-rails/invoice.json")
    opened = {**paid, "status": "open", "amount_paid": 0}
    draft = {**opened, "status": "draft", "ending_balance": None, "total": 1, "number": None}
    intent = {**INTENT, "id": paid["payment_intent"], "amount": 24_512, "amount_received": 24_512}
    links = {"payment_intent": paid["payment_intent"], "customer": paid["customer"]}
    charge = {**CHARGE, "id": paid["charge"], "amount": 24_512, **links}
    payment = {"type": "payment_intent", "payment_intent": paid["payment_intent"]}
    settled = {**INVOICE_PAYMENT, "invoice": paid["id"], "amount_paid": 24_512, "payment": payment}
    customer = {"id": paid["customer"], "object": "customer", "name": "Ada", "email": "ada@example.com"}
    return [
        wrapped(1, "customer.created", customer),
        wrapped(2, "invoice.created", draft),
        wrapped(3, "invoice.finalized", opened),
        wrapped(4, "payment_intent.succeeded", intent),
        wrapped(5, "charge.succeeded", charge),
        wrapped(6, "invoice_payment.paid", settled),
        wrapped(7, "invoice.paid", paid),
        wrapped(8, "invoice.payment_succeeded", paid, LEGACY),
        wrapped(9, "customer.updated", {**customer, "name": "Ada King"}),
    ]


def life_of_a_void_invoice() -> list[dict[str, Any]]:
    line = {"id": "il_v", "amount": 900, "currency": "usd", "period": {"start": CREATED, "end": CREATED + 99}}
    opened = {
        "id": "in_v",
        "object": "invoice",
        "customer": "cus_v",
        "status": "open",
        "currency": "usd",
        "total": 900,
        "starting_balance": -100,
        "ending_balance": 0,
        "lines": {"data": [line]},
    }
    return [
        wrapped(21, "invoice.finalized", opened),
        wrapped(22, "invoice.marked_uncollectible", {**opened, "status": "uncollectible"}),
        wrapped(23, "invoice.voided", {**opened, "status": "void"}),
    ]


def all_contents() -> list[dict[str, Any]]:
    return [*map(recorded, EVENT_FILES), *life_of_an_invoice(), *life_of_a_void_invoice()]


def happen_in_disorder(world: World, contents: list[dict[str, Any]], dice: random.Random) -> None:
    """Deliver everything twice in a random order, and process now and then in between."""
    twice = [*contents, *contents]
    dice.shuffle(twice)
    for content in twice:
        world.deliver(content)
        if dice.random() < 0.2:
            world.process()
    world.process()


@needs_recordings
def test_any_order_of_all_deliveries_ends_in_the_same_books(world: World) -> None:
    contents = all_contents()
    world.happen(*contents)
    expected = (world.balances(), world.newest_sightings(), world.accounts())
    assert expected[0]["cus_S9YwWMaQEgeJYO", "pending_cash", "USD"] == 24_512
    assert ("cus_S9YwWMaQEgeJYO", "receivable", "USD") not in expected[0]
    assert not any(customer == "cus_v" for customer, _, _ in expected[0])
    for number in range(ORDERS):
        seed = SEED + number
        print("seed", seed)  # noqa: T201 - pytest shows it when the order fails
        organisation = world.with_another_organisation(f"Order {seed}")
        happen_in_disorder(organisation, contents, random.Random(seed))  # noqa: S311 - no secret
        found = (organisation.balances(), organisation.newest_sightings(), organisation.accounts())
        assert found == expected, seed
        assert len(organisation.events(StripeEventReceived)) == len(contents)
        assert all(is_balanced(entry.postings) for entry in organisation.events(JournalEntryPosted))


@needs_recordings
def test_processing_all_again_changes_nothing(world: World) -> None:
    contents = all_contents()
    random.Random(SEED).shuffle(contents)  # noqa: S311 - no secret
    for content in contents:
        world.deliver(content)
    world.process()
    before = world.recorded()
    world.forget_tracking()
    assert world.process() == len(contents)
    assert world.recorded() == before
    assert len({payment.payment for payment in world.events(PaymentReceived)}) > 3
