"""Whatever is asked of a subscription, in any order, under any preset: everything is billed exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.billing_checks import asked_for, check
from tests.billing_histories import (
    PRESETS,
    STARTS,
    ZONES,
    beginnings,
    histories,
    opened,
)

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from tests.billing_histories import Step


@pytest.mark.parametrize("preset", PRESETS)
@settings(max_examples=50)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(STARTS),
    beginnings,
    histories,
    st.sampled_from(["0", "72", "720"]),
    st.booleans(),
)
def test_whatever_happens_everything_is_billed_exactly_once(
    preset: str,
    zone: str,
    start: datetime,
    beginning: dict[str, Any],
    history: list[Step],
    grace_hours: str,
    ends: bool,  # noqa: FBT001 - drawn
) -> None:
    told = opened(preset, zone, start, beginning, grace_hours=grace_hours)
    for one in history:
        told.do(one)
    if ends:
        told.ends()
    check(told)


@settings(max_examples=60)
@given(st.sampled_from(STARTS), beginnings, histories)
def test_whenever_drafts_are_settled_the_same_is_asked_for(
    start: datetime, beginning: dict[str, Any], history: list[Step]
) -> None:
    # After an end nothing more is billed, so that usage which comes later is for its draft or for none.
    going_on = [one for one in history if one[0] != "cancel"]
    asked = []
    for settles in (True, False):
        told = opened("stripe", "UTC", start, {**beginning, "ends_after": None}, grace_hours="240")
        told.settles = settles
        for one in going_on:
            told.do(one)
        told.ends()
        check(told)
        asked.append(asked_for(told.shop))
    assert asked[0] == asked[1]
