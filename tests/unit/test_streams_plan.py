"""The rules of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.errors import Invalid, NotFound
from ledger.errors import PlanRetired as PlanIsRetired
from ledger.events.plan import PlanCreated, PlanRetired
from ledger.money import AmountOutOfRange, UnknownCurrency
from ledger.streams import plan as plans
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.events.plan import PlanEvent

given = Rules(plans.evolve).given
CREATED = PlanCreated(
    plan="plan_1",
    product="prod_1",
    name="Pro",
    currency="USD",
    interval="month",
    amount=2900,
    price_version=1,
)
RETIRED = PlanRetired(plan="plan_1", reason="replaced")


def create(
    name: str = "Pro", currency: str = "USD", interval: str = "month", amount: int = 2900
) -> Sequence[PlanEvent]:
    return plans.create("plan_1", "prod_1", name, currency, interval, amount)


def test_a_plan_is_created_on_sale() -> None:
    outcome = given().when(lambda _: create()).then(CREATED)
    assert outcome.state.status == "active"
    assert plans.require_on_sale(outcome.state) == outcome.state


def test_a_plan_may_be_free() -> None:
    assert given().when(lambda _: create(amount=0)).state.amount == 0


def test_a_plan_never_pays_its_customers() -> None:
    given().when(lambda _: create(amount=-1)).refused_with(Invalid, "amount")


def test_a_fee_of_more_than_18_digits_is_refused() -> None:
    given().when(lambda _: create(amount=10**18)).refused_with(AmountOutOfRange, "amount")


@pytest.mark.parametrize("interval", ["day", "Month", ""])
def test_an_interval_that_no_calendar_has_is_refused(interval: str) -> None:
    given().when(lambda _: create(interval=interval)).refused_with(Invalid, "interval")


def test_a_plan_in_no_real_currency_is_refused() -> None:
    given().when(lambda _: create(currency="XXX")).refused_with(UnknownCurrency, "currency")


def test_a_plan_without_a_name_is_refused() -> None:
    given().when(lambda _: create(name="")).refused_with(Invalid, "name")


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
