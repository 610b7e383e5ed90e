"""Corrected usage: what it changes, and what was billed of it before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.aggregates import MeasuredEvent
from ledger.measuring import Ask, Measurement, counting
from ledger.meters import MeterDefinition, default_meter
from ledger.usage_corrections import (
    Change,
    CorrectedUse,
    CorrectedUses,
    Correction,
    behind,
    change_earlier,
    change_of,
    corrected,
    standing,
)

START = datetime(2027, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
USES = CorrectedUses([CorrectedUse("calls", START, 7), CorrectedUse("calls", START + DAY, 9)])


def event(position: int, quantity: str, **properties: Any) -> MeasuredEvent:
    return MeasuredEvent(position, START, Decimal(quantity), properties, f"facts of {quantity}")


def correction(position: int, was: MeasuredEvent | None, becomes: MeasuredEvent | None) -> Correction:
    known = was or becomes
    assert known is not None
    return Correction(position, known.position, START, was, becomes)


FIRST, SECOND = event(1, "5"), event(2, "3")
VOID = correction(7, FIRST, None)
ANEW = correction(8, None, event(1, "4"))
RAISED = correction(9, SECOND, event(2, "10"))


def ask(definition: MeterDefinition | None = None, **fields: Any) -> Ask:
    asked: dict[str, Any] = {
        "account": "acc_1",
        "definition": definition or default_meter("calls"),
        "period_from": START,
        "period_to": START + DAY,
        "after_position": 5,
        "through_position": 10,
    }
    return Ask(**asked | fields)


def test_the_last_correction_of_an_event_says_what_it_is() -> None:
    assert standing([VOID, RAISED, ANEW]) == {1: event(1, "4"), 2: event(2, "10")}
    assert list(corrected([FIRST, SECOND, event(3, "1")], standing([VOID]))) == [SECOND, event(3, "1")]


def test_what_corrections_change_adds_up() -> None:
    assert change_of([]) == Change(0, Decimal(0))
    assert change_of([VOID]) == Change(-1, Decimal(-5))
    assert change_of([VOID, ANEW, RAISED]) == Change(0, Decimal(6))


def test_an_event_that_counted_once_is_behind_what_is_measured_with_all_its_corrections() -> None:
    large = MeterDefinition(code="m", name="M", event_type="calls", property="size")
    was, becomes = event(1, "5", size=2), event(1, "5", kind="none")
    gone, again = correction(7, was, becomes), correction(8, becomes, None)
    assert behind([gone, again, RAISED], counting(large)) == ({1}, [gone, again])


def test_a_correction_is_listed_by_its_own_position_and_the_digest_of_its_facts() -> None:
    assert (ANEW.facts.position, ANEW.facts.digest) == (8, "facts of 4")
    assert (VOID.facts.position, VOID.facts.digest) == (7, "")


@pytest.mark.parametrize(
    ("changes", "touched"),
    [
        ({}, True),
        ({"period_from": START + TICK}, False),
        ({"period_from": START + TICK, "period_to": START + DAY + TICK}, True),
        ({"period_to": START}, False),
        ({"after_position": 7}, False),
        ({"through_position": 6}, False),
        ({"definition": default_meter("storage")}, False),
    ],
)
def test_a_stretch_is_touched_by_corrections_of_its_time_since_it_was_billed(
    changes: dict[str, Any], *, touched: bool
) -> None:
    assert USES.touch(ask(**changes)) is touched


def test_a_level_may_have_been_corrected_long_before_a_stretch() -> None:
    latest = MeterDefinition(code="m", name="M", event_type="calls", aggregation="latest_ever")
    later: dict[str, Any] = {"period_from": START + 30 * DAY, "period_to": START + 60 * DAY}
    assert USES.touch(ask(latest, **later))
    assert not USES.touch(ask(latest, **{**later, "after_position": 9}))
    assert not USES.touch(ask(latest, period_from=START - DAY, period_to=START))
    assert not USES.touch(ask(**later))


def test_where_nothing_was_corrected_there_is_nothing_to_look_for() -> None:
    assert USES
    assert not CorrectedUses()
    assert not CorrectedUses().touch(ask())


def test_of_what_adds_up_corrections_of_earlier_events_are_taken_in() -> None:
    for after, quantities in ((0, ["0"]), (1, ["-1"]), (5, ["6"])):
        asked = ask(after_position=after)
        measurement = Measurement(asked.definition, asked.period)
        change_earlier(measurement, asked, [VOID, ANEW, RAISED])
        assert [str(one.quantity) for one in measurement.result()] == quantities


def test_of_what_does_not_add_up_they_are_not() -> None:
    highest = MeterDefinition(code="m", name="M", event_type="calls", aggregation="max")
    asked = ask(highest)
    measurement = Measurement(highest, asked.period)
    change_earlier(measurement, asked, [RAISED])
    assert measurement.result()[0].events == 0
