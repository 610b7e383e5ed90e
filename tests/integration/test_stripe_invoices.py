"""What Stripe tells of invoices does to the books, to the cent; debits are positive below."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from ledger.events.journal import JournalEntryPosted
from ledger.events.payment import PaymentReceived
from ledger.events.stripe import StripeInvoiceObserved
from tests.integration.stripe_events import CREATED, PAID, charge, event, invoice, invoice_payment, line
from tests.integration.stripe_world import make_world
from tests.unit.stripe_bodies import BASIL, LEGACY, recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.stripe_world import World
    from tests.postgres import Database


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


@pytest.mark.parametrize("api_version", [LEGACY, "2020-03-02", BASIL, "2026-10-28.endive", None])
def test_an_invoice_paid_with_tax_and_discounts_posts_each_part_in_its_place(
    world: World, api_version: str | None
) -> None:
    paid = recorded("pay-rails/invoice.json")
    world.happen(event("invoice.paid", paid, api_version=api_version))
    # 26,100 - 3,393 of discounts = 22,707 earned at once (the lines have no period), 1,805 tax: 24,512 paid.
    assert world.amounts("cus_S9YwWMaQEgeJYO") == {
        "revenue": -22_707,
        "tax_payable": -1_805,
        "pending_cash": 24_512,
    }
    entries = {entry.kind: entry for entry in world.events(JournalEntryPosted)}
    assert set(entries) == {"invoice_finalized", "payment_received"}
    by_line = {
        (posting.line, posting.ledger_account): posting.amount
        for posting in entries["invoice_finalized"].postings
    }
    assert by_line == {
        (None, "receivable"): 24_512,
        ("il_1RFFqsKXBGcbgpbZq0f1BMVv", "revenue"): 15_660,
        ("il_1RFFqsKXBGcbgpbZq0f1BMVv", "tax_payable"): 1_245,
        ("il_1RFFq0KXBGcbgpbZPuBYsvfv", "revenue"): 7_047,
        ("il_1RFFq0KXBGcbgpbZPuBYsvfv", "tax_payable"): 560,
    }
    # Finalized on 18 April 2025, whenever its event came.
    assert entries["invoice_finalized"].accounting_date == date(2025, 4, 18)
    (seen,) = world.events(StripeInvoiceObserved)
    assert (seen.status, seen.subtotal, seen.tax_total, seen.total) == ("paid", 25_230, 1_805, 24_512)
    assert (seen.amount_paid, seen.currency) == (24_512, "USD")
    assert world.not_applied() == []


def test_every_recorded_way_of_telling_of_one_invoice_posts_it_once(world: World) -> None:
    paid = recorded("pay-rails/invoice.json")
    opened = {**paid, "status": "open", "amount_paid": 0}
    world.happen(
        event("invoice.payment_succeeded", paid, api_version=LEGACY),
        event("invoice.finalized", opened, created=CREATED - 5),
        event("invoice.paid", paid),
        event("invoice.updated", paid),
        event("invoice_payment.paid", _payment_of(paid)),
        event("charge.succeeded", _charge_of(paid)),
    )
    assert sorted(world.entry_kinds()) == ["invoice_finalized", "payment_received"]
    assert len(world.events(PaymentReceived)) == 1


def _payment_of(paid: dict[str, Any]) -> dict[str, Any]:
    intent = {"type": "payment_intent", "payment_intent": paid["payment_intent"]}
    return invoice_payment(invoice=paid["id"], amount_paid=paid["amount_paid"], payment=intent)


def _charge_of(paid: dict[str, Any]) -> dict[str, Any]:
    amounts = {"amount": paid["amount_paid"], "amount_captured": paid["amount_paid"]}
    return charge(
        id=paid["charge"], payment_intent=paid["payment_intent"], customer=paid["customer"], **amounts
    )


def test_a_line_with_a_service_period_is_deferred(world: World) -> None:
    once = line(id="il_2", amount=500, period={"start": CREATED, "end": CREATED})
    world.happen(event("invoice.finalized", invoice(line(), once, total=1500)))
    assert world.amounts("cus_1") == {"receivable": 1500, "deferred_revenue": -1000, "revenue": -500}


def test_inclusive_tax_comes_off_the_net(world: World) -> None:
    taxed = line(taxes=[{"amount": 160, "tax_behavior": "inclusive"}])
    totals = [{"amount": 160, "tax_behavior": "inclusive"}]
    world.happen(event("invoice.finalized", invoice(taxed, total_taxes=totals)))
    assert world.amounts("cus_1") == {"receivable": 1000, "deferred_revenue": -840, "tax_payable": -160}


def test_tax_that_only_the_invoice_states_is_tax_all_the_same(world: World) -> None:
    world.happen(event("invoice.finalized", invoice(total=1190, tax=190), api_version="2020-03-02"))
    assert world.amounts("cus_1") == {"receivable": 1190, "deferred_revenue": -1000, "tax_payable": -190}


def test_lines_beyond_the_first_page_wait_in_suspense_but_their_tax_does_not(world: World) -> None:
    first = line(taxes=[{"amount": 100, "tax_behavior": "exclusive"}])
    page = {"data": [first], "has_more": True}
    taxes = [{"amount": 300, "tax_behavior": "exclusive"}]
    world.happen(event("invoice.finalized", invoice(lines=page, total=3300, total_taxes=taxes)))
    assert world.amounts("cus_1") == {
        "receivable": 3300,
        "deferred_revenue": -1000,
        "tax_payable": -300,
        "suspense": -2000,
    }


def test_prepaid_credits_settle_what_was_owed_to_the_customer(world: World) -> None:
    credit = [{"type": "credit_balance_transaction", "amount": 400}]
    credited = invoice(line(pretax_credit_amounts=credit), total=600, total_pretax_credit_amounts=credit)
    world.happen(event("invoice.finalized", credited))
    assert world.amounts("cus_1") == {
        "receivable": 600,
        "prepaid_credits": 400,
        "deferred_revenue": -1000,
    }


def test_credit_of_the_customers_settles_part_of_an_invoice(world: World) -> None:
    world.happen(event("invoice.finalized", invoice(starting_balance=-300, ending_balance=0)))
    assert world.amounts("cus_1") == {
        "receivable": 700,
        "customer_credit": 300,
        "deferred_revenue": -1000,
    }


def test_a_debt_of_the_customers_joins_an_invoice(world: World) -> None:
    world.happen(event("invoice.finalized", invoice(starting_balance=200, ending_balance=0)))
    assert world.amounts("cus_1") == {
        "receivable": 1200,
        "customer_credit": -200,
        "deferred_revenue": -1000,
    }


@pytest.mark.parametrize(
    ("starting", "ending", "expected"),
    [
        (0, -500, {"customer_credit": -500, "deferred_revenue": 500}),
        (-100, -600, {"customer_credit": -500, "deferred_revenue": 500}),
        (800, 0, {"customer_credit": -800, "deferred_revenue": 500, "receivable": 300}),
    ],
)
def test_a_negative_invoice_owes_the_customer_once(
    world: World, starting: int, ending: int, expected: dict[str, int]
) -> None:
    owing = invoice(
        line(amount=-500),
        total=-500,
        amount_due=max(0, starting - 500),
        status="paid",
        starting_balance=starting,
        ending_balance=ending,
    )
    world.happen(event("invoice.finalized", owing))
    assert world.amounts("cus_1") == expected


def test_a_draft_posts_nothing(world: World) -> None:
    world.happen(
        event("invoice.created", invoice(status="draft", ending_balance=None)),
        event("invoice.deleted", invoice(status="draft", ending_balance=None), created=CREATED + 1),
    )
    assert world.balances() == {}
    assert [seen.status for seen in world.events(StripeInvoiceObserved)] == ["draft", "deleted"]


def test_a_notice_has_no_effect(world: World) -> None:
    upcoming = invoice()
    del upcoming["id"]
    world.happen(event("invoice.upcoming", upcoming), event("invoice.will_be_due", invoice()))
    assert world.events(StripeInvoiceObserved) == []
    assert world.balances() == {}
    assert world.not_applied() == []


def test_a_status_that_stripe_may_add_one_day_posts_nothing(world: World) -> None:
    world.happen(event("invoice.updated", invoice(status="in_review")))
    assert world.balances() == {}
    assert [seen.status for seen in world.events(StripeInvoiceObserved)] == ["in_review"]


VOIDED = {"status": "void", "status_transitions": {"finalized_at": CREATED, "voided_at": CREATED + 86_400}}


@pytest.mark.parametrize("void_first", [False, True])
def test_a_void_invoice_leaves_nothing_behind(world: World, void_first: bool) -> None:  # noqa: FBT001 - a case
    taxed = line(taxes=[{"amount": 190, "tax_behavior": "exclusive"}])
    amounts = {"total": 1190, "starting_balance": -300, "ending_balance": 0}
    finalized = event("invoice.finalized", invoice(taxed, **amounts))
    voided = event("invoice.voided", invoice(taxed, **amounts, **VOIDED), created=CREATED + 86_400)
    world.happen(*([voided, finalized] if void_first else [finalized, voided]))
    assert world.balances() == {}
    assert sorted(world.entry_kinds()) == [
        "customer_balance_applied",
        "customer_balance_given_back",
        "invoice_finalized",
        "invoice_voided",
    ]
    dates = {entry.kind: entry.accounting_date for entry in world.events(JournalEntryPosted)}
    assert dates["invoice_voided"] > dates["invoice_finalized"]
    (*_, newest) = world.events(StripeInvoiceObserved)
    assert newest.status == "void"


def test_a_void_invoice_with_revenue_earned_at_once_goes_to_voids(world: World) -> None:
    once = line(period={"start": CREATED, "end": CREATED})
    world.happen(event("invoice.voided", invoice(once, status="void")))
    assert world.amounts("cus_1") == {"revenue": -1000, "voids": 1000}


@pytest.mark.parametrize(
    ("changes", "api_version"),
    [
        ({"paid_out_of_band": True, "amount_paid": 0}, LEGACY),
        ({"amount_paid_off_stripe": 1000}, "2026-05-27.dahlia"),
    ],
)
def test_money_that_never_passed_through_stripe_is_an_outside_asset(
    world: World, changes: dict[str, Any], api_version: str
) -> None:
    paid = event("invoice.paid", invoice(**{**PAID, **changes}), api_version=api_version)
    world.happen(paid, {**paid, "id": "evt_again"})
    assert world.amounts("cus_1") == {"external_asset": 1000, "deferred_revenue": -1000}


def test_an_invoice_of_nothing_posts_nothing(world: World) -> None:
    world.happen(event("invoice.paid", invoice(line(amount=0), **{**PAID, "total": 0, "amount_paid": 0})))
    assert world.balances() == {}
    assert world.not_applied() == []
