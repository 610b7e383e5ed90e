"""The rules of a tax rate."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from ledger.errors import Invalid, NotFound
from ledger.events.tax_rate import TaxRateDefined, TaxRateRetired
from ledger.streams import tax_rate as tax_rates
from ledger.streams.tax_rate import TaxTerms
from ledger.values import EARLIEST
from tests.examples import BOOK
from tests.given_when_then import Rules, folded

if TYPE_CHECKING:
    from ledger.events.tax_rate import TaxRateEvent

given = Rules(tax_rates.evolve).given
NOON = datetime(2027, 7, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
VAT = TaxTerms(name="MwSt", jurisdiction="DE", percent=Decimal(19))
DEFINED = TaxRateDefined(
    tax_rate="tax_1",
    tax_rate_version=1,
    name="MwSt",
    jurisdiction="DE",
    percent=Decimal(19),
    behaviour="exclusive",
    effective_at=EARLIEST,
)
LOWERED = replace(DEFINED, tax_rate_version=2, percent=Decimal(16), effective_at=NOON)
RETIRED = TaxRateRetired(tax_rate="tax_1", reason="abolished")


def test_a_tax_rate_is_defined_from_the_beginning() -> None:
    outcome = given().when(lambda _: tax_rates.define("tax_1", VAT)).then(DEFINED)
    assert outcome.state.status == "active"
    assert tax_rates.in_force(outcome.state, EARLIEST).percent == 19


@pytest.mark.parametrize("percent", ["0", "100", "8.875", "9.9975", "0.000001", "19.000000000"])
def test_a_percentage_is_from_0_to_100_with_a_few_digits(percent: str) -> None:
    terms = replace(VAT, percent=Decimal(percent))
    assert given().when(lambda _: tax_rates.define("tax_1", terms)).state.terms.percent == Decimal(percent)


@pytest.mark.parametrize("percent", ["-1", "100.000001", "0.0000001", "NaN", "Infinity", "1e30"])
def test_any_other_percentage_is_refused(percent: str) -> None:
    terms = replace(VAT, percent=Decimal(percent))
    given().when(lambda _: tax_rates.define("tax_1", terms)).refused_with(Invalid, "percent")


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("jurisdiction", ""), ("jurisdiction", "x" * 101), ("reason", " "), ("behaviour", "both")],
)
def test_a_tax_rate_that_says_nothing_usable_is_refused_by_field(field: str, value: str) -> None:
    terms = replace(VAT, **{field: value})  # type: ignore[arg-type]  # every field here is text
    given().when(lambda _: tax_rates.define("tax_1", terms)).refused_with(Invalid, field)


def test_another_percentage_holds_from_an_instant_on() -> None:
    lower = replace(VAT, percent=Decimal(16))
    outcome = given(DEFINED).when(lambda state: tax_rates.redefine(state, lower, NOON, {})).then(LOWERED)
    held = [tax_rates.in_force(outcome.state, at).percent for at in (NOON - DAY, NOON, NOON + DAY)]
    assert held == [19, 16, 16]


def test_versions_hold_in_their_order() -> None:
    higher = replace(VAT, percent=Decimal(21))
    early = NOON - timedelta(microseconds=1)
    given(DEFINED, LOWERED).when(lambda state: tax_rates.redefine(state, higher, early, {})).refused_with(
        Invalid, "effective_at"
    )


def test_a_rate_corrected_at_the_same_instant_holds_as_corrected() -> None:
    right = replace(VAT, percent=Decimal("16.5"))
    state = given(DEFINED, LOWERED).when(lambda state: tax_rates.redefine(state, right, NOON, {})).state
    assert tax_rates.in_force(state, NOON).percent == Decimal("16.5")


def test_what_a_rate_says_already_changes_nothing() -> None:
    given(DEFINED).when(lambda state: tax_rates.redefine(state, VAT, NOON, {})).then_nothing()


def test_another_name_alone_holds_since_the_rate_does() -> None:
    renamed = replace(VAT, name="Umsatzsteuer", percent=Decimal(16))
    state = (
        given(DEFINED, LOWERED)
        .when(lambda state: tax_rates.redefine(state, renamed, NOON + DAY, {"code": "USt"}))
        .state
    )
    assert state.newest == replace(LOWERED, tax_rate_version=3, name="Umsatzsteuer", metadata={"code": "USt"})


@pytest.mark.parametrize("field", ["jurisdiction", "behaviour"])
def test_where_a_tax_holds_and_whether_prices_include_it_never_changes(field: str) -> None:
    other = (
        replace(VAT, jurisdiction="FR") if field == "jurisdiction" else replace(VAT, behaviour="inclusive")
    )
    given(DEFINED).when(lambda state: tax_rates.redefine(state, other, NOON, {})).refused_with(
        tax_rates.TaxRateDiffers
    )


def test_a_tax_rate_is_retired_once_and_for_a_reason() -> None:
    given(DEFINED).when(lambda state: tax_rates.retire(state, "abolished")).then(RETIRED)
    given(DEFINED, RETIRED).when(lambda state: tax_rates.retire(state, "again")).then_nothing()
    given(DEFINED).when(lambda state: tax_rates.retire(state, "")).refused_with(Invalid, "reason")
    given().when(lambda state: tax_rates.retire(state, "why")).refused_with(NotFound)


def test_a_retired_rate_goes_on_for_those_who_have_it_but_takes_no_other_percentage() -> None:
    retired = given(DEFINED, LOWERED, RETIRED)
    assert tax_rates.in_force(retired.state, NOON).percent == 16
    with pytest.raises(tax_rates.TaxRateIsRetired, match="no new plan"):
        tax_rates.require_active(retired.state)
    retired.when(lambda state: tax_rates.redefine(state, VAT, NOON + DAY, {})).refused_with(
        tax_rates.TaxRateIsRetired
    )


def test_an_external_id_names_one_tax_rate_of_its_book() -> None:
    assert tax_rates.tax_rate_id(BOOK, "vat-de") == tax_rates.tax_rate_id(BOOK, "vat-de")
    assert tax_rates.tax_rate_id(BOOK, "vat-de") != tax_rates.tax_rate_id(UUID(int=1), "vat-de")


@hypothesis_given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100)), max_size=8), st.integers(-5, 40)
)
def test_at_every_instant_the_last_version_begun_by_then_holds(
    steps: list[tuple[int, int]], asked: int
) -> None:
    """Against the plain definition: of the versions begun by then, the last defined."""
    steps = sorted(steps, key=lambda step: step[0])
    events: list[TaxRateEvent] = [DEFINED]
    for day, percent in steps:
        terms = replace(VAT, percent=Decimal(percent))
        events += tax_rates.redefine(folded(tax_rates.evolve, events), terms, NOON + day * DAY, {})
    begun = [percent for day, percent in steps if day <= asked]
    state = folded(tax_rates.evolve, events)
    assert state is not None
    assert tax_rates.in_force(state, NOON + asked * DAY).percent == (begun[-1] if begun else 19)
