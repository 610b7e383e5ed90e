"""Plans, subscriptions, invoices and payments over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import ok, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def invoice_of(world: HttpWorld, account: str) -> dict[str, Any]:
    world.follow()
    (listed,) = ok(world.operator.get(f"/v1/accounts/{account}/invoices"))["data"]
    return ok(world.operator.get(f"/v1/invoices/{listed['id']}"))


def balance_of(world: HttpWorld, account: str) -> dict[str, Any]:
    world.follow()
    (balance,) = ok(world.operator.get(f"/v1/accounts/{account}/balance"))["balances"]
    found: dict[str, Any] = balance
    return found


def test_a_plan_reads_back_as_it_was_answered_and_is_listed(fresh_world: HttpWorld) -> None:
    world = fresh_world
    body = {"name": "Pro", "currency": "USD", "interval": "month", "amount": 2900}
    made = ok(world.operator.post("/v1/plans", body), 201)
    assert {name: made[name] for name in body} == body
    assert made["price"] == usd(2900)
    assert ok(world.operator.get(f"/v1/plans/{made['id']}")) == made
    world.follow()
    assert ok(world.operator.get("/v1/plans"))["data"] == [made]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": 29.0}, "amount"),
        ({"amount": 29.5}, "amount"),
        ({"amount": "2900"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 10**18}, "amount"),
        ({"amount": 10**40}, "amount"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "ZZZ"}, "currency"),
        ({"currency": None}, "currency"),
        ({"interval": "fortnight"}, "interval"),
        ({"name": ""}, "name"),
        ({"price": 1}, "price"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_field(
    world: HttpWorld, changes: dict[str, Any], field: str
) -> None:
    body = {"name": "Pro", "currency": "USD", "interval": "month", "amount": 2900, **changes}
    problem = refused(world.operator.post("/v1/plans", body), 422)
    assert field in problem["errors"], problem


def test_subscribing_opens_a_period_and_issues_its_invoice(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = world.operator.subscribed(account)
    assert made["status"] == "active"
    assert made["period"]["starts_at"] == "2027-01-15T12:00:00Z"
    assert made["period"]["ends_at"] == "2027-02-15T12:00:00Z"
    invoice = invoice_of(world, account)
    assert invoice["id"] == made["invoice"]
    assert (invoice["status"], invoice["total"], invoice["amount_due"]) == ("open", usd(2900), usd(2900))
    assert [line["amount"] for line in invoice["lines"]] == [usd(2900)]
    assert balance_of(world, account)["balance"] == usd(2900)


def test_a_listed_subscription_agrees_with_the_one_read_alone(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = world.operator.subscribed(account)
    world.follow()
    (listed,) = ok(world.operator.get(f"/v1/accounts/{account}/subscriptions"))["data"]
    alone = ok(world.operator.get(f"/v1/subscriptions/{made['id']}"))
    shared = listed.keys() & alone.keys()
    assert {"id", "account", "plan", "status", "starts_at", "billed_through", "version"} <= shared
    for name in shared - {"period"}:
        assert listed[name] == alone[name], name
    for bound in ("starts_at", "ends_at"):
        assert listed["period"][bound] == alone["period"][bound]


def test_a_listed_invoice_agrees_with_the_one_read_alone(world: HttpWorld) -> None:
    account = world.operator.new_account()
    world.operator.subscribed(account)
    alone = invoice_of(world, account)
    (listed,) = ok(world.operator.get(f"/v1/accounts/{account}/invoices"))["data"]
    assert listed == {name: alone[name] for name in listed}


def test_a_payment_settles_its_invoice(world: HttpWorld) -> None:
    account = world.operator.new_account()
    world.operator.subscribed(account)
    invoice = invoice_of(world, account)["id"]
    body = {"amount": 900, "currency": "USD", "method": "bank_transfer", "reference": "wire-1"}
    paid = ok(world.operator.post(f"/v1/invoices/{invoice}/payments", body), 201)
    assert paid["amount"] == usd(900)
    assert paid["invoice"]["status"] == "partially_paid"
    again = ok(world.operator.post(f"/v1/invoices/{invoice}/payments", body), 201)
    assert again["payment"] == paid["payment"]
    rest = {"amount": 2000, "currency": "USD"}
    assert (
        ok(world.operator.post(f"/v1/invoices/{invoice}/payments", rest), 201)["invoice"]["status"] == "paid"
    )
    assert balance_of(world, account)["balance"] == usd(0)


def test_more_than_is_due_is_not_taken(world: HttpWorld) -> None:
    account = world.operator.new_account()
    world.operator.subscribed(account)
    path = f"/v1/invoices/{invoice_of(world, account)['id']}/payments"
    refused(world.operator.post(path, {"amount": 2901, "currency": "USD"}), 409, "overpayment")
    refused(world.operator.post(path, {"amount": 2900, "currency": "EUR"}), 409, "currency_mismatch")
    assert "amount" in refused(world.operator.post(path, {"amount": 0, "currency": "USD"}), 422)["errors"]
    assert "currency" in refused(world.operator.post(path, {"amount": 1}), 422)["errors"]
    at = {"amount": 1, "currency": "USD", "received_at": "0001-01-01T00:00:00Z"}
    assert "received_at" in refused(world.operator.post(path, at), 422)["errors"]


def test_a_void_invoice_asks_for_nothing(world: HttpWorld) -> None:
    account = world.operator.new_account()
    world.operator.subscribed(account)
    invoice = invoice_of(world, account)["id"]
    voided = ok(world.operator.post(f"/v1/invoices/{invoice}/void", {"reason": "a mistake"}))
    assert (voided["status"], voided["amount_due"]) == ("void", usd(0))
    assert balance_of(world, account)["balance"] == usd(0)
    payment = {"amount": 1, "currency": "USD"}
    refused(world.operator.post(f"/v1/invoices/{invoice}/payments", payment), 409, "invoice_not_open")


def test_a_subscription_moves_to_another_plan_now_or_later(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = world.operator.subscribed(account)
    bigger = world.operator.new_plan(9900)
    world.now += timedelta(days=10)
    path = f"/v1/subscriptions/{made['id']}/change"
    later = ok(world.operator.post(path, {"plan": bigger, "at_period_end": True}))
    assert (later["plan"], later["next_plan"]) == (made["plan"], bigger)
    changed = ok(world.operator.post(path, {"plan": bigger}))
    assert changed["plan"] == bigger
    assert {one["kind"] for one in changed["pending_prorations"]} == {"proration_credit", "proration_charge"}


def test_a_cancelled_subscription_ends_with_its_period_or_now(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = world.operator.subscribed(account)
    path = f"/v1/subscriptions/{made['id']}/cancel"
    later = ok(world.operator.post(path, {}))
    assert (later["status"], later["cancels_at"]) == ("active", "2027-02-15T12:00:00Z")
    now = ok(world.operator.post(path, {"at_period_end": False}))
    assert (now["status"], now["ended_at"]) == ("cancelled", "2027-01-15T12:00:00Z")
    refused(world.operator.post(path, {"at_period_end": False}), 409, "subscription_ended")


def test_a_cancellation_needs_no_body(world: HttpWorld) -> None:
    made = world.operator.subscribed(world.operator.new_account())
    assert ok(world.operator.post(f"/v1/subscriptions/{made['id']}/cancel"))["cancels_at"] is not None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "plan"),
        ({"plan": 7}, "plan"),
        ({"plan": "plan_x"}, "plan"),
        ({"plan": "plan_01h455vb4pex5vsknk084sn02q", "quantity": 0}, "quantity"),
        ({"plan": "plan_01h455vb4pex5vsknk084sn02q", "seats": 2}, "seats"),
        ({"plan": "plan_01h455vb4pex5vsknk084sn02q", "trial_days": 731}, "trial_days"),
        ({"plan": "plan_01h455vb4pex5vsknk084sn02q", "anchor": "monthly"}, "anchor"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused_by_field(
    world: HttpWorld, body: dict[str, Any], field: str
) -> None:
    account = world.operator.new_account()
    problem = refused(world.operator.post(f"/v1/accounts/{account}/subscriptions", body), 422)
    assert field in problem["errors"], problem


@pytest.mark.parametrize("value", ["yes", 1, "true", None])
def test_a_choice_is_true_or_false(world: HttpWorld, value: Any) -> None:
    made = world.operator.subscribed(world.operator.new_account())
    problem = refused(
        world.operator.post(f"/v1/subscriptions/{made['id']}/cancel", {"at_period_end": value}), 422
    )
    assert "at_period_end" in problem["errors"]


def test_a_plan_of_another_book_is_not_found(world: HttpWorld) -> None:
    plan = world.stranger.new_plan()
    account = world.operator.new_account()
    refused(world.operator.post(f"/v1/accounts/{account}/subscriptions", {"plan": plan}), 404)


def test_a_retired_plan_is_not_sold(world: HttpWorld) -> None:
    plan = world.operator.new_plan()
    assert ok(world.operator.post(f"/v1/plans/{plan}/retire", {"reason": "old"}))["status"] == "retired"
    account = world.operator.new_account()
    refused(world.operator.post(f"/v1/accounts/{account}/subscriptions", {"plan": plan}), 409, "plan_retired")


def test_a_plan_in_another_currency_than_the_accounts_is_refused(world: HttpWorld) -> None:
    account = world.operator.new_account(currency="EUR")
    path = f"/v1/accounts/{account}/subscriptions"
    refused(world.operator.post(path, {"plan": world.operator.new_plan()}), 409, "currency_mismatch")


def test_a_period_that_is_over_is_renewed(world: HttpWorld) -> None:
    made = world.operator.subscribed(world.operator.new_account())
    path = f"/v1/subscriptions/{made['id']}/renew"
    refused(world.operator.post(path), 409, "period_not_over")
    world.now = datetime(2027, 2, 15, 12, tzinfo=UTC)
    renewed = ok(world.operator.post(path))
    assert renewed["period"]["starts_at"] == "2027-02-15T12:00:00Z"
    assert renewed["invoice"] != made["invoice"]
