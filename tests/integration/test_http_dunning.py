"""Dunning and notices over HTTP, watched on the clock of a test book: a quarter goes by in a few calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import Caller, http_world, ok, refused
from tests.integration.schedule_world import following, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.http_world import HttpWorld
    from tests.postgres import Database

DAY = timedelta(days=1)
BEGIN = datetime(2027, 1, 1, 12, tzinfo=UTC)
POLICY = "/v1/dunning-policy"
STEPS: list[dict[str, Any]] = [
    {"days_after_due": 3, "action": "remind"},
    {"days_after_due": 5, "action": "retry"},
    {"days_after_due": 10, "action": "suspend_keys"},
    {"days_after_due": 30, "action": "mark_uncollectible"},
    {"days_after_due": 45, "action": "cancel_subscription"},
]


@pytest.fixture
def world(database: Database) -> Iterator[HttpWorld]:
    with http_world(database) as made, following(database):
        yield made


def text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moved(caller: Caller, to: datetime) -> dict[str, Any]:
    answered = ok(caller.call("PUT", "/v1/test-clock", {"now": text(to)}))
    assert answered["refused"] == []
    return answered


def unpaid(caller: Caller, **policy: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Begin a book with a policy and an account that owes for its first month; give its first invoice."""
    moved(caller, BEGIN)
    ok(caller.post(POLICY, {"steps": STEPS, **policy}))
    account = caller.new_account()
    subscription = caller.subscribed(account)
    (invoice,) = invoices(caller, account, 1)
    return account, subscription, invoice


def invoices(caller: Caller, account: str, count: int) -> list[dict[str, Any]]:
    """Give an account's first invoices, once they can be seen."""

    def found() -> list[dict[str, Any]]:
        rows = ok(caller.get(f"/v1/accounts/{account}/invoices", limit=500))["data"]
        return list(reversed(rows))

    until(lambda: len(found()) >= count, "the invoices")
    return [ok(caller.get(f"/v1/invoices/{one['id']}")) for one in found()[:count]]


def days_due(invoice: dict[str, Any], days: int) -> datetime:
    """Give the beginning of the day so many days after an invoice was due."""
    return datetime.fromisoformat(invoice["due_on"]).replace(tzinfo=UTC) + days * DAY


def dunning(caller: Caller, invoice: dict[str, Any]) -> dict[str, Any]:
    return ok(caller.get(f"/v1/invoices/{invoice['id']}/dunning"))


def taken(caller: Caller, invoice: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["action"], one["outcome"]) for one in dunning(caller, invoice)["taken"]]


# -- the policy ----------------------------------------------------------------------------------------


def test_a_book_does_nothing_about_what_is_past_due_until_it_adopts_a_policy(world: HttpWorld) -> None:
    answered = ok(world.operator.get(POLICY))
    assert answered == {
        "version": 0,
        "in_force_from": None,
        "time_zone": None,
        "steps": [],
        "notices": {"renewal_days_before": None, "trial_end_days_before": None},
    }


def test_a_policy_is_adopted_version_by_version_and_adopting_it_again_changes_nothing(
    world: HttpWorld,
) -> None:
    body = {"steps": STEPS, "notices": {"renewal_days_before": 7}}
    first = ok(world.operator.post(POLICY, body))
    assert (first["version"], first["steps"]) == (1, STEPS)
    assert first["notices"] == {"renewal_days_before": 7, "trial_end_days_before": None}
    assert ok(world.operator.post(POLICY, body)) == first
    assert ok(world.operator.post(POLICY, {"steps": STEPS[:1]}))["version"] == 2
    assert ok(world.operator.get(POLICY))["steps"] == STEPS[:1]
    assert ok(world.stranger.get(POLICY))["version"] == 0


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"steps": [{"days_after_due": -1, "action": "remind"}]}, "steps.0.days_after_due"),
        ({"steps": [{"days_after_due": 1, "action": "shout"}]}, "steps.0.action"),
        ({"steps": [STEPS[1], STEPS[0]]}, "steps.1.days_after_due"),
        ({"steps": [STEPS[0], STEPS[0]]}, "steps.1"),
        ({"notices": {"renewal_days_before": 4000}}, "notices.renewal_days_before"),
        ({"steps": [{"days_after_due": True, "action": "remind"}]}, "steps.0.days_after_due"),
    ],
)
def test_what_cannot_be_gone_by_is_refused_with_its_place(
    world: HttpWorld, body: dict[str, Any], path: str
) -> None:
    problem = refused(world.operator.post(POLICY, body), 422)
    assert path in str(problem["errors"]).replace("'", "") or path in problem["errors"], problem


def test_only_an_administrator_adopts_a_policy(world: HttpWorld) -> None:
    refused(world.limited_operator("write").post(POLICY, {"steps": STEPS}), 403)


# -- an invoice that nobody pays -----------------------------------------------------------------------


