"""Subscriptions from beginning to end in memory, invoice by invoice: trials, contracts, pauses, ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from commands.accounts import close_account
from ledger.errors import AccountClosed
from ledger.events.plan import RecurringFee, SetupFee, UsageCharge
from ledger.money import AmountOutOfRange
from ledger.prices import Price
from ledger.streams.plan import NoPriceInCurrency
from ledger.streams.prorating import NotWhilePaused
from ledger.streams.subscribing import NothingDue
from tests.examples import charge, fee
from tests.memory_shop import open_shop, told

if TYPE_CHECKING:
    from tests.memory_shop import Shop

JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC)
MARCH = datetime(2027, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def shop() -> Shop:
    return open_shop()


def pro(shop: Shop, amount: int = 3100) -> str:
    return shop.plan("Pro", fees=(fee(amount),))


def totals(shop: Shop) -> list[int]:
    return [one.header.total if one.header else -1 for one in shop.invoices()]


# -- beginnings -------------------------------------------------------------------------------------


def test_a_trial_is_free_and_what_follows_is_billed_from_its_end(shop: Shop) -> None:
    setup = SetupFee(name="Set-up", amounts={"USD": 500})
    plan = shop.plan("Pro", fees=(fee(3100),), charges=(charge(1),), trial_days=10, setup_fee=setup)
    assert shop.subscribe(plan).invoice is None
    shop.at(JANUARY + 3 * DAY).use(1000)
    shop.advance_to(FEBRUARY)
    (first,) = shop.invoices()
    assert told(first) == [("Set-up", 500), ("Base", 3100)]
    assert first.draft.due_at == JANUARY + 10 * DAY


def test_a_change_during_a_trial_costs_nothing_and_its_end_bills_the_new_plan(shop: Shop) -> None:
    shop.subscribe(pro(shop), trial_days=10)
    assert (
        shop.at(JANUARY + DAY).change(plan=shop.plan("Team", fees=(fee(9900),)), quantity=2).invoice is None
    )
    shop.add(shop.plan("Extra", fees=(fee(100),)))
    assert shop.lines() == []
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[0]) == [("Base", 9900), ("Base", 100)]


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_trial_that_is_cancelled_is_never_billed(shop: Shop, *, at_period_end: bool) -> None:
    plan = shop.plan("Pro", fees=(fee(3100),), charges=(charge(1),))
    shop.subscribe(plan, trial_days=10)
    shop.at(JANUARY + DAY).use(50)
    shop.cancel(at_period_end=at_period_end)
    shop.advance_to(MARCH)
    assert (shop.state.status, shop.invoices(), shop.state.billed_through) == ("cancelled", [], None)


def test_what_begins_later_is_billed_when_it_begins(shop: Shop) -> None:
    assert shop.subscribe(pro(shop), starts_at=FEBRUARY).invoice is None
    with pytest.raises(NothingDue):
        shop.advance()
    shop.advance_to(FEBRUARY)
    assert totals(shop) == [3100]
    assert shop.invoices()[0].draft.due_at == FEBRUARY


def test_what_was_to_begin_later_can_change_or_never_begin(shop: Shop) -> None:
    shop.subscribe(pro(shop), starts_at=FEBRUARY)
    shop.at(JANUARY + DAY).change(plan=shop.plan("Team", fees=(fee(9900),)))
    shop.at(JANUARY + 2 * DAY).cancel()
    shop.advance_to(MARCH)
    assert (shop.state.status, shop.state.ended_at, shop.invoices()) == ("cancelled", FEBRUARY, [])


def test_a_start_in_the_past_is_billed_period_by_period_each_as_of_its_day(shop: Shop) -> None:
    shop.at(datetime(2027, 3, 15, tzinfo=UTC)).subscribe(pro(shop), starts_at=JANUARY)
    assert len(shop.invoices()) == 1
    shop.advance()
    shop.advance()
    with pytest.raises(NothingDue):
        shop.advance()
    issued = [one.header.issued_on.isoformat() for one in shop.invoices() if one.header]
    assert issued == ["2027-01-01", "2027-02-01", "2027-03-01"]


def test_who_was_moved_here_is_billed_for_the_rest_and_not_for_set_up(shop: Shop) -> None:
    setup = SetupFee(name="Set-up", amounts={"USD": 500})
    plan = shop.plan("Pro", fees=(fee(3100),), charges=(charge(1),), trial_days=14, setup_fee=setup)
    shop.use(7)
    shop.at(JANUARY + 12 * DAY).subscribe(plan, starts_at=JANUARY, billed_through=JANUARY + 11 * DAY)
    assert told(shop.invoices()[0]) == [("Base", 2000)]
    shop.use(5)
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[1]) == [("Base", 3100), ("Calls", 5)]


def test_what_is_paid_for_elsewhere_is_billed_from_then_on(shop: Shop) -> None:
    shop.at(JANUARY + 5 * DAY).subscribe(pro(shop), starts_at=JANUARY, billed_through=FEBRUARY)
    assert shop.invoices() == []
    shop.advance_to(MARCH)
    assert [(one.draft.due_at, told(one)) for one in shop.invoices()] == [
        (FEBRUARY, [("Base", 3100)]),
        (MARCH, [("Base", 3100)]),
    ]


def test_a_contract_ends_where_it_was_said_to_and_bills_part_of_its_last_period(shop: Shop) -> None:
    shop.subscribe(pro(shop), ends_at=datetime(2027, 2, 15, tzinfo=UTC))
    shop.advance_to(MARCH)
    assert totals(shop) == [3100, 1550]
    assert (shop.state.status, shop.state.ended_at) == ("cancelled", datetime(2027, 2, 15, tzinfo=UTC))


def test_calendar_billing_begins_with_part_of_a_month(shop: Shop) -> None:
    shop.at(JANUARY + 21 * DAY).subscribe(pro(shop), calendar=True)
    shop.advance_to(MARCH)
    assert totals(shop) == [1000, 3100, 3100]


# -- currencies -------------------------------------------------------------------------------------


def in_many_currencies(shop: Shop) -> str:
    prices = {
        code: Price(model="per_unit", currency=code, unit_amount=Decimal(each))
        for code, each in (("USD", 2), ("JPY", 300))
    }
    usage = UsageCharge(
        code="calls", name="Calls", meter="api_calls", prices=prices, minimums={"USD": 50, "JPY": 7000}
    )
    return shop.plan(
        "Everywhere",
        fees=(RecurringFee(code="base", name="Base", amounts={"USD": 3100, "JPY": 310_000}),),
        charges=(usage,),
        setup_fee=SetupFee(name="Set-up", amounts={"USD": 500, "JPY": 50_000}),
    )


def test_a_plan_in_many_currencies_is_billed_in_the_account_s() -> None:
    shop = open_shop(currency="JPY")
    shop.subscribe(in_many_currencies(shop))
    shop.use(10)
    shop.advance_to(FEBRUARY)
    first, second = shop.invoices()
    assert (first.draft.currency, told(first)) == ("JPY", [("Set-up", 50_000), ("Base", 310_000)])
    assert told(second) == [("Base", 310_000), ("Calls", 3000), ("Calls, minimum", 4000)]
    with pytest.raises(NoPriceInCurrency):
        shop.change(plan=pro(shop))


def test_an_account_of_no_currency_cannot_choose_among_several() -> None:
    shop = open_shop(currency=None)
    with pytest.raises(NoPriceInCurrency):
        shop.subscribe(in_many_currencies(shop))
    assert shop.subscribe(pro(shop)).invoice is not None


def test_amounts_beyond_18_digits_are_refused_and_leave_nothing_behind(shop: Shop) -> None:
    dear = shop.plan("Dear", fees=(fee(10**17, per_seat=True),))
    before = len(shop.log.recorded)
    with pytest.raises(AmountOutOfRange):
        shop.subscribe(dear, quantity=10)
    assert len(shop.log.recorded) == before
    shop.subscribe(dear, quantity=9)
    with pytest.raises(AmountOutOfRange):
        shop.change(quantity=10)


# -- pauses -----------------------------------------------------------------------------------------


def test_a_pause_that_keeps_the_period_loses_its_time(shop: Shop) -> None:
    shop.subscribe(shop.plan("Pro", fees=(fee(3100), fee(310, "late", timing="arrears"))))
    shop.at(JANUARY + 10 * DAY).pause()
    shop.at(JANUARY + 20 * DAY).resume()
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[1]) == [("Base", 3100), ("Late", 100), ("Late", 110)]


def test_a_pause_that_shifts_the_period_loses_nothing(shop: Shop) -> None:
    shop.subscribe(shop.plan("Pro", fees=(fee(3100), fee(310, "late", timing="arrears"))))
    shop.at(JANUARY + 10 * DAY).pause(shifts=True)
    shop.at(JANUARY + 50 * DAY).resume()
    shop.advance_to(FEBRUARY + 40 * DAY - SECOND)
    assert totals(shop) == [3100]
    shop.advance_to(FEBRUARY + 40 * DAY)
    assert told(shop.invoices()[1]) == [("Base", 3100), ("Late", 100), ("Late", 210)]


def test_nothing_of_a_pause_that_outlasts_its_period_is_billed(shop: Shop) -> None:
    shop.subscribe(shop.plan("Pro", fees=(fee(2800),), charges=(charge(1),)))
    shop.at(JANUARY + 5 * DAY).use(10)
    shop.at(JANUARY + 10 * DAY).pause()
    shop.at(JANUARY + 40 * DAY).use(1000)
    with pytest.raises(NothingDue):
        shop.advance()
    shop.at(FEBRUARY + 14 * DAY).resume()
    shop.advance()
    assert told(shop.invoices()[1]) == [("Base", 1400), ("Calls", 10)]


def test_a_pause_takes_no_changes_and_can_be_ended_with_all_of_it(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    shop.at(JANUARY + 21 * DAY).pause()
    extra = shop.plan("Extra", fees=(fee(310),))
    with pytest.raises(NotWhilePaused):
        shop.change(quantity=2)
    with pytest.raises(NotWhilePaused):
        shop.add(extra)
    shop.at(FEBRUARY + DAY).cancel()
    assert totals(shop) == [3100, -1000]
    assert shop.state.ended_at == JANUARY + 21 * DAY


# -- ends -------------------------------------------------------------------------------------------


def test_an_end_now_credits_what_is_left_unless_told_otherwise(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    shop.at(JANUARY + 21 * DAY)
    shop.add(shop.plan("Extra", fees=(fee(310),)))
    final = shop.cancel()
    assert told(final.invoice) == [
        ("Remaining time on Extra", 100),
        ("Unused time on Pro", -1000),
        ("Unused time on Extra", -100),
    ]
    assert totals(shop) == [3100, -1000]


def test_an_end_without_credit_bills_what_was_used(shop: Shop) -> None:
    shop.subscribe(shop.plan("Pro", fees=(fee(3100),), charges=(charge(1),)))
    shop.at(JANUARY + 5 * DAY).use(12)
    final = shop.at(JANUARY + 21 * DAY).cancel(credit=False)
    assert told(final.invoice) == [("Calls", 12)]
    assert shop.state.billed_through == FEBRUARY


def test_an_end_with_its_period_credits_nothing(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    assert shop.at(JANUARY + 21 * DAY).cancel(at_period_end=True).invoice is None
    shop.advance_to(MARCH)
    assert totals(shop) == [3100]


def test_what_was_to_end_goes_on_and_what_ended_begins_again(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    shop.cancel(at_period_end=True)
    shop.at(JANUARY + DAY).reactivate()
    shop.advance_to(FEBRUARY)
    assert totals(shop) == [3100, 3100]
    shop.at(FEBRUARY + 14 * DAY).cancel()
    shop.at(MARCH + 5 * DAY).reactivate()
    assert totals(shop) == [3100, 3100, -1550, 3100]
    period = shop.state.period
    assert period is not None
    assert (period.starts_at, period.ends_at) == (MARCH + 5 * DAY, datetime(2027, 4, 6, tzinfo=UTC))


def test_a_closed_account_can_only_end(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    close_account(shop.at(JANUARY + DAY).context, shop.account, "moved away")
    extra = shop.plan("Extra", fees=(fee(310),))
    for command in (lambda: shop.change(quantity=2), lambda: shop.add(extra), shop.reactivate):
        with pytest.raises(AccountClosed):
            command()
    shop.at(JANUARY + 21 * DAY).cancel()
    assert totals(shop) == [3100, -1000]
    with pytest.raises(AccountClosed):
        shop.reactivate()
