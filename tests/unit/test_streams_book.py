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
from ledger.streams import book as books
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def test_a_later_policy_replaces_the_one_before() -> None:
    later = BillingPolicyAdopted(policy_version=2, preset="stripe")
    assert given(OPENED, POLICY, later).state.policy_version == 2


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
        "default": books.BillingEntity("default", "Acme GmbH", "DE1", "R", 30)
    }


def test_a_webhook_endpoint_does_not_change_how_a_book_bills() -> None:
    endpoint = WebhookEndpointRegistered(endpoint="whe_1", processor="stripe", name="Stripe")
    assert given(OPENED, endpoint).state == given(OPENED).state


def test_a_book_that_was_never_opened_is_not_there() -> None:
    with pytest.raises(NotFound):
        books.require(None)
    assert books.require(given(OPENED).state).book == "book_1"
