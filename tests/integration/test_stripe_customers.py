"""What Stripe tells of customers and subscriptions, and what cannot take effect."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from commands.accounts import close_account, register_account
from ledger.events.account import AccountRegistered
from ledger.events.stripe import (
    StripeCustomerLinked,
    StripeCustomerObserved,
    StripeEventNotApplied,
    StripeEventReceived,
    StripeSubscriptionItem,
    StripeSubscriptionObserved,
)
from tests.integration.stripe_events import CREATED, PAID, PERIOD, charge, customer, event, invoice
from tests.integration.stripe_world import make_world
from tests.unit.stripe_bodies import LEGACY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stripe_world import World
    from tests.postgres import Database


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


# -- customers and subscriptions ------------------------------------------------------------------------


def test_an_account_made_for_a_customer_goes_by_its_newest_name(world: World) -> None:
    world.happen(
        event("charge.succeeded", charge()),
        event("customer.updated", customer(name="Ada King"), created=CREATED + 9),
        event("customer.created", customer()),
    )
    assert world.accounts() == {"stripe:cus_1": ("Ada King", "ada@example.com", "open")}
    assert len(world.events(StripeCustomerObserved)) == 1


def test_a_deleted_customer_stays_deleted(world: World) -> None:
    created = event("customer.created", customer())
    deleted = event("customer.deleted", customer(name="Ada King"), created=CREATED + 9)
    for order in ([created, deleted], [deleted, created]):
        organisation = world.with_another_organisation()
        organisation.happen(*order)
        *_, newest = organisation.events(StripeCustomerObserved)
        assert newest.deleted
        assert organisation.accounts() == {"stripe:cus_1": ("Ada King", "ada@example.com", "open")}


def test_a_customer_whose_metadata_names_our_account_is_billed_as_it(world: World) -> None:
    done = register_account(world.context(), "Ours", "ours@example.com")
    assert done.result.state is not None
    ours = done.result.state.account
    world.happen(
        event("customer.created", customer(metadata={"daybook_account": ours})),
        event("invoice.finalized", invoice()),
    )
    (link,) = world.events(StripeCustomerLinked)
    assert (link.customer, link.account) == ("cus_1", ours)
    # An account of ours keeps the name it was given here.
    assert world.accounts() == {ours: ("Ours", "ours@example.com", "open")}
    assert world.amounts("cus_1") == {"receivable": 1000, "deferred_revenue": -1000}


@pytest.mark.parametrize("named", ["acc_01h455vb4pex5vsknk084sn02q", "nonsense", "acc_nonsense"])
def test_an_account_that_this_book_does_not_have_is_not_linked(world: World, named: str) -> None:
    world.happen(event("customer.created", customer(metadata={"daybook_account": named})))
    assert list(world.accounts()) == ["stripe:cus_1"]
    assert world.not_applied() == []


def test_an_account_shared_by_two_customers_follows_only_the_one_it_was_made_for(world: World) -> None:
    world.happen(event("customer.created", customer()))
    shared = world.account_made_for("cus_1")
    second = customer(id="cus_2", name="Eve", metadata={"daybook_account": shared})
    world.happen(event("customer.created", second, created=CREATED + 9))
    assert world.accounts() == {"stripe:cus_1": ("Ada", "ada@example.com", "open")}
    assert [link.account for link in world.events(StripeCustomerLinked)] == [shared, shared]


def test_a_closed_account_keeps_its_name_and_is_still_paid(world: World) -> None:
    world.happen(event("customer.created", customer()))
    close_account(world.context(), world.account_made_for("cus_1"), "gone")
    world.happen(
        event("customer.updated", customer(name="Ada King"), created=CREATED + 9),
        event("charge.succeeded", charge()),
    )
    assert world.accounts() == {"stripe:cus_1": ("Ada", "ada@example.com", "closed")}
    assert world.amounts("cus_1") == {"pending_cash": 1000, "receivable": -1000}
    assert world.not_applied() == []


def test_the_link_names_the_data_key_that_seals_the_customers_deliveries(world: World) -> None:
    world.happen(event("customer.created", customer()))
    (link,) = world.events(StripeCustomerLinked)
    (delivery,) = world.events(StripeEventReceived)
    assert link.data_subject == delivery.subject()


def test_a_subscription_is_seen_as_it_is(world: World) -> None:
    price = {
        "id": "price_1",
        "product": "prod_1",
        "currency": "usd",
        "unit_amount_decimal": "12.50",
        "recurring": {"interval": "month", "interval_count": 1},
    }
    item = {
        "id": "si_1",
        "price": price,
        "quantity": 3,
        "current_period_start": PERIOD["start"],
        "current_period_end": PERIOD["end"],
    }
    subscription = {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "cancel_at_period_end": True,
        "items": {"data": [item]},
    }
    world.happen(event("customer.subscription.updated", subscription))
    starts, ends = (datetime.fromtimestamp(PERIOD[name], UTC) for name in ("start", "end"))
    (seen,) = world.events(StripeSubscriptionObserved)
    (registered,) = world.events(AccountRegistered)
    assert seen == StripeSubscriptionObserved(
        stripe_subscription="sub_1",
        account=registered.account,
        status="active",
        items=(
            StripeSubscriptionItem(
                item="si_1",
                price="price_1",
                product="prod_1",
                quantity=3,
                unit_amount="12.5",
                currency="USD",
                interval="month",
                interval_count=1,
                period_start=starts,
                period_end=ends,
            ),
        ),
        cancels_at=ends,
        ended_at=None,
        observed_at=datetime.fromtimestamp(CREATED, UTC),
        stripe_event=seen.stripe_event,
    )


def test_two_sightings_of_one_second_end_the_same_in_either_order(world: World) -> None:
    plain = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "items": {"data": []}}
    created = event("customer.subscription.created", {**plain, "status": "incomplete"})
    active = event("customer.subscription.updated", {**plain, "status": "active"})
    ada, bea = (event("customer.updated", customer(name=name)) for name in ("Ada", "Bea"))
    names = set()
    for order in ([created, active, ada, bea], [active, created, bea, ada]):
        organisation = world.with_another_organisation()
        organisation.happen(*order)
        *_, newest = organisation.events(StripeSubscriptionObserved)
        assert newest.status == "active"
        *_, seen = organisation.events(StripeCustomerObserved)
        assert organisation.accounts()["stripe:cus_1"] == (seen.name, "ada@example.com", "open")
        names.add(seen.name)
    assert len(names) == 1


# -- what is not applied --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "about", "reason"),
    [
        ("invoice.finalized", invoice(customer=None), "Stripe named no customer"),
        (
            "customer.subscription.created",
            {"id": "sub_1", "object": "subscription", "status": "active", "items": {"data": []}},
            "Stripe named no customer",
        ),
        ("invoice.finalized", invoice(total="1000"), "total: must be a whole number of minor units"),
        ("customer.created", {"object": "customer"}, "id: must be an id"),
        ("charge.succeeded", {"object": "invoice", "id": "in_1"}, "object: must be charge"),
    ],
)
def test_what_cannot_take_effect_is_kept_with_its_reason_once(
    world: World, kind: str, about: dict[str, Any], reason: str
) -> None:
    kept = world.deliver(event(kind, about))
    world.happen(event("charge.succeeded", charge()))
    world.forget_tracking()
    world.process()
    (note,) = world.events(StripeEventNotApplied)
    assert (note.reason, note.event_position) == (reason, kept.position)
    assert world.amounts("cus_1") == {"pending_cash": 1000, "receivable": -1000}


def test_a_payment_takes_effect_although_its_invoice_does_not(world: World) -> None:
    about = invoice(**PAID, customer=None, payment_intent="pi_1")
    world.happen(event("invoice.paid", about, api_version=LEGACY))
    assert world.not_applied() == ["Stripe named no customer"]
    assert world.amounts(None) == {"pending_cash": 1000, "suspense": -1000}


def test_a_forgotten_customer_is_not_written_down_again(world: World) -> None:
    world.happen(event("customer.created", customer()))
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute("UPDATE daybook.data_keys SET wrapped = NULL, destroyed_at = now()")
    world.happen(
        event("customer.updated", customer(name="Ada King"), created=CREATED + 9),
        event("charge.succeeded", charge()),
    )
    assert world.not_applied() == ["the person these facts are about has been forgotten"]
    assert [seen.name for seen in world.events(StripeCustomerObserved)] == ["[forgotten]"]
    assert world.amounts("cus_1") == {"pending_cash": 1000, "receivable": -1000}
    world.forget_tracking()
    world.process()
    assert world.not_applied()[1:] == ["its body was forgotten before it was processed, or processed again"]


def test_a_forgotten_sighting_told_again_is_no_news(world: World) -> None:
    world.happen(event("customer.created", customer()))
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute(
            "UPDATE daybook.data_keys SET wrapped = NULL, destroyed_at = now() WHERE subject LIKE 'account:%'"
        )
    before = world.recorded()
    world.forget_tracking()
    world.process()
    assert world.recorded() == before
