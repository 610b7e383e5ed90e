"""Usage billed in memory: stretches, late usage, grace, drafts that are put together again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from commands.billing import settle_draft
from commands.explaining import recompute
from ledger.events.invoice import InvoiceDrafted
from ledger.meters import MeterFilter
from ledger.prices import Price
from tests.examples import charge, fee, graduated
from tests.memory_shop import open_shop, told

if TYPE_CHECKING:
    from tests.memory_shop import Shop

JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC)
MARCH = datetime(2027, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TIERS = graduated((100, 2), (None, 1))


@pytest.fixture
def shop() -> Shop:
    return open_shop()


@pytest.fixture
def graceful() -> Shop:
    return open_shop(grace_hours="48")


def calls(shop: Shop, amount: int = 0, price: Price | int = TIERS, name: str = "Calls") -> str:
    fees = (fee(amount),) if amount else ()
    return shop.plan(name, fees=fees, charges=(charge(price),))


def statuses(shop: Shop) -> list[str]:
    return [one.status for one in shop.invoices()]


def check_again(shop: Shop) -> None:
    """Every invoice comes out the same when it is put together again from the log."""
    for one in shop.invoices():
        assert recompute(shop.context, one.draft.invoice).differences == ()


# -- stretches --------------------------------------------------------------------------------------


def test_usage_is_billed_tier_by_tier_when_its_period_is_over(shop: Shop) -> None:
    shop.subscribe(calls(shop, 1000))
    shop.at(JANUARY + DAY).use(60)
    shop.at(FEBRUARY - HOUR).use(90)
    shop.at(FEBRUARY).use(5)
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[1]) == [
        ("Base", 1000),
        ("Calls, 0 to 100", 200),
        ("Calls, 100 to 150", 50),
    ]
    shop.advance_to(MARCH)
    assert told(shop.invoices()[2])[1:] == [("Calls, 0 to 5", 10)]
    check_again(shop)


def test_seats_leave_tiers_whole_and_another_plan_begins_its_own(shop: Shop) -> None:
    shop.subscribe(calls(shop))
    shop.at(JANUARY + DAY).use(60)
    shop.at(JANUARY + 10 * DAY).change(quantity=3)
    shop.at(JANUARY + 11 * DAY).use(60)
    shop.at(JANUARY + 20 * DAY).change(plan=calls(shop, price=10, name="Dear"))
    shop.at(JANUARY + 21 * DAY).use(60)
    shop.advance_to(FEBRUARY)
    usage = [line for line in shop.lines() if line.kind == "usage"]
    assert [(line.description, line.amount, line.service_from) for line in usage] == [
        ("Calls, 0 to 100", 200, JANUARY),
        ("Calls, 100 to 120", 20, JANUARY),
        ("Calls", 600, JANUARY + 20 * DAY),
    ]
    check_again(shop)


def test_an_added_plan_bills_usage_from_when_it_was_added_to_when_it_is_taken_away(shop: Shop) -> None:
    shop.subscribe(shop.plan("Pro", fees=(fee(1000),)))
    shop.use(1)
    shop.at(JANUARY + 5 * DAY)
    item = shop.add(calls(shop, price=1))
    shop.at(JANUARY + 6 * DAY).use(10)
    shop.at(JANUARY + 7 * DAY).remove(item)
    shop.use(100)
    shop.advance_to(FEBRUARY)
    (line,) = [line for line in shop.lines() if line.kind == "usage"]
    assert (line.amount, line.subscription_item) == (10, item)
    assert (line.service_from, line.service_to) == (JANUARY + 5 * DAY, JANUARY + 7 * DAY)


def test_each_group_of_a_meter_is_billed_apart(shop: Shop) -> None:
    shop.meter("api_calls", group_by=("region",), filters=(MeterFilter(property="ok", values=("true",)),))
    shop.subscribe(calls(shop))
    shop.use(150, region="eu", ok=True)
    shop.use(100, region="us", ok=True)
    shop.use(9, region="us", ok=False)
    shop.use(1, ok=True)
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[0]) == [
        ("Calls, 0 to 1", 2),
        ("Calls, eu, 0 to 100", 200),
        ("Calls, eu, 100 to 150", 50),
        ("Calls, us, 0 to 100", 200),
    ]
    check_again(shop)


def test_a_price_that_looks_at_each_event_sees_them(shop: Shop) -> None:
    price = Price(model="percentage", currency="USD", rate=Decimal(10), free_events=1, event_max=Decimal(100))
    shop.subscribe(calls(shop, price=price))
    for quantity in (5000, 200, 3000):
        shop.use(quantity)
    shop.advance_to(FEBRUARY)
    assert told(shop.invoices()[0]) == [("Calls", 320), ("Calls, maximum for each event", -200)]
    shop.use(400, occurred_at=JANUARY + DAY)
    shop.advance_to(MARCH)
    assert told(shop.invoices()[1]) == [("Calls, usage that came late", 40)]
    check_again(shop)


# -- late usage -------------------------------------------------------------------------------------


def test_usage_that_comes_late_is_billed_with_the_next_period(shop: Shop) -> None:
    shop.subscribe(calls(shop, 1000))
    shop.at(JANUARY + DAY).use(90)
    shop.advance_to(FEBRUARY + DAY)
    shop.use(20, occurred_at=FEBRUARY - HOUR)
    shop.use(7)
    shop.advance_to(MARCH)
    assert told(shop.invoices()[2]) == [
        ("Base", 1000),
        ("Calls, 0 to 7", 14),
        ("Calls, usage that came late", 30),
    ]
    late = shop.invoices()[2].draft.lines[-1]
    assert late.adjusts_line == shop.invoices()[1].draft.lines[1].line
    shop.advance_to(datetime(2027, 4, 1, tzinfo=UTC))
    assert told(shop.invoices()[3]) == [("Base", 1000)]
    check_again(shop)


def test_a_plan_of_usage_alone_without_usage_has_no_invoice_until_some_comes_late(shop: Shop) -> None:
    shop.subscribe(calls(shop))
    shop.advance_to(FEBRUARY)
    assert (shop.invoices(), shop.state.billed_through) == ([], MARCH)
    shop.use(10, occurred_at=FEBRUARY - HOUR)
    shop.advance_to(MARCH)
    assert told(shop.invoices()[0]) == [("Calls, usage that came late", 20)]
    shop.use(5, occurred_at=FEBRUARY - HOUR)
    shop.advance_to(datetime(2027, 4, 1, tzinfo=UTC))
    (line,) = shop.invoices()[1].draft.lines
    assert (line.amount, line.adjusts_line) == (10, shop.invoices()[0].draft.lines[0].line)
    check_again(shop)


def test_what_was_admitted_since_usage_was_last_billed_is_looked_for_and_nothing_older(shop: Shop) -> None:
    shop.subscribe(calls(shop))
    for month in (2, 3, 4, 5):
        shop.advance_to(datetime(2027, month, 1, tzinfo=UTC))
        # Admitted just after the period was billed, and as old as may be admitted.
        oldest = shop.now - timedelta(seconds=shop.context.settings.usage_max_past_seconds)
        shop.use(month, occurred_at=max(JANUARY, oldest))
    shop.advance_to(datetime(2027, 6, 1, tzinfo=UTC))
    late = [(line.description, line.quantity) for line in shop.lines()]
    assert late == [("Calls, usage that came late", text) for text in ("2", "3", "4", "5")]
    (last,) = [one for one in shop.of(InvoiceDrafted) if one.due_at == shop.now]
    assert last.late_since == datetime(2027, 5, 1, tzinfo=UTC) - timedelta(days=42)
    check_again(shop)


def test_the_end_bills_what_came_late_too(shop: Shop) -> None:
    shop.subscribe(calls(shop))
    shop.at(JANUARY + DAY).use(100)
    shop.advance_to(FEBRUARY + DAY)
    shop.use(5, occurred_at=FEBRUARY - HOUR)
    shop.use(3)
    final = shop.at(shop.now + HOUR).cancel()
    assert told(final.invoice) == [("Calls, 0 to 3", 6), ("Calls, usage that came late", 5)]
    check_again(shop)


# -- grace ------------------------------------------------------------------------------------------


def test_a_draft_takes_late_usage_in_until_its_grace_is_over(graceful: Shop) -> None:
    shop = graceful
    shop.subscribe(calls(shop, 1000))
    assert statuses(shop) == ["open"]
    shop.at(JANUARY + DAY).use(90)
    shop.advance_to(FEBRUARY)
    assert (statuses(shop), shop.invoices()[1].draft.finalizes_at) == (["open", "draft"], FEBRUARY + 2 * DAY)
    shop.at(FEBRUARY + DAY).use(20, occurred_at=FEBRUARY - HOUR)
    shop.advance_to(FEBRUARY + 2 * DAY)
    invoice = shop.invoices()[1]
    assert told(invoice) == [("Base", 1000), ("Calls, 0 to 100", 200), ("Calls, 100 to 110", 10)]
    assert invoice.header is not None
    assert (invoice.header.total, invoice.header.issued_on.isoformat()) == (1210, "2027-02-03")
    shop.use(1, occurred_at=FEBRUARY - HOUR)
    shop.advance_to(MARCH)
    assert told(shop.invoices()[2])[1:] == [("Calls, usage that came late", 1)]
    check_again(shop)


def test_a_draft_that_nothing_came_for_is_finalized_as_it_is(graceful: Shop) -> None:
    shop = graceful
    shop.subscribe(calls(shop))
    shop.use(5)
    shop.advance_to(FEBRUARY + 3 * DAY)
    assert len(shop.of(InvoiceDrafted)) == 1
    assert statuses(shop) == ["open"]
    settle_draft(shop.context, shop.invoices()[0].draft.invoice)
    assert [one.header.number for one in shop.invoices() if one.header] == [1]


@pytest.mark.parametrize("what", ["advance", "cancel", "interval", "reactivate"])
def test_a_draft_is_settled_before_anything_else_is_billed(what: str) -> None:
    shop = open_shop(grace_hours="720")
    yearly = shop.plan("Yearly", interval="year", fees=(fee(100),), charges=(charge(TIERS),))
    shop.subscribe(calls(shop))
    shop.use(90)
    shop.at(FEBRUARY).advance()
    shop.at(FEBRUARY + DAY).use(20, occurred_at=JANUARY + DAY)
    # A change that is billed at once bills no usage: the draft goes on waiting.
    shop.change(quantity=2, at_once=True)
    assert statuses(shop)[0] == "draft"
    if what == "advance":
        shop.at(MARCH).advance()
    elif what == "interval":
        shop.change(plan=yearly)
    else:
        shop.cancel()
        if what == "reactivate":
            shop.reactivate()
    first = shop.invoices()[0]
    assert told(first) == [("Calls, 0 to 100", 200), ("Calls, 100 to 110", 10)]
    assert first.header is not None
    assert first.header.issued_on.isoformat() <= shop.now.date().isoformat()
    usage = [line for line in shop.lines() if line.usage is not None]
    assert sum(line.amount for line in usage) == 210
    check_again(shop)


def test_a_draft_is_not_finalized_after_what_is_billed_next() -> None:
    shop = open_shop(grace_hours="720")
    weekly = shop.plan("Weekly", interval="week", charges=(charge(1),))
    shop.subscribe(weekly)
    for week in range(3):
        shop.at(JANUARY + week * timedelta(days=7)).use(1)
    # The scheduler was away for three weeks; what it does happened when it was due.
    shop.at(JANUARY + 22 * DAY)
    for _ in range(3):
        shop.advance()
    issued = [one.header.issued_on.isoformat() for one in shop.invoices() if one.header]
    assert issued == ["2027-01-15", "2027-01-22"]
    assert statuses(shop) == ["open", "open", "draft"]


def test_a_draft_keeps_the_rules_of_the_day_it_bills(graceful: Shop) -> None:
    shop = graceful
    shop.subscribe(calls(shop, 3100))
    shop.use(1)
    shop.redeem(shop.coupon(amounts_off={"USD": 100}))
    shop.advance_to(FEBRUARY)
    shop.adopt("lago")
    shop.at(FEBRUARY + HOUR).use(1, occurred_at=JANUARY + DAY)
    shop.advance_to(FEBRUARY + 2 * DAY)
    invoice = shop.invoices()[1]
    assert (invoice.draft.policy_version, invoice.status) == (2, "open")
    assert [line.policy_version for line in invoice.draft.lines] == [2, 2]
    check_again(shop)


def test_a_coupon_that_a_draft_takes_off_counts_once_however_often_it_is_drafted(graceful: Shop) -> None:
    shop = graceful
    shop.subscribe(calls(shop), coupon=shop.coupon(percent_off=Decimal(50)))
    shop.use(10)
    shop.advance_to(FEBRUARY)
    shop.use(10, occurred_at=JANUARY + DAY)
    shop.advance_to(FEBRUARY + 3 * DAY)
    shop.use(10)
    shop.advance_to(MARCH + 3 * DAY)
    assert [one.header.total for one in shop.invoices() if one.header] == [20, 20]
    assert len(shop.state.discounts[0].invoices) == 1
    check_again(shop)
