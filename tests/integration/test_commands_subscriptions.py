"""Subscriptions from command to journal: started, changed, renewed, ended, each period billed once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from commands.invoicing import pay_invoice, void_invoice
from commands.subscriptions import Wish, advance_subscription, cancel_subscription, change_subscription
from ledger.errors import (
    SubscriptionEnded,
)
from ledger.events.invoice import InvoiceDrafted
from ledger.streams.subscribing import NothingDue
from ledger.streams.subscription import PeriodNotOpen
from tests.acme import (
    NOON,
    Acme,
    a_plan,
    a_subscription,
    acme_on,
    at,
    at_once,
    balances,
    entries,
    events_of,
    interrupted,
    known,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

HALF_WAY = NOON + timedelta(days=14)
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database, pool_size=8) as founded:
        yield founded


def test_subscribing_issues_the_first_invoice_and_posts_it(acme: Acme) -> None:
    subscription, invoice = a_subscription(acme.live)
    assert (subscription.status, subscription.billed_through) == ("active", FEBRUARY_28)
    assert invoice.header is not None
    assert (invoice.header.formatted_number, invoice.header.total) == ("INV-000001", 2900)
    assert (invoice.header.issued_on, invoice.header.due_on) == (date(2027, 1, 31), date(2027, 2, 14))
    assert (invoice.header.buyer_name, invoice.header.buyer_email) == ("Ada", "ada@example.com")
    assert balances(acme) == {"receivable": 2900, "deferred_revenue": -2900}


def test_a_subscription_s_month_is_billed_changed_paid_and_renewed(acme: Acme) -> None:
    subscription, invoice = a_subscription(acme.live)
    team = a_plan(acme.live, 9900, "Team")
    pay_invoice(at(acme.live, HALF_WAY), invoice.draft.invoice, 2900, "USD", "stripe", "pi_1")
    changed = change_subscription(at(acme.live, HALF_WAY), subscription.subscription, Wish(plan=team)).result
    assert changed.invoice is None
    renewed = advance_subscription(at(acme.live, FEBRUARY_28), subscription.subscription).result
    assert renewed.invoice is not None
    lines = known(renewed.invoice).draft.lines
    assert [(line.description, line.amount) for line in lines] == [
        ("Team", 9900),
        ("Unused time on Pro", -1450),
        ("Remaining time on Team", 4950),
    ]
    assert len({line.product for line in lines}) == 2
    assert known(renewed.subscription).pending == ()
    assert balances(acme) == {
        "pending_cash": 2900,
        "receivable": 13_400,
        "deferred_revenue": -16_300,
    }


def test_a_late_renewal_is_written_as_of_the_day_it_was_due(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    late = FEBRUARY_28 + timedelta(days=45)
    first, second = (advance_subscription(at(acme.live, late), subscription.subscription) for _ in range(2))
    issued = [known(done.result.invoice).header.issued_on for done in (first, second)]
    assert issued == [date(2027, 2, 28), date(2027, 3, 31)]
    assert first.position is not None
    (recorded,) = acme.log.at_positions(acme.live.book, [first.position])
    assert (recorded.metadata.occurred_at, recorded.metadata.booked_at) == (FEBRUARY_28, late)
    assert [entry.accounting_date for entry in entries(acme)] == [date(2027, 1, 31), *issued]
    with pytest.raises(NothingDue):
        advance_subscription(at(acme.live, late), subscription.subscription)


def test_a_renewal_told_twice_at_once_is_billed_once(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    answers = at_once(
        lambda n: advance_subscription(at(acme.live, FEBRUARY_28, f"tick {n}"), subscription.subscription),
        range(4),
    )
    assert sum(isinstance(answer, NothingDue) for answer in answers) == 3
    assert sum(isinstance(event, InvoiceDrafted) for event in events_of(acme)) == 2


def test_a_change_that_waits_begins_with_the_next_period(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    yearly = a_plan(acme.live, 29_000, "Yearly", "year")
    change_subscription(
        at(acme.live, HALF_WAY), subscription.subscription, Wish(plan=yearly, at_period_end=True)
    )
    renewed = advance_subscription(at(acme.live, FEBRUARY_28), subscription.subscription).result
    state = known(renewed.subscription)
    assert (state.plan, state.next_plan) == (yearly, None)
    assert state.period.ends_at == datetime(2028, 2, 28, 12, tzinfo=UTC)
    assert known(renewed.invoice).header.total == 29_000


def test_a_subscription_ends_with_its_period_and_is_not_billed_again(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    scheduled = cancel_subscription(at(acme.live, HALF_WAY), subscription.subscription).result
    assert (known(scheduled.subscription).cancels_at, scheduled.invoice) == (FEBRUARY_28, None)
    with pytest.raises(SubscriptionEnded):
        change_subscription(acme.live, subscription.subscription, Wish(plan=a_plan(acme.live)))
    ended = advance_subscription(at(acme.live, FEBRUARY_28), subscription.subscription).result
    assert (known(ended.subscription).status, ended.invoice) == ("cancelled", None)
    with pytest.raises(SubscriptionEnded):
        cancel_subscription(acme.live, subscription.subscription)


@pytest.mark.parametrize("at_period_end", [True, False])
def test_prorations_that_waited_are_billed_when_the_subscription_ends(
    acme: Acme,
    at_period_end: bool,  # noqa: FBT001 - a case
) -> None:
    subscription, _ = a_subscription(acme.live)
    change_subscription(
        at(acme.live, HALF_WAY), subscription.subscription, Wish(plan=a_plan(acme.live, 9900))
    )
    ended = cancel_subscription(
        at(acme.live, HALF_WAY), subscription.subscription, at_period_end=at_period_end, credit=False
    ).result
    if at_period_end:
        assert ended.invoice is None
        ended = advance_subscription(at(acme.live, FEBRUARY_28), subscription.subscription).result
    state, final = known(ended.subscription), known(ended.invoice)
    assert (state.status, state.pending) == ("cancelled", ())
    assert [line.amount for line in final.draft.lines] == [-1450, 4950]
    assert final.header.formatted_number == "INV-000002"
    assert balances(acme)["receivable"] == 2900 + 3500


def test_a_subscription_ends_now_without_credit(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    ended = cancel_subscription(
        at(acme.live, HALF_WAY), subscription.subscription, at_period_end=False, credit=False
    ).result
    assert (known(ended.subscription).ended_at, ended.invoice) == (HALF_WAY, None)
    assert balances(acme) == {"receivable": 2900, "deferred_revenue": -2900}


def test_a_subscription_that_ends_now_is_credited_for_what_is_left(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    ended = cancel_subscription(
        at(acme.live, HALF_WAY), subscription.subscription, at_period_end=False
    ).result
    invoice = known(ended.invoice)
    assert [(line.kind, line.amount) for line in invoice.draft.lines] == [("proration_credit", -1450)]
    assert (invoice.status, invoice.amount_due) == ("paid", 0)
    assert balances(acme) == {"receivable": 2900, "customer_credit": -1450, "deferred_revenue": -1450}


def test_another_interval_now_is_billed_at_once(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    yearly = a_plan(acme.live, 29_000, "Yearly", "year")
    changed = change_subscription(
        at(acme.live, HALF_WAY), subscription.subscription, Wish(plan=yearly)
    ).result
    assert known(changed.subscription).period.ends_at == datetime(2028, 2, 14, 12, tzinfo=UTC)
    assert [line.amount for line in known(changed.invoice).draft.lines] == [29_000, -1450]
    assert balances(acme) == {"receivable": 2900 + 27_550, "deferred_revenue": -30_450}


def test_nothing_changes_between_two_periods(acme: Acme) -> None:
    subscription, _ = a_subscription(acme.live)
    late = at(acme.live, FEBRUARY_28)
    with pytest.raises(PeriodNotOpen):
        change_subscription(late, subscription.subscription, Wish(plan=a_plan(acme.live)))
    with pytest.raises(PeriodNotOpen):
        cancel_subscription(late, subscription.subscription)


def test_a_fee_that_was_taken_back_is_not_credited_by_a_change(acme: Acme) -> None:
    subscription, invoice = a_subscription(acme.live)
    void_invoice(acme.live, invoice.draft.invoice, "a mistake")
    changed = change_subscription(
        at(acme.live, HALF_WAY), subscription.subscription, Wish(plan=a_plan(acme.live, 9900))
    ).result
    assert [one.amount for one in known(changed.subscription).pending] == [0, 4950]


def test_a_fee_that_is_taken_back_while_the_plan_changes_is_not_credited(acme: Acme) -> None:
    subscription, invoice = a_subscription(acme.live)
    team = a_plan(acme.live, 9900)
    context, log = interrupted(
        at(acme.live, HALF_WAY), lambda: void_invoice(acme.live, invoice.draft.invoice, "a mistake")
    )
    changed = change_subscription(context, subscription.subscription, Wish(plan=team)).result
    assert [one.amount for one in known(changed.subscription).pending] == [0, 4950]
    assert log.appends == 2
