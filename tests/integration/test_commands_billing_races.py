"""What billing refuses, and what happens when others act between its reading and its appending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from commands.accounts import change_account, close_account
from commands.invoicing import finalize_invoice, pay_invoice, void_invoice
from commands.plans import retire_plan
from commands.subscriptions import (
    Wish,
    advance_subscription,
    cancel_subscription,
    change_subscription,
    subscribe,
)
from ledger.errors import (
    AccountClosed,
    NotFound,
    PlanRetired,
)
from ledger.streams.plan import NoPriceInCurrency
from tests.acme import (
    NOON,
    Acme,
    a_plan,
    a_subscription,
    acme_on,
    an_account,
    at,
    entries,
    interrupted,
    known,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres import Database

HALF_WAY = NOON + timedelta(days=14)
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database, pool_size=8) as founded:
        yield founded


def test_a_retired_plan_refuses_new_subscriptions_and_keeps_its_own(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    team = a_plan(acme.live, 9900)
    change_subscription(acme.live, subscription.subscription, Wish(plan=team, at_period_end=True))
    retire_plan(acme.live, subscription.plan, "replaced")
    with pytest.raises(PlanRetired):
        subscribe(acme.live, an_account(acme.live), subscription.plan)
    kept = change_subscription(acme.live, subscription.subscription, Wish(plan=subscription.plan)).result
    assert known(kept.subscription).next_plan is None
    assert (
        advance_subscription(at(acme.live, FEBRUARY_28), subscription.subscription).result.invoice is not None
    )


@pytest.mark.parametrize("name", ["subscribe", "change"])
def test_a_plan_that_is_retired_meanwhile_is_refused_by_the_guard(acme: Acme, name: str) -> None:
    subscription, _ = a_subscription(acme.live)
    account, team = an_account(acme.live), a_plan(acme.live, 9900)
    context, log = interrupted(acme.live, lambda: retire_plan(acme.live, team, "replaced"))
    before = acme.log.head()
    commands: dict[str, Callable[[], object]] = {
        "subscribe": lambda: subscribe(context, account, team),
        "change": lambda: change_subscription(context, subscription.subscription, Wish(plan=team)),
    }
    with pytest.raises(PlanRetired):
        commands[name]()
    assert (log.appends, acme.log.head()) == (1, before + 1)


def test_an_account_that_closes_meanwhile_is_not_subscribed(acme: Acme) -> None:
    account, plan = an_account(acme.live), a_plan(acme.live)
    context, _ = interrupted(acme.live, lambda: close_account(acme.live, account, "moved away"))
    with pytest.raises(AccountClosed):
        subscribe(context, account, plan)
    assert entries(acme) == []


def test_an_account_that_is_renamed_meanwhile_is_billed_under_its_new_name(acme: Acme) -> None:
    account, plan = an_account(acme.live), a_plan(acme.live)
    context, log = interrupted(acme.live, lambda: change_account(acme.live, account, {"name": "Ada L."}))
    billed = subscribe(context, account, plan).result
    assert (known(billed.invoice).header.buyer_name, log.appends) == ("Ada L.", 2)


def test_a_closed_account_takes_no_change_of_plan_and_no_new_period(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    team = a_plan(acme.live, 9900)
    close_account(at(acme.live, HALF_WAY), subscription.account, "moved away")
    with pytest.raises(AccountClosed):
        change_subscription(at(acme.live, HALF_WAY), subscription.subscription, Wish(plan=team))
    with pytest.raises(AccountClosed):
        subscribe(acme.live, subscription.account, team)
    ended = advance_subscription(at(acme.live, FEBRUARY_28), subscription.subscription).result
    assert (known(ended.subscription).status, ended.invoice) == ("cancelled", None)


def test_an_account_that_closes_while_its_period_is_renewed_is_not_billed_for_it(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    context, log = interrupted(
        at(acme.live, FEBRUARY_28),
        lambda: close_account(at(acme.live, HALF_WAY), subscription.account, "moved away"),
    )
    ended = advance_subscription(context, subscription.subscription).result
    assert (known(ended.subscription).status, ended.invoice, log.appends) == ("cancelled", None, 2)


def test_a_plan_without_a_price_in_the_account_s_currency_is_refused(acme: Acme) -> None:
    with pytest.raises(NoPriceInCurrency):
        subscribe(acme.live, an_account(acme.live, currency="EUR"), a_plan(acme.live))


def test_another_book_s_objects_are_not_found(acme: Acme) -> None:
    subscription, invoice = a_subscription(acme.live)
    account, plan = an_account(acme.test), a_plan(acme.test)
    for command in (
        lambda: subscribe(acme.test, account, subscription.plan),
        lambda: subscribe(acme.test, subscription.account, plan),
        lambda: change_subscription(acme.test, subscription.subscription, Wish(plan=plan)),
        lambda: change_subscription(acme.live, subscription.subscription, Wish(plan=plan)),
        lambda: cancel_subscription(acme.test, subscription.subscription),
        lambda: advance_subscription(acme.test, subscription.subscription),
        lambda: pay_invoice(acme.test, invoice.draft.invoice, 1, "USD", "bank"),
        lambda: void_invoice(acme.test, invoice.draft.invoice, "why"),
        lambda: finalize_invoice(acme.test, invoice.draft.invoice),
        lambda: finalize_invoice(acme.live, "inv_?"),
    ):
        with pytest.raises(NotFound):
            command()
