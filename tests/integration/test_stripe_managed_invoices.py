"""Invoices of ours that Stripe collects: posted once, settled once, whoever the customer is billed as."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from commands.accounts import register_account
from commands.invoicing import pay_invoice
from commands.plans import create_plan
from commands.subscriptions import subscribe
from ledger.errors import Conflict
from ledger.events.invoice import PaymentApplied
from ledger.events.payment import PaymentReceived
from ledger.events.stripe import StripeInvoiceObserved
from ledger.identifiers import stream_of
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from tests.integration.stripe_events import CREATED, PAID, charge, customer, event, invoice, invoice_payment
from tests.integration.stripe_world import make_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stripe_world import World
    from tests.postgres import Database


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


def issued(world: World) -> tuple[str, str]:
    """Issue an invoice of ours over 1,000 and give it and its account."""
    done = register_account(world.context(), "Ours", None)
    assert done.result.state is not None
    account = done.result.state.account
    plan = create_plan(world.context(), "Pro", "USD", "month", 1000).result.state
    assert plan is not None
    subscribed = subscribe(world.context(), account, plan.plan).result.invoice
    assert subscribed is not None
    return account, invoices.require(subscribed.state).draft.invoice


def status_of(world: World, ours: str) -> str:
    state = fold(invoices.evolve, world.log.load(world.test_book, stream_of("inv", ours))).state
    assert state is not None
    return state.status


def by_ledger_account(world: World, account: str) -> dict[str, int]:
    customers = world.customers()
    return world.amounts(customers.get(account, account))


def test_an_invoice_of_ours_is_posted_once_and_becomes_paid(world: World) -> None:
    for position, order in enumerate(permutations(range(4))):
        if position % 5:
            continue
        organisation = world.with_another_organisation()
        account, ours = issued(organisation)
        metadata = {"daybook_invoice": ours}
        told = [
            event("customer.created", customer(metadata={"daybook_account": account})),
            event("invoice.finalized", invoice(metadata=metadata)),
            event("invoice.paid", invoice(**PAID, metadata=metadata), created=CREATED + 5),
            event("invoice_payment.paid", invoice_payment()),
        ]
        organisation.happen(*(told[index] for index in order), *told)
        assert status_of(organisation, ours) == "paid"
        assert len(organisation.events(PaymentApplied)) == 1
        assert organisation.balances() == {
            ("cus_1", "pending_cash", "USD"): 1000,
            ("cus_1", "deferred_revenue", "USD"): -1000,
        }


@pytest.mark.parametrize("charge_first", [False, True])
def test_money_of_a_customer_billed_elsewhere_reaches_the_account_of_our_invoice(
    world: World,
    charge_first: bool,  # noqa: FBT001 - a case
) -> None:
    account, ours = issued(world)
    world.happen(event("customer.created", customer()))
    about = invoice(**PAID, metadata={"daybook_invoice": ours})
    told = [event("invoice.paid", about), event("charge.succeeded", charge())]
    if charge_first:
        told.reverse()
    world.happen(*told, *told)
    assert status_of(world, ours) == "paid"
    assert by_ledger_account(world, account) == {"pending_cash": 1000, "deferred_revenue": -1000}
    assert world.amounts("cus_1") == {}


def test_an_invoice_of_ours_paid_outside_stripe_is_settled(world: World) -> None:
    account, ours = issued(world)
    about = invoice(**PAID, metadata={"daybook_invoice": ours}, amount_paid_off_stripe=1000)
    world.happen(event("invoice.paid", about))
    assert status_of(world, ours) == "paid"
    assert by_ledger_account(world, account) == {"external_asset": 1000, "deferred_revenue": -1000}


@pytest.mark.parametrize("named", ["inv_01h455vb4pex5vsknk084sn02q", "nonsense", "acc_nonsense"])
def test_an_invoice_that_this_book_does_not_have_is_stripes_own(world: World, named: str) -> None:
    world.happen(event("invoice.paid", invoice(**PAID, metadata={"daybook_invoice": named})))
    assert world.amounts("cus_1") == {"receivable": 1000, "deferred_revenue": -1000}
    assert [seen.managed_invoice for seen in world.events(StripeInvoiceObserved)] == [None]
    assert world.not_applied() == []


def test_an_invoice_of_ours_collected_in_another_currency_is_not_settled(world: World) -> None:
    _, ours = issued(world)
    about = invoice(**PAID, metadata={"daybook_invoice": ours}, currency="eur")
    world.happen(event("invoice.paid", about))
    assert status_of(world, ours) == "open"
    assert world.not_applied() == ["the invoice is in USD, the payment in EUR"]


def test_a_payment_entered_by_hand_and_told_by_stripe_is_one(world: World) -> None:
    _, ours = issued(world)
    paid = event("charge.succeeded", charge(customer=None))
    pay_invoice(world.context(), ours, 1000, "USD", "stripe", "pi_1")
    world.happen(paid)
    assert len(world.events(PaymentReceived)) == 1
    other = world.with_another_organisation()
    _, ours = issued(other)
    other.happen(paid)
    with pytest.raises(Conflict):
        pay_invoice(other.context(), ours, 1000, "USD", "stripe", "pi_1")
