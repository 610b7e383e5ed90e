"""The rules of a meter."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from ledger.errors import Invalid, NotFound
from ledger.events.meter import MeterDefined, MeterRetired
from ledger.meters import MalformedMeter, MeterDefinition
from ledger.streams import meter as meters
from tests.examples import BOOK
from tests.given_when_then import Rules

given = Rules(meters.evolve).given
TOKENS = MeterDefinition(
    code="tokens", name="Tokens", event_type="completion", aggregation="sum", property="tokens"
)
DEFINED = MeterDefined(meter="meter_1", definition=TOKENS)
RETIRED = MeterRetired(meter="meter_1", reason="unused")


def test_a_meter_is_defined() -> None:
    outcome = given().when(lambda _: meters.define("meter_1", TOKENS)).then(DEFINED)
    assert (outcome.state.definition, outcome.state.status) == (TOKENS, "active")


def test_a_definition_that_cannot_be_measured_is_refused() -> None:
    wrong = replace(TOKENS, aggregation="average")
    given().when(lambda _: meters.define("meter_1", wrong)).refused_with(MalformedMeter, "aggregation")


def test_a_code_that_looks_like_an_id_is_refused() -> None:
    wrong = replace(TOKENS, code="meter_reads")
    given().when(lambda _: meters.define("meter_1", wrong)).refused_with(Invalid, "code")


def test_an_event_type_without_a_meter_gets_the_sum_whatever_it_is_called() -> None:
    state = given().when(lambda _: meters.define_default("meter_1", "tokens/in 東")).state
    assert state.definition == MeterDefinition(
        code="tokens/in 東", name="tokens/in 東", event_type="tokens/in 東", aggregation="sum"
    )


def test_an_event_type_is_text_of_the_value_domain() -> None:
    given().when(lambda _: meters.define_default("meter_1", "")).refused_with(Invalid, "meter")


def test_a_meter_may_be_called_otherwise_but_never_measures_otherwise() -> None:
    renamed = replace(TOKENS, name="All tokens")
    again = replace(DEFINED, definition=renamed, metadata={"team": "core"})
    given(DEFINED).when(lambda state: meters.describe(state, renamed, {"team": "core"})).then(again)
    dearer = replace(TOKENS, aggregation="max")
    given(DEFINED).when(lambda state: meters.describe(state, dearer, {})).refused_with(meters.MeterDiffers)


def test_describing_a_meter_as_it_is_changes_nothing() -> None:
    given(DEFINED).when(lambda state: meters.describe(state, TOKENS, {})).then_nothing()


def test_a_meter_whose_code_nobody_would_choose_may_be_called_otherwise() -> None:
    odd = meters.define_default("meter_1", "tokens/in")
    state = given(*odd).state
    renamed = replace(state.definition, name="Tokens in")
    assert given(*odd).when(lambda state: meters.describe(state, renamed, {})).state.definition == renamed


def test_a_meter_is_not_called_nothing() -> None:
    nameless = replace(TOKENS, name="")
    given(DEFINED).when(lambda state: meters.describe(state, nameless, {})).refused_with(Invalid, "name")


def test_a_meter_is_retired_once_and_for_a_reason() -> None:
    given(DEFINED).when(lambda state: meters.retire(state, "unused")).then(RETIRED)
    given(DEFINED, RETIRED).when(lambda state: meters.retire(state, "again")).then_nothing()
    given(DEFINED).when(lambda state: meters.retire(state, "")).refused_with(Invalid, "reason")


def test_a_retired_meter_stays_retired_under_another_name() -> None:
    renamed = replace(TOKENS, name="Old tokens")
    outcome = given(DEFINED, RETIRED).when(lambda state: meters.describe(state, renamed, {}))
    assert outcome.state.status == "retired"


def test_no_new_plan_charges_by_a_retired_meter() -> None:
    assert meters.require_active(given(DEFINED).state).definition == TOKENS
    with pytest.raises(meters.MeterIsRetired, match="tokens is retired"):
        meters.require_active(given(DEFINED, RETIRED).state)


def test_a_meter_that_there_is_not_is_not_found() -> None:
    given().when(lambda state: meters.retire(state, "why")).refused_with(NotFound)


def test_a_code_names_one_meter_of_its_book() -> None:
    assert meters.meter_id(BOOK, "tokens") == meters.meter_id(BOOK, "tokens")
    assert meters.meter_id(BOOK, "tokens") != meters.meter_id(UUID(int=1), "tokens")
