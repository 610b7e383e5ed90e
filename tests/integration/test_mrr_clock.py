"""The life of ChartMogul's customer, lived on the test clock through the service's own commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.integration.http_world import http_world, ok
from tests.integration.schedule_world import following

if TYPE_CHECKING:
    from tests.integration.http_world import Caller
    from tests.postgres import Database


def move(caller: Caller, to: str) -> int:
    """Move the clock of the test book, and give the position that it reached."""
    response = caller.call("PUT", "/v1/test-clock", {"now": to})
    ok(response)
    return int(response.headers.get("Daybook-Position", 0))


def plan(caller: Caller, name: str, interval: str, amount: int) -> str:
    fee = {"code": "fee", "name": name, "amounts": {"USD": amount}, "per_seat": True}
    body = {"name": name, "interval": interval, "fees": [fee]}
    return str(ok(caller.post("/v1/plans", body), 201)["id"])


def subscribe(caller: Caller, account: str, plan: str, quantity: int, **more: Any) -> str:
    body = {"plan": plan, "quantity": quantity, **more}
    return str(ok(caller.post(f"/v1/accounts/{account}/subscriptions", body), 201)["id"])


def cancel(caller: Caller, subscription: str, **how: bool) -> None:
    ok(caller.post(f"/v1/subscriptions/{subscription}/cancel", how))


def test_a_customer_comes_grows_shrinks_leaves_and_returns(database: Database) -> None:
    with http_world(database) as world, following(database):
        operator = world.test_operator
        move(operator, "2027-01-01T09:00:00Z")
        gold = plan(operator, "Gold", "month", 5000)
        gold_a_year = plan(operator, "Gold a year", "year", 50000)
        silver = plan(operator, "Silver", "month", 3000)
        account = operator.new_account(currency="USD")
        trial = subscribe(operator, account, gold, 1, trial_days=14)
        cancel(operator, trial, at_period_end=True)
        move(operator, "2027-01-20T09:00:00Z")
        first = subscribe(operator, account, gold_a_year, 4)
        move(operator, "2027-01-25T09:00:00Z")
        second = subscribe(operator, account, silver, 2)
        move(operator, "2027-02-08T09:00:00Z")
        cancel(operator, second, at_period_end=False, credit=False)
        move(operator, "2027-12-10T09:00:00Z")
        cancel(operator, first, at_period_end=True)
        move(operator, "2028-03-01T09:00:00Z")
        subscribe(operator, account, gold, 3)
        position = move(operator, "2028-04-01T09:00:00Z")
        days = {"from": "2027-01-01", "to": "2028-04-01", "preset": "chartmogul", "at_least": position}
        movements = ok(operator.get("/v1/mrr/movements", **days))["data"]
        assert [(one["kind"], one["amount"]["amount"], one["occurred_at"]) for one in movements] == [
            ("new", 16667, "2027-01-20T09:00:00Z"),
            ("expansion", 6000, "2027-01-25T09:00:00Z"),
            ("contraction", -6000, "2027-02-25T09:00:00Z"),
            ("churn", -16667, "2028-01-20T09:00:00Z"),
            ("reactivation", 15000, "2028-03-01T09:00:00Z"),
        ]
        by_month = ok(operator.get("/v1/mrr", **days))["data"]
        assert [one["mrr"]["amount"] for one in by_month] == [22667, *[16667] * 11, 0, 0, 15000]
