"""Idempotency keys: one effect and one answer, however often and however many at once ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from api.idempotency import Slot
from tests.integration.http_world import Caller, ok, refused, usage_event

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.integration.http_world import HttpWorld


@pytest.fixture
def world(fresh_world: HttpWorld) -> HttpWorld:
    """Give every test idempotency keys that nobody used."""
    return fresh_world


def replays(first: TestResponse, again: TestResponse) -> bool:
    """Say whether the second answer is the first one, told again."""
    return (
        again.headers.get("Idempotent-Replayed") == "true"
        and "Idempotent-Replayed" not in first.headers
        and again.status_code == first.status_code
        and again.get_data() == first.get_data()
        and again.headers.get("Daybook-Position") == first.headers.get("Daybook-Position")
    )


def accounts_in(world: HttpWorld) -> int:
    world.follow()
    return len(ok(world.operator.get("/v1/accounts", limit=500))["data"])


def test_a_request_told_again_has_one_effect_and_the_same_answer(world: HttpWorld) -> None:
    first = world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="one")
    again = world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="one")
    assert first.status_code == 201
    assert replays(first, again)
    assert accounts_in(world) == 1


def test_without_a_key_each_request_is_another(world: HttpWorld) -> None:
    world.operator.new_account()
    world.operator.new_account()
    assert accounts_in(world) == 2


def test_the_key_with_another_request_is_refused(world: HttpWorld) -> None:
    ok(world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="one"), 201)
    other = world.operator.post("/v1/accounts", {"name": "Eve"}, Idempotency_Key="one")
    refused(other, 422, "idempotency_mismatch")
    body = {"name": "Ada", "currency": "USD", "interval": "month", "amount": 1}
    refused(world.operator.post("/v1/plans", body, Idempotency_Key="one"), 422, "idempotency_mismatch")


def test_the_key_of_another_caller_is_another_key(world: HttpWorld) -> None:
    first = ok(world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="one"), 201)
    for caller in (world.stranger, world.test_operator, world.limited_operator("write")):
        other = caller.post("/v1/accounts", {"name": "Eve"}, Idempotency_Key="one")
        assert ok(other, 201)["id"] != first["id"]


def test_a_secret_that_was_shown_once_is_shown_to_whoever_asks_again_with_the_key(world: HttpWorld) -> None:
    account = world.operator.new_account()
    path, body = f"/v1/accounts/{account}/keys", {"name": "k"}
    first = world.operator.post(path, body, Idempotency_Key="key-1")
    again = world.operator.post(path, body, Idempotency_Key="key-1")
    assert replays(first, again)
    assert again.get_json()["secret"] == first.get_json()["secret"]


def test_a_stored_answer_is_sealed(world: HttpWorld) -> None:
    account = world.operator.new_account()
    made = world.operator.post(f"/v1/accounts/{account}/keys", {"name": "k"}, Idempotency_Key="one")
    secret = ok(made, 201)["secret"]
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute("SET row_security = off")
        rows = connection.execute("SELECT wrapped_answer FROM daybook.idempotent_answers").fetchall()
    assert len(rows) == 1
    assert secret.encode() not in bytes(rows[0][0])


def test_after_a_day_the_key_is_free_again(world: HttpWorld) -> None:
    first = ok(world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="one"), 201)
    world.now += timedelta(hours=24)
    second = ok(world.operator.post("/v1/accounts", {"name": "Eve"}, Idempotency_Key="one"), 201)
    assert second["id"] != first["id"]


def test_a_refusal_is_not_kept(world: HttpWorld) -> None:
    account = world.operator.new_account()
    path = f"/v1/accounts/{account}/subscriptions"
    nowhere = {"plan": "plan_01h455vb4pex5vsknk084sn02q"}
    refused(world.operator.post(path, nowhere, Idempotency_Key="one"), 404)
    ok(world.operator.post(path, {"plan": world.operator.new_plan()}, Idempotency_Key="one"), 201)


def test_a_request_that_could_only_be_carried_out_once_is_answered_as_the_first_time(
    world: HttpWorld,
) -> None:
    made = world.operator.subscribed(world.operator.new_account())
    path, body = f"/v1/subscriptions/{made['id']}/cancel", {"at_period_end": False}
    first = world.operator.post(path, body, Idempotency_Key="bye")
    ok(first)
    assert replays(first, world.operator.post(path, body, Idempotency_Key="bye"))


def test_a_request_that_changes_nothing_is_kept_too(world: HttpWorld) -> None:
    account = world.operator.new_account()
    path, body = f"/v1/accounts/{account}/close", {"reason": "x"}
    ok(world.operator.post(path, body))
    first = world.operator.post(path, body, Idempotency_Key="close")
    assert replays(first, world.operator.post(path, body, Idempotency_Key="close"))


def test_usage_told_again_is_answered_as_the_first_time(world: HttpWorld) -> None:
    account = world.operator.new_account()
    body = {"events": [usage_event(account, "1"), usage_event(account, "2")]}
    first = world.operator.post("/v1/usage", body, Idempotency_Key="batch-1")
    assert ok(first)["accepted"] == 2
    assert replays(first, world.operator.post("/v1/usage", body, Idempotency_Key="batch-1"))
    other = {"events": [usage_event(account, "3")]}
    refused(world.operator.post("/v1/usage", other, Idempotency_Key="batch-1"), 422, "idempotency_mismatch")


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_1_to_255_characters(world: HttpWorld, key: str) -> None:
    refused(world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key=key), 422)
    ok(world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="x" * 255), 201)


def at_once(world: HttpWorld, path: str, body: object, times: int = 8) -> list[TestResponse]:
    """Send one request several times at the same moment, each from a client of its own."""
    barrier = threading.Barrier(times)

    def send(_: int) -> TestResponse:
        caller = Caller(world.client.application.test_client(), world.founded.live_key)
        barrier.wait()
        return caller.post(path, body, Idempotency_Key="at-once")

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(send, range(times)))


def same_answers(responses: list[TestResponse]) -> bool:
    firsts = [one for one in responses if "Idempotent-Replayed" not in one.headers]
    return len(firsts) == 1 and all(replays(firsts[0], one) for one in responses if one is not firsts[0])


def test_requests_with_one_key_at_the_same_moment_have_one_effect_and_one_answer(world: HttpWorld) -> None:
    assert same_answers(at_once(world, "/v1/accounts", {"name": "Ada"}))
    assert accounts_in(world) == 1


def test_requests_at_the_same_moment_that_could_only_be_carried_out_once_have_one_answer(
    world: HttpWorld,
) -> None:
    for _ in range(5):
        made = world.operator.subscribed(world.operator.new_account())
        invoice = made["invoice"]
        body = {"amount": 2900, "currency": "USD"}
        responses = at_once(world, f"/v1/invoices/{invoice}/payments", body)
        assert {one.status_code for one in responses} == {201}, [one.get_json() for one in responses]
        assert same_answers(responses)
        # The next round asks with the same key again, for another invoice.
        world.now += timedelta(hours=25)


def test_a_request_that_was_refused_because_the_same_one_came_first_gets_its_answer(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = world.operator.subscribed(world.operator.new_account())
    path, body = f"/v1/subscriptions/{made['id']}/cancel", {"at_period_end": False}
    first = world.operator.post(path, body, Idempotency_Key="bye")
    looked = iter([True])
    find = Slot.find
    # As if the second request had looked for an answer just before the first one was carried out.
    monkeypatch.setattr(Slot, "find", lambda slot: None if next(looked, False) else find(slot))
    assert replays(first, world.operator.post(path, body, Idempotency_Key="bye"))


def test_answers_that_expired_are_cleared_away(world: HttpWorld) -> None:
    for number in range(5):
        ok(world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key=f"old-{number}"), 201)
    world.now += timedelta(hours=25)
    ok(world.operator.post("/v1/accounts", {"name": "Ada"}, Idempotency_Key="new"), 201)
    with psycopg.connect(world.database.owner_url) as connection:
        rows = connection.execute("SELECT idempotency_key FROM daybook.idempotent_answers").fetchall()
    assert rows == [("new",)]


def test_usage_with_one_key_at_the_same_moment_has_one_answer(world: HttpWorld) -> None:
    account = world.operator.new_account()
    body = {"events": [usage_event(account, str(number)) for number in range(50)]}
    responses = at_once(world, "/v1/usage", body)
    assert same_answers(responses)
    assert ok(responses[0])["accepted"] == 50
