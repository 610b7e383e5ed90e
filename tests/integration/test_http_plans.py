"""Plans over HTTP: whole terms, price versions, and what they name."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.http_world import NOW, ok, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld

FEE = {
    "code": "base",
    "name": "Base",
    "amounts": {"EUR": 2700, "USD": 2900},
    "timing": "advance",
    "per_seat": False,
    "product": None,
    "tax_rates": [],
}
TIERS = [{"up_to": "1000", "unit_amount": "0.5"}, {"unit_amount": "0.25", "flat_amount": "100"}]
CHARGE = {
    "code": "calls",
    "name": "Calls",
    "meter": "api_calls",
    "prices": [
        {"model": "package", "currency": "EUR", "package_size": "100", "package_amount": "40", "tiers": []},
        {"model": "graduated", "currency": "USD", "tiers": TIERS},
    ],
    "minimums": {"USD": 1000},
    "product": None,
    "tax_rates": [],
}
TERMS: dict[str, Any] = {
    "interval": "month",
    "fees": [FEE],
    "charges": [CHARGE],
    "setup_fee": {
        "name": "Onboarding",
        "amounts": {"EUR": 9000, "USD": 10000},
        "product": None,
        "tax_rates": [],
    },
    "trial_days": 14,
    "trial_needs_card": True,
    "minimums": {"USD": 5000},
    "entitlements": [{"feature": "api_calls", "limit": "1000", "hard": True, "per_seat": False}],
    "tax_rates": [],
    "calendar": True,
}
PLAN = {"name": "Pro", "external_id": "pro", "metadata": {"tier": "2"}, **TERMS}


def create(world: HttpWorld, **changes: Any) -> dict[str, Any]:
    return ok(world.operator.post("/v1/plans", {**PLAN, **changes}), 201)


def listed(world: HttpWorld, **query: Any) -> list[dict[str, Any]]:
    world.follow()
    found: list[dict[str, Any]] = ok(world.operator.get("/v1/plans", **query))["data"]
    return found


def errors(world: HttpWorld, **changes: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = refused(world.operator.post("/v1/plans", {**PLAN, **changes}), 422)[
        "errors"
    ]
    return found


def with_charge(**changes: Any) -> list[dict[str, Any]]:
    return [{**CHARGE, **changes}]


def test_a_plan_with_everything_reads_back_as_it_was_sent(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = create(world)
    assert made["terms"] == TERMS
    assert made["versions"] == [{"price_version": 1, "effective_at": None, "terms": TERMS}]
    assert (made["external_id"], made["metadata"], made["interval"]) == ("pro", {"tier": "2"}, "month")
    assert (made["price"], made["currency"], made["amount"]) == (None, None, None)
    assert ok(world.operator.get(f"/v1/plans/{made['id']}")) == made
    assert listed(world) == [made]


def test_what_a_plan_answers_can_be_sent_as_another_plan(world: HttpWorld) -> None:
    terms = create(world, external_id=None)["terms"]
    again = ok(world.operator.post("/v1/plans", {"name": "Copy", **terms}), 201)
    assert again["terms"] == terms


def test_the_plainest_plan_is_a_fee_and_may_have_more(world: HttpWorld) -> None:
    body = {"name": "Pro", "currency": "USD", "amount": 2900, "trial_days": 7}
    made = ok(world.operator.post("/v1/plans", body), 201)
    assert made["price"] == {"amount": 2900, "currency": "USD"}
    assert [(fee["code"], fee["name"], fee["amounts"]) for fee in made["terms"]["fees"]] == [
        ("fee", "Pro", {"USD": 2900})
    ]
    assert made["terms"]["trial_days"] == 7


def test_usage_alone_makes_a_plan(world: HttpWorld) -> None:
    price = {"model": "per_unit", "currency": "JPY", "unit_amount": "2"}
    body = {"name": "Pay as you go", "charges": [{"meter": "api_calls", "prices": [price]}]}
    made = ok(world.operator.post("/v1/plans", body), 201)
    assert made["price"] == {"amount": 0, "currency": "JPY"}
    (charge,) = made["terms"]["charges"]
    assert (charge["code"], charge["name"]) == ("api_calls", "api_calls")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"fees": [FEE, FEE]}, "fees"),
        ({"fees": [{**FEE, "amounts": {"USD": -1}}]}, "fees.0.amounts.USD"),
        ({"fees": [{**FEE, "amounts": {"USD": 10**18}}]}, "fees.0.amounts.USD"),
        ({"fees": [{**FEE, "amounts": {"usd": 1}}]}, "fees.0.amounts.usd"),
        ({"fees": [{**FEE, "amounts": {}}]}, "fees.0.amounts"),
        ({"fees": [{**FEE, "amounts": {"GBP": 1}}]}, "setup_fee.amounts"),
        ({"fees": [{**FEE, "timing": "later"}]}, "fees.0.timing"),
        ({"fees": [{**FEE, "code": "a b"}]}, "fees.0.code"),
        ({"fees": [{**FEE, "per_seat": 1}]}, "fees.0.per_seat"),
        ({"fees": [{**FEE, "tax_rates": ["vat"]}]}, "fees.0.tax_rates.0"),
        ({"fees": [{**FEE, "colour": "red"}]}, "fees.0.colour"),
        ({"charges": with_charge(prices=[])}, "charges.0.prices"),
        ({"charges": with_charge(prices=[CHARGE["prices"][0]] * 2)}, "charges.0.prices.1.currency"),  # type: ignore[index]
        ({"charges": with_charge(minimums={"GBP": 1})}, "charges.0.minimums.GBP"),
        ({"charges": with_charge(meter="")}, "charges.0.meter"),
        (
            {"charges": with_charge(prices=[{"model": "graduated", "currency": "USD", "tiers": TIERS[:1]}])},
            "charges.0.prices.0.tiers.0.up_to",
        ),
        (
            {"charges": with_charge(prices=[{"model": "volume", "currency": "USD", "tiers": TIERS[::-1]}])},
            "charges.0.prices.0.tiers.0.up_to",
        ),
        (
            {"charges": with_charge(prices=[{"model": "per_unit", "currency": "USD", "unit_amount": "-1"}])},
            "charges.0.prices.0.unit_amount",
        ),
        (
            {"charges": with_charge(prices=[{"model": "per_unit", "currency": "USD", "unit_amount": 1}])},
            "charges.0.prices.0.unit_amount",
        ),
        (
            {"charges": with_charge(prices=[{"model": "per_unit", "currency": "USD"}])},
            "charges.0.prices.0.unit_amount",
        ),
        ({"minimums": {"GBP": 1}}, "minimums.GBP"),
        ({"entitlements": [{"feature": "f", "limit": 5}]}, "entitlements.0.limit"),
        ({"entitlements": [{"feature": "f"}, {"feature": "f"}]}, "entitlements"),
        ({"trial_days": 731}, "trial_days"),
        ({"trial_days": -1}, "trial_days"),
        ({"interval": "day"}, "interval"),
        ({"calendar": "yes"}, "calendar"),
        ({"setup_fee": {"amounts": {"USD": -1}}}, "setup_fee.amounts.USD"),
        ({"currency": "USD", "amount": 5}, "amount"),
        ({"product": "prod_01h455vb4pex5vsknk084sn02q"}, "product"),
        ({"tax_rates": ["tax_01h455vb4pex5vsknk084sn02q"]}, "tax_rates.0"),
        ({"fees": [{**FEE, "product": "prod_01h455vb4pex5vsknk084sn02q"}]}, "fees.0.product"),
    ],
)
def test_terms_that_cannot_be_are_refused_by_field(
    world: HttpWorld, changes: dict[str, Any], field: str
) -> None:
    found = errors(world, **{"external_id": None, **changes})
    assert field in found, found


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "Pro"}, {"amount", "currency"}),
        ({"name": "Pro", "amount": 5}, {"currency"}),
        ({"name": "Pro", "currency": "USD"}, {"amount"}),
        ({"name": "Pro", "currency": "USD", "charges": [CHARGE]}, {"amount"}),
    ],
)
def test_a_plan_of_nothing_is_asked_for_its_fee(
    world: HttpWorld, body: dict[str, Any], fields: set[str]
) -> None:
    assert set(refused(world.operator.post("/v1/plans", body), 422)["errors"]) == fields


def test_an_external_id_names_one_plan(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = create(world)
    problem = refused(world.operator.post("/v1/plans", PLAN), 409, "id_taken")
    assert made["id"] in problem["detail"]
    assert listed(world, external_id="pro") == [made]
    assert listed(world, external_id="other") == []


# -- what a plan names --------------------------------------------------------------------------------


def test_a_plan_sells_a_product_of_its_own_unless_it_names_one(world: HttpWorld) -> None:
    made = create(world, external_id=None)
    assert ok(world.operator.get(f"/v1/products/{made['product']}"))["name"] == "Pro"
    product = ok(world.operator.post("/v1/products", {"name": "API"}), 201)["id"]
    assert create(world, external_id=None, product=product)["product"] == product


def test_a_plan_names_tax_rates_and_products_that_there_are(world: HttpWorld) -> None:
    vat = ok(
        world.operator.post("/v1/tax-rates", {"name": "VAT", "jurisdiction": "DE", "percent": "19"}), 201
    )
    product = ok(world.operator.post("/v1/products", {"name": "API"}), 201)
    fee = {**FEE, "tax_rates": [vat["id"]], "product": product["id"]}
    made = create(world, external_id=None, tax_rates=[vat["id"]], fees=[fee])
    assert made["terms"]["fees"] == [fee]
    ok(world.operator.post(f"/v1/tax-rates/{vat['id']}/retire"))
    refused(
        world.operator.post("/v1/plans", {**PLAN, "external_id": None, "tax_rates": [vat["id"]]}),
        409,
        "tax_rate_retired",
    )
    ok(world.operator.post(f"/v1/products/{product['id']}/retire"))
    body = {**PLAN, "external_id": None, "product": product["id"]}
    refused(world.operator.post("/v1/plans", body), 409, "product_retired")


def test_a_plan_keeps_what_was_retired_since(world: HttpWorld) -> None:
    vat = ok(
        world.operator.post("/v1/tax-rates", {"name": "VAT", "jurisdiction": "DE", "percent": "19"}), 201
    )
    made = create(world, external_id=None, tax_rates=[vat["id"]], charges=with_charge(meter="old_calls"))
    ok(world.operator.post(f"/v1/tax-rates/{vat['id']}/retire"))
    ok(world.operator.post("/v1/meters/old_calls/retire"))
    dearer = {**made["terms"], "trial_days": 0}
    ok(world.operator.post(f"/v1/plans/{made['id']}/prices", dearer), 201)
    refused(world.operator.post("/v1/plans", {"name": "New", **made["terms"]}), 409, "tax_rate_retired")
    untaxed = {"name": "New", **made["terms"], "tax_rates": []}
    problem = refused(world.operator.post("/v1/plans", untaxed), 409, "meter_retired")
    assert "charges.0.meter" in problem["detail"]


def test_an_event_type_that_is_charged_for_gets_its_meter_for_good(fresh_world: HttpWorld) -> None:
    """A meter defined later under the same code would change what the plan's usage costs."""
    world = fresh_world
    create(world)
    meter = ok(world.operator.get("/v1/meters/api_calls"))
    assert (meter["event_type"], meter["aggregation"], meter["version"]) == ("api_calls", "sum", 1)
    refused(world.operator.post("/v1/meters", {"code": "api_calls", "aggregation": "max"}), 409, "id_taken")
    create(world, external_id="second")
    assert ok(world.operator.get("/v1/meters/api_calls")) == meter


