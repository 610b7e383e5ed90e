"""The conventions of a book over HTTP: adopted, listed, and the table of what there is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from schemas.responses_proration import PolicyView, PresetsView
from tests.integration.http_world import NOW, ok, position_of, refused

if TYPE_CHECKING:
    from tests.integration.http_world import HttpWorld


def test_a_book_begins_with_the_conventions_of_stripe(fresh_world: HttpWorld) -> None:
    policy = ok(fresh_world.operator.get("/v1/policy"))
    assert PolicyView().validate(policy) == {}
    assert (policy["version"], policy["preset"], policy["overrides"]) == (1, "stripe", {})
    assert policy["adopted_at"] == "2027-01-15T12:00:00Z"
    assert policy["billing"]["proration_unit"] == "second"
    assert policy["mrr"]["trials"] == "excluded"
    assert policy["recognition"]["straight_line_by"] == "second"


def test_other_conventions_hold_from_when_they_are_adopted(fresh_world: HttpWorld) -> None:
    operator = fresh_world.operator
    fresh_world.now = NOW + timedelta(days=1)
    body = {"preset": "lago", "overrides": {"grace_hours": "72", "mrr": "chartmogul"}}
    response = operator.post("/v1/policy", body)
    adopted = ok(response)
    assert position_of(response) > 0
    assert (adopted["version"], adopted["preset"], adopted["overrides"]) == (2, "lago", body["overrides"])
    assert adopted["adopted_at"] == "2027-01-16T12:00:00Z"
    assert adopted["billing"]["proration_unit"] == "local_day"
    assert adopted["billing"]["grace_hours"] == "72"
    assert adopted["mrr"]["grouping"] == "within_60_minutes"
    assert ok(operator.get("/v1/policy")) == adopted


def test_adopting_the_conventions_in_force_again_changes_nothing(fresh_world: HttpWorld) -> None:
    operator = fresh_world.operator
    first = ok(operator.post("/v1/policy", {"preset": "polar"}))
    fresh_world.now = NOW + timedelta(days=1)
    head = fresh_world.log.head()
    again = operator.post("/v1/policy", {"preset": "polar", "overrides": {}})
    assert ok(again) == first
    assert "Daybook-Position" not in again.headers
    assert fresh_world.log.head() == head


def test_every_version_is_listed_newest_first_and_page_by_page(fresh_world: HttpWorld) -> None:
    operator = fresh_world.operator
    for preset in ("lago", "polar", "stripe"):
        ok(operator.post("/v1/policy", {"preset": preset}))
    whole = ok(operator.get("/v1/policies"))
    assert [(one["version"], one["preset"]) for one in whole["data"]] == [
        (4, "stripe"),
        (3, "polar"),
        (2, "lago"),
        (1, "stripe"),
    ]
    assert whole["next"] is None
    first = ok(operator.get("/v1/policies", limit=3))
    assert [one["version"] for one in first["data"]] == [4, 3, 2]
    rest = ok(operator.get("/v1/policies", limit=3, after=first["next"]))
    assert [one["version"] for one in rest["data"]] == [1]
    assert rest["next"] is None


def test_books_adopt_conventions_apart(fresh_world: HttpWorld) -> None:
    ok(fresh_world.operator.post("/v1/policy", {"preset": "lago"}))
    for other in (fresh_world.test_operator, fresh_world.stranger):
        assert ok(other.get("/v1/policy"))["preset"] == "stripe"


def test_the_table_shows_every_axis_of_every_preset(world: HttpWorld) -> None:
    table = ok(world.operator.get("/v1/policy/presets"))
    assert PresetsView().validate(table) == {}
    assert table["presets"] == ["stripe", "lago", "killbill", "polar", "openmeter", "chartmogul"]
    by_axis = {one["axis"]: one for one in table["axes"]}
    assert by_axis["proration_unit"]["values"] == ["second", "local_day", "elapsed_fraction"]
    assert by_axis["proration_unit"]["presets"]["killbill"] == "local_day"
    assert by_axis["mrr.weekly"]["presets"]["killbill"] == "zero"
    for one in table["axes"]:
        assert set(one["presets"]) == set(table["presets"])
        assert set(one["presets"].values()) <= {*one["values"], "0"}


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({"preset": "chargify"}, "preset", "Must be one of"),
        ({"overrides": {"moon": "full"}}, "overrides.moon", "there are billing, mrr, recognition"),
        ({"overrides": {"proration_unit": "hour"}}, "overrides.proration_unit", "there are second"),
        ({"overrides": {"mrr": "x"}}, "overrides.mrr", "is not a preset"),
        ({"overrides": {"grace_hours": 3}}, "overrides.grace_hours.value", "string"),
        ({"overrides": []}, "overrides", "mapping"),
        ({"axes": {}}, "axes", "Unknown field"),
    ],
)
def test_conventions_that_nobody_knows_are_refused_with_what_there_is(
    world: HttpWorld, body: dict[str, Any], field: str, hint: str
) -> None:
    problem = refused(world.operator.post("/v1/policy", body), 422)
    assert list(problem["errors"]) == [field]
    assert hint in problem["errors"][field][0]
    assert ok(world.operator.get("/v1/policy"))["version"] == 1


def test_only_an_administrator_adopts_conventions_and_only_an_operator_sees_them(world: HttpWorld) -> None:
    writer = world.limited_operator("read", "write")
    refused(writer.post("/v1/policy", {"preset": "lago"}), 403)
    assert ok(writer.get("/v1/policy"))["preset"] == "stripe"
    account = world.operator.new_account()
    own = world.operator.new_key(account, "read")
    for path in ("/v1/policy", "/v1/policies"):
        refused(own.get(path), 403)
    assert ok(own.get("/v1/policy/presets"))["axes"]
