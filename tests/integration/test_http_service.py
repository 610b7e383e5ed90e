"""The service about itself, what it logs, and what it says when something is wrong."""

from __future__ import annotations

import json
import logging
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from stripe import WebhookSignature

from projections.registry import PROJECTIONS
from tests.integration.http_world import http_world, ok, refused, usage_event
from tests.integration.log_events import wait_until
from tests.postgres import database_url

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld
    from tests.postgres import Database


# -- up, ready, figures -------------------------------------------------------------------------------


def test_the_process_says_that_it_is_up(world: HttpWorld) -> None:
    ok(world.anonymous.get("/healthz"))


def test_it_is_ready_once_the_projections_follow(fresh_world: HttpWorld) -> None:
    world = fresh_world
    world.follow()
    ok(world.anonymous.get("/readyz"))


def test_it_is_not_ready_while_a_projection_never_ran(fresh_world: HttpWorld) -> None:
    world = fresh_world
    assert "accounts" in refused(world.anonymous.get("/readyz"), 503)["detail"]


def test_it_is_not_ready_while_a_projection_stands_still(fresh_world: HttpWorld) -> None:
    world = fresh_world
    world.follow()
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute(
            "UPDATE daybook.tracking SET failure = 'secret words', failed_position = 7"
            " WHERE projection = 'usage'"
        )
    response = world.anonymous.get("/readyz")
    detail = refused(response, 503)["detail"]
    assert "usage" in detail
    assert "secret words" not in response.get_data(as_text=True)


def test_it_is_not_ready_while_a_migration_is_missing(fresh_world: HttpWorld) -> None:
    world = fresh_world
    world.follow()
    with psycopg.connect(world.database.owner_url) as connection:
        connection.execute(
            "DELETE FROM daybook.migrations WHERE number = (SELECT max(number) FROM daybook.migrations)"
        )
    assert "migrat" in refused(world.anonymous.get("/readyz"), 503)["detail"]


def test_figures_count_requests_by_route_and_show_how_far_projections_are(fresh_world: HttpWorld) -> None:
    world = fresh_world
    account = world.operator.new_account()
    world.follow()
    ok(world.operator.get(f"/v1/accounts/{account}"))
    refused(world.operator.get("/v1/nothing/here"), 404)
    response = world.anonymous.get("/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain")
    text = response.get_data(as_text=True)
    assert re.search(r'requests_total{.*route="/v1/accounts/[{<]account[}>]".*status="200".*} 1\.0', text)
    for name in PROJECTIONS:
        assert re.search(rf'lag_positions{{projection="{name}"}} 0\.0', text), name
    assert account not in text
    assert "/v1/nothing" not in text
    assert world.founded.live_key not in text


def test_figures_are_given_without_the_database(database: Database) -> None:
    with http_world(database) as world:
        world.log.close()
        assert world.anonymous.get("/metrics").status_code == 200


# -- documentation ------------------------------------------------------------------------------------


def document(world: HttpWorld) -> dict[str, Any]:
    return ok(world.anonymous.get("/openapi.json"))


