"""Products, meters, tax rates, coupons and billing entities over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import ok, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld

VAT = {"name": "MwSt", "jurisdiction": "DE", "percent": "19"}
TENTH = {"code": "WELCOME", "percent_off": "10"}
GMBH = {"code": "gmbh", "name": "Acme GmbH", "invoice_series": "R"}
# What each kind is made from, where, and what it is called in paths.
KINDS: dict[str, dict[str, Any]] = {
    "products": {"name": "API"},
    "meters": {"code": "tokens"},
    "tax-rates": VAT,
    "coupons": TENTH,
}
MADE_TWICE: dict[str, dict[str, Any]] = {
    **KINDS,
    "products": {"name": "API", "external_id": "api"},
    "tax-rates": {**VAT, "external_id": "vat-de"},
    "billing-entities": GMBH,
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(world: HttpWorld, kind: str, **changes: Any) -> dict[str, Any]:
    return ok(world.operator.post(f"/v1/{kind}", {**KINDS[kind], **changes}), 201)


def listed(world: HttpWorld, kind: str, **query: Any) -> list[dict[str, Any]]:
    world.follow()
    found: list[dict[str, Any]] = ok(world.operator.get(f"/v1/{kind}", **query))["data"]
    return found


# -- what all kinds share -----------------------------------------------------------------------------


@every_kind
def test_what_is_made_reads_back_as_it_was_answered_and_is_listed(fresh_world: HttpWorld, kind: str) -> None:
    world = fresh_world
    made = make(world, kind, metadata={"team": "core"})
    assert (made["status"], made["metadata"], made["version"]) == ("active", {"team": "core"}, 1)
    assert ok(world.operator.get(f"/v1/{kind}/{made['id']}")) == made
    assert listed(world, kind) == [made]


@every_kind
def test_what_is_retired_stays_and_is_listed_as_retired(fresh_world: HttpWorld, kind: str) -> None:
    world = fresh_world
    made = make(world, kind)
    path = f"/v1/{kind}/{made['id']}"
    retired = ok(world.operator.post(f"{path}/retire", {"reason": "old"}))
    assert retired == {**made, "status": "retired", "version": 2}
    assert ok(world.operator.post(f"{path}/retire")) == retired
    assert ok(world.operator.get(path)) == retired
    assert listed(world, kind) == listed(world, kind, status="retired") == [retired]
    assert listed(world, kind, status="active") == []


@pytest.mark.parametrize("kind", MADE_TWICE)
def test_a_second_one_of_the_same_name_is_refused(fresh_world: HttpWorld, kind: str) -> None:
    body = MADE_TWICE[kind]
    ok(fresh_world.operator.post(f"/v1/{kind}", body), 201)
    problem = refused(fresh_world.operator.post(f"/v1/{kind}", body), 409, "id_taken")
    assert "already" in problem["detail"]
    # In another book the name is free.
    ok(fresh_world.stranger.post(f"/v1/{kind}", body), 201)


@every_kind
def test_another_books_objects_are_not_there(fresh_world: HttpWorld, kind: str) -> None:
    world = fresh_world
    identity = make(world, kind)["id"]
    world.follow()
    for outsider in (world.stranger, world.test_operator):
        refused(outsider.get(f"/v1/{kind}/{identity}"), 404, "not_found")
        refused(outsider.post(f"/v1/{kind}/{identity}/retire"), 404, "not_found")
        assert ok(outsider.get(f"/v1/{kind}"))["data"] == []


@every_kind
def test_an_object_of_another_kind_is_not_there(world: HttpWorld, kind: str) -> None:
    plan = world.operator.new_plan()
    prefix = {"products": "prod", "meters": "meter", "tax-rates": "tax", "coupons": "coup"}[kind]
    disguised = plan.replace("plan_", f"{prefix}_")
    refused(world.operator.get(f"/v1/{kind}/{disguised}"), 404, "not_found")
    refused(world.operator.post(f"/v1/{kind}/{disguised}/retire"), 404, "not_found")


@pytest.mark.parametrize("kind", MADE_TWICE)
def test_who_only_reads_makes_nothing(world: HttpWorld, kind: str) -> None:
    reader = world.limited_operator("read")
    refused(reader.post(f"/v1/{kind}", MADE_TWICE[kind]), 403, "forbidden")
    ok(reader.get(f"/v1/{kind}"))
    own = world.operator.new_key(world.operator.new_account(), "read")
    refused(own.get(f"/v1/{kind}"), 403)


def test_lists_are_read_page_by_page(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = sorted(make(world, "products", name=f"Product {number}")["id"] for number in range(5))
    world.follow()
    first = ok(world.operator.get("/v1/products", limit=3))
    second = ok(world.operator.get("/v1/products", limit=3, after=first["next"]))
    assert [one["id"] for one in first["data"] + second["data"]] == made
    assert second["next"] is None


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("products", {}, "name"),
        ("products", {"name": ""}, "name"),
        ("products", {"name": "API", "external_id": ""}, "external_id"),
        ("products", {"name": "API", "metadata": {"a": 1}}, "metadata.a"),
        ("products", {"name": "API", "metadata": {"a": ""}}, "metadata.a"),
        ("products", {"name": "API", "metadata": {str(key): "v" for key in range(51)}}, "metadata"),
        ("products", {"name": "API", "metadata": []}, "metadata"),
        ("products", {"name": "API", "colour": "red"}, "colour"),
        ("meters", {}, "code"),
        ("meters", {"code": "two words"}, "code"),
        ("meters", {"code": "meter_x"}, "code"),
        ("meters", {"code": "m", "aggregation": "average"}, "aggregation"),
        ("meters", {"code": "m", "aggregation": "unique_count"}, "property"),
        ("meters", {"code": "m", "filters": [{"property": "p", "values": []}]}, "filters.0.values"),
        ("meters", {"code": "m", "filters": [{"property": "p"}]}, "filters.0.values"),
        ("meters", {"code": "m", "group_by": ["a", "a"]}, "group_by"),
        ("tax-rates", {**VAT, "percent": 19}, "percent"),
        ("tax-rates", {**VAT, "percent": "100.1"}, "percent"),
        ("tax-rates", {**VAT, "percent": "-1"}, "percent"),
        ("tax-rates", {**VAT, "behaviour": "both"}, "behaviour"),
        ("tax-rates", {**VAT, "jurisdiction": ""}, "jurisdiction"),
        ("coupons", {"code": "C"}, "percent_off"),
        ("coupons", {**TENTH, "amounts_off": {"USD": 5}}, "percent_off"),
        ("coupons", {"code": "C", "amounts_off": {"USD": 0}}, "amounts_off.USD"),
        ("coupons", {"code": "C", "amounts_off": {"usd": 5}}, "amounts_off.usd"),
        ("coupons", {"code": "C", "amounts_off": {"USD": 10**18}}, "amounts_off.USD"),
        ("coupons", {"code": "C", "amounts_off": {"USD": 1.5}}, "amounts_off.USD"),
        ("coupons", {**TENTH, "duration": "repeating"}, "periods"),
        ("coupons", {**TENTH, "plans": ["plan_01h455vb4pex5vsknk084sn02q"]}, "plans.0"),
        ("coupons", {**TENTH, "redeem_by": "2027-01-01T00:00:00"}, "redeem_by"),
        ("coupons", {**TENTH, "max_redemptions": 0}, "max_redemptions"),
        ("billing-entities", {**GMBH, "invoice_series": "R 2027"}, "invoice_series"),
        ("billing-entities", {**GMBH, "credit_note_series": "R"}, "credit_note_series"),
        ("billing-entities", {**GMBH, "payment_terms_days": 400}, "payment_terms_days"),
        ("billing-entities", {"code": "gmbh"}, "name"),
    ],
)
def test_what_cannot_be_is_refused_by_field(
    world: HttpWorld, kind: str, body: dict[str, Any], field: str
) -> None:
    problem = refused(world.operator.post(f"/v1/{kind}", body), 422)
    assert field in problem["errors"], problem


# -- products -----------------------------------------------------------------------------------------


def test_a_product_changes_its_name_and_keeps_its_external_id(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = make(world, "products", external_id="api")
    path = f"/v1/products/{made['id']}"
    changed = ok(world.operator.patch(path, {"name": "API calls"}))
    assert (changed["name"], changed["product_version"], changed["external_id"]) == ("API calls", 2, "api")
    changed = ok(world.operator.patch(path, {"metadata": {"team": "core"}}))
    assert (changed["name"], changed["metadata"]) == ("API calls", {"team": "core"})
    assert ok(world.operator.patch(path, {}))["version"] == 3
    assert listed(world, "products", external_id="api") == [changed]
    assert listed(world, "products", external_id="other") == []


# -- meters -------------------------------------------------------------------------------------------


def test_a_meter_is_what_was_asked_for_and_the_sum_unless_said(fresh_world: HttpWorld) -> None:
    world = fresh_world
    body = {
        "code": "tokens",
        "name": "Tokens",
        "event_type": "completion",
        "aggregation": "max",
        "property": "tokens",
        "filters": [{"property": "model", "values": ["small", "large"]}],
        "group_by": ["region"],
        "values": "levels",
        "external_id": "m-1",
    }
    made = ok(world.operator.post("/v1/meters", body), 201)
    assert {name: made[name] for name in body} == body
    plain = ok(world.operator.post("/v1/meters", {"code": "calls"}), 201)
    assert (plain["name"], plain["event_type"], plain["aggregation"]) == ("calls", "calls", "sum")


def test_a_meter_is_found_by_its_code(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = make(world, "meters")
    assert ok(world.operator.get("/v1/meters/tokens")) == made
    renamed = ok(world.operator.patch("/v1/meters/tokens", {"name": "All tokens"}))
    assert (renamed["name"], renamed["code"]) == ("All tokens", "tokens")
    assert listed(world, "meters", code="tokens") == [renamed]
    assert ok(world.operator.post("/v1/meters/tokens/retire"))["status"] == "retired"
    refused(world.operator.get("/v1/meters/unknown"), 404, "not_found")


# -- tax rates ----------------------------------------------------------------------------------------


def test_a_tax_rate_shows_the_version_that_holds_now(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = make(world, "tax-rates", external_id="vat-de")
    path = f"/v1/tax-rates/{made['id']}"
    later = {"percent": "21", "effective_at": "2027-07-01T00:00:00Z", "metadata": {"law": "2027/1"}}
    ahead = ok(world.operator.post(f"{path}/versions", later), 201)
    assert (ahead["percent"], ahead["tax_rate_version"]) == ("19", 1)
    assert [one["percent"] for one in ahead["versions"]] == ["19", "21"]
    assert ahead["versions"][1]["effective_at"] == "2027-07-01T00:00:00Z"
    assert listed(world, "tax-rates", external_id="vat-de") == [ahead]
    world.now = world.now.replace(month=8)
    there = ok(world.operator.get(path))
    assert (there["percent"], there["tax_rate_version"]) == ("21", 2)
    assert listed(world, "tax-rates") == [there]


def test_a_version_holds_from_now_unless_said(fresh_world: HttpWorld) -> None:
    made = make(fresh_world, "tax-rates")
    path = f"/v1/tax-rates/{made['id']}/versions"
    changed = ok(fresh_world.operator.post(path, {"percent": "16", "reason": "relief"}), 201)
    assert (changed["percent"], changed["reason"]) == ("16", "relief")
    early = {"percent": "17", "effective_at": "2027-01-01T00:00:00Z"}
    problem = refused(fresh_world.operator.post(path, early), 422)
    assert "effective_at" in problem["errors"]


# -- coupons ------------------------------------------------------------------------------------------


def test_a_coupon_is_what_was_asked_for(fresh_world: HttpWorld) -> None:
    world = fresh_world
    body = {
        "code": "SPRING-27",
        "name": "Spring",
        "percent_off": None,
        "amounts_off": {"EUR": 450, "USD": 500},
        "duration": "repeating",
        "periods": 3,
        "plans": [world.operator.new_plan()],
        "meters": ["api_calls"],
        "max_redemptions": 100,
        "redeem_by": "2027-04-01T00:00:00Z",
        "external_id": "camp-7",
        "metadata": {"campaign": "spring"},
    }
    made = ok(world.operator.post("/v1/coupons", body), 201)
    assert {name: made[name] for name in body} == body
    assert made["redemptions"] == 0
    assert ok(world.operator.get("/v1/coupons/SPRING-27")) == made
    assert listed(world, "coupons", code="SPRING-27") == [made]
    assert ok(world.operator.post("/v1/coupons/SPRING-27/retire"))["status"] == "retired"


# -- billing entities ---------------------------------------------------------------------------------


def test_a_book_has_a_seller_from_the_beginning_and_may_have_more(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = ok(world.operator.post("/v1/billing-entities", {**GMBH, "tax_id": "DE1"}), 201)
    assert made == {
        "id": "gmbh",
        "name": "Acme GmbH",
        "tax_id": "DE1",
        "invoice_series": "R",
        "credit_note_series": "R-CN",
        "payment_terms_days": 14,
        "metadata": {},
    }
    assert ok(world.operator.get("/v1/billing-entities/gmbh")) == made
    default = ok(world.operator.get("/v1/billing-entities/default"))
    assert (default["name"], default["invoice_series"]) == ("Acme", "INV")
    assert listed(world, "billing-entities") == [default, made]
    assert listed(world, "billing-entities", after="default") == [made]


def test_a_seller_changes_from_here_on(fresh_world: HttpWorld) -> None:
    world = fresh_world
    changes = {"tax_id": "US-1", "payment_terms_days": 30, "metadata": {"country": "US"}}
    changed = ok(world.operator.patch("/v1/billing-entities/default", changes))
    assert {name: changed[name] for name in changes} == changes
    assert changed["name"] == "Acme"
    assert listed(world, "billing-entities") == [changed]
    problem = refused(
        world.operator.patch("/v1/billing-entities/default", {"credit_note_series": "INV"}), 422
    )
    assert "credit_note_series" in problem["errors"]
    refused(world.operator.patch("/v1/billing-entities/nobody", {"name": "N"}), 404, "not_found")
    refused(world.operator.get("/v1/billing-entities/nobody"), 404, "not_found")
