"""The rules of correcting a usage event."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from ledger.errors import Invalid
from ledger.events import Actor, Metadata, Recorded
from ledger.events.plan import PlanRetired
from ledger.events.usage import UsageRecorded
from ledger.events.usage_correction import UsageCorrected, UsageFacts
from ledger.streams import usage_correction as corrections
from ledger.streams.usage_correction import Corrected, Correcting
from ledger.usage_row import UsageFact, facts_digest
from tests.examples import BOOK, example_id
from tests.given_when_then import Outcome, Rules

given = Rules(corrections.evolve).given
AT = datetime(2027, 1, 15, 11, 30, tzinfo=UTC)


def facts(quantity: str = "5", **properties: Any) -> UsageFacts:
    fact = UsageFact("evt-1", "gateway", "calls", example_id("acc"), Decimal(quantity), AT, properties)
    return UsageFacts(quantity=Decimal(quantity), properties=properties, digest=facts_digest(fact))


def recorded(said: UsageFacts) -> Recorded:
    event = UsageRecorded(
        account=example_id("acc"),
        meter="calls",
        quantity=said.quantity,
        source="gateway",
        event_id="evt-1",
        accepted_at=AT,
        digest=said.digest,
        properties=said.properties,
    )
    metadata = Metadata(
        book=BOOK,
        occurred_at=AT,
        booked_at=AT,
        actor=Actor(principal=example_id("prn"), kind="service"),
        cause="a test",
    )
    return Recorded(
        position=7, stream=UUID(int=1), stream_version=1, recorded_at=AT, event=event, metadata=metadata
    )


FIVE, NINE = facts("5", region="eu"), facts("9", region="eu")
ORIGINAL = recorded(FIVE)


def corrected(was: UsageFacts | None, becomes: UsageFacts | None) -> UsageCorrected:
    return UsageCorrected(
        account=example_id("acc"),
        meter="calls",
        source="gateway",
        event_id="evt-1",
        original_position=7,
        used_at=AT,
        void=becomes is None,
        was=was,
        becomes=becomes,
        reason="counted twice",
    )


def wish(quantity: str | int | Decimal | None = None, **properties: Any) -> Correcting:
    return Correcting(source="gateway", event_id="evt-1", quantity=quantity, properties=properties or None)


def asked(
    wanted: Correcting, *before: UsageCorrected, original: Recorded | None = ORIGINAL
) -> Outcome[Corrected, UsageCorrected]:
    return given(*before).when(lambda state: corrections.correct(state, original, wanted, "counted twice"))


VOID = corrected(FIVE, None)


def test_a_usage_event_is_made_void() -> None:
    outcome = asked(wish()).then(VOID)
    assert outcome.state == Corrected(None, FIVE)


def test_what_a_usage_event_says_is_replaced_and_its_properties_stay_unless_they_are_given() -> None:
    asked(wish("9")).then(corrected(FIVE, NINE))
    asked(wish("9", region="us")).then(corrected(FIVE, facts("9", region="us")))
    no_properties = replace(wish("9"), properties={})
    asked(no_properties).then(corrected(FIVE, facts("9")))
    american = facts("5", region="us")
    asked(wish("2"), corrected(FIVE, american)).then(corrected(american, facts("2", region="us")))


def test_corrections_follow_one_another_and_the_last_one_holds() -> None:
    again = corrected(NINE, facts("2", region="eu"))
    outcome = asked(wish("2"), corrected(FIVE, NINE)).then(again)
    assert outcome.state == Corrected(facts("2", region="eu"), facts("2", region="eu"))


def test_what_is_void_counts_again_once_it_is_stated_anew() -> None:
    asked(wish("5"), VOID).then(corrected(None, FIVE))
    asked(wish("9"), corrected(FIVE, NINE), corrected(NINE, None)).then(corrected(None, NINE))


def test_correcting_to_what_is_said_already_changes_nothing() -> None:
    asked(wish("5")).then_nothing()
    asked(wish("5.00", region="eu")).then_nothing()
    asked(wish(5)).then_nothing()
    asked(wish(), VOID).then_nothing()
    asked(wish("9"), corrected(FIVE, NINE)).then_nothing()


def test_a_decimal_in_a_property_is_the_text_that_the_log_keeps_of_it() -> None:
    original = recorded(facts("5", seconds="7.25"))
    asked(wish("5", seconds=Decimal("7.25")), original=original).then_nothing()


def test_true_is_not_the_number_one() -> None:
    original = recorded(facts("5", tier=1))
    outcome = asked(wish("5", tier=True), original=original)
    assert outcome.state.facts == facts("5", tier=True)


def test_an_identity_that_was_never_recorded_is_refused() -> None:
    asked(wish(), original=None).refused_with(Invalid, "id")


@pytest.mark.parametrize("quantity", ["-1", "1e30", "NaN", "0.0000000000001", "x", Decimal("Infinity")])
def test_a_quantity_is_of_the_value_domain_of_usage(quantity: str | Decimal) -> None:
    asked(wish(quantity)).refused_with(Invalid, "quantity")


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"": 1}, "properties."),
        ({"level": ["x"]}, "properties.level"),
        ({"level": 0.5}, "properties.level"),
        ({"text": "\x00"}, "properties.text"),
        ({f"p{number}": 1 for number in range(51)}, "properties"),
    ],
)
def test_properties_are_of_the_value_domain_of_usage(properties: dict[str, Any], field: str) -> None:
    asked(replace(wish("1"), properties=properties)).refused_with(Invalid, field)


def test_a_reason_is_text_of_the_value_domain() -> None:
    given().when(lambda state: corrections.correct(state, ORIGINAL, wish(), " ")).refused_with(
        Invalid, "reason"
    )


def test_a_stream_that_holds_something_else_is_no_usage_event() -> None:
    other = PlanRetired(plan="plan_1", reason="another kind of stream")
    changed = Recorded(
        position=7,
        stream=ORIGINAL.stream,
        stream_version=1,
        recorded_at=AT,
        event=other,
        metadata=ORIGINAL.metadata,
    )
    asked(wish(), original=changed).refused_with(Invalid, "id")