def test_everything_that_is_served_is_documented_and_nothing_else(world: HttpWorld) -> None:
    app = world.client.application
    served = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {
        (path, method)
        for path, methods in document(world)["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert served == documented
    assert len(served) > 30


def test_the_issues_operations_are_all_there(world: HttpWorld) -> None:
    paths = document(world)["paths"]
    wanted = {
        "/v1/accounts": {"get", "post"},
        "/v1/accounts/{account}": {"get", "patch"},
        "/v1/accounts/{account}/close": {"post"},
        "/v1/accounts/{account}/keys": {"get", "post"},
        "/v1/keys/{key}": {"get", "patch", "delete"},
        "/v1/keys/{key}/rotate": {"post"},
        "/v1/keys/{key}/suspend": {"post"},
        "/v1/keys/{key}/resume": {"post"},
        "/v1/usage": {"post"},
        "/v1/accounts/{account}/usage": {"get"},
        "/v1/accounts/{account}/balance": {"get"},
        "/v1/accounts/{account}/timeline": {"get"},
        "/v1/accounts/{account}/timeline/runs/{run}": {"get"},
        "/v1/accounts/{account}/state": {"get"},
        "/v1/accounts/{account}/invoices": {"get"},
        "/v1/plans": {"get", "post"},
        "/v1/accounts/{account}/subscriptions": {"get", "post"},
        "/v1/subscriptions/{subscription}/change": {"post"},
        "/v1/subscriptions/{subscription}/cancel": {"post"},
        "/v1/invoices/{invoice}": {"get"},
        "/v1/invoices/{invoice}/payments": {"post"},
        "/v1/invoices/{invoice}/void": {"post"},
        "/v1/events/{position}": {"get"},
        "/v1/principals": {"post"},
        "/v1/principals/{principal}": {"get"},
        "/v1/principals/{principal}/keys": {"get", "post"},
        "/v1/stripe/webhook": {"post"},
        "/v1/stripe/webhook/{endpoint}": {"post"},
        "/healthz": {"get"},
        "/readyz": {"get"},
        "/metrics": {"get"},
        "/openapi.json": {"get"},
        "/docs": {"get"},
    }
    for path, methods in wanted.items():
        assert methods <= paths[path].keys(), path


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href") and tag != "a"]
        assert tag != "script"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_reference_shows_every_operation_and_loads_nothing_from_elsewhere(world: HttpWorld) -> None:
    response = world.anonymous.get("/docs")
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    page = _Page()
    page.feed(response.get_data(as_text=True))
    assert page.links == []
    for path in document(world)["paths"]:
        assert path in page.text


# -- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/accounts/", "/v2/accounts", "/static/x", "/v1/%00"])
def test_an_unknown_route_is_a_problem_too(world: HttpWorld, path: str) -> None:
    refused(world.operator.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "TRACE", "BREW"])
def test_an_unknown_method_is_a_problem_too(world: HttpWorld, method: str) -> None:
    response = world.operator.call(method, "/v1/accounts")
    refused(response, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(response.headers["Allow"].replace(",", " ").split())


def test_a_defect_of_ours_is_said_without_its_details(
    world: HttpWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        message = "the secret is whsec_123"
        raise RuntimeError(message)

    account = world.operator.new_account()
    monkeypatch.setattr("ledger.store.Log.load", fail)
    response = world.operator.get(f"/v1/accounts/{account}")
    refused(response, 500)
    assert "whsec_123" not in response.get_data(as_text=True)
    assert "RuntimeError" in caplog.text
    assert "whsec_123" not in caplog.text


def test_every_answer_names_its_request(world: HttpWorld) -> None:
    names = {
        world.anonymous.get(path).headers["X-Request-Id"] for path in ("/healthz", "/v1/accounts", "/nowhere")
    }
    assert len(names) == 3


def test_each_refusal_is_logged_as_one_line_of_json_without_secrets(
    world: HttpWorld, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        account = world.operator.new_account("Ada Lovelace")
        issued = ok(world.operator.post(f"/v1/accounts/{account}/keys", {"name": "k"}), 201)
        refused(world.operator.get(f"/v1/keys/{issued['secret']}"), 404)
        refused(world.operator.get("/v1/accounts", token=issued["secret"]), 422)
        refused(world.anonymous.get(f"/{issued['secret']}"), 404)
    for secret in (issued["secret"], world.founded.live_key, "Ada Lovelace"):
        assert secret not in caplog.text
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "daybook.access"]
    assert [(line["method"], line["status"]) for line in lines] == [
        ("GET", 404),
        ("GET", 422),
        ("GET", 404),
    ]
    assert all(line["request"] and line["seconds"] >= 0 for line in lines)


# -- webhooks -----------------------------------------------------------------------------------------


def deliver(world: HttpWorld, path: str, body: str, secret: str | None = None) -> Any:
    header = WebhookSignature.generate_signature_header(
        body, secret or world.founded.webhook_secret, int(world.now.timestamp())
    )
    return world.anonymous.post(
        path, data=body, headers={"Stripe-Signature": str(header), "Content-Type": "application/json"}
    )


EVENT = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "customer.created",
        "created": 1_800_000_000,
        "livemode": True,
        "api_version": "2025-01-01",
        "data": {"object": {"id": "cus_1", "object": "customer", "name": "Ada"}},
    }
)


def test_a_signed_delivery_is_kept_once(fresh_world: HttpWorld) -> None:
    world = fresh_world
    path = f"/v1/stripe/webhook/{world.founded.endpoint}"
    assert ok(deliver(world, path, EVENT)) == {"received": True, "duplicate": False}
    assert ok(deliver(world, path, EVENT)) == {"received": True, "duplicate": True}
    assert ok(deliver(world, "/v1/stripe/webhook", EVENT))["duplicate"] is True


@pytest.mark.parametrize("body", ["{", "[]", "null", "{}", '{"id": 7}'])
def test_a_delivery_that_is_no_event_is_refused(world: HttpWorld, body: str) -> None:
    refused(deliver(world, "/v1/stripe/webhook", body), 400)


def test_a_delivery_whose_signature_does_not_hold_is_refused(world: HttpWorld) -> None:
    refused(deliver(world, "/v1/stripe/webhook", EVENT, "whsec_other"), 400, "signature_refused")
    refused(world.anonymous.post("/v1/stripe/webhook", data=EVENT), 400, "signature_refused")
    other = f"/v1/stripe/webhook/{world.other.endpoint}"
    refused(deliver(world, other, EVENT), 400, "signature_refused")


@pytest.mark.parametrize("endpoint", ["whe_01h455vb4pex5vsknk084sn02q", "x", "%00", "\u00e9"])
def test_an_endpoint_that_is_not_there_is_not_found(world: HttpWorld, endpoint: str) -> None:
    refused(deliver(world, f"/v1/stripe/webhook/{endpoint}", EVENT), 404, "not_found")


# -- a database that is gone --------------------------------------------------------------------------


def test_without_its_database_the_service_says_so_and_recovers(database: Database) -> None:
    with http_world(database) as world:
        account = world.operator.new_account()
        world.operator.subscribed(account)
        world.follow()
        _allow(database, connections=False)
        try:
            requests = [
                world.operator.get(f"/v1/accounts/{account}"),
                world.operator.get(f"/v1/accounts/{account}/balance"),
                world.operator.post("/v1/accounts", {"name": "Ada"}),
                world.operator.post("/v1/usage", {"events": [usage_event(account, "1")]}),
                world.anonymous.get("/readyz"),
            ]
        finally:
            _allow(database, connections=True)
        for response in requests:
            refused(response, 503)
            assert int(response.headers["Retry-After"]) > 0
        wait_until(lambda: world.operator.get(f"/v1/accounts/{account}/balance").status_code == 200)


def _allow(database: Database, *, connections: bool) -> None:
    """Let the service's roles in, or end their connections and refuse new ones."""
    with psycopg.connect(database_url(database.owner_url, "postgres"), autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {database.name} CONNECTION LIMIT {-1 if connections else 0}".encode()
        )
        if not connections:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database.name]
            )
