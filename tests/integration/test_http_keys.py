"""Keys and principals over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import Caller, ok, position_of, refused, usage_event

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


@pytest.fixture
def account(world: HttpWorld) -> str:
    return world.operator.new_account()


def issued(world: HttpWorld, account: str, **body: Any) -> dict[str, Any]:
    return ok(world.operator.post(f"/v1/accounts/{account}/keys", {"name": "k", **body}), 201)


def test_a_new_key_shows_its_secret_once(world: HttpWorld, account: str) -> None:
    made = issued(world, account)
    assert made["secret"].startswith("dbk_live_")
    assert made["scopes"] == ["usage:write"]
    assert made["hint"] == made["secret"][-4:]
    shown = ok(world.operator.get(f"/v1/keys/{made['id']}"))
    assert "secret" not in shown
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    world.follow()
    assert ok(world.operator.get(f"/v1/accounts/{account}/keys"))["data"] == [shown]


def test_a_key_of_the_test_book_says_so(world: HttpWorld) -> None:
    caller = world.test_operator
    made = ok(caller.post(f"/v1/accounts/{caller.new_account()}/keys", {"name": "k"}), 201)
    assert made["secret"].startswith("dbk_test_")


def test_neither_secret_nor_hash_is_in_any_answer_or_event(world: HttpWorld, account: str) -> None:
    response = world.operator.post(f"/v1/accounts/{account}/keys", {"name": "k"})
    secret = response.get_json()["secret"]
    world.follow()
    for path in (f"/v1/events/{position_of(response)}", f"/v1/accounts/{account}/timeline"):
        text = world.operator.get(path).get_data(as_text=True)
        assert "api_key.issued" in text
        assert secret not in text
        assert "secret_hash" not in text


def test_a_rotated_key_opens_with_its_new_secret_only(world: HttpWorld, account: str) -> None:
    made = issued(world, account, scopes=["read"])
    old = Caller(world.client, made["secret"])
    rotated = ok(world.operator.post(f"/v1/keys/{made['id']}/rotate"))
    assert rotated["id"] == made["id"]
    assert rotated["version"] == 2
    refused(old.get(f"/v1/accounts/{account}"), 401)
    ok(Caller(world.client, rotated["secret"]).get(f"/v1/accounts/{account}"))


def test_a_suspended_key_opens_again_once_resumed(world: HttpWorld, account: str) -> None:
    made = issued(world, account, scopes=["read"])
    caller = Caller(world.client, made["secret"])
    suspended = ok(world.operator.post(f"/v1/keys/{made['id']}/suspend", {"reason": "leaked?"}))
    assert suspended["status"] == "suspended"
    refused(caller.get(f"/v1/accounts/{account}"), 401)
    assert ok(world.operator.post(f"/v1/keys/{made['id']}/resume"))["status"] == "active"
    ok(caller.get(f"/v1/accounts/{account}"))


def test_a_key_is_suspended_and_resumed_by_patching_its_status(world: HttpWorld, account: str) -> None:
    key = issued(world, account)["id"]
    assert ok(world.operator.patch(f"/v1/keys/{key}", {"status": "suspended"}))["status"] == "suspended"
    assert ok(world.operator.patch(f"/v1/keys/{key}", {"status": "active"}))["status"] == "active"
    assert "status" in refused(world.operator.patch(f"/v1/keys/{key}", {"status": "revoked"}), 422)["errors"]
    assert "status" in refused(world.operator.patch(f"/v1/keys/{key}", {}), 422)["errors"]


def test_a_revoked_key_stays_revoked(world: HttpWorld, account: str) -> None:
    key = issued(world, account)["id"]
    assert ok(world.operator.call("DELETE", f"/v1/keys/{key}"))["status"] == "revoked"
    assert ok(world.operator.call("DELETE", f"/v1/keys/{key}"))["status"] == "revoked"
    refused(world.operator.post(f"/v1/keys/{key}/rotate"), 409, "key_not_active")
    refused(world.operator.post(f"/v1/keys/{key}/resume"), 409, "key_not_active")


def test_a_suspended_key_may_not_post_usage(world: HttpWorld, account: str) -> None:
    made = issued(world, account)
    caller = Caller(world.client, made["secret"])
    body = {"events": [usage_event(account, "1")]}
    ok(caller.post("/v1/usage", body))
    ok(world.operator.post(f"/v1/keys/{made['id']}/suspend", {}))
    refused(caller.post("/v1/usage", body), 401)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "k", "scopes": []}, "scopes"),
        ({"name": "k", "scopes": ["root"]}, "scopes.0"),
        ({"name": "k", "scopes": "read"}, "scopes"),
        ({"name": "k", "scopes": ["admin"]}, "scopes"),
        ({"name": "k", "expires_at": "2027-01-15T12:00:00Z"}, "expires_at"),
        ({"name": "k", "expires_at": "2027-06-15T12:00:00"}, "expires_at"),
        ({"name": "k", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "k", "expires_at": 1_900_000_000}, "expires_at"),
        ({"name": "k", "expires_at": "2300-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "k", "secret": "mine"}, "secret"),
    ],
)
def test_a_key_that_cannot_be_is_refused_by_field(
    world: HttpWorld, account: str, body: dict[str, Any], field: str
) -> None:
    problem = refused(world.operator.post(f"/v1/accounts/{account}/keys", body), 422)
    assert field in problem["errors"], problem


@pytest.mark.parametrize(
    "key", ["key_nonsense", "key_01h455vb4pex5vsknk084sn02q", "acc_01h455vb4pex5vsknk084sn02q"]
)
def test_a_key_that_is_not_there_is_not_found(world: HttpWorld, key: str) -> None:
    refused(world.operator.get(f"/v1/keys/{key}"), 404)
    refused(world.operator.post(f"/v1/keys/{key}/rotate"), 404)
    refused(world.operator.post(f"/v1/keys/{key}/suspend", {}), 404)
    refused(world.operator.patch(f"/v1/keys/{key}", {"status": "active"}), 404)
    refused(world.operator.call("DELETE", f"/v1/keys/{key}"), 404)


def test_a_principal_is_registered_and_given_a_key(world: HttpWorld) -> None:
    made = ok(world.operator.post("/v1/principals", {"kind": "person", "name": "Ann"}), 201)
    assert made["id"].startswith("prn_")
    assert (made["kind"], made["name"]) == ("person", "Ann")
    assert ok(world.operator.get(f"/v1/principals/{made['id']}")) == made
    body = {"name": "Ann's key", "scopes": ["read"]}
    key = ok(world.operator.post(f"/v1/principals/{made['id']}/keys", body), 201)
    assert key["owner"] == made["id"]
    ok(Caller(world.client, key["secret"]).get("/v1/accounts"))


def test_a_principals_keys_are_listed(world: HttpWorld) -> None:
    made = ok(world.operator.post("/v1/principals", {"kind": "service", "name": "Gateway"}), 201)
    path = f"/v1/principals/{made['id']}/keys"
    issued = ok(world.operator.post(path, {"name": "k", "scopes": ["write"]}), 201)
    world.follow()
    shown = {name: value for name, value in issued.items() if name != "secret"}
    assert ok(world.operator.get(path))["data"] == [shown]


def test_a_principal_of_another_book_is_not_found(world: HttpWorld) -> None:
    made = ok(world.operator.post("/v1/principals", {"kind": "person", "name": "Ann"}), 201)
    refused(world.stranger.get(f"/v1/principals/{made['id']}"), 404)
    refused(world.stranger.post(f"/v1/principals/{made['id']}/keys", {"name": "k"}), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"name": "x"}, "kind"), ({"kind": "robot", "name": "x"}, "kind"), ({"kind": "person"}, "name")],
)
def test_a_principal_that_cannot_be_is_refused_by_field(
    world: HttpWorld, body: dict[str, Any], field: str
) -> None:
    assert field in refused(world.operator.post("/v1/principals", body), 422)["errors"]
