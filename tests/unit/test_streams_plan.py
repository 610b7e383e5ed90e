"""The rules of a plan."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from ledger.errors import Invalid, NotFound
from ledger.errors import PlanRetired as PlanIsRetired
from ledger.events.plan import (
    PlanCreated,
    PlanDescribed,
    PlanRepriced,
    PlanRetired,
    PlanTerms,
    RecurringFee,
    SetupFee,
)
from ledger.plan_terms import UnusableTerms
from ledger.streams import plan as plans
from tests.examples import BOOK
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.events.plan import PlanEvent

given = Rules(plans.evolve).given
OTHER_BOOK = UUID(int=1)
NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TERMS = plans.one_fee("Pro", "USD", "month", 2900)
DEARER = plans.one_fee("Pro", "USD", "month", 3900)
CREATED = PlanCreated(plan="plan_1", product="prod_1", name="Pro", price_version=1, terms=TERMS)
REPRICED = PlanRepriced(plan="plan_1", price_version=2, terms=DEARER, effective_at=NOON)
RETIRED = PlanRetired(plan="plan_1", reason="replaced")


def create(name: str = "Pro", terms: PlanTerms = TERMS) -> Sequence[PlanEvent]:
    return plans.create("plan_1", "prod_1", name, terms)


def test_a_plan_is_created_on_sale() -> None:
    outcome = given().when(lambda _: create()).then(CREATED)
    assert outcome.state.status == "active"
    assert plans.require_on_sale(outcome.state) == outcome.state


def test_a_plan_may_be_free() -> None:
    free = plans.one_fee("Free", "USD", "month", 0)
    plan = given().when(lambda _: create(terms=free)).state
    assert plans.priced(plan, plan.newest, "USD").amount() == 0


def test_a_plan_keeps_what_another_system_calls_it() -> None:
    named = replace(CREATED, external_id="pro", metadata={"tier": "2"})
    outcome = given().when(lambda _: plans.create("plan_1", "prod_1", "Pro", TERMS, "pro", {"tier": "2"}))
    state = outcome.then(named).state
    assert (state.external_id, state.metadata) == ("pro", {"tier": "2"})


def test_a_plan_without_a_name_is_refused() -> None:
    given().when(lambda _: create(name="")).refused_with(Invalid, "name")


def test_terms_that_cannot_be_billed_are_refused() -> None:
    no_calendar = plans.one_fee("Pro", "USD", "day", 2900)
    given().when(lambda _: create(terms=no_calendar)).refused_with(UnusableTerms, "interval")


@pytest.mark.parametrize("external_id", ["", "x" * 256, "a\0b"])
def test_an_external_id_is_text_of_the_value_domain(external_id: str) -> None:
    given().when(lambda _: plans.create("plan_1", "prod_1", "Pro", TERMS, external_id)).refused_with(
        Invalid, "external_id"
    )


def test_an_external_id_names_one_plan_of_its_book_for_ever() -> None:
    book, other = plans.plan_id(BOOK, "pro"), plans.plan_id(OTHER_BOOK, "pro")
    assert book == plans.plan_id(BOOK, "pro")
    assert len({book, other, plans.plan_id(BOOK, "Pro")}) == 3


# -- price versions -----------------------------------------------------------------------------------


def test_a_new_price_is_a_version_of_its_own() -> None:
    outcome = given(CREATED).when(lambda state: plans.reprice(state, DEARER, NOON)).then(REPRICED)
    assert [one.price_version for one in outcome.state.versions] == [1, 2]
    assert outcome.state.newest.terms == DEARER


def test_who_subscribes_gets_the_version_in_force_then() -> None:
    plan = given(CREATED, REPRICED).state
    found = [plans.in_force(plan, at).price_version for at in (NOON - DAY, NOON, NOON + DAY)]
    assert found == [1, 2, 2]


def test_of_two_versions_from_one_instant_the_later_one_is_in_force() -> None:
    third = replace(REPRICED, price_version=3, terms=TERMS)
    assert plans.in_force(given(CREATED, REPRICED, third).state, NOON).price_version == 3


def test_the_terms_a_plan_has_already_are_no_new_version() -> None:
    given(CREATED, REPRICED).when(lambda state: plans.reprice(state, DEARER, NOON + DAY)).then_nothing()


def test_the_terms_of_an_earlier_version_are_a_new_one() -> None:
    again = replace(REPRICED, price_version=3, terms=TERMS, effective_at=NOON + DAY)
    given(CREATED, REPRICED).when(lambda state: plans.reprice(state, TERMS, NOON + DAY)).then(again)


def test_versions_take_effect_in_their_order() -> None:
    given(CREATED, REPRICED).when(
        lambda state: plans.reprice(state, TERMS, NOON - timedelta(microseconds=1))
    ).refused_with(Invalid, "effective_at")


def test_a_price_may_be_corrected_from_the_very_instant_it_holds() -> None:
    again = replace(REPRICED, price_version=3, terms=TERMS)
    given(CREATED, REPRICED).when(lambda state: plans.reprice(state, TERMS, NOON)).then(again)


def test_a_version_takes_effect_within_the_calendar_of_the_books() -> None:
    at = datetime(2200, 1, 1, tzinfo=UTC)
    given(CREATED).when(lambda state: plans.reprice(state, DEARER, at)).refused_with(Invalid, "effective_at")


def test_a_new_price_is_checked_as_the_first_one_was() -> None:
    wrong = plans.one_fee("Pro", "USD", "month", -1)
    given(CREATED).when(lambda state: plans.reprice(state, wrong, NOON)).refused_with(
        UnusableTerms, "fees.0.amounts.USD"
    )


def test_a_price_version_is_found_by_its_number() -> None:
    plan = given(CREATED, REPRICED).state
    assert plans.version_of(plan, 1).terms == TERMS
    with pytest.raises(plans.UnknownPriceVersion, match="no price version 3"):
        plans.version_of(plan, 3)


# -- prices in a currency -----------------------------------------------------------------------------

SEATS = RecurringFee(code="seat", name="Seat", amounts={"USD": 500, "EUR": 450}, per_seat=True)
SUPPORT = RecurringFee(code="support", name="Support", amounts={"USD": 9000, "EUR": 8000}, timing="arrears")
TEAM = PlanTerms(interval="month", fees=(SEATS, SUPPORT))


def test_a_plan_is_priced_in_the_currency_asked_for() -> None:
    plan = given(*create(terms=TEAM)).state
    priced = plans.priced(plan, plan.newest, "EUR")
    assert (priced.currency, priced.interval, priced.charges) == ("EUR", "month", ())
    assert (priced.amount(3), priced.amount(3, "arrears")) == (1350, 8000)
    assert [fee.code for fee in priced.fees("advance")] == ["seat"]


def test_a_plan_in_one_currency_is_priced_in_it() -> None:
    plan = given(CREATED).state
    assert plans.priced(plan, plan.newest, None).currency == "USD"


@pytest.mark.parametrize("currency", ["GBP", None])
def test_a_plan_without_a_price_in_the_currency_is_refused(currency: str | None) -> None:
    plan = given(*create(terms=TEAM)).state
    with pytest.raises(plans.NoPriceInCurrency, match="EUR, USD"):
        plans.priced(plan, plan.newest, currency)


def test_a_priced_plan_names_every_tax_rate_of_its_parts() -> None:
    terms = replace(
        TEAM,
        tax_rates=("tax_1",),
        fees=(replace(SEATS, tax_rates=("tax_2",)), SUPPORT),
        setup_fee=SetupFee(name="Set-up", amounts={"USD": 1, "EUR": 1}, tax_rates=("tax_3",)),
    )
    plan = given(*create(terms=terms)).state
    assert plans.priced(plan, plan.newest, "USD").tax_rates == {"tax_1", "tax_2", "tax_3"}


# -- describing and retiring --------------------------------------------------------------------------


def test_a_plan_may_change_its_name_and_keeps_its_price() -> None:
    described = PlanDescribed(plan="plan_1", name="Pro+", metadata={"tier": "2"})
    outcome = given(CREATED).when(lambda state: plans.describe(state, "Pro+", {"tier": "2"})).then(described)
    assert (outcome.state.name, outcome.state.newest.price_version) == ("Pro+", 1)


def test_describing_a_plan_as_it_is_changes_nothing() -> None:
    given(CREATED).when(lambda state: plans.describe(state, "Pro", {})).then_nothing()


def test_a_retired_plan_may_still_be_described() -> None:
    outcome = given(CREATED, RETIRED).when(lambda state: plans.describe(state, "Old Pro", {}))
    assert (outcome.state.name, outcome.state.status) == ("Old Pro", "retired")


def test_metadata_is_limited() -> None:
    many = {f"key {number}": "value" for number in range(51)}
    given(CREATED).when(lambda state: plans.describe(state, "Pro", many)).refused_with(Invalid, "metadata")


def test_a_plan_is_taken_off_sale() -> None:
    outcome = given(CREATED).when(lambda state: plans.retire(state, "replaced")).then(RETIRED)
    assert outcome.state.status == "retired"


def test_retiring_a_plan_twice_changes_nothing() -> None:
    given(CREATED, RETIRED).when(lambda state: plans.retire(state, "again")).then_nothing()


def test_retiring_a_plan_wants_a_reason() -> None:
    given(CREATED).when(lambda state: plans.retire(state, "")).refused_with(Invalid, "reason")


def test_an_unknown_plan_cannot_be_retired() -> None:
    given().when(lambda state: plans.retire(state, "why")).refused_with(NotFound)


def test_a_retired_plan_takes_no_new_subscriptions() -> None:
    with pytest.raises(PlanIsRetired):
        plans.require_on_sale(given(CREATED, RETIRED).state)


def test_a_retired_plan_takes_no_new_price() -> None:
    given(CREATED, RETIRED).when(lambda state: plans.reprice(state, DEARER, NOON)).refused_with(PlanIsRetired)
