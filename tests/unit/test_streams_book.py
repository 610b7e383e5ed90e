"""The rules of a book."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ledger.errors import Invalid, NotFound
from ledger.events.book import (
    BillingEntityDefined,
    BillingPolicyAdopted,
    BookOpened,
    WebhookEndpointRegistered,
)
from ledger.money import UnknownCurrency
from ledger.periods import UnknownZone
from ledger.policies import UnknownPolicy, policy_of
from ledger.streams import book as books
from ledger.streams.billing_entity import BillingEntity
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

given = Rules(books.evolve).given
OPENED = BookOpened(
    book="book_1",
    organisation="org_1",
    organisation_name="Acme Inc.",
    mode="live",
    functional_currency="USD",
    time_zone="America/New_York",
    fiscal_year_start_month=1,
)
POLICY = BillingPolicyAdopted(policy_version=1, preset="stripe")
SELLER = BillingEntityDefined(
    billing_entity="default",
    name="Acme Inc.",
    tax_id=None,
    invoice_series="INV",
    credit_note_series="CN",
    payment_terms_days=14,
)


def open_book(
    name: str = "Acme Inc.",
    mode: str = "live",
    currency: str = "USD",
    time_zone: str = "America/New_York",
) -> Sequence[books.BookEvent]:
    return books.open_book("book_1", "org_1", name, mode, currency, time_zone)


def test_a_book_opens_with_a_policy_and_a_seller_of_its_organisation_s_name() -> None:
    state = given().when(lambda _: open_book()).then(OPENED, POLICY, SELLER).state
    assert (state.mode, state.functional_currency, state.time_zone) == ("live", "USD", "America/New_York")
    assert (state.policy_version, state.policy_preset) == (1, "stripe")
    assert state.billing_entities["default"].payment_terms_days == 14


def test_a_book_is_live_or_test() -> None:
    given().when(lambda _: open_book(mode="demo")).refused_with(Invalid, "mode")


def test_a_book_of_a_nameless_organisation_is_refused() -> None:
    given().when(lambda _: open_book(name="")).refused_with(Invalid, "name")


def test_a_book_in_no_real_currency_is_refused() -> None:
    given().when(lambda _: open_book(currency="dollars")).refused_with(UnknownCurrency, "currency")


def test_a_book_in_no_real_zone_is_refused() -> None:
    given().when(lambda _: open_book(time_zone="localtime")).refused_with(UnknownZone, "zone")


# -- conventions ------------------------------------------------------------------------------------

LAGO = BillingPolicyAdopted(policy_version=2, preset="lago", overrides={"grace_hours": "3"})


def adopt(preset: str, **overrides: str) -> Callable[[books.Book | None], Sequence[books.BookEvent]]:
    return lambda state: books.adopt_policy(state, preset, overrides)


def test_a_book_bills_by_the_conventions_adopted_last_and_keeps_those_of_every_version() -> None:
    book = given(OPENED, POLICY).when(adopt("lago", grace_hours="3")).then(LAGO).state
    assert (book.policy_version, book.policy_preset) == (2, "lago")
    assert book.policy == policy_of("lago", {"grace_hours": "3"})
    assert dict(book.policies) == {1: policy_of("stripe", {}), 2: book.policy}


def test_adopting_the_conventions_in_force_again_changes_nothing() -> None:
    given(OPENED, POLICY).when(adopt("stripe")).then_nothing()
    given(OPENED, POLICY, LAGO).when(adopt("lago", grace_hours="3")).then_nothing()


def test_the_same_preset_with_other_axes_is_another_version() -> None:
    other = BillingPolicyAdopted(policy_version=2, preset="stripe", overrides={"grace_hours": "1"})
    given(OPENED, POLICY).when(adopt("stripe", grace_hours="1")).then(other)


def test_going_back_to_earlier_conventions_is_a_version_of_its_own() -> None:
    back = BillingPolicyAdopted(policy_version=3, preset="stripe")
    state = given(OPENED, POLICY, LAGO).when(adopt("stripe")).then(back).state
    assert state.policy == policy_of("stripe", {})


def test_conventions_that_nobody_knows_are_refused() -> None:
    given(OPENED, POLICY).when(adopt("chargify")).refused_with(UnknownPolicy, "preset")
    given(OPENED, POLICY).when(adopt("lago", moon="full")).refused_with(UnknownPolicy, "overrides.moon")
    given().when(adopt("lago")).refused_with(NotFound)


def test_a_book_loads_whatever_it_adopted_once() -> None:
    forgotten = BillingPolicyAdopted(policy_version=2, preset="chargify", overrides={"moon": "full"})
    book = given(OPENED, POLICY, forgotten).state
    assert (book.policy_version, book.policy_preset) == (2, "chargify")
    with pytest.raises(UnknownPolicy):
        _ = book.policies


def test_a_book_that_adopted_nothing_bills_by_the_default() -> None:
    book = given(OPENED).state
    assert (book.policy_version, book.policy) == (0, policy_of("stripe", {}))


# -- sellers and endpoints --------------------------------------------------------------------------


def test_a_seller_defined_again_is_the_same_seller_on_new_terms() -> None:
    again = BillingEntityDefined(
        billing_entity="default",
        name="Acme GmbH",
        tax_id="DE1",
        invoice_series="R",
        credit_note_series="G",
        payment_terms_days=30,
    )
    assert given(OPENED, SELLER, again).state.billing_entities == {
        "default": BillingEntity("default", "Acme GmbH", "DE1", "R", 30, "G")
    }


def test_a_webhook_endpoint_does_not_change_how_a_book_bills() -> None:
    endpoint = WebhookEndpointRegistered(endpoint="whe_1", processor="stripe", name="Stripe")
    assert given(OPENED, endpoint).state == given(OPENED).state


def test_a_book_that_was_never_opened_is_not_there() -> None:
    with pytest.raises(NotFound):
        books.require(None)
    assert books.require(given(OPENED).state).book == "book_1"
