"""The rules of an account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ledger.errors import AccountClosed as AccountIsClosed
from ledger.errors import Invalid, NotFound
from ledger.events.account import AccountClosed, AccountEmailChanged, AccountRegistered, AccountRenamed
from ledger.money import UnknownCurrency
from ledger.periods import UnknownZone
from ledger.streams import account as accounts
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.events.account import AccountEvent

given = Rules(accounts.evolve).given
NOW = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
REGISTERED = AccountRegistered(
    account="acc_1", name="Ada", email="ada@example.com", currency="USD", time_zone="Europe/Paris"
)
CLOSED = AccountClosed(account="acc_1", reason="moved away", closed_at=NOW)


def register(
    name: str | None = "Ada",
    email: str | None = "ada@example.com",
    currency: str | None = "USD",
    time_zone: str = "Europe/Paris",
) -> Sequence[AccountEvent]:
    return accounts.register("acc_1", name, email, currency, time_zone, NOW)


def test_an_account_registers_with_its_name_address_currency_and_zone() -> None:
    outcome = given().when(lambda _: register()).then(REGISTERED)
    assert outcome.state == accounts.Account(
        account="acc_1",
        name="Ada",
        email="ada@example.com",
        currency="USD",
        time_zone="Europe/Paris",
        status="open",
        origin=None,
    )


def test_an_account_may_be_nameless_and_of_any_currency() -> None:
    state = given().when(lambda _: register(name=None, email=None, currency=None)).state
    assert (state.name, state.email, state.currency) == (None, None, None)


def test_an_account_made_for_an_outside_customer_says_so() -> None:
    state = (
        given()
        .when(lambda _: accounts.register("acc_1", None, None, None, "UTC", NOW, origin="stripe:cus_1"))
        .state
    )
    assert state.origin == "stripe:cus_1"


def test_an_account_in_no_real_zone_is_refused() -> None:
    given().when(lambda _: register(time_zone="Mars/Olympus")).refused_with(UnknownZone, "zone")


def test_an_account_in_no_real_currency_is_refused() -> None:
    given().when(lambda _: register(currency="usd")).refused_with(UnknownCurrency, "currency")


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\0b"])
def test_a_name_outside_the_value_domain_is_refused(name: str) -> None:
    given().when(lambda _: register(name=name)).refused_with(Invalid, "name")


def test_an_address_longer_than_any_mail_server_takes_is_refused() -> None:
    given().when(lambda _: register(email="a" * 255)).refused_with(Invalid, "email")


def test_an_account_is_renamed() -> None:
    renamed = AccountRenamed(account="acc_1", name="Ada L.")
    outcome = given(REGISTERED).when(lambda state: accounts.change(state, {"name": "Ada L."})).then(renamed)
    assert outcome.state.name == "Ada L."


def test_an_account_changes_its_address() -> None:
    changed = AccountEmailChanged(account="acc_1", email=None)
    outcome = given(REGISTERED).when(lambda state: accounts.change(state, {"email": None})).then(changed)
    assert outcome.state.email is None


def test_one_change_may_be_both_of_name_and_of_address() -> None:
    given(REGISTERED).when(lambda state: accounts.change(state, {"email": "a@b.c", "name": "A"})).then(
        AccountRenamed(account="acc_1", name="A"), AccountEmailChanged(account="acc_1", email="a@b.c")
    )


def test_what_stays_the_same_is_no_change() -> None:
    same: dict[str, str | None] = {"name": "Ada", "email": "ada@example.com"}
    given(REGISTERED).when(lambda state: accounts.change(state, same)).then_nothing()
    given(REGISTERED).when(lambda state: accounts.change(state, {})).then_nothing()


def test_an_account_is_never_renamed_to_nothing() -> None:
    given(REGISTERED).when(lambda state: accounts.change(state, {"name": " "})).refused_with(Invalid, "name")


def test_an_unknown_account_cannot_change_or_close() -> None:
    given().when(lambda state: accounts.change(state, {"name": "A"})).refused_with(NotFound)
    given().when(lambda state: accounts.close(state, "why", NOW)).refused_with(NotFound)


def test_a_closed_account_refuses_changes() -> None:
    given(REGISTERED, CLOSED).when(lambda state: accounts.change(state, {"name": "A"})).refused_with(
        AccountIsClosed
    )


def test_an_account_closes_at_an_instant_and_for_a_reason() -> None:
    outcome = given(REGISTERED).when(lambda state: accounts.close(state, "moved away", NOW)).then(CLOSED)
    assert (outcome.state.status, outcome.state.closed_at) == ("closed", NOW)
    assert outcome.state.close_reason == "moved away"


def test_closing_an_account_twice_changes_nothing() -> None:
    given(REGISTERED, CLOSED).when(lambda state: accounts.close(state, "again", NOW)).then_nothing()


def test_closing_an_account_wants_a_reason() -> None:
    given(REGISTERED).when(lambda state: accounts.close(state, "", NOW)).refused_with(Invalid, "reason")
