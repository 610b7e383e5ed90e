"""Accounts over HTTP: register, read, change, close, list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import NOW, ok, position_of, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def test_a_registered_account_reads_back_as_it_was_answered(world: HttpWorld) -> None:
    body = {"name": "Ada", "email": "ada@example.com", "currency": "EUR", "time_zone": "Europe/Berlin"}
    made = ok(world.operator.post("/v1/accounts", body), 201)
    assert made["id"].startswith("acc_")
    assert {name: made[name] for name in body} == body
    assert made["status"] == "open"
    assert made["version"] == 1
    assert made["created_at"] == "2027-01-15T12:00:00Z"
    assert ok(world.operator.get(f"/v1/accounts/{made['id']}")) == made


def test_a_listed_account_looks_as_when_it_is_read_alone(fresh_world: HttpWorld) -> None:
    world = fresh_world
    account = world.operator.new_account("Ada", email="ada@example.com")
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "Grace"}))
    world.follow()
    alone = ok(world.operator.get(f"/v1/accounts/{account}"))
    assert ok(world.operator.get("/v1/accounts"))["data"] == [alone]


def test_only_a_name_is_needed(world: HttpWorld) -> None:
    made = ok(world.operator.post("/v1/accounts", {"name": "Ada"}), 201)
    assert (made["email"], made["currency"], made["time_zone"]) == (None, None, "UTC")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "  "}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "Ada", "email": "x" * 255}, "email"),
        ({"name": "Ada", "email": ["ada@example.com"]}, "email"),
        ({"name": "Ada", "currency": "usd"}, "currency"),
        ({"name": "Ada", "currency": "XXX"}, "currency"),
        ({"name": "Ada", "currency": 840}, "currency"),
        ({"name": "Ada", "time_zone": "Mars/Olympus"}, "time_zone"),
        ({"name": "Ada", "time_zone": "../../etc/passwd"}, "time_zone"),
        ({"name": "Ada", "nickname": "A"}, "nickname"),
    ],
)
def test_a_field_that_is_wrong_is_named(world: HttpWorld, body: dict[str, Any], field: str) -> None:
    problem = refused(world.operator.post("/v1/accounts", body), 422)
    assert field in problem["errors"], problem


@pytest.mark.parametrize("body", ["[]", '"Ada"', "null", "7"])
def test_a_body_that_is_no_object_is_refused(world: HttpWorld, body: str) -> None:
    refused(world.operator.send("/v1/accounts", body, "application/json"), 422)


@pytest.mark.parametrize("body", ["{", '{"name": "\\ud800"}', "{'name': 1}", "[" * 100_000, b"\xff\xfe"])
def test_a_body_that_is_no_json_cannot_be_read(world: HttpWorld, body: str | bytes) -> None:
    refused(world.operator.send("/v1/accounts", body, "application/json"), 400)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""]
)
def test_another_kind_of_content_is_not_taken(world: HttpWorld, content_type: str) -> None:
    refused(
        world.operator.send("/v1/accounts", '{"name": "Ada"}', content_type), 415, "unsupported_media_type"
    )


def test_an_account_is_renamed_and_loses_its_address(world: HttpWorld) -> None:
    account = world.operator.new_account("Ada", email="ada@example.com")
    changed = ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "Grace", "email": None}))
    assert (changed["name"], changed["email"], changed["version"]) == ("Grace", None, 3)
    assert ok(world.operator.get(f"/v1/accounts/{account}")) == changed


def test_a_change_at_the_version_seen_goes_through(world: HttpWorld) -> None:
    account = world.operator.new_account()
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "B", "version": 1}))
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "C"}, If_Match='"2"'))
    assert ok(world.operator.get(f"/v1/accounts/{account}"))["name"] == "C"


def test_a_change_at_a_stale_version_is_refused(world: HttpWorld) -> None:
    account = world.operator.new_account()
    ok(world.operator.patch(f"/v1/accounts/{account}", {"name": "B"}))
    path = f"/v1/accounts/{account}"
    refused(world.operator.patch(path, {"name": "C", "version": 1}), 409, "stale_version")
    refused(world.operator.patch(path, {"name": "C"}, If_Match="1"), 409, "stale_version")
    assert ok(world.operator.get(path))["name"] == "B"


@pytest.mark.parametrize("header", ["", "x", '"-1"', "1" * 5000, "\u00b2", '"1", "2"'])
def test_a_precondition_that_is_no_version_is_refused(world: HttpWorld, header: str) -> None:
    account = world.operator.new_account()
    refused(world.operator.patch(f"/v1/accounts/{account}", {"name": "C"}, If_Match=header), 422)


def test_a_closed_account_takes_no_changes_keys_or_subscriptions(world: HttpWorld) -> None:
    account = world.operator.new_account()
    plan = world.operator.new_plan()
    closed = ok(world.operator.post(f"/v1/accounts/{account}/close", {"reason": "moved away"}))
    assert closed["status"] == "closed"
    assert closed["closed_at"] == "2027-01-15T12:00:00Z"
    again = ok(world.operator.post(f"/v1/accounts/{account}/close", {"reason": "twice"}))
    assert again["version"] == closed["version"]
    code = "account_closed"
    refused(world.operator.patch(f"/v1/accounts/{account}", {"name": "B"}), 409, code)
    refused(world.operator.post(f"/v1/accounts/{account}/keys", {"name": "k"}), 409, code)
    refused(world.operator.post(f"/v1/accounts/{account}/subscriptions", {"plan": plan}), 409, code)


@pytest.mark.parametrize(
    "account", ["acc_nonsense", "acc_01h455vb4pex5vsknk084sn02q", "%00", "plan_x", "\u00e9"]
)
def test_an_account_that_is_not_there_is_not_found(world: HttpWorld, account: str) -> None:
    refused(world.operator.get(f"/v1/accounts/{account}"), 404, "not_found")
    refused(world.operator.get(f"/v1/accounts/{account}/balance"), 404, "not_found")
    refused(world.operator.patch(f"/v1/accounts/{account}", {"name": "A"}), 404, "not_found")


def test_a_write_says_its_position_and_a_read_can_ask_for_it(fresh_world: HttpWorld) -> None:
    world = fresh_world
    response = world.operator.post("/v1/accounts", {"name": "Ada"})
    world.follow()
    page = ok(world.operator.get("/v1/accounts", at_least=position_of(response)))
    assert [one["id"] for one in page["data"]] == [response.get_json()["id"]]


def test_a_list_goes_through_every_account_once(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = {world.operator.new_account(f"A{number}") for number in range(7)}
    world.follow()
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = ok(world.operator.get("/v1/accounts", limit=3, **after))
        assert len(page["data"]) <= 3
        seen += [one["id"] for one in page["data"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"after": "\x00"}, "after"),
        ({"after": "not a cursor"}, "after"),
        ({"at_least": "-1"}, "at_least"),
        ({"at_least": "x"}, "at_least"),
        ({"at_least": str(1 << 63)}, "at_least"),
        ({"at_least": "1000000000"}, "at_least"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_query_that_is_wrong_is_refused_by_name(
    world: HttpWorld, query: dict[str, str], field: str
) -> None:
    assert field in refused(world.operator.get("/v1/accounts", **query), 422)["errors"]


def test_what_an_account_was_called_is_never_in_the_log_as_text(world: HttpWorld) -> None:
    account = world.operator.new_account("Ada Lovelace", email="ada@lovelace.example")
    assert world.now == NOW
    position = world.operator.patch(f"/v1/accounts/{account}", {"name": "Grace Hopper"})
    body = ok(world.operator.get(f"/v1/events/{position_of(position)}"))
    assert body["type"] == "account.renamed"
    assert body["data"]["name"] == "Grace Hopper"
