"""What Stripe tells of payments does to the books, to the cent; debits are positive below."""

from __future__ import annotations

from contextlib import closing
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from ledger.events.payment import PaymentReceived
from ledger.events.stripe import StripeCustomerLinked
from projections.follower import Follower
from projections.registry import PROJECTIONS
from tests.integration.stripe_events import CREATED, PAID, charge, event, invoice, invoice_payment
from tests.integration.stripe_world import MASTER_KEY, make_world
from tests.unit.stripe_bodies import INTENT, LEGACY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stripe_world import World
    from tests.postgres import Database


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


def test_one_payment_told_by_five_kinds_of_events_is_posted_once(world: World) -> None:
    session = {
        "id": "cs_1",
        "object": "checkout.session",
        "customer": "cus_1",
        "payment_intent": "pi_1",
        "payment_status": "paid",
        "amount_total": 1000,
        "currency": "usd",
    }
    world.happen(
        event("payment_intent.succeeded", {**INTENT, "customer": "cus_1"}),
        event("charge.succeeded", charge()),
        event("invoice_payment.paid", invoice_payment()),
        event("invoice.paid", invoice(**PAID, payment_intent="pi_1"), api_version=LEGACY),
        event("checkout.session.completed", session),
        event("charge.updated", charge()),
    )
    assert world.amounts("cus_1") == {"pending_cash": 1000, "deferred_revenue": -1000}
    (payment,) = world.events(PaymentReceived)
    assert (payment.amount, payment.currency, payment.method) == (1000, "USD", "stripe")
    assert payment.reference == "pi_1"


def test_an_attempt_that_moved_no_money_posts_nothing(world: World) -> None:
    world.happen(
        event("charge.failed", charge(status="failed")),
        event("payment_intent.payment_failed", {**INTENT, "status": "requires_payment_method"}),
        event("charge.succeeded", charge(captured=False)),
        event("charge.succeeded", charge(amount=0)),
    )
    assert world.balances() == {}
    assert world.events(PaymentReceived) == []


def test_money_without_a_customer_waits_in_suspense(world: World) -> None:
    world.happen(event("charge.succeeded", charge(customer=None)))
    assert world.amounts(None) == {"pending_cash": 1000, "suspense": -1000}
    assert world.events(StripeCustomerLinked) == []


def test_every_projection_takes_money_that_no_account_is_known_for(world: World) -> None:
    world.happen(event("charge.succeeded", charge(customer=None)))
    with closing(Follower(world.database.follower_url, MASTER_KEY, PROJECTIONS.values())) as follower:
        follower.catch_up()
        assert min(follower.positions().values()) == world.recorded()[-1].position


def test_money_leaves_suspense_when_its_customer_is_told(world: World) -> None:
    world.happen(
        event("payment_intent.succeeded", INTENT),
        event("charge.succeeded", charge()),
        event("payment_intent.succeeded", INTENT),
    )
    assert world.amounts("cus_1") == {"pending_cash": 1000, "receivable": -1000}
    assert world.amounts(None) == {}
    assert [payment.account is None for payment in world.events(PaymentReceived)] == [True, False]


def test_a_payment_without_its_customer_belongs_to_the_invoice_it_pays(world: World) -> None:
    told = [
        event("invoice.finalized", invoice()),
        event("invoice_payment.paid", invoice_payment()),
        event("invoice.paid", invoice(**PAID), created=CREATED + 5),
    ]
    for order in permutations(told):
        organisation = world.with_another_organisation()
        organisation.happen(*order, *order)
        assert organisation.balances() == {
            ("cus_1", "pending_cash", "USD"): 1000,
            ("cus_1", "deferred_revenue", "USD"): -1000,
        }


def test_a_payment_split_over_two_invoices_adds_up_to_the_whole(world: World) -> None:
    told = [
        event("invoice.finalized", invoice()),
        event("invoice_payment.paid", invoice_payment(amount_paid=600)),
        event("invoice_payment.paid", invoice_payment(id="inpay_2", amount_paid=400, invoice="in_2")),
        event("charge.succeeded", charge()),
    ]
    for order in permutations(told):
        organisation = world.with_another_organisation()
        organisation.happen(*order, *order)
        assert organisation.balances() == {
            ("cus_1", "pending_cash", "USD"): 1000,
            ("cus_1", "deferred_revenue", "USD"): -1000,
        }
        *_, newest = organisation.events(PaymentReceived)
        assert newest.amount == 1000


def test_two_payments_of_one_invoice_both_find_it(world: World) -> None:
    second = {"type": "payment_intent", "payment_intent": "pi_2"}
    told = [
        event("invoice_payment.paid", invoice_payment(amount_paid=700)),
        event("invoice_payment.paid", invoice_payment(id="inpay_2", amount_paid=300, payment=second)),
        event("invoice.paid", invoice(**PAID)),
    ]
    for order in permutations(told):
        organisation = world.with_another_organisation()
        organisation.happen(*order, *order)
        assert organisation.amounts("cus_1") == {"pending_cash": 1000, "deferred_revenue": -1000}


def test_a_payment_captured_in_steps_is_posted_in_steps(world: World) -> None:
    first = event("charge.captured", charge(amount_captured=600))
    second = event("charge.updated", charge(amount_captured=900))
    for order in ([first, second], [second, first]):
        organisation = world.with_another_organisation()
        organisation.happen(*order, *order)
        assert organisation.amounts("cus_1") == {"pending_cash": 900, "receivable": -900}


def test_one_payment_in_two_currencies_is_not_applied(world: World) -> None:
    world.happen(
        event("charge.succeeded", charge()),
        event("payment_intent.succeeded", {**INTENT, "customer": "cus_1", "currency": "eur"}),
    )
    assert world.amounts("cus_1") == {"pending_cash": 1000, "receivable": -1000}
    assert world.not_applied() == ["payment pi_1 was told in USD and in EUR"]
