"""An id with another kind's suffix names nothing: every route that takes an id answers 404, and never 500."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from api.edge import OPERATIONS, Operation
from api.resources import load
from ledger.identifiers import public_id, stream_of, usage_stream
from ledger.secrets import new_secret, secret_length_bytes
from tests.integration.http_world import Caller, ok, refused, usage_event

if TYPE_CHECKING:
    from uuid import UUID

    from tests.integration.http_world import HttpWorld

PREFIXES = {
    "account": "acc",
    "coupon": "coup",
    "credit_note": "cn",
    "invoice": "inv",
    "key": "key",
    "meter": "meter",
    "plan": "plan",
    "principal": "prn",
    "product": "prod",
    "subscription": "sub",
    "tax_rate": "tax",
}
# What a route's body needs, so that the id is what it is refused for.
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /v1/accounts/{account}": {"name": "Ada"},
    "PATCH /v1/keys/{key}": {"status": "suspended"},
    "POST /v1/accounts/{account}/credit-grants": {"amount": 1, "currency": "USD", "kind": "paid"},
    "POST /v1/accounts/{account}/credits": {"amount": 1, "currency": "USD", "reason": "an outage"},
    "POST /v1/invoices/{invoice}/credit-notes": {"amount": 1},
    "POST /v1/invoices/{invoice}/lines": {"lines": [{"description": "Advice", "amount": 100}]},
    "POST /v1/invoices/{invoice}/payments": {"amount": 1, "currency": "USD", "method": "bank_transfer"},
    "POST /v1/plans/{plan}/prices": {"currency": "USD", "interval": "month", "amount": 100},
    "POST /v1/subscriptions/{subscription}/coupons": {"coupon": "HELLO"},
    "POST /v1/tax-rates/{tax_rate}/versions": {"percent": "7"},
}
TAKES_A_PLAN = {
    "POST /v1/accounts/{account}/subscriptions",
    "POST /v1/subscriptions/{subscription}/change",
    "POST /v1/subscriptions/{subscription}/items",
}
# What is named by a place in the log or the feed, is found in a table of its own, or within another thing.
ELSEWHERE = {"billing_entity", "dead_letter", "endpoint", "grant", "item", "line", "position", "run"}

load()


def names_in(path: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", path))


ROUTES = [one for one in OPERATIONS if names_in(one.path) & PREFIXES.keys()]


def a_thing_of_every_kind(world: HttpWorld) -> dict[str, UUID]:
    """Make one of each in the live book, and give their streams."""
    operator = world.operator
    account = operator.new_account()
    subscription = operator.subscribed(account)
    plan = subscription["plan"]
    payment = {"amount": 900, "currency": "USD", "method": "bank_transfer"}
    paid = ok(operator.post(f"/v1/invoices/{subscription['invoice']}/payments", payment), 201)
    key = ok(operator.post(f"/v1/accounts/{account}/keys", {"name": "key"}), 201)["id"]
    principal = ok(operator.post("/v1/principals", {"kind": "service", "name": "Limited"}), 201)["id"]
    ok(operator.post("/v1/usage", {"events": [usage_event(account, "1")]}))
    book = world.founded.live_book
    things = {
        "acc": account,
        "book": book,
        "inv": subscription["invoice"],
        "key": key,
        "pay": paid["payment"],
        "plan": plan,
        "prn": principal,
        "sub": subscription["id"],
    }
    streams = {prefix: stream_of(prefix, text) for prefix, text in things.items()}
    source = f"gateway/{account}"
    return {**streams, "usage": usage_stream(streams["book"], source, "1")}


@pytest.fixture(scope="module")
def streams(http_service: HttpWorld) -> dict[str, UUID]:
    return a_thing_of_every_kind(http_service)


def test_every_id_in_a_route_is_of_a_kind_that_is_tried() -> None:
    named = {name for one in OPERATIONS for name in names_in(one.path)}
    assert named == PREFIXES.keys() | ELSEWHERE


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_an_id_with_the_suffix_of_another_kind_names_nothing(
    world: HttpWorld, streams: dict[str, UUID], route: Operation
) -> None:
    (name,) = names_in(route.path) & PREFIXES.keys()
    before = world.log.head()
    for kind, stream in streams.items():
        if kind != PREFIXES[name]:
            path = route.path.replace("{run}", "1-2")
            path = path.replace(f"{{{name}}}", public_id(PREFIXES[name], stream))
            answer = world.operator.call(route.method, path, body_for(route, streams))
            refused(answer, 404, "not_found")
    assert world.log.head() == before


def body_for(route: Operation, streams: dict[str, UUID]) -> dict[str, Any] | None:
    if route.body is None:
        return None
    place = f"{route.method} {route.path}"
    return {"plan": public_id("plan", streams["plan"])} if place in TAKES_A_PLAN else BODIES.get(place, {})


def test_a_plan_that_is_something_else_cannot_be_subscribed_to(
    world: HttpWorld, streams: dict[str, UUID]
) -> None:
    account = world.operator.new_account()
    mine = world.operator.subscribed(account)["id"]
    for kind, stream in streams.items():
        if kind != "plan":
            body = {"plan": public_id("plan", stream)}
            refused(world.operator.post(f"/v1/accounts/{account}/subscriptions", body), 404, "not_found")
            refused(world.operator.post(f"/v1/subscriptions/{mine}/change", body), 404, "not_found")


def test_a_webhook_endpoint_that_is_something_else_takes_no_delivery(
    world: HttpWorld, streams: dict[str, UUID]
) -> None:
    for stream in streams.values():
        path = f"/v1/stripe/webhook/{public_id('whe', stream)}"
        signed = {"Stripe-Signature": "t=1,v1=00"}
        assert world.anonymous.post(path, data=b"{}", headers=signed).status_code in {400, 401, 404}


def test_a_secret_that_claims_to_be_of_another_kind_s_stream_opens_nothing(
    world: HttpWorld, streams: dict[str, UUID]
) -> None:
    for kind, stream in streams.items():
        if kind != "key":
            secret = new_secret("dbk", "live", public_id("key", stream), b"r" * secret_length_bytes())
            refused(Caller(world.client, secret).get("/v1/accounts"), 401, "unauthenticated")