def test_an_unpaid_invoice_goes_through_every_step_each_at_its_day(world: HttpWorld) -> None:
    caller = world.test_operator
    account, subscription, invoice = unpaid(caller)
    key = caller.new_key(account, "read")
    assert [one["due_at"] for one in dunning(caller, invoice)["coming"]] == [
        text(days_due(invoice, step["days_after_due"])) for step in STEPS
    ]
    moved(caller, days_due(invoice, 3) - timedelta(microseconds=1))
    assert taken(caller, invoice) == []
    moved(caller, days_due(invoice, 3))
    assert taken(caller, invoice) == [("remind", "reminded")]
    moved(caller, days_due(invoice, 9))
    assert taken(caller, invoice)[1:] == [("retry", "no_gateway")]
    ok(key.get(f"/v1/accounts/{account}"))
    moved(caller, days_due(invoice, 10))
    assert taken(caller, invoice)[2:] == [("suspend_keys", "suspended")]
    refused(key.get(f"/v1/accounts/{account}"), 401)
    moved(caller, days_due(invoice, 44))
    assert taken(caller, invoice)[3:] == [("mark_uncollectible", "marked")]
    assert dunning(caller, invoice)["status"] == "uncollectible"
    moved(caller, days_due(invoice, 60))
    assert taken(caller, invoice)[4:] == [("cancel_subscription", "cancelled")]
    found = dunning(caller, invoice)
    assert [one["taken_at"] for one in found["taken"]] == [one["due_at"] for one in found["taken"]]
    assert [one["step"] for one in found["taken"]] == [1, 2, 3, 4, 5]
    assert found["coming"] == []
    assert ok(caller.get(f"/v1/subscriptions/{subscription['id']}"))["status"] == "cancelled"


def test_a_year_in_one_call_takes_the_same_steps_at_the_same_instants(world: HttpWorld) -> None:
    caller = world.test_operator
    _, _, invoice = unpaid(caller)
    coming = dunning(caller, invoice)["coming"]
    moved(caller, BEGIN + 365 * DAY)
    found = dunning(caller, invoice)["taken"]
    assert [(one["action"], one["due_at"]) for one in found] == [
        (one["action"], one["due_at"]) for one in coming
    ]
    assert [one["taken_at"] for one in found] == [one["due_at"] for one in found]


def test_once_it_is_paid_the_rest_does_not_happen_and_keys_come_back(world: HttpWorld) -> None:
    caller = world.test_operator
    account, subscription, invoice = unpaid(caller)
    key = caller.new_key(account, "read")
    moved(caller, days_due(invoice, 12))
    refused(key.get(f"/v1/accounts/{account}"), 401)
    body = {**invoice["amount_due"], "method": "bank"}
    ok(caller.post(f"/v1/invoices/{invoice['id']}/payments", body), 201)
    moved(caller, days_due(invoice, 12))
    ok(key.get(f"/v1/accounts/{account}"))
    assert taken(caller, invoice)[3:] == [("resume_keys", "resumed")]
    assert dunning(caller, invoice)["coming"] == []
    moved(caller, days_due(invoice, 29))
    assert len(taken(caller, invoice)) == 4
    assert ok(caller.get(f"/v1/subscriptions/{subscription['id']}"))["status"] == "active"


def test_keys_stay_suspended_while_another_invoice_past_due_holds_them(world: HttpWorld) -> None:
    caller = world.test_operator
    account, _, first = unpaid(caller, steps=[{"days_after_due": 1, "action": "suspend_keys"}])
    key = caller.new_key(account, "read")
    moved(caller, days_due(first, 35))
    _, second = invoices(caller, account, 2)
    assert taken(caller, second) == [("suspend_keys", "suspended_before")]
    for number, invoice in enumerate((first, second)):
        body = {"amount": 2900, "currency": "USD", "method": "bank"}
        ok(caller.post(f"/v1/invoices/{invoice['id']}/payments", body), 201)
        moved(caller, days_due(first, 35))
        last = taken(caller, invoice)[-1]
        if number == 0:
            assert last == ("resume_keys", "others_past_due")
            refused(key.get(f"/v1/accounts/{account}"), 401)
        else:
            assert last == ("resume_keys", "resumed")
            ok(key.get(f"/v1/accounts/{account}"))


def test_a_key_that_somebody_suspended_is_not_dunnings_to_resume(world: HttpWorld) -> None:
    caller = world.test_operator
    account, _, invoice = unpaid(caller)
    body = {"name": "held", "scopes": ["read"]}
    held = ok(caller.post(f"/v1/accounts/{account}/keys", body), 201)
    caller.new_key(account, "read")
    ok(
        caller.post(
            f"/v1/keys/{held['key']['id'] if 'key' in held else held['id']}/suspend", {"reason": "by hand"}
        )
    )
    moved(caller, days_due(invoice, 12))
    ok(caller.post(f"/v1/invoices/{invoice['id']}/void", {"reason": "an error"}))
    moved(caller, days_due(invoice, 13))
    assert taken(caller, invoice)[-1] == ("resume_keys", "resumed")
    refused(Caller(world.client, held["secret"]).get(f"/v1/accounts/{account}"), 401)


# -- notices -------------------------------------------------------------------------------------------


def notices(caller: Caller, account: str) -> list[dict[str, Any]]:
    found = ok(caller.get(f"/v1/accounts/{account}/timeline", limit=500))["data"]
    return [one for one in reversed(found) if one["type"] == "subscription.notice_given"]


def test_notice_of_every_renewal_is_given_once(world: HttpWorld) -> None:
    caller = world.test_operator
    account, _, _ = unpaid(caller, steps=[], notices={"renewal_days_before": 7})
    moved(caller, datetime(2027, 1, 24, 23, tzinfo=UTC) - DAY)
    assert notices(caller, account) == []
    moved(caller, datetime(2027, 1, 25, tzinfo=UTC))
    assert len(notices(caller, account)) == 1
    moved(caller, datetime(2027, 4, 1, tzinfo=UTC))
    assert [one["occurred_at"] for one in notices(caller, account)] == [
        "2027-01-25T00:00:00Z",
        "2027-02-22T00:00:00Z",
        "2027-03-25T00:00:00Z",
    ]
