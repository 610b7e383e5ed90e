"""Credit and prepaid grants over HTTP: given, used, given back, expired."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import Caller, http_world, ok, position_of, refused
from tests.integration.schedule_world import following

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.http_world import HttpWorld
    from tests.postgres import Database

DAY = timedelta(days=1)
UNKNOWN = "acc_01h455vb4pex5vsknk084sn02q"
CREDIT = {"amount": 1000, "currency": "USD", "reason": "an outage"}
GRANT = {"amount": 500, "currency": "USD", "kind": "paid"}


def usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def credit(caller: Caller, account: str, **changes: Any) -> dict[str, Any]:
    return ok(caller.post(f"/v1/accounts/{account}/credits", {**CREDIT, **changes}), 201)


def grant(caller: Caller, account: str, **changes: Any) -> dict[str, Any]:
    return ok(caller.post(f"/v1/accounts/{account}/credit-grants", {**GRANT, **changes}), 201)


def invoice_of(caller: Caller, subscription: dict[str, Any]) -> dict[str, Any]:
    return ok(caller.get(f"/v1/invoices/{subscription['invoice']}"))


def credits_of(world: HttpWorld, account: str) -> dict[str, Any]:
    world.follow()
    return ok(world.operator.get(f"/v1/accounts/{account}/credits"))


def grants_of(world: HttpWorld, account: str) -> list[dict[str, Any]]:
    world.follow()
    found: list[dict[str, Any]] = ok(world.operator.get(f"/v1/accounts/{account}/credit-grants"))["data"]
    return found


# -- the account's own credit -------------------------------------------------------------------------


def test_an_account_without_credit_has_none(world: HttpWorld) -> None:
    account = world.operator.new_account()
    assert credits_of(world, account) == {"account": account, "balances": [], "data": [], "next": None}
    assert grants_of(world, account) == []
    for path in ("credits", "credit-grants"):
        refused(world.operator.get(f"/v1/accounts/{UNKNOWN}/{path}"), 404)


def test_credit_by_hand_settles_the_next_invoice(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = credit(world.operator, account)
    assert made["id"].startswith("credit_")
    assert {name: made[name] for name in ("amount", "balance", "reason", "reference")} == {
        "amount": usd(1000),
        "balance": usd(1000),
        "reason": "an outage",
        "reference": None,
    }
    invoice = invoice_of(world.operator, world.operator.subscribed(account))
    assert (invoice["status"], invoice["amount_credited"], invoice["amount_due"]) == (
        "partially_paid",
        usd(1000),
        usd(1900),
    )
    assert invoice["credits"] == [{"source": "account_credit", "reference": None, "amount": usd(1000)}]
    held = credits_of(world, account)
    assert held["balances"] == [
        {"currency": "USD", "account_credit": usd(0), "paid": usd(0), "promotional": usd(0)}
    ]
    assert [(one["type"], one["amount"], one["invoice"]) for one in held["data"]] == [
        ("account_credit.used", usd(-1000), invoice["id"]),
        ("account_credit.credited", usd(1000), None),
    ]
    assert (held["data"][1]["credit"], held["data"][1]["reason"]) == (made["id"], "an outage")


def test_credit_that_was_given_by_mistake_is_taken_back_and_no_more_than_there_is(world: HttpWorld) -> None:
    account = world.operator.new_account()
    credit(world.operator, account)
    assert credit(world.operator, account, amount=-400)["balance"] == usd(600)
    path = f"/v1/accounts/{account}/credits"
    problem = refused(world.operator.post(path, {**CREDIT, "amount": -601}), 409, "insufficient_credit")
    assert "600 USD" in problem["detail"]


def test_credit_under_a_reference_is_credited_once(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = credit(world.operator, account, reference="ticket-1")
    again = world.operator.post(f"/v1/accounts/{account}/credits", {**CREDIT, "reference": "ticket-1"})
    assert ok(again, 201) == made
    assert "Daybook-Position" not in again.headers
    other = {**CREDIT, "reference": "ticket-1", "amount": 1}
    refused(world.operator.post(f"/v1/accounts/{account}/credits", other), 409, "credit_differs")


def test_an_idempotent_credit_is_credited_once(world: HttpWorld) -> None:
    account = world.operator.new_account()
    path = f"/v1/accounts/{account}/credits"
    first, again = (
        ok(world.operator.post(path, CREDIT, Idempotency_Key=f"credit-{account}"), 201) for _ in range(2)
    )
    assert first == again
    assert credits_of(world, account)["balances"][0]["account_credit"] == usd(1000)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 10**18}, "amount"),
        ({"amount": -(10**18)}, "amount"),
        ({"currency": "usd"}, "currency"),
        ({"currency": "ZZZ"}, "currency"),
        ({"reason": ""}, "reason"),
        ({"reason": None}, "reason"),
        ({"reference": ""}, "reference"),
        ({"source": "manual"}, "source"),
    ],
)
def test_a_credit_that_cannot_be_is_refused_by_field(
    world: HttpWorld, changes: dict[str, Any], field: str
) -> None:
    account = world.operator.new_account()
    answered = world.operator.post(f"/v1/accounts/{account}/credits", {**CREDIT, **changes})
    assert field in refused(answered, 422)["errors"]


def test_credit_is_given_to_accounts_that_are_there_and_in_their_currency(world: HttpWorld) -> None:
    euros = world.operator.new_account(currency="EUR")
    for path, body in (("credits", CREDIT), ("credit-grants", GRANT)):
        refused(world.operator.post(f"/v1/accounts/{euros}/{path}", body), 409, "currency_mismatch")
        refused(world.operator.post(f"/v1/accounts/{UNKNOWN}/{path}", body), 404)
        refused(world.stranger.post(f"/v1/accounts/{euros}/{path}", body), 404)
    ok(world.operator.post(f"/v1/accounts/{euros}/close", {"reason": "moved away"}))
    refused(
        world.operator.post(f"/v1/accounts/{euros}/credits", {**CREDIT, "currency": "EUR"}),
        409,
        "account_closed",
    )


def test_an_accounts_key_sees_its_own_credit_and_gives_none(world: HttpWorld) -> None:
    mine, other = world.operator.new_account(), world.operator.new_account("Eva")
    made = grant(world.operator, mine)
    world.follow()
    reader = world.operator.new_key(mine, "read")
    assert ok(reader.get(f"/v1/accounts/{mine}/credits"))["balances"][0]["paid"] == usd(500)
    assert ok(reader.get(f"/v1/accounts/{mine}/credit-grants"))["data"] == [made]
    assert ok(reader.get(f"/v1/accounts/{mine}/credit-grants/{made['id']}")) == made
    for path in ("credits", "credit-grants", f"credit-grants/{made['id']}"):
        refused(reader.get(f"/v1/accounts/{other}/{path}"), 404)
    refused(reader.post(f"/v1/accounts/{mine}/credits", CREDIT), 403)
    refused(reader.post(f"/v1/accounts/{mine}/credit-grants", GRANT), 403)


def test_history_is_read_page_by_page_the_newest_first(world: HttpWorld) -> None:
    account = world.operator.new_account()
    for amount in (1, 2, 3):
        credit(world.operator, account, amount=amount)
    world.follow()
    path = f"/v1/accounts/{account}/credits"
    first = ok(world.operator.get(path, limit=2))
    rest = ok(world.operator.get(path, limit=2, after=first["next"]))
    amounts = [one["amount"]["amount"] for one in first["data"] + rest["data"]]
    assert (amounts, rest["next"]) == ([3, 2, 1], None)


# -- grants -------------------------------------------------------------------------------------------


def test_a_grant_reads_back_as_it_was_answered_and_is_listed(world: HttpWorld) -> None:
    account, plan = world.operator.new_account(), world.operator.new_plan()
    made = grant(
        world.operator,
        account,
        priority=7,
        expires_at="2027-06-01T00:00:00Z",
        scope={"plans": [plan], "meters": ["tokens"]},
        name="Starter pack",
        reference=f"order-{account}",
        method="stripe",
    )
    assert made["id"].startswith("grant_")
    assert (made["amount"], made["balance"], made["status"]) == (usd(500), usd(500), "active")
    assert (made["granted_at"], made["expires_at"]) == ("2027-01-15T12:00:00Z", "2027-06-01T00:00:00Z")
    assert made["scope"] == {"plans": [plan], "meters": ["tokens"]}
    assert (made["priority"], made["name"], made["method"]) == (7, "Starter pack", "stripe")
    assert ok(world.operator.get(f"/v1/accounts/{account}/credit-grants/{made['id']}")) == made
    assert grants_of(world, account) == [made]
    plain = grant(world.operator, account, kind="promotional")
    assert (plain["priority"], plain["scope"], plain["method"]) == (50, {"plans": [], "meters": []}, None)
    assert grants_of(world, account) == [plain, made]


def test_grants_settle_an_invoice_first_each_named_in_it(world: HttpWorld) -> None:
    account = world.operator.new_account()
    credit(world.operator, account)
    paid, gift = grant(world.operator, account), grant(world.operator, account, kind="promotional")
    invoice = invoice_of(world.operator, world.operator.subscribed(account))
    assert invoice["credits"] == [
        {"source": "prepaid_credit", "reference": gift["id"], "amount": usd(500)},
        {"source": "prepaid_credit", "reference": paid["id"], "amount": usd(500)},
        {"source": "account_credit", "reference": None, "amount": usd(1000)},
    ]
    assert invoice["amount_due"] == usd(900)
    assert [one["balance"] for one in grants_of(world, account)] == [usd(0), usd(0)]
    (listed,) = ok(world.operator.get(f"/v1/accounts/{account}/invoices"))["data"]
    assert listed == {name: invoice[name] for name in listed}
    (balance,) = ok(world.operator.get(f"/v1/accounts/{account}/balance"))["balances"]
    assert balance["balance"] == usd(900)


def test_making_an_invoice_void_gives_its_credit_back(world: HttpWorld) -> None:
    account = world.operator.new_account()
    credit(world.operator, account)
    made = grant(world.operator, account, amount=1900)
    invoice = invoice_of(world.operator, world.operator.subscribed(account))
    assert (invoice["status"], invoice["amount_due"]) == ("paid", usd(0))
    voided = ok(world.operator.post(f"/v1/invoices/{invoice['id']}/void", {"reason": "a mistake"}))
    assert (voided["status"], voided["amount_credited"], voided["amount_due"]) == ("void", usd(0), usd(0))
    held = credits_of(world, account)
    (balance,) = held["balances"]
    assert (balance["account_credit"], balance["paid"]) == (usd(1000), usd(1900))
    assert [one["type"] for one in held["data"]][:2] == ["account_credit.given_back", "credit_grant.restored"]
    (listed,) = ok(world.operator.get(f"/v1/accounts/{account}/invoices"))["data"]
    assert (listed["status"], listed["amount_credited"]) == ("void", usd(0))
    assert ok(world.operator.get(f"/v1/accounts/{account}/credit-grants/{made['id']}"))["balance"] == usd(
        1900
    )


def test_a_grant_is_taken_back_while_nothing_of_it_is_used(world: HttpWorld) -> None:
    account = world.operator.new_account()
    unused = grant(world.operator, account, priority=51)
    used = grant(world.operator, account)
    world.operator.subscribed(account, 100)
    path = f"/v1/accounts/{account}/credit-grants"
    voided = ok(world.operator.post(f"{path}/{unused['id']}/void", {"reason": "a mistake"}))
    assert (voided["status"], voided["balance"]) == ("voided", usd(0))
    assert ok(world.operator.post(f"{path}/{unused['id']}/void", {})) == voided
    refused(world.operator.post(f"{path}/{used['id']}/void", {}), 409, "credit_grant_used")
    assert [one["status"] for one in grants_of(world, account)] == ["active", "voided"]
    other = world.operator.new_account("Eva")
    refused(world.operator.post(f"/v1/accounts/{other}/credit-grants/{used['id']}/void", {}), 404)
    refused(world.operator.post(f"{path}/grant_x/void", {}), 404)
    refused(world.operator.get(f"{path}/{UNKNOWN}"), 404)


def test_a_grant_under_a_reference_is_granted_once(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = grant(world.operator, account, reference="order-1")
    assert grant(world.operator, account, reference="order-1") == made
    body = {**GRANT, "reference": "order-1", "amount": 1}
    refused(world.operator.post(f"/v1/accounts/{account}/credit-grants", body), 409, "credit_grant_differs")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": "5"}, "amount"),
        ({"currency": "ZZZ"}, "currency"),
        ({"kind": "gift"}, "kind"),
        ({"kind": None}, "kind"),
        ({"priority": 101}, "priority"),
        ({"expires_at": "2027-01-15T12:00:00Z"}, "expires_at"),
        ({"expires_at": "2027-01-15"}, "expires_at"),
        ({"scope": {"plans": ["plan_x"]}}, "scope.plans.0"),
        ({"scope": {"plans": ["plan_01h455vb4pex5vsknk084sn02q"]}}, "scope.plans.0"),
        ({"scope": {"meters": ["tokens", "tokens"]}}, "scope.meters"),
        ({"scope": {"meters": [""]}}, "scope.meters.0"),
        ({"scope": {"products": []}}, "scope.products"),
        ({"kind": "promotional", "method": "stripe"}, "method"),
        ({"reference": ""}, "reference"),
    ],
)
def test_a_grant_that_cannot_be_is_refused_by_field(
    world: HttpWorld, changes: dict[str, Any], field: str
) -> None:
    account = world.operator.new_account()
    answered = world.operator.post(f"/v1/accounts/{account}/credit-grants", {**GRANT, **changes})
    assert field in refused(answered, 422)["errors"]


def test_a_grant_shows_as_expired_from_its_instant_on(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = grant(world.operator, account, expires_at="2027-01-16T12:00:00Z")
    world.now += DAY
    assert [one["status"] for one in grants_of(world, account)] == ["expired"]
    found = ok(world.operator.get(f"/v1/accounts/{account}/credit-grants/{made['id']}"))
    assert (found["status"], found["balance"]) == ("expired", usd(500))
    assert invoice_of(world.operator, world.operator.subscribed(account))["credits"] == []


def test_what_was_just_given_is_read_by_who_waits_for_it(world: HttpWorld) -> None:
    account = world.operator.new_account()
    answered = world.operator.post(f"/v1/accounts/{account}/credits", CREDIT)
    world.follow()
    found = ok(world.operator.get(f"/v1/accounts/{account}/credits", at_least=position_of(answered)))
    assert len(found["data"]) == 1


def test_credit_is_told_on_the_timeline_without_its_reason(world: HttpWorld) -> None:
    account = world.operator.new_account()
    credit(world.operator, account)
    made = grant(world.operator, account)
    world.operator.subscribed(account)
    world.follow()
    told = [
        one["sentence"]
        for one in ok(world.operator.get(f"/v1/accounts/{account}/timeline", order="oldest"))["data"]
        if one["type"].startswith(("account_credit.", "credit_grant."))
    ]
    assert told[0].startswith("The account was credited USD 10.00 by hand (credit_")
    assert told[1] == f"Got USD 5.00 of paid credit ({made['id']})."
    assert told[2].startswith(f"USD 5.00 of grant {made['id']} was used for invoice inv_")
    assert told[3].startswith("USD 10.00 of the account's credit was used for invoice inv_")
    assert "outage" not in " ".join(told)


# -- as time goes by ----------------------------------------------------------------------------------


@pytest.fixture
def clocked(database: Database) -> Iterator[HttpWorld]:
    with http_world(database) as made, following(database):
        yield made


def test_on_the_test_clock_grants_expire_in_their_place_among_invoices(clocked: HttpWorld) -> None:
    caller = clocked.test_operator
    ok(caller.call("PUT", "/v1/test-clock", {"now": "2027-01-01T00:00:00Z"}))
    account = caller.new_account()
    spent = grant(caller, account, amount=4000, expires_at="2027-02-15T00:00:00Z")
    # It is over at the very instant that the third period begins.
    late = grant(caller, account, amount=9000, priority=60, expires_at="2027-03-01T00:00:00Z")
    caller.subscribed(account)
    answered = caller.call("PUT", "/v1/test-clock", {"now": "2027-03-02T00:00:00Z"})
    assert ok(answered)["refused"] == []
    reached = position_of(answered)
    invoices = ok(caller.get(f"/v1/accounts/{account}/invoices", at_least=reached))["data"]
    assert [one["amount_credited"]["amount"] for one in reversed(invoices)] == [2900, 2900, 0]
    listed = ok(caller.get(f"/v1/accounts/{account}/credit-grants", at_least=reached))["data"]
    assert [(one["id"], one["status"], one["balance"]) for one in listed] == [
        (late["id"], "expired", usd(0)),
        (spent["id"], "expired", usd(0)),
    ]
    history = ok(caller.get(f"/v1/accounts/{account}/credits", at_least=reached))["data"]
    expired = [
        (one["occurred_at"], one["amount"]["amount"])
        for one in history
        if one["type"] == "credit_grant.expired"
    ]
    # The first was drawn down before it; of the other, the second invoice took 1800.
    assert expired == [("2027-03-01T00:00:00Z", -7200), ("2027-02-15T00:00:00Z", 0)]
    body = ok(caller.get(f"/v1/accounts/{account}/balance", at_least=reached))
    books = {one["ledger_account"]: one["balance"]["amount"] for one in body["ledger_accounts"]}
    assert (books["breakage_revenue"], books["prepaid_credits"]) == (7200, 0)
