"""Meters: which definitions are taken, how properties are read, and what events are folded into."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import Invalid
from ledger.measuring import Ask, Measured, MeasuredEvent, counting, measure, usage_digest
from ledger.meters import (
    AGGREGATIONS,
    MeterDefinition,
    MeterFilter,
    adds_up,
    carries,
    checked_meter,
    default_meter,
    is_plain,
    property_number,
    property_text,
)
from ledger.periods import MalformedPeriod, Period

START = datetime(2026, 3, 1, tzinfo=UTC)
MARCH = Period(START, datetime(2026, 4, 1, tzinfo=UTC))
DAY = timedelta(days=1)


def meter(aggregation: str, **fields: Any) -> MeterDefinition:
    return MeterDefinition(code="m", name="M", event_type="calls", aggregation=aggregation, **fields)


def event(position: int, at: datetime = START, quantity: str = "1", **properties: Any) -> MeasuredEvent:
    return MeasuredEvent(position, at, Decimal(quantity), properties)


def measured(definition: MeterDefinition, *events: MeasuredEvent, period: Period = MARCH) -> Measured:
    (only,) = measure(definition, events, period)
    return only


# -- aggregations -----------------------------------------------------------------------------------------


THREE = (
    event(11, START + DAY, "5", user="ann", gb=20, below=-2),
    event(12, START + 3 * DAY, "7", user="bob", gb="12.5", below=-1),
    event(13, START + 2 * DAY, "2", user="ann", gb=-3, below=-3),
)


@pytest.mark.parametrize(
    ("aggregation", "name", "expected"),
    [
        ("count", None, Decimal(3)),
        ("sum", None, Decimal(14)),
        ("sum", "gb", Decimal("29.5")),
        ("max", None, Decimal(7)),
        ("max", "gb", Decimal(20)),
        ("max", "below", Decimal(-1)),
        ("unique_count", "user", Decimal(2)),
        ("latest_in_period", None, Decimal(7)),
        ("latest_in_period", "gb", Decimal("12.5")),
        ("latest_ever", "gb", Decimal("12.5")),
        # 0 for a day, 20 for a day, -3 for a day, 12.5 for the 28 that are left.
        ("time_weighted_sum", "gb", Fraction(20 - 3 + 350, 31)),
    ],
)
def test_a_meter_adds_up_as_its_aggregation_says(
    aggregation: str, name: str | None, expected: Decimal | Fraction
) -> None:
    found = measured(meter(aggregation, property=name), *sorted(THREE, key=lambda one: one.occurred_at))
    assert found.quantity == expected
    assert (found.group, found.events, found.sum) == ((), 3, Decimal(14))
    assert (found.first_position, found.last_position, found.left_out) == (11, 13, 0)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_period_without_events_measures_nothing(aggregation: str) -> None:
    definition = meter(aggregation, property=None if aggregation == "count" else "gb")
    assert measured(definition) == Measured(
        group=(), quantity=Decimal(0), events=0, sum=Decimal(0), first_position=None, last_position=None
    )
    assert measure(replace(definition, group_by=("region",)), [], MARCH) == []


def test_an_event_type_without_a_meter_is_summed_by_quantity() -> None:
    definition = default_meter("calls")
    assert measured(definition, *THREE).quantity == 14
    assert (definition.code, definition.event_type, is_plain(definition)) == ("calls", "calls", True)


def test_a_period_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    tick = timedelta(microseconds=1)
    instants = (MARCH.start - tick, MARCH.start, MARCH.end - tick, MARCH.end)
    found = measured(meter("count"), *(event(number, at) for number, at in enumerate(instants)))
    assert (found.quantity, found.first_position, found.last_position) == (Decimal(2), 1, 2)


def test_of_two_events_at_one_instant_the_later_in_the_log_is_the_latest() -> None:
    events = (event(8, START, "3"), event(9, START, "4"), event(7, START, "5"))
    for aggregation in ("latest_in_period", "latest_ever", "time_weighted_sum"):
        assert measured(meter(aggregation), *events).quantity == 4


def test_the_latest_in_a_period_forgets_what_was_before_and_the_latest_ever_does_not() -> None:
    before = (event(1, START - 40 * DAY, "5"), event(2, START - DAY, "9"), event(3, START - 2 * DAY, "6"))
    assert measured(meter("latest_in_period"), *before).quantity == 0
    found = measured(meter("latest_ever"), *before)
    # The event that set the level is what stands behind it.
    assert (found.quantity, found.events, found.first_position, found.last_position) == (Decimal(9), 1, 2, 2)


def test_a_level_is_held_from_before_the_period_until_the_next() -> None:
    before, change = event(1, START - 400 * DAY, "10"), event(2, START + 21 * DAY, "41")
    found = measured(meter("time_weighted_sum"), before, change)
    assert found.quantity == Fraction(21 * 10 + 10 * 41, 31)
    assert (found.events, found.sum) == (2, Decimal(51))


def test_changes_of_a_level_weigh_for_as_long_as_they_last() -> None:
    definition = meter("time_weighted_sum", property="gb", values="changes")
    rises = (event(1, START + 15 * DAY, gb=20), event(2, START + 16 * DAY, gb=10))
    # 20 for a day, then 30 for 15 days, of 31.
    assert measured(definition, *rises).quantity == Fraction(20 + 450, 31)
    # All changes there ever were made the level that the period begins with.
    before = (event(3, START - 90 * DAY, gb=100), event(4, START - 60 * DAY, gb="-62.5"))
    found = measured(definition, *rises, *before)
    assert found.quantity == Fraction(470, 31) + Fraction("37.5")
    assert (found.events, found.first_position) == (4, 1)


def test_levels_out_of_order_by_more_than_an_hour_are_a_defect() -> None:
    with pytest.raises(AssertionError, match="hour by hour"):
        measured(meter("time_weighted_sum"), event(1, START + DAY), event(2, START))


def test_sums_are_never_rounded() -> None:
    many = ["999999999999999999.999999999999", "0.000000000001", "1e-12", "1"]
    found = measured(meter("sum"), *(event(number, START, text) for number, text in enumerate(many)))
    assert found.quantity == Decimal("1000000000000000001.000000000001")
    texts = [event(1, START, gb="9" * 18), event(2, START, gb="0." + "0" * 45 + "1")]
    assert str(measured(meter("sum", property="gb"), *texts).quantity).endswith("9." + "0" * 45 + "1")


# -- filters, groups and values ---------------------------------------------------------------------------


def test_only_what_passes_every_filter_counts() -> None:
    definition = meter(
        "sum",
        filters=(
            MeterFilter(property="region", values=("eu", "us")),
            MeterFilter(property="cached", values=("false",)),
        ),
    )
    events = (
        event(1, START, "1", region="eu", cached=False),
        event(2, START, "2", region="us", cached="false"),
        event(4, START, "4", region="ap", cached=False),
        event(8, START, "8", region="eu", cached=True),
        event(16, START, "16", region="eu", cached=None),
        event(32, START, "32"),
    )
    found = measured(definition, *events)
    assert (found.quantity, found.events, found.left_out) == (Decimal(3), 2, 0)
    assert [one.position for one in events if counting(definition)(one)] == [1, 2]


def test_groups_are_measured_apart_in_their_order() -> None:
    definition = meter("sum", group_by=("region", "tier"))
    events = (
        event(1, START, "1", region="us", tier=2),
        event(2, START, "2", region="eu"),
        event(4, START, "4", region="us", tier="2"),
        event(8, START, "8", region="eu", tier=None),
        event(16, START, "16", tier="1"),
    )
    found = measure(definition, events, MARCH)
    assert [one.group for one in found] == [(None, "1"), ("eu", None), ("us", "2")]
    assert [one.quantity for one in found] == [16, 10, 5]
    assert [one.events for one in found] == [1, 2, 2]


def test_each_group_carries_a_level_of_its_own() -> None:
    definition = meter("latest_ever", property="seats", group_by=("team",))
    events = (
        event(1, START - DAY, team="a", seats=5),
        event(2, START - 9 * DAY, team="b", seats=7),
        event(3, START + DAY, team="a", seats=6),
    )
    found = measure(definition, events, MARCH)
    assert [one.group for one in found] == [("a",), ("b",)]
    assert [one.quantity for one in found] == [6, 7]
    assert [one.events for one in found] == [2, 1]


def test_an_event_without_a_value_is_left_out_and_told_of() -> None:
    events = (event(1, gb=4), event(2), event(3, gb=None), event(4, gb="much"), event(5, gb=True))
    for aggregation in ("sum", "max", "latest_in_period", "time_weighted_sum"):
        found = measured(meter(aggregation, property="gb"), *events)
        assert (found.quantity, found.events, found.left_out) == (Decimal(4), 1, 4)
        does_count = counting(meter(aggregation, property="gb"))
        assert [one.position for one in events if does_count(one)] == [1]
    found = measured(meter("unique_count", property="gb"), *events)
    assert (found.quantity, found.events, found.left_out) == (Decimal(3), 3, 2)


def test_what_is_left_out_before_the_period_is_not_told_of() -> None:
    definition = meter("latest_ever", property="gb", group_by=("region",))
    assert measure(definition, [event(1, START - DAY, region="eu")], MARCH) == []


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        ("eu", "eu", None),
        ("", "", None),
        (7, "7", Decimal(7)),
        ("7", "7", Decimal(7)),
        ("-7.50", "-7.50", Decimal("-7.5")),
        (Decimal("1.5"), "1.5", Decimal("1.5")),
        ("1E+3", "1E+3", Decimal(1000)),
        ("+2e-12", "+2e-12", Decimal("2e-12")),
        (True, "true", None),
        (False, "false", None),
        (None, None, None),
        ("NaN", "NaN", None),
        ("Infinity", "Infinity", None),
        (" 7", " 7", None),
        ("1_000", "1_000", None),
        ("\u0667", "\u0667", None),
        ("7.", "7.", None),
        ("1e999", "1e999", None),
        (10**18, str(10**18), None),
        ("1" * 49, "1" * 49, None),
        ("1e18", "1e18", None),
    ],
)
def test_a_property_is_read_as_text_or_as_a_number(
    value: Any, text: str | None, number: Decimal | None
) -> None:
    assert property_text(value) == text
    assert property_number(value) == number


# -- whatever the events ----------------------------------------------------------------------------------

INSTANTS = st.integers(-300, 1_000).map(lambda hours: START + timedelta(hours=hours, seconds=hours % 7))
EVENTS = st.lists(
    st.builds(
        lambda at, level, region: (at, level, region),
        INSTANTS,
        st.sampled_from(["0", "1.5", "7", "-2", "none"]),
        st.sampled_from(["eu", "us"]),
    ),
    max_size=30,
).map(
    lambda drawn: [
        event(number, at, str(number), level=level, region=region)
        for number, (at, level, region) in enumerate(drawn, 1)
    ]
)


@given(
    events=EVENTS, shuffled=st.randoms(use_true_random=False), aggregation=st.sampled_from(AGGREGATIONS[:-1])
)
def test_the_order_of_events_does_not_matter(
    events: list[MeasuredEvent], shuffled: Any, aggregation: str
) -> None:
    definition = meter(
        aggregation, property=None if aggregation == "count" else "level", group_by=("region",)
    )
    others = list(events)
    shuffled.shuffle(others)
    assert measure(definition, events, MARCH) == measure(definition, others, MARCH)


@given(events=EVENTS, hours=st.integers(1, 743), aggregation=st.sampled_from(["count", "sum"]))
def test_a_count_or_a_sum_of_two_parts_is_that_of_the_whole(
    events: list[MeasuredEvent], hours: int, aggregation: str
) -> None:
    definition = meter(aggregation)
    assert adds_up(definition)
    middle = START + timedelta(hours=hours)
    parts = [
        measured(definition, *events, period=period)
        for period in (Period(START, middle), Period(middle, MARCH.end))
    ]
    whole = measured(definition, *events)
    assert Fraction(parts[0].quantity) + Fraction(parts[1].quantity) == Fraction(whole.quantity)
    assert parts[0].events + parts[1].events == whole.events


@given(events=EVENTS)
def test_a_time_weighted_sum_is_the_mean_of_the_level_at_every_instant(events: list[MeasuredEvent]) -> None:
    by_time = sorted(events, key=lambda one: (one.occurred_at, one.position))
    edges = sorted({MARCH.start, MARCH.end, *(e.occurred_at for e in events if e.occurred_at in MARCH)})
    levels = changes = Fraction(0)
    for since, until in pairwise(edges):
        said = [
            Fraction(one.properties["level"])
            for one in by_time
            if one.occurred_at <= since and one.properties["level"] != "none"
        ]
        seconds = Fraction((until - since) // timedelta(seconds=1))
        levels += (said[-1] if said else 0) * seconds
        changes += sum(said, Fraction(0)) * seconds
    length = (MARCH.end - MARCH.start) // timedelta(seconds=1)
    definition = meter("time_weighted_sum", property="level")
    assert measured(definition, *by_time).quantity == levels / length
    assert measured(replace(definition, values="changes"), *events).quantity == changes / length


# -- definitions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": "two words"}, "code"),
        ({"name": " "}, "name"),
        ({"event_type": ""}, "event_type"),
        ({"aggregation": "median"}, "aggregation"),
        ({"aggregation": "count", "property": "gb"}, "property"),
        ({"aggregation": "unique_count"}, "property"),
        ({"property": "x" * 65}, "property"),
        ({"values": "deltas"}, "values"),
        ({"values": "changes", "property": "gb"}, "values"),
        ({"values": "changes", "aggregation": "time_weighted_sum"}, "property"),
        ({"filters": (MeterFilter(property="", values=("a",)),)}, "filters.0.property"),
        ({"filters": (MeterFilter(property="a", values=()),)}, "filters.0.values"),
        ({"filters": (MeterFilter(property="a", values=("\x00",)),)}, "filters.0.values"),
        ({"filters": (MeterFilter(property="a", values=("1",)),) * 2}, "filters"),
        ({"filters": tuple(MeterFilter(property=f"p{n}", values=("1",)) for n in range(11))}, "filters"),
        ({"group_by": ("a", "a")}, "group_by"),
        ({"group_by": tuple("abcdef")}, "group_by"),
        ({"group_by": ("a", "")}, "group_by.1"),
    ],
)
def test_a_meter_that_cannot_be_measured_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=rf"^{field}: ") as refused:
        checked_meter(replace(meter("sum"), **changes))
    assert list(refused.value.errors) == [field]


def test_a_sound_meter_is_returned_as_it_is() -> None:
    for aggregation in AGGREGATIONS:
        definition = meter(
            aggregation,
            property=None if aggregation == "count" else "gb",
            filters=(MeterFilter(property="region", values=("eu", "")),),
            group_by=("tier",),
        )
        assert checked_meter(definition) is definition


def test_a_stored_meter_reads_back_with_what_came_later_left_at_its_defaults() -> None:
    definition = meter("max", property="gb", filters=(MeterFilter(property="region", values=("eu",)),))
    assert msgspec.json.decode(msgspec.json.encode(definition), type=MeterDefinition) == definition
    old = b'{"code":"m","name":"M","event_type":"calls","aggregation":"no longer known"}'
    assert msgspec.json.decode(old, type=MeterDefinition) == meter("no longer known")


def test_which_meters_carry_add_up_and_are_plain() -> None:
    assert {one for one in AGGREGATIONS if carries(meter(one))} == {"latest_ever", "time_weighted_sum"}
    assert {one for one in AGGREGATIONS if adds_up(meter(one))} == {"count", "sum"}
    assert {one for one in AGGREGATIONS if is_plain(meter(one))} == {"count", "sum"}
    for more in (
        {"property": "gb"},
        {"group_by": ("region",)},
        {"filters": (MeterFilter(property="region", values=("eu",)),)},
    ):
        assert not is_plain(meter("sum", **more))


# -- asks and digests -------------------------------------------------------------------------------------


def test_an_ask_is_of_a_period_that_runs_forward() -> None:
    ask = Ask(
        account="acc_1",
        definition=default_meter("calls"),
        period_from=MARCH.start,
        period_to=MARCH.end,
        through_position=9,
    )
    assert (ask.period, ask.after_position) == (MARCH, 0)
    with pytest.raises(MalformedPeriod):
        _ = replace(ask, period_to=MARCH.start).period


def test_the_digest_of_usage_is_for_ever() -> None:
    events = [
        MeasuredEvent(1, START, Decimal(1), {}, "ab" * 32),
        MeasuredEvent(300, START, Decimal(2), {}, "é"),
    ]
    assert usage_digest(events) == "0a9d88ca069d222f884eaccb950a705ec44907c1c52e0da9b081cf786eafb1d2"
    assert usage_digest([]) == "8181860be1bfb81a3c1cfca49ac74e5e3442fc7e97b1cfa36af8b735e7a7851b"
