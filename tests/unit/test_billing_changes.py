"""Changes of subscriptions in memory, invoice by invoice: plans, seats, intervals, plans beside their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from commands.plans import reprice_plan
from ledger.errors import NotFound
from ledger.events.plan import PlanTerms
from ledger.streams.prorating import IntervalDiffers
from tests.examples import fee
from tests.memory_shop import open_shop, told

if TYPE_CHECKING:
    from tests.memory_shop import Shop

JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC)
MARCH = datetime(2027, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def shop() -> Shop:
    return open_shop()


def pro(shop: Shop, amount: int = 3100) -> str:
    return shop.plan("Pro", fees=(fee(amount),))


def totals(shop: Shop) -> list[int]:
    return [one.header.total if one.header else -1 for one in shop.invoices()]


# -- changes ----------------------------------------------------------------------------------------


def test_seats_are_charged_for_the_rest_and_renewed_in_their_number(shop: Shop) -> None:
    plan = shop.plan("Seats", fees=(fee(3100, per_seat=True),))
    shop.subscribe(plan, quantity=2)
    assert shop.at(JANUARY + 21 * DAY).change(quantity=3).invoice is None
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[1]) == [
        ("Base", 9300),
        ("Unused time on Seats", -2000),
        ("Remaining time on Seats", 3000),
    ]


def test_seats_and_a_plan_that_wait_come_with_the_next_period(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    team = shop.plan("Team", fees=(fee(500, per_seat=True),))
    shop.at(JANUARY + DAY).change(plan=team, quantity=4, at_period_end=True)
    shop.advance_to(FEBRUARY)
    assert totals(shop) == [3100, 2000]


def test_seats_alone_leave_a_plan_that_is_to_come(shop: Shop) -> None:
    shop.subscribe(shop.plan("Seats", fees=(fee(3100, per_seat=True),)))
    team = shop.plan("Team", fees=(fee(500, per_seat=True),))
    shop.change(plan=team, at_period_end=True)
    shop.at(JANUARY + 21 * DAY).change(quantity=2)
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[1])[0] == ("Base", 1000)
    assert (shop.state.plan, shop.state.quantity) == (team, 2)


def test_another_interval_now_begins_a_period_that_is_billed_at_once(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    yearly = shop.plan("Yearly", interval="year", fees=(fee(36_500),))
    changed = shop.at(JANUARY + 21 * DAY).change(plan=yearly)
    assert told(changed.invoice) == [("Base", 36_500), ("Unused time on Pro", -1000)]
    period = shop.state.period
    assert period is not None
    assert (period.starts_at, period.ends_at) == (JANUARY + 21 * DAY, datetime(2028, 1, 22, tzinfo=UTC))


def test_changes_while_the_clock_stands_still_are_each_billed(shop: Shop) -> None:
    yearly = shop.plan("Yearly", interval="year", fees=(fee(36_500),))
    monthly = pro(shop)
    shop.subscribe(monthly)
    shop.change(plan=yearly)
    shop.change(plan=monthly)
    shop.cancel()
    shop.reactivate()
    assert shop.state.status == "active"
    assert len({one.draft.invoice for one in shop.invoices()}) == 5
    lines = shop.lines()
    assert len({line.line for line in lines}) == len(lines)


def test_a_change_may_be_billed_at_once(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    team = shop.plan("Team", fees=(fee(6200),))
    changed = shop.at(JANUARY + 21 * DAY).change(plan=team, at_once=True)
    assert told(changed.invoice) == [("Unused time on Pro", -1000), ("Remaining time on Team", 2000)]
    shop.at(JANUARY + 26 * DAY).change(plan=pro(shop), at_once=True)
    shop.advance_to(FEBRUARY)
    assert totals(shop) == [3100, 1000, -500, 3100]


def test_a_book_may_bill_every_change_at_once() -> None:
    shop = open_shop(change_invoice="immediate")
    shop.subscribe(pro(shop))
    shop.at(JANUARY + 21 * DAY)
    item = shop.add(shop.plan("Extra", fees=(fee(310),)))
    shop.remove(item)
    waiting = shop.change(plan=shop.plan("Team", fees=(fee(6200),)), at_once=False)
    assert waiting.invoice is None
    assert totals(shop) == [3100, 100, -100]


def test_a_change_without_proration_is_never_credited_for_what_it_did_not_charge(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    team = shop.plan("Team", fees=(fee(62_000),))
    shop.at(JANUARY + DAY).change(plan=team, prorates=False)
    shop.at(JANUARY + 2 * DAY).cancel()
    assert totals(shop) == [3100, -3100]


def test_a_price_version_can_be_asked_for_alone(shop: Shop) -> None:
    plan = pro(shop)
    shop.subscribe(plan)
    reprice_plan(shop.context, plan, PlanTerms(interval="month", fees=(fee(6200),)))
    shop.at(JANUARY + 21 * DAY)
    shop.change(plan=plan)
    assert not shop.state.pending
    shop.change(price_version=2)
    assert sum(one.amount for one in shop.state.pending) == 1000
    shop.advance_to(FEBRUARY)
    assert totals(shop) == [3100, 7200]


# -- plans beside it --------------------------------------------------------------------------------


def test_plans_beside_it_come_and_go_in_its_periods(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    shop.at(JANUARY + 21 * DAY)
    item = shop.add(shop.plan("Extra", fees=(fee(310, per_seat=True),)), quantity=2)
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[1]) == [("Base", 3100), ("Base", 620), ("Remaining time on Extra", 200)]
    shop.at(FEBRUARY + 14 * DAY).remove(item)
    shop.advance_to(MARCH)
    assert told(shop.invoices()[2]) == [("Base", 3100), ("Unused time on Extra", -310)]
    with pytest.raises(NotFound):
        shop.remove(item)


def test_a_subscription_with_plans_beside_it_keeps_its_interval(shop: Shop) -> None:
    shop.subscribe(pro(shop))
    item = shop.add(shop.plan("Extra", fees=(fee(310),)))
    yearly = shop.plan("Yearly", interval="year", fees=(fee(36_500),))
    with pytest.raises(IntervalDiffers):
        shop.change(plan=yearly)
    shop.remove(item)
    assert shop.change(plan=yearly).invoice is not None
