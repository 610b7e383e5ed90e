"""Sources over HTTP: granted and withdrawn by admins, listed by whoever reads the book."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import ok, position_of, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def granted(world: HttpWorld, source: str = "gateway/eu", **body: Any) -> dict[str, Any]:
    return ok(world.operator.post("/v1/sources", {"source": source, **body}), 201)


def listed(world: HttpWorld, **query: Any) -> dict[str, Any]:
    return ok(world.follow().operator.get("/v1/sources", **query))


def a_service(world: HttpWorld) -> str:
    made = ok(world.operator.post("/v1/principals", {"kind": "service", "name": "Gateway"}), 201)
    return str(made["id"])


def test_a_source_is_granted_for_usage_to_whoever_grants_it(world: HttpWorld) -> None:
    response = world.operator.post("/v1/sources", {"source": "mine"})
    made = ok(response, 201)
    actor = ok(world.operator.get(f"/v1/events/{position_of(response)}"))["actor"]
    assert made == {
        "source": "mine",
        "principal": actor["principal"],
        "principal_kind": actor["kind"],
        "scopes": ["usage:write"],
        "status": "granted",
        "granted_at": "2027-01-15T12:00:00Z",
        "withdrawn_at": None,
        "version": 1,
    }


def test_a_source_is_granted_to_another_principal_with_wider_scopes(world: HttpWorld) -> None:
    principal = a_service(world)
    made = granted(world, "theirs", principal=principal, scopes=["write", "usage:write"])
    assert (made["principal"], made["principal_kind"]) == (principal, "service")
    assert made["scopes"] == ["usage:write", "write"]


def test_a_granted_source_is_withdrawn_and_granted_again(fresh_world: HttpWorld) -> None:
    world = fresh_world
    first = granted(world)
    refused(world.operator.post("/v1/sources", {"source": "gateway/eu"}), 409, "conflict")
    world.now += timedelta(hours=1)
    body = {"source": "gateway/eu", "reason": "moved"}
    withdrawn = ok(world.operator.post("/v1/sources/withdraw", body))
    ended = {"status": "withdrawn", "withdrawn_at": "2027-01-15T13:00:00Z", "version": 2}
    assert withdrawn == first | ended
    assert listed(world)["data"] == [withdrawn]
    again = ok(world.operator.post("/v1/sources/withdraw", body))
    assert again == withdrawn
    world.now += timedelta(hours=1)
    second = granted(world, scopes=["write"])
    fresh = {"scopes": ["write"], "granted_at": "2027-01-15T14:00:00Z", "version": 3}
    assert second == first | fresh
    assert listed(world)["data"] == [second]


def test_sources_are_listed_page_by_page(fresh_world: HttpWorld) -> None:
    world = fresh_world
    wanted = [granted(world, name) for name in ("a?b&c=d", "https://api.example.com/é", "z/1", "東京")]
    first = listed(world, limit=3)
    second = listed(world, limit=3, after=first["next"])
    assert first["data"] + second["data"] == wanted
    assert (first["next"], second["next"]) == ("z/1", None)


def test_a_list_never_leaves_out_what_it_was_asked_to_hold(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.edge._WAIT_SECONDS", 0.05)
    position = position_of(world.follow().operator.post("/v1/sources", {"source": "just now"}))
    refused(world.operator.get("/v1/sources", at_least=position, limit=500), 503, "unavailable")
    rows = listed(world, at_least=position, limit=500)["data"]
    assert "just now" in [row["source"] for row in rows]


def test_a_grant_that_is_sent_twice_under_one_idempotency_key_is_one(world: HttpWorld) -> None:
    first, second = (
        world.operator.post("/v1/sources", {"source": "once"}, Idempotency_Key="grant") for _ in range(2)
    )
    assert ok(first, 201) == ok(second, 201)
    assert position_of(first) == position_of(second)
    other = world.operator.post("/v1/sources", {"source": "twice"}, Idempotency_Key="grant")
    refused(other, 422, "idempotency_mismatch")


def test_withdrawing_needs_no_reason_but_a_source_that_was_granted(world: HttpWorld) -> None:
    granted(world, "short-lived")
    ok(world.operator.post("/v1/sources/withdraw", {"source": "short-lived"}))
    refused(world.operator.post("/v1/sources/withdraw", {"source": "never heard of"}), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "source"),
        ({"source": ""}, "source"),
        ({"source": "x" * 256}, "source"),
        ({"source": 7}, "source"),
        ({"source": "s", "scopes": []}, "scopes"),
        ({"source": "s", "scopes": ["admin"]}, "scopes.0"),
        ({"source": "s", "scopes": ["read"]}, "scopes.0"),
        ({"source": "s", "scopes": "write"}, "scopes"),
        ({"source": "s", "principal": "me"}, "principal"),
        ({"source": "s", "principal": "acc_01h455vb4pex5vsknk084sn02q"}, "principal"),
        ({"source": "s", "book": "mine"}, "book"),
    ],
)
def test_a_source_that_cannot_be_is_refused_by_field(
    world: HttpWorld, body: dict[str, Any], field: str
) -> None:
    problem = refused(world.operator.post("/v1/sources", body), 422)
    assert field in problem["errors"], problem


def test_a_principal_of_another_book_is_granted_nothing(world: HttpWorld) -> None:
    principal = a_service(world)
    for outsider in (world.stranger, world.test_operator):
        refused(outsider.post("/v1/sources", {"source": "s", "principal": principal}), 404, "not_found")


def test_a_books_sources_are_its_own(fresh_world: HttpWorld) -> None:
    world = fresh_world
    granted(world)
    assert [row["source"] for row in listed(world)["data"]] == ["gateway/eu"]
    for outsider in (world.stranger, world.test_operator):
        assert ok(outsider.get("/v1/sources"))["data"] == []
        refused(outsider.post("/v1/sources/withdraw", {"source": "gateway/eu"}), 404)
        ok(outsider.post("/v1/sources", {"source": "gateway/eu"}), 201)
    assert len(listed(world)["data"]) == 1


def test_only_admins_grant_and_withdraw_and_readers_list(world: HttpWorld) -> None:
    granted(world, "guarded")
    for scopes in (("read",), ("write",), ("usage:write",)):
        caller = world.limited_operator(*scopes)
        refused(caller.post("/v1/sources", {"source": "s"}), 403, "forbidden")
        refused(caller.post("/v1/sources/withdraw", {"source": "guarded"}), 403, "forbidden")
    ok(world.limited_operator("read").get("/v1/sources"))
    refused(world.limited_operator("usage:write").get("/v1/sources"), 403)


def test_an_accounts_own_key_does_not_see_who_writes(world: HttpWorld) -> None:
    own = world.operator.new_key(world.operator.new_account(), "read")
    refused(own.get("/v1/sources"), 403)
