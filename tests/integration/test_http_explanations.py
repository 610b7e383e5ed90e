"""Why an invoice is what it is: explained line by line, down to the events, and made again from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import Caller, http_world, ok, refused, usage_event
from tests.integration.schedule_world import following

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.http_world import HttpWorld
    from tests.postgres import Database


TIERS = [
    {"up_to": "100", "unit_amount": "0"},
    {"up_to": "1000", "unit_amount": "1.5", "flat_amount": "20"},
    {"up_to": None, "unit_amount": "0.5"},
]
METERED: dict[str, Any] = {
    "name": "Metered",
    "interval": "month",
    "fees": [{"code": "base", "name": "Base", "amounts": {"USD": 2900}}],
    "charges": [
        {
            "code": "calls",
            "name": "API calls",
            "meter": "api_calls",
            "prices": [{"model": "graduated", "currency": "USD", "tiers": TIERS}],
        }
    ],
    "entitlements": [{"feature": "api_calls", "limit": "5000", "hard": True}],
}


@pytest.fixture
def world(database: Database) -> Iterator[HttpWorld]:
    with http_world(database) as made, following(database):
        yield made


@pytest.fixture
def operator(world: HttpWorld) -> Caller:
    caller = world.test_operator
    move(caller, "2027-01-01T00:00:00Z")
    return caller


def move(caller: Caller, to: str) -> None:
    ok(caller.call("PUT", "/v1/test-clock", {"now": to}))


def subscribed(caller: Caller, **more: Any) -> tuple[str, str]:
    """Subscribe a new account to the metered plan; give both ids."""
    account = caller.new_account(currency="USD")
    plan = ok(caller.post("/v1/plans", METERED | more), 201)["id"]
    started = ok(caller.post(f"/v1/accounts/{account}/subscriptions", {"plan": plan}), 201)
    return account, started["id"]


def use(caller: Caller, account: str, *quantities: str, at: str) -> None:
    """Record usage at an instant."""
    events = [
        usage_event(account, f"{at} {number}", quantity, time=at)
        for number, quantity in enumerate(quantities)
    ]
    assert ok(caller.post("/v1/usage", {"events": events}))["accepted"] == len(quantities)


def newest_invoice(caller: Caller, account: str) -> str:
    return str(ok(caller.get(f"/v1/accounts/{account}/invoices"))["data"][0]["id"])


def billed(caller: Caller) -> tuple[str, str]:
    """Let a month with usage be billed; give the account and the invoice."""
    account, _ = subscribed(caller)
    use(caller, account, "600", "500", "250", at="2027-01-01T00:00:00Z")
    move(caller, "2027-02-01T00:00:00Z")
    return account, newest_invoice(caller, account)


def test_each_tier_of_usage_is_a_line_that_shows_its_formula(operator: Caller) -> None:
    _, invoice = billed(operator)
    explained = ok(operator.get(f"/v1/invoices/{invoice}/explain"))
    assert explained["equal"] is True
    assert explained["differences"] == []
    lines = {
        (one["line"]["kind"], one["line"]["description"]): (one["line"]["amount"]["amount"], one["formula"])
        for one in explained["lines"]
    }
    assert lines["fee", "Base"] == (2900, "2900")
    usage = [amount for (kind, _), (amount, _) in lines.items() if kind == "usage"]
    # 1,350 calls: 100 free, 900 at 1.5 and 20 flat, 350 at 0.5.
    assert sum(usage) == 1350 + 20 + 175
    assert ("usage", "API calls, 100 to 1000") in lines
    assert lines["usage", "API calls, 100 to 1000"] == (1350, "900 x 1.5")


def test_a_line_of_usage_lists_the_events_behind_it(operator: Caller) -> None:
    account, invoice = billed(operator)
    explained = ok(operator.get(f"/v1/invoices/{invoice}/explain"))
    line = next(one for one in explained["lines"] if one["line"]["kind"] == "usage")
    assert (line["usage"]["events"], line["usage"]["quantity"]) == (3, "1350")
    assert len(line["usage"]["digest"]) == 64
    first = ok(operator.get(line["usage"]["events_url"], limit=2))
    rest = ok(operator.get(line["usage"]["events_url"], limit=2, after=first["next"]))
    found = [*first["data"], *rest["data"]]
    assert [one["data"]["quantity"] for one in found] == ["600", "500", "250"]
    assert {one["data"]["account"] for one in found} == {account}
    positions = [one["position"] for one in found]
    assert positions == sorted(positions)
    assert max(positions) <= line["usage"]["through_position"]


def test_usage_that_comes_late_is_a_line_on_the_next_invoice_and_the_old_one_stays(operator: Caller) -> None:
    account, invoice = billed(operator)
    before = ok(operator.get(f"/v1/invoices/{invoice}"))
    use(operator, account, "100", at="2027-01-15T00:00:00Z")
    move(operator, "2027-03-01T00:00:00Z")
    following_invoice = newest_invoice(operator, account)
    lines = ok(operator.get(f"/v1/invoices/{following_invoice}"))["lines"]
    late = [line for line in lines if line["kind"] == "usage_adjustment"]
    # The whole month rated again: 100 calls more in the last tier.
    assert [line["amount"]["amount"] for line in late] == [50]
    assert late[0]["adjusts_line"] in {line["id"] for line in before["lines"]}
    assert ok(operator.get(f"/v1/invoices/{invoice}")) == before
    for one in (invoice, following_invoice):
        assert ok(operator.get(f"/v1/invoices/{one}/explain"))["equal"] is True


def test_upcoming_is_the_invoice_that_then_comes(operator: Caller) -> None:
    account, subscription = subscribed(operator)
    use(operator, account, "600", "500", at="2027-01-01T00:00:00Z")
    upcoming = ok(operator.get(f"/v1/accounts/{account}/upcoming"))
    assert [one["subscription"] for one in upcoming["upcoming"]] == [subscription]
    shown = upcoming["upcoming"][0]["invoice"]
    assert (shown["status"], shown["number"]) == ("draft", None)
    move(operator, "2027-02-01T00:00:00Z")
    issued = ok(operator.get(f"/v1/invoices/{newest_invoice(operator, account)}"))
    assert issued["id"] == shown["id"]
    assert issued["total"] == shown["total"] == upcoming["totals"][0]
    amounts = [(line["id"], line["amount"]) for line in issued["lines"]]
    assert amounts == [(line["id"], line["amount"]) for line in shown["lines"]]


def test_a_preview_shows_what_a_change_costs_and_changes_nothing(operator: Caller) -> None:
    account, subscription = subscribed(operator)
    move(operator, "2027-01-16T12:00:00Z")
    dearer = operator.new_plan(9900)
    path = f"/v1/subscriptions/{subscription}"
    before = ok(operator.get(path))
    preview = ok(operator.post(f"{path}/change?preview=true", {"plan": dearer}))["preview"]
    assert (preview["credit"]["amount"], preview["debit"]["amount"]) == (1450, 4950)
    assert preview["net"]["amount"] == 3500
    assert ok(operator.get(path)) == before
    ok(operator.post(f"{path}/change", {"plan": dearer}))
    move(operator, "2027-02-01T00:00:00Z")
    lines = ok(operator.get(f"/v1/invoices/{newest_invoice(operator, account)}"))["lines"]
    prorated = {line["kind"]: line["amount"]["amount"] for line in lines if "proration" in line["kind"]}
    assert prorated == {"proration_credit": -1450, "proration_charge": 4950}


def test_a_quota_counts_use_moves_with_the_plan_and_resets_with_the_period(operator: Caller) -> None:
    account, subscription = subscribed(operator)
    path = f"/v1/accounts/{account}/quota"
    use(operator, account, "1200", at="2027-01-01T00:00:00Z")
    (quota,) = ok(operator.get(path))["quotas"]
    assert (quota["limit"], quota["used"], quota["remaining"], quota["hard"]) == (
        "5000",
        "1200",
        "3800",
        True,
    )
    assert quota["resets_at"] == "2027-02-01T00:00:00Z"
    larger = METERED | {"name": "Larger", "entitlements": [{"feature": "api_calls", "limit": "1000"}]}
    plan = ok(operator.post("/v1/plans", larger), 201)["id"]
    ok(operator.post(f"/v1/subscriptions/{subscription}/change", {"plan": plan}))
    (quota,) = ok(operator.get(path))["quotas"]
    assert (quota["limit"], quota["remaining"], quota["hard"]) == ("1000", "0", False)
    move(operator, "2027-02-01T00:00:00Z")
    (quota,) = ok(operator.get(path))["quotas"]
    assert (quota["used"], quota["remaining"]) == ("0", "1000")


def test_an_account_key_sees_the_explanations_of_its_own_invoices_only(
    operator: Caller, world: HttpWorld
) -> None:
    account, invoice = billed(operator)
    own = operator.new_key(account, "read")
    other = operator.new_key(operator.new_account("Grace"), "read")
    line = ok(own.get(f"/v1/invoices/{invoice}/explain"))["lines"][0]["line"]["id"]
    ok(own.get(f"/v1/accounts/{account}/upcoming"))
    ok(own.get(f"/v1/accounts/{account}/quota"))
    for path in (
        f"/v1/invoices/{invoice}/explain",
        f"/v1/invoices/{invoice}/lines/{line}/events",
        f"/v1/accounts/{account}/upcoming",
        f"/v1/accounts/{account}/quota",
    ):
        refused(other.get(path), 404)
        refused(world.stranger.get(path), 404)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("change", {"quantity": 0}, 422),
        ("change", {"quantity": "2"}, 422),
        ("change", {"proration_behavior": "sometimes"}, 422),
        ("change", {"plan": "plan_01h455vb4pex5vsknk084sn02q"}, 404),
        ("coupons", {"coupon": "NONE"}, 404),
        ("resume", None, 409),
        ("reactivate", None, 409),
        ("renew", None, 409),
        ("pause", {"period": "half"}, 422),
    ],
)
def test_what_cannot_be_done_to_a_subscription_is_refused_with_a_reason(
    operator: Caller, path: str, body: Any, status: int
) -> None:
    _, subscription = subscribed(operator)
    problem = refused(operator.post(f"/v1/subscriptions/{subscription}/{path}", body), status)
    assert problem["detail"]


def test_a_cancelled_subscription_takes_no_changes(operator: Caller) -> None:
    _, subscription = subscribed(operator)
    path = f"/v1/subscriptions/{subscription}"
    ok(operator.post(f"{path}/cancel", {"at_period_end": False}))
    refused(operator.post(f"{path}/change", {"quantity": 2}), 409, "subscription_ended")
    refused(operator.post(f"{path}/items", {"plan": operator.new_plan()}), 409, "subscription_ended")
    assert ok(operator.post(f"{path}/reactivate"))["status"] == "active"


def test_a_plan_without_a_price_in_the_accounts_currency_is_refused(operator: Caller) -> None:
    account = operator.new_account(currency="EUR")
    path = f"/v1/accounts/{account}/subscriptions"
    problem = refused(operator.post(path, {"plan": operator.new_plan()}), 409, "currency_mismatch")
    assert "USD" in problem["detail"]
