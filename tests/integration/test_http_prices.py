"""The price calculator over HTTP: worked cases come out as in the ledger, and bad input says what to do."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import pytest

from schemas.responses_pricing import RatedView
from tests.integration.http_world import ok, refused
from tests.rating_cases import RatingCase, rating_cases

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld

PATH = "/v1/prices/preview"
GRADUATED: dict[str, Any] = {
    "model": "graduated",
    "currency": "USD",
    "tiers": [
        {"up_to": "10", "unit_amount": "10", "flat_amount": "2"},
        {"up_to": None, "unit_amount": "5", "flat_amount": "3"},
    ],
}
PER_UNIT = {"model": "per_unit", "currency": "USD", "unit_amount": "0.5"}
PERCENTAGE = {"model": "percentage", "currency": "USD", "rate": "1.3"}


@pytest.mark.parametrize("case", rating_cases(), ids=lambda case: case.id)
def test_a_worked_case_comes_out(world: HttpWorld, case: RatingCase) -> None:
    rated = ok(world.operator.post(PATH, case.body))
    assert RatedView().validate(rated) == {}
    expected = case.expected
    assert rated["exact"] == expected["exact"]
    assert rated["amount"]["currency"] == case.price["currency"]
    assert sum(line["amount"]["amount"] for line in rated["lines"]) == rated["amount"]["amount"]
    if "amount" in expected:
        assert rated["amount"]["amount"] == expected["amount"]
    if "effective" in expected:
        digits = Decimal(expected["effective"])
        assert Decimal(rated["effective_unit_amount"]).quantize(digits, ROUND_HALF_UP) == digits
    if "lines" in expected:
        assert [[line["kind"], line["exact"]] for line in rated["lines"]] == expected["lines"]


def test_the_answer_says_tier_by_tier_what_was_billed(world: HttpWorld) -> None:
    rated = ok(world.operator.post(PATH, {"price": GRADUATED, "quantity": "12"}))
    assert rated["exact"] == "115"
    assert rated["amount"] == {"amount": 115, "currency": "USD"}
    assert rated["effective_unit_amount"] == "9.58333333333"
    assert [line["kind"] for line in rated["lines"]] == ["unit", "flat", "unit", "flat"]
    assert rated["lines"][2] == {
        "kind": "unit",
        "tier": 2,
        "from_quantity": "10",
        "to_quantity": "12",
        "quantity": "2",
        "unit_amount": "5",
        "rate": None,
        "package_size": None,
        "exact": "10",
        "amount": {"amount": 10, "currency": "USD"},
    }


def test_the_default_preset_is_stripe_and_a_policy_overrides_one_axis(world: HttpWorld) -> None:
    body = {"price": GRADUATED, "quantity": "0"}
    assert ok(world.operator.post(PATH, body))["exact"] == "0"
    assert ok(world.operator.post(PATH, {**body, "policy": {"zero_usage_flat": "billed"}}))["exact"] == "2"


@pytest.mark.parametrize(("rounding", "amount"), [("half_away", 3), ("half_even", 2)])
def test_the_policy_says_how_the_total_is_rounded(world: HttpWorld, rounding: str, amount: int) -> None:
    body = {"price": PER_UNIT, "quantity": "5", "policy": {"rating_rounding": rounding}}
    rated = ok(world.operator.post(PATH, body))
    assert (rated["exact"], rated["amount"]["amount"]) == ("2.5", amount)


def test_an_account_s_key_may_ask_and_one_without_the_scope_may_not(world: HttpWorld) -> None:
    account = world.operator.new_account()
    body = {"price": PER_UNIT, "quantity": "5"}
    ok(world.operator.new_key(account, "read").post(PATH, body))
    refused(world.operator.new_key(account, "usage:write").post(PATH, body), 403)


def tiers(*up_to: str | None) -> dict[str, Any]:
    return {**GRADUATED, "tiers": [{"up_to": bound, "unit_amount": "1"} for bound in up_to]}


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no price", {"price": None}, "price", "null"),
    ("no tiers", {"price": tiers()}, "price.tiers", "at least one tier"),
    ("overlap", {"price": tiers("10", "10", None)}, "price.tiers.1.up_to", "greater than 10"),
    ("disorder", {"price": tiers("10", "5", None)}, "price.tiers.1.up_to", "greater than 10"),
    ("a gap at the end", {"price": tiers("10")}, "price.tiers.0.up_to", "must be null"),
    (
        "a gap at the start",
        {"price": {**GRADUATED, "tiers": [{"from": "3"}]}},
        "price.tiers.0.from",
        "Unknown",
    ),
    ("negative", {"price": {**PER_UNIT, "unit_amount": "-1"}}, "price.unit_amount", "not be negative"),
    ("19 digits", {"price": {**PER_UNIT, "unit_amount": "1" * 19}}, "price.unit_amount", "at most 18"),
    ("13 places", {"price": {**PER_UNIT, "unit_amount": "0." + "1" * 13}}, "price.unit_amount", "at most 12"),
    ("a JSON number", {"price": {**PER_UNIT, "unit_amount": 1}}, "price.unit_amount", "written as text"),
    ("a float", {"quantity": 1.5}, "quantity", "written as text"),
    ("an exponent", {"quantity": "1e3"}, "quantity", "without exponent"),
    ("no quantity", {"quantity": None}, "quantity", "must be given"),
    ("unknown model", {"price": {**PER_UNIT, "model": "barter"}}, "price.model", "Must be one of"),
    ("unknown currency", {"price": {**PER_UNIT, "currency": "XXX"}}, "price.currency", "ISO 4217"),
    ("another model's field", {"price": {**PER_UNIT, "rate": "1"}}, "price.rate", "is not for a per_unit"),
    (
        "what is missing",
        {"price": {"model": "flat", "currency": "USD"}},
        "price.flat_amount",
        "must be given",
    ),
    ("events of units", {"events": ["1"]}, "events", "for percentage prices"),
    ("events and a sum", {"price": PERCENTAGE, "events": ["1"]}, "quantity", "either the quantity"),
    ("neither", {"price": PERCENTAGE, "quantity": None}, "quantity", "either the quantity"),
    ("a tier quantity", {"tier_quantity": "5"}, "tier_quantity", "for prices with tiers"),
    (
        "a count that is none",
        {"price": {**PERCENTAGE, "free_events": "1.5"}},
        "price.free_events",
        "whole number",
    ),
    ("limits", {"min_amount": "2", "max_amount": "1"}, "max_amount", "below min_amount"),
    (
        "a limit twice",
        {"price": {**PER_UNIT, "min_amount": "0"}, "min_amount": "1"},
        "min_amount",
        "give it once",
    ),
    ("unknown preset", {"preset": "chargify"}, "preset", "Must be one of"),
    ("unknown axis", {"policy": {"moon": "full"}}, "policy.moon", "there is no such axis: there are"),
    ("unknown value", {"policy": {"rating_rounding": "up"}}, "policy.rating_rounding", "half_away"),
    ("unknown position", {"line_position": "end"}, "line_position", "Must be one of"),
    (
        "beyond 18 digits in all",
        {"quantity": "9" * 18, "price": {**PER_UNIT, "unit_amount": "9"}},
        "amount",
        "18",
    ),
]


@pytest.mark.parametrize(
    ("change", "field", "hint"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_cannot_be_rated_is_refused_with_what_to_do(
    world: HttpWorld, change: dict[str, Any], field: str, hint: str
) -> None:
    problem = refused(world.operator.post(PATH, {"price": PER_UNIT, "quantity": "5", **change}), 422)
    assert list(problem["errors"]) == [field]
    assert hint in problem["errors"][field][0]


def test_a_count_of_events_is_a_json_integer_or_text(world: HttpWorld) -> None:
    for free_events in (2, "2"):
        body = {"price": {**PERCENTAGE, "free_events": free_events}, "events": ["100", "100", "100"]}
        assert ok(world.operator.post(PATH, body))["exact"] == "1.3"


def test_a_later_line_goes_on_with_the_events_that_were_free(world: HttpWorld) -> None:
    price = {**PERCENTAGE, "free_events": 2}
    body = {"price": price, "events": ["100", "100"], "prior_quantity": "100", "prior_events": 1}
    assert ok(world.operator.post(PATH, body))["exact"] == "1.3"
