"""Who may do what over HTTP: keys, scopes, books, and accounts that see only themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.integration.http_world import Caller, ok, refused, usage_event

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def test_a_key_is_taken_as_bearer_or_in_its_own_header(world: HttpWorld) -> None:
    secret = world.founded.live_key
    ok(world.client.get("/v1/accounts", headers={"Authorization": f"Bearer {secret}"}))
    ok(world.client.get("/v1/accounts", headers={"Authorization": f"bearer {secret}"}))
    ok(world.client.get("/v1/accounts", headers={"X-API-Key": secret}))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer dbk_live_01h455vb4pex5vsknk084sn02qaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {"X-API-Key": "\xff\xfe"},
        {"X-API-Key": ""},
    ],
)
def test_a_request_without_a_known_key_is_refused_with_a_challenge(
    world: HttpWorld, headers: dict[str, str]
) -> None:
    response = world.client.get("/v1/accounts", headers=headers)
    refused(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_secret_with_one_other_character_is_refused(world: HttpWorld) -> None:
    secret = world.founded.live_key
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    refused(Caller(world.client, wrong).get("/v1/accounts"), 401)


def test_the_mode_that_a_secret_names_is_part_of_it(world: HttpWorld) -> None:
    refused(Caller(world.client, world.founded.live_key.replace("_live_", "_test_")).get("/v1/accounts"), 401)


def test_a_revoked_key_is_refused_at_once(world: HttpWorld) -> None:
    caller = world.operator.new_key(world.operator.new_account(), "read")
    key = ok(caller.get(f"/v1/keys/{_own_key(world, caller)}"))["id"]
    ok(world.operator.call("DELETE", f"/v1/keys/{key}"))
    refused(caller.get(f"/v1/keys/{key}"), 401, "unauthenticated")


def _own_key(world: HttpWorld, caller: Caller) -> str:
    prefix = f"{world.settings.key_prefix}_live_"
    return f"key_{caller.secret[len(prefix) : len(prefix) + 26]}"


def test_an_expired_key_is_refused_from_its_instant_on(world: HttpWorld) -> None:
    account = world.operator.new_account()
    body = {"name": "short", "scopes": ["read"], "expires_at": "2027-01-15T13:00:00Z"}
    issued = ok(world.operator.post(f"/v1/accounts/{account}/keys", body), 201)
    caller = Caller(world.client, issued["secret"])
    ok(caller.get(f"/v1/accounts/{account}"))
    world.now += timedelta(hours=1)
    refused(caller.get(f"/v1/accounts/{account}"), 401)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/accounts"),
        ("PATCH", "/v1/accounts/{account}"),
        ("POST", "/v1/accounts/{account}/close"),
        ("POST", "/v1/accounts/{account}/keys"),
        ("POST", "/v1/plans"),
        ("POST", "/v1/accounts/{account}/subscriptions"),
        ("POST", "/v1/usage"),
        ("POST", "/v1/principals"),
        ("GET", "/v1/principals/prn_01h455vb4pex5vsknk084sn02q"),
    ],
)
def test_a_key_that_only_reads_changes_nothing(world: HttpWorld, method: str, path: str) -> None:
    account = world.operator.new_account()
    reader = world.limited_operator("read")
    refused(reader.call(method, path.format(account=account), {}), 403, "forbidden")


def test_a_key_that_writes_may_read_and_post_usage_but_not_make_operators(world: HttpWorld) -> None:
    writer = world.limited_operator("write")
    account = writer.new_account()
    ok(writer.get(f"/v1/accounts/{account}"))
    assert ok(writer.post("/v1/usage", {"events": [usage_event(account, "1")]}))["accepted"] == 1
    refused(writer.post("/v1/principals", {"kind": "person", "name": "Eve"}), 403)


def test_a_key_for_usage_does_not_read(world: HttpWorld) -> None:
    account = world.operator.new_account()
    refused(world.operator.new_key(account).get(f"/v1/accounts/{account}"), 403)


def test_another_books_objects_are_not_found(world: HttpWorld) -> None:
    operator = world.operator
    account = operator.new_account()
    plan = operator.new_plan()
    subscription = ok(operator.post(f"/v1/accounts/{account}/subscriptions", {"plan": plan}), 201)
    key = ok(operator.post(f"/v1/accounts/{account}/keys", {"name": "k"}), 201)["id"]
    world.follow()
    invoices = ok(operator.get(f"/v1/accounts/{account}/invoices"))["data"]
    reads = [
        f"/v1/accounts/{account}",
        f"/v1/accounts/{account}/keys",
        f"/v1/accounts/{account}/usage",
        f"/v1/accounts/{account}/balance",
        f"/v1/accounts/{account}/timeline",
        f"/v1/accounts/{account}/timeline/runs/1",
        f"/v1/accounts/{account}/state",
        f"/v1/accounts/{account}/invoices",
        f"/v1/accounts/{account}/subscriptions",
        f"/v1/keys/{key}",
        f"/v1/plans/{plan}",
        f"/v1/subscriptions/{subscription['id']}",
        f"/v1/invoices/{invoices[0]['id']}",
    ]
    writes = [
        (f"/v1/accounts/{account}/close", {}),
        (f"/v1/accounts/{account}/keys", {"name": "k"}),
        (f"/v1/accounts/{account}/subscriptions", {"plan": plan}),
        (f"/v1/keys/{key}/rotate", None),
        (f"/v1/keys/{key}/suspend", {}),
        (f"/v1/keys/{key}/resume", None),
        (f"/v1/subscriptions/{subscription['id']}/cancel", {}),
        (f"/v1/subscriptions/{subscription['id']}/change", {"plan": plan}),
        (f"/v1/invoices/{invoices[0]['id']}/payments", {"amount": 1, "currency": "USD"}),
        (f"/v1/invoices/{invoices[0]['id']}/void", {"reason": "x"}),
    ]
    for outsider in (world.stranger, world.test_operator):
        for path in reads:
            refused(outsider.get(path), 404, "not_found")
        for path, body in writes:
            refused(outsider.post(path, body), 404, "not_found")
        refused(outsider.patch(f"/v1/accounts/{account}", {"name": "Eve"}), 404)
        refused(outsider.call("DELETE", f"/v1/keys/{key}"), 404)


def test_lists_show_the_keys_own_book_only(fresh_world: HttpWorld) -> None:
    world = fresh_world
    account = world.operator.new_account()
    plan = world.operator.new_plan()
    world.follow()
    assert [one["id"] for one in ok(world.operator.get("/v1/accounts"))["data"]] == [account]
    assert [one["id"] for one in ok(world.operator.get("/v1/plans"))["data"]] == [plan]
    for outsider in (world.stranger, world.test_operator):
        assert ok(outsider.get("/v1/accounts"))["data"] == []
        assert ok(outsider.get("/v1/plans"))["data"] == []


def test_another_books_events_are_not_found(world: HttpWorld) -> None:
    response = world.operator.post("/v1/accounts", {"name": "Ada"})
    position = response.headers["Daybook-Position"]
    ok(world.operator.get(f"/v1/events/{position}"))
    refused(world.stranger.get(f"/v1/events/{position}"), 404)


def test_an_accounts_own_key_sees_its_account(world: HttpWorld) -> None:
    account = world.operator.new_account()
    world.operator.subscribed(account)
    own = world.operator.new_key(account, "read")
    world.follow()
    for part in ("", "/keys", "/usage", "/balance", "/timeline", "/state", "/invoices", "/subscriptions"):
        ok(own.get(f"/v1/accounts/{account}{part}"))
    ok(own.get(f"/v1/keys/{_own_key(world, own)}"))
    invoice = ok(own.get(f"/v1/accounts/{account}/invoices"))["data"][0]["id"]
    ok(own.get(f"/v1/invoices/{invoice}"))


def test_an_accounts_own_key_sees_nothing_of_another_account(world: HttpWorld) -> None:
    operator = world.operator
    own = operator.new_key(operator.new_account("Ada"), "read")
    other = operator.new_account("Eve")
    subscription = operator.subscribed(other)
    position = operator.patch(f"/v1/accounts/{other}", {"name": "Eva"}).headers["Daybook-Position"]
    key = _own_key(world, operator.new_key(other))
    world.follow()
    invoice = ok(operator.get(f"/v1/accounts/{other}/invoices"))["data"][0]["id"]
    for part in ("", "/keys", "/usage", "/balance", "/timeline", "/state", "/invoices", "/subscriptions"):
        refused(own.get(f"/v1/accounts/{other}{part}"), 404)
    refused(own.get(f"/v1/keys/{key}"), 404)
    refused(own.get(f"/v1/invoices/{invoice}"), 404)
    refused(own.get(f"/v1/subscriptions/{subscription['id']}"), 404)
    refused(own.get(f"/v1/events/{position}"), 404)


def test_an_accounts_own_key_does_not_list_the_book(world: HttpWorld) -> None:
    own = world.operator.new_key(world.operator.new_account(), "read")
    refused(own.get("/v1/accounts"), 403)
    refused(own.get("/v1/plans"), 403)


def test_an_accounts_key_may_not_be_given_the_scopes_of_operators(world: HttpWorld) -> None:
    account = world.operator.new_account()
    body = {"name": "too much", "scopes": ["write"]}
    assert "scopes" in refused(world.operator.post(f"/v1/accounts/{account}/keys", body), 422)["errors"]


def test_nobody_gives_an_operator_key_without_being_admin(world: HttpWorld) -> None:
    principal = ok(world.operator.post("/v1/principals", {"kind": "person", "name": "Ann"}), 201)["id"]
    writer = world.limited_operator("write")
    refused(writer.post(f"/v1/principals/{principal}/keys", {"name": "k", "scopes": ["admin"]}), 403)


def test_an_operators_key_is_touched_by_admins_only(world: HttpWorld) -> None:
    writer = world.limited_operator("write")
    reader = world.limited_operator("read")
    key = _own_key(world, world.operator)
    refused(writer.post(f"/v1/keys/{key}/rotate"), 403)
    refused(writer.post(f"/v1/keys/{key}/suspend", {}), 403)
    refused(writer.call("DELETE", f"/v1/keys/{key}"), 403)
    refused(writer.patch(f"/v1/keys/{key}", {"status": "suspended"}), 403)
    ok(world.operator.post(f"/v1/keys/{_own_key(world, reader)}/rotate"))


def test_who_did_something_is_a_person_or_a_service_and_the_key_they_used(world: HttpWorld) -> None:
    writer = world.limited_operator("write")
    position = writer.post("/v1/accounts", {"name": "Ada"}).headers["Daybook-Position"]
    actor = ok(world.operator.get(f"/v1/events/{position}"))["actor"]
    assert actor["kind"] == "service"
    assert actor["principal"].startswith("prn_")
    assert actor["key"] == _own_key(world, writer)
