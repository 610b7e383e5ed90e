"""The proration calculator over HTTP: worked cases come out as in the ledger, bad input says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from schemas.responses_proration import ProrationPreviewView
from tests.integration.http_world import ok, refused
from tests.proration_cases import ProrationCase, proration_cases

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld

PATH = "/v1/prorations/preview"
MONTHLY = {"amount": 10_000, "interval": "month"}
DEARER = {"amount": 30_000, "interval": "month"}
BODY: dict[str, Any] = {
    "preset": "polar",
    "currency": "USD",
    "time_zone": "UTC",
    "cycle_start": "2025-06-01T00:00:00Z",
    "change_at": "2025-06-16T00:00:00Z",
    "old": MONTHLY,
    "new": DEARER,
}


@pytest.mark.parametrize("case", proration_cases(), ids=lambda case: case.id)
def test_a_worked_case_comes_out(world: HttpWorld, case: ProrationCase) -> None:
    found = ok(world.operator.post(PATH, case.body))
    assert ProrationPreviewView().validate(found) == {}
    expected = dict(case.expected)
    units, following = expected.pop("units", None), expected.pop("next", None)
    assert {**found, **expected} == found
    assert found["net"] == found["debit"] - found["credit"]
    assert found["total"] == found["net"] + found["tax"] == sum(line["total"] for line in found["lines"])
    if units is not None:
        assert [line["units"] for line in found["lines"]] == units[1:]
        assert found["lines"][0]["units_of_period"] == units[0]
    if following is not None:
        assert [found["next_period"]["starts_at"], found["next_period"]["ends_at"]] == following


def test_the_answer_says_line_by_line_what_is_given_back_and_charged(world: HttpWorld) -> None:
    found = ok(world.operator.post(PATH, {**BODY, "preset": "lago", "tax_rate": "25"}))
    assert found["lines"][0] == {
        "kind": "proration_credit",
        "description": "Unused time",
        "service_from": "2025-06-16T00:00:00Z",
        "service_to": "2025-07-01T00:00:00Z",
        "unit": "local_day",
        "units": 15,
        "units_of_period": 30,
        "exact": "-5000",
        "amount": -5000,
        "tax": -1250,
        "total": -6250,
    }
    assert [line["kind"] for line in found["lines"]] == ["proration_credit", "proration_charge"]
    assert found["period"] == {"starts_at": "2025-06-01T00:00:00Z", "ends_at": "2025-07-01T00:00:00Z"}
    assert found["policy"]["preset"] == "lago"
    assert found["policy"]["proration_unit"] == "local_day"


def test_a_policy_overrides_single_axes_of_the_preset(world: HttpWorld) -> None:
    evening = {**BODY, "change_at": "2025-06-16T18:00:00Z", "new": None}
    assert ok(world.operator.post(PATH, evening))["credit"] == 4750
    kept = {**evening, "policy": {"cancellation_day": "kept_by_seller"}}
    found = ok(world.operator.post(PATH, kept))
    assert found["credit"] == 4667
    assert found["policy"]["cancellation_day"] == "kept_by_seller"


def test_without_a_preset_the_book_s_own_conventions_hold(fresh_world: HttpWorld) -> None:
    operator = fresh_world.operator
    body = {**BODY, "preset": None, "change_at": "2025-06-16T18:00:00Z", "new": None}
    found = ok(operator.post(PATH, body))
    assert (found["credit"], found["policy"]["preset"]) == (4750, "stripe")
    ok(operator.post("/v1/policy", {"preset": "lago", "overrides": {"proration_rounding": "half_down"}}))
    found = ok(operator.post(PATH, body))
    assert (found["credit"], found["policy"]["preset"]) == (4667, "lago")
    assert found["policy"]["proration_rounding"] == "half_down"
    overridden = ok(operator.post(PATH, {**body, "policy": {"cancellation_day": "exact_instant"}}))
    assert (overridden["credit"], overridden["policy"]["proration_rounding"]) == (5000, "half_down")
    assert ok(fresh_world.stranger.post(PATH, body))["policy"]["preset"] == "stripe"


def test_an_account_s_key_may_ask_and_one_without_the_scope_may_not(world: HttpWorld) -> None:
    account = world.operator.new_account()
    ok(world.operator.new_key(account, "read").post(PATH, BODY))
    refused(world.operator.new_key(account, "usage:write").post(PATH, BODY), 403)


def test_a_preview_writes_nothing(world: HttpWorld) -> None:
    before = world.log.head()
    response = world.operator.post(PATH, BODY)
    assert "Daybook-Position" not in response.headers
    assert world.log.head() == before


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in BODY.items() if name not in names}


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("neither price", {"old": None, "new": None}, "old", "must be given where new is not"),
    ("negative", {"old": {**MONTHLY, "amount": -1}}, "old.amount", "greater than or equal to 0"),
    ("19 digits", {"new": {**MONTHLY, "amount": 10**18}}, "new.amount", "less than or equal to"),
    ("40 digits", {"new": {**MONTHLY, "amount": 10**40}}, "new.amount", "less than or equal to"),
    (
        "18 digits of many",
        {"new": {**MONTHLY, "amount": 10**17, "quantity": "10"}},
        "new.amount",
        "at most 18 digits",
    ),
    ("a fraction", {"new": {**MONTHLY, "amount": 1.5}}, "new.amount", "integer"),
    ("text", {"new": {**MONTHLY, "amount": "100"}}, "new.amount", "integer"),
    ("true", {"new": {**MONTHLY, "amount": True}}, "new.amount", "integer"),
    ("unknown interval", {"new": {**MONTHLY, "interval": "day"}}, "new.interval", "Must be one of"),
    ("a float of seats", {"new": {**MONTHLY, "quantity": 1.5}}, "new.quantity", "written as text"),
    ("negative seats", {"new": {**MONTHLY, "quantity": "-1"}}, "new.quantity", "must not be negative"),
    ("outside", {"change_at": "2025-07-01T00:00:00Z"}, "change_at", "to before 2025-07-01T00:00:00Z"),
    ("too early", {"change_at": "2025-05-31T23:59:59Z"}, "change_at", "from 2025-06-01T00:00:00Z"),
    ("no offset", {"change_at": "2025-06-16T00:00:00"}, "change_at", "datetime"),
    ("no such zone", {"time_zone": "Mars/Olympus"}, "time_zone", "IANA"),
    ("no such currency", {"currency": "XXX"}, "currency", "ISO 4217"),
    ("no such anchor", {"anchor": "ship"}, "anchor", "Must be one of"),
    ("no such preset", {"preset": "chargify"}, "preset", "Must be one of"),
    ("no such axis", {"policy": {"moon": "full"}}, "policy.moon", "there are billing"),
    ("no such value", {"policy": {"trial_end": "noon"}}, "policy.trial_end", "there are exact_instant"),
    ("too late", {"subscription_start": "2025-06-17T00:00:00Z"}, "subscription_start", "after change_at"),
    ("too much tax", {"tax_rate": "100.01"}, "tax_rate", "at most 100"),
    ("negative tax", {"tax_rate": "-1"}, "tax_rate", "not be negative"),
    ("tax as a float", {"tax_rate": 23.33}, "tax_rate", "written as text"),
    ("an empty coupon", {"coupon": {}}, "coupon", "either percent_off or amount_off"),
    ("two coupons", {"coupon": {"percent_off": "1", "amount_off": 1}}, "coupon", "either"),
    ("more than all", {"coupon": {"percent_off": "101"}}, "coupon.percent_off", "at most 100"),
    ("a surcharge", {"coupon": {"amount_off": -1}}, "coupon.amount_off", "greater than or equal"),
    ("no such behaviour", {"proration_behavior": "maybe"}, "proration_behavior", "Must be one of"),
    ("no such mode", {"billing_mode": "stretchy"}, "billing_mode", "Must be one of"),
    (
        "last billed by the year",
        {"last_billed": {"amount": 1, "interval": "year"}},
        "last_billed.interval",
        "the old price",
    ),
    ("a negative amount billed", {"last_billed": -1}, "last_billed.amount", "greater than or equal"),
    ("last billed as text", {"last_billed": "1"}, "last_billed.body", "Invalid"),
    ("a typing error", {"change_on": "2025-06-16"}, "change_on", "Unknown field"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "field", "hint"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_cannot_be_prorated_is_refused_with_what_to_do(
    world: HttpWorld, change: dict[str, Any], field: str, hint: str
) -> None:
    problem = refused(world.operator.post(PATH, {**BODY, **change}), 422)
    assert list(problem["errors"]) == [field]
    assert hint in problem["errors"][field][0]


@pytest.mark.parametrize("missing", ["currency", "cycle_start", "change_at"])
def test_what_must_be_told_is_asked_for(world: HttpWorld, missing: str) -> None:
    problem = refused(world.operator.post(PATH, without(missing)), 422)
    assert problem["errors"] == {missing: ["Missing data for required field."]}


def test_a_start_and_a_cancellation_may_leave_the_other_price_out(world: HttpWorld) -> None:
    assert ok(world.operator.post(PATH, without("old")))["debit"] == 15_000
    ended = ok(world.operator.post(PATH, without("new")))
    assert (ended["credit"], ended["next_period"]) == (5000, None)
    refused(world.operator.post(PATH, without("old", "new")), 422)


@pytest.mark.parametrize("anchor", ["anniversary", "calendar"])
@pytest.mark.parametrize("preset", ["stripe", "lago"])
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("at", ["2000-01-01T00:00:00Z", "2199-12-31T23:59:59Z"])
def test_years_at_the_edge_of_time_are_answered_or_refused(
    world: HttpWorld, at: str, zone: str, preset: str, anchor: str
) -> None:
    edge = {"preset": preset, "time_zone": zone, "anchor": anchor, "cycle_start": at, "change_at": at}
    for interval in ("week", "year"):
        body = {**BODY, **edge, "old": None, "new": {"amount": 1, "interval": interval}}
        response = world.operator.post(PATH, body)
        if response.status_code == 422:
            assert list(refused(response, 422)["errors"]) == ["cycle_start"]
        else:
            assert ok(response)["debit"] in (0, 1)
