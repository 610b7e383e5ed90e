"""A book's conventions: every preset answers every axis, always the same way; overrides differ."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.policies import (
    GROUPS,
    PRESETS,
    STRIPE,
    BillingPolicy,
    Policy,
    UnknownPolicy,
    axes,
    name_of,
    policy_of,
    resolved,
)
from ledger.rating_values import RATING_PRESETS

TABLE: dict[str, Any] = tomllib.loads(
    (Path(__file__).parents[1] / "cases" / "policies.toml").read_text(encoding="utf-8")
)
SHARED = Path(__file__).parents[3] / "shared" / "data" / "cases" / "policies.md"


def group_of(axis: str) -> str:
    return axis.rpartition(".")[0] or "billing"


def by_axis(policy: Policy) -> dict[str, str]:
    groups = resolved(policy)
    return {name_of(group, axis): value for group in GROUPS for axis, value in groups[group].items()}


# -- presets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_answers_every_axis_as_it_always_did(preset: str) -> None:
    expected = {}
    for axis in TABLE["axis"]:
        columns = TABLE["columns"][group_of(axis["name"])]
        column = columns.index(preset) if preset in columns else 0
        expected[axis["name"]] = axis["values"][column]
    assert by_axis(PRESETS[preset]) == expected


def test_every_axis_is_in_the_table_once() -> None:
    assert [axis["name"] for axis in TABLE["axis"]] == list(axes())


@pytest.mark.skipif(not SHARED.exists(), reason="the shared cases are not on this machine")
def test_every_row_of_the_shared_table_is_an_axis() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", SHARED.read_text(encoding="utf-8"), re.MULTILINE)
    assert [row for row in rows if row != "axis"] == [axis["row"] for axis in TABLE["axis"] if "row" in axis]


def test_stripe_is_the_default() -> None:
    assert PRESETS["stripe"] == Policy()
    assert PRESETS["stripe"].billing == BillingPolicy() == STRIPE


@pytest.mark.parametrize("preset", RATING_PRESETS)
def test_what_rating_asks_of_a_preset_is_what_rating_says_it_is(preset: str) -> None:
    assert PRESETS[preset].rating == RATING_PRESETS[preset]


# -- overrides --------------------------------------------------------------------------------------


def test_single_axes_differ_from_the_preset() -> None:
    policy = policy_of("lago", {"proration_unit": "second", "mrr.trials": "separate_figure"})
    lago = PRESETS["lago"]
    assert policy.billing == replace(lago.billing, proration_unit="second")
    assert policy.mrr == replace(lago.mrr, trials="separate_figure")
    assert policy.recognition == lago.recognition


def test_a_whole_group_comes_from_another_preset_and_single_axes_from_none() -> None:
    policy = policy_of("lago", {"mrr.grouping": "none", "mrr": "chartmogul"})
    assert policy.billing == PRESETS["lago"].billing
    assert policy.mrr == replace(PRESETS["chartmogul"].mrr, grouping="none")


@pytest.mark.parametrize(
    ("axis", "value"), [(axis, value) for axis, values in axes().items() for value in values]
)
def test_every_value_of_every_axis_can_be_asked_for(axis: str, value: str) -> None:
    asked = "720" if axis == "grace_hours" else value
    assert by_axis(policy_of("stripe", {axis: asked}))[axis] == asked


@pytest.mark.parametrize(
    ("preset", "overrides", "path", "hint"),
    [
        ("chargify", {}, "preset", "there are stripe, lago, killbill, polar, openmeter, chartmogul"),
        ("stripe", {"moon": "full"}, "policy.moon", "there are billing, mrr, recognition, proration_unit"),
        ("stripe", {"trials": "excluded"}, "policy.trials", "mrr.trials"),
        ("stripe", {"billing.proration_unit": "second"}, "policy.billing.proration_unit", "no such axis"),
        ("stripe", {"": ""}, "policy.", "no such axis"),
        ("stripe", {"proration_unit": "hour"}, "policy.proration_unit", "there are second, local_day"),
        ("stripe", {"mrr": "lago's"}, "policy.mrr", "is not a preset"),
        ("stripe", {"grace_hours": "721"}, "policy.grace_hours", "from 0 to 720"),
        ("stripe", {"grace_hours": "-1"}, "policy.grace_hours", "from 0 to 720"),
        ("stripe", {"grace_hours": "\u0661"}, "policy.grace_hours", "from 0 to 720"),
        ("stripe", {"grace_hours": "9" * 5000}, "policy.grace_hours", "from 0 to 720"),
    ],
)
def test_what_is_not_known_is_refused_with_what_there_is(
    preset: str, overrides: dict[str, str], path: str, hint: str
) -> None:
    with pytest.raises(UnknownPolicy) as refused:
        policy_of(preset, overrides, at="policy")
    assert list(refused.value.errors) == [path]
    assert hint in refused.value.errors[path][0]
