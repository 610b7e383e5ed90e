"""The rules of a product."""

from __future__ import annotations

from uuid import UUID

import pytest

from ledger.errors import Invalid, NotFound
from ledger.events.product import ProductDefined, ProductRetired
from ledger.streams import product as products
from tests.examples import BOOK
from tests.given_when_then import Rules

given = Rules(products.evolve).given
DEFINED = ProductDefined(product="prod_1", product_version=1, name="API")
RETIRED = ProductRetired(product="prod_1", reason="merged")


def test_a_product_is_defined() -> None:
    outcome = given().when(lambda _: products.define("prod_1", "API")).then(DEFINED)
    assert (outcome.state.name, outcome.state.status, outcome.state.product_version) == ("API", "active", 1)


def test_a_product_keeps_what_another_system_calls_it() -> None:
    state = given().when(lambda _: products.define("prod_1", "API", "api", {"team": "core"})).state
    assert (state.external_id, state.metadata) == ("api", {"team": "core"})


def test_a_product_needs_a_name() -> None:
    given().when(lambda _: products.define("prod_1", "")).refused_with(Invalid, "name")


def test_another_name_is_another_version_of_the_same_product() -> None:
    again = ProductDefined(product="prod_1", product_version=2, name="API calls", external_id="api")
    first = ProductDefined(product="prod_1", product_version=1, name="API", external_id="api")
    outcome = given(first).when(lambda state: products.describe(state, "API calls", {})).then(again)
    assert outcome.state.name == "API calls"


def test_describing_a_product_as_it_is_changes_nothing() -> None:
    given(DEFINED).when(lambda state: products.describe(state, "API", {})).then_nothing()


def test_a_retired_product_stays_retired_under_another_name() -> None:
    outcome = given(DEFINED, RETIRED).when(lambda state: products.describe(state, "Old API", {}))
    assert (outcome.state.name, outcome.state.status) == ("Old API", "retired")


def test_a_product_is_retired_once_and_for_a_reason() -> None:
    given(DEFINED).when(lambda state: products.retire(state, "merged")).then(RETIRED)
    given(DEFINED, RETIRED).when(lambda state: products.retire(state, "again")).then_nothing()
    given(DEFINED).when(lambda state: products.retire(state, "")).refused_with(Invalid, "reason")


def test_no_new_plan_sells_a_retired_product() -> None:
    assert products.require_active(given(DEFINED).state).product == "prod_1"
    with pytest.raises(products.ProductIsRetired, match="no new plan may sell it"):
        products.require_active(given(DEFINED, RETIRED).state)


def test_a_product_that_there_is_not_is_not_found() -> None:
    given().when(lambda state: products.retire(state, "why")).refused_with(NotFound)
    given().when(lambda state: products.describe(state, "API", {})).refused_with(NotFound)


def test_an_external_id_names_one_product_of_its_book() -> None:
    assert products.product_id(BOOK, "api") == products.product_id(BOOK, "api")
    assert products.product_id(BOOK, "api") != products.product_id(UUID(int=1), "api")
    assert products.product_of_plan("plan_1") != products.product_of_plan("plan_2")