def test_a_meter_that_is_defined_is_the_one_charged_by(fresh_world: HttpWorld) -> None:
    body = {"code": "api_calls", "aggregation": "count"}
    meter = ok(fresh_world.operator.post("/v1/meters", body), 201)
    create(fresh_world)
    assert ok(fresh_world.operator.get("/v1/meters/api_calls")) == meter


# -- price versions -----------------------------------------------------------------------------------


def test_a_new_price_holds_from_its_instant_on(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = ok(world.operator.post("/v1/plans", {"name": "Pro", "currency": "USD", "amount": 2900}), 201)
    path = f"/v1/plans/{made['id']}"
    body = {"currency": "USD", "amount": 3900, "effective_at": "2027-02-01T00:00:00Z"}
    ahead = ok(world.operator.post(f"{path}/prices", body), 201)
    assert (ahead["amount"], ahead["price_version"], len(ahead["versions"])) == (2900, 1, 2)
    assert ahead["versions"][1]["effective_at"] == "2027-02-01T00:00:00Z"
    assert listed(world) == [ahead]
    world.now = NOW + timedelta(days=30)
    there = ok(world.operator.get(path))
    assert (there["amount"], there["price_version"]) == (3900, 2)
    assert there["terms"]["fees"][0]["name"] == "Pro"
    assert listed(world) == [there]


def test_the_price_a_plan_has_already_is_no_new_version(world: HttpWorld) -> None:
    made = create(world, external_id=None)
    again = ok(world.operator.post(f"/v1/plans/{made['id']}/prices", TERMS), 201)
    assert again == made


def test_a_price_version_out_of_order_is_refused(world: HttpWorld) -> None:
    path = f"/v1/plans/{world.operator.new_plan()}/prices"
    later = {"currency": "USD", "amount": 1, "effective_at": "2027-03-01T00:00:00Z"}
    ok(world.operator.post(path, later), 201)
    problem = refused(world.operator.post(path, {"currency": "USD", "amount": 2}), 422)
    assert "2027-03-01T00:00:00Z" in problem["errors"]["effective_at"][0]


def test_a_retired_plan_takes_no_new_price_and_is_listed_apart(fresh_world: HttpWorld) -> None:
    world = fresh_world
    kept, gone = world.operator.new_plan(), world.operator.new_plan()
    ok(world.operator.post(f"/v1/plans/{gone}/retire"))
    refused(world.operator.post(f"/v1/plans/{gone}/prices", TERMS), 409, "plan_retired")
    assert [one["id"] for one in listed(world, status="active")] == [kept]
    assert [one["id"] for one in listed(world, status="retired")] == [gone]


def test_a_plan_changes_its_name_and_keeps_its_price(fresh_world: HttpWorld) -> None:
    world = fresh_world
    made = create(world)
    path = f"/v1/plans/{made['id']}"
    changed = ok(world.operator.patch(path, {"name": "Pro+"}))
    assert changed == {**made, "name": "Pro+", "version": 2}
    assert ok(world.operator.patch(path, {"metadata": {}})) == {**changed, "metadata": {}, "version": 3}
    assert listed(world)[0]["name"] == "Pro+"


@pytest.mark.parametrize("path", ["", "/prices", "/retire"])
def test_a_plan_that_there_is_not_is_not_found(world: HttpWorld, path: str) -> None:
    account = world.operator.new_account()
    for plan in ("plan_01h455vb4pex5vsknk084sn02q", account.replace("acc_", "plan_"), "nonsense"):
        method, body = ("PATCH", {"name": "P"}) if not path else ("POST", TERMS if path == "/prices" else {})
        refused(world.operator.call(method, f"/v1/plans/{plan}{path}", body), 404, "not_found")
