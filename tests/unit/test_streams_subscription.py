"""What a subscription remembers: stretches of its periods, what was charged, and what is still to bill."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from ledger.errors import NotFound, SubscriptionEnded
from ledger.events.subscription import (
    AddOnAdded,
    AddOnRemoved,
    CancellationScheduled,
    PeriodOpened,
    PlanChanged,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
    UsageBilled,
)
from ledger.streams import subscription as subscriptions
from ledger.streams.subscribing import Beginning, advance, subscribe
from ledger.streams.subscription import CHARGE, CREDIT, FEE, Charged, PeriodNotOpen, line_id
from tests.examples import ADA, NOON, PRO, TEAM, example_book, example_id
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from typing import Any

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.subscription import Subscription

given = Rules(subscriptions.evolve).given
SUB = example_id("sub")
NAMES: dict[str, Any] = {"subscription": SUB, "account": ADA.account}
BOOK = example_book()
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
HALF_WAY = NOON + timedelta(days=14)
LATER = NOON + timedelta(days=21)
STARTED = tuple(subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON, quantity=2), NOON))
PERIOD = next(event.period for event in STARTED if isinstance(event, PeriodOpened))
ITEM = given(*STARTED).state.item
FEE_LINE = line_id(ITEM, PERIOD, FEE, 1)
SEATS = PlanChanged(
    **NAMES, from_plan=PRO.plan, to_plan=PRO.plan, price_version=1, effective_at=HALF_WAY, quantity=5
)
MOVED = PlanChanged(
    **NAMES, from_plan=PRO.plan, to_plan=TEAM.plan, price_version=1, effective_at=LATER, quantity=None
)
ADDED = AddOnAdded(**NAMES, item="item_2", plan=TEAM.plan, price_version=1, quantity=3, effective_at=HALF_WAY)
ENDED = SubscriptionCancelled(**NAMES, ended_at=LATER)


def proration(sequence: int, kind: str, amount: int, **more: Any) -> ProrationAdded:
    facts: dict[str, Any] = {
        "plan": PRO.plan,
        "price_version": 1,
        "policy_version": 1,
        "period": PERIOD,
        "service_from": HALF_WAY,
        "service_to": FEBRUARY_28,
        "currency": "USD",
        "adjusts_line": FEE_LINE if kind == CREDIT else None,
        "quantity": 5,
    }
    return ProrationAdded(**NAMES, sequence=sequence, kind=kind, amount=amount, **{**facts, **more})


def billed(invoice: str | None, through: int = 0, **more: Any) -> SubscriptionBilled:
    facts: dict[str, Any] = {"billed_through": FEBRUARY_28, "fee_line": FEE_LINE}
    return SubscriptionBilled(**NAMES, invoice=invoice, prorations_through=through, **{**facts, **more})


def usage(charge: str = "calls", item: str = ITEM, **more: Any) -> UsageBilled:
    facts: dict[str, Any] = {
        "plan": PRO.plan,
        "price_version": 1,
        "policy_version": 1,
        "period": PERIOD,
        "service_from": NOON,
        "service_to": FEBRUARY_28,
        "through_position": 9,
        "events": 2,
        "quantity": Decimal(7),
        "rated": 70,
    }
    return UsageBilled(item=item, charge=charge, **{**facts, **more})


def stretches(state: Subscription) -> list[tuple[str, str, int, datetime, datetime]]:
    return [(one.item, one.plan, one.quantity, one.from_at, one.to_at) for one in state.stretches]


def renewed(*events: SubscriptionEvent) -> tuple[SubscriptionEvent, ...]:
    return (
        *events,
        *given(*events).when(lambda state: advance(state, ADA, PRO, PRO, BOOK, FEBRUARY_28)).events,
    )


# -- stretches --------------------------------------------------------------------------------------


def test_a_change_closes_a_stretch_of_its_item() -> None:
    state = given(*STARTED, SEATS, MOVED).state
    assert stretches(state) == [(ITEM, PRO.plan, 2, NOON, HALF_WAY), (ITEM, PRO.plan, 5, HALF_WAY, LATER)]
    assert (state.plan, state.quantity, state.first.since) == (TEAM.plan, 5, LATER)


def test_two_changes_at_once_leave_no_stretch_between_them() -> None:
    again = replace(MOVED, effective_at=HALF_WAY)
    assert len(given(*STARTED, SEATS, again).state.stretches) == 1


def test_an_added_plan_has_stretches_of_its_own() -> None:
    removed = AddOnRemoved(**NAMES, item="item_2", effective_at=LATER)
    state = given(*STARTED, ADDED, removed).state
    assert stretches(state) == [("item_2", TEAM.plan, 3, HALF_WAY, LATER)]
    assert [one.item for one in state.items] == [ITEM]


def test_when_the_next_period_opens_the_stretches_of_the_last_one_wait_to_be_billed() -> None:
    state = given(*renewed(*STARTED, SEATS, ADDED)).state
    assert state.stretches == ()
    assert [(one.item, one.from_at, one.to_at, one.period.period) for one in state.unbilled] == [
        (ITEM, NOON, HALF_WAY, PERIOD),
        (ITEM, HALF_WAY, FEBRUARY_28, PERIOD),
        ("item_2", HALF_WAY, FEBRUARY_28, PERIOD),
    ]
    assert {one.since for one in state.items} == {FEBRUARY_28}


def test_the_end_closes_what_is_open_of_the_period() -> None:
    told = [(one.from_at, one.to_at) for one in given(*STARTED, ENDED).state.unbilled]
    assert told == [(NOON, LATER)]


def test_nothing_of_a_trial_waits_to_be_billed() -> None:
    trial = tuple(subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON, trial_days=28), NOON))
    assert given(*renewed(*trial, SEATS)).state.unbilled == ()


# -- what was charged -------------------------------------------------------------------------------


def test_a_period_charges_every_item_by_its_fee() -> None:
    state = given(*renewed(*STARTED, SEATS, ADDED)).state
    period = subscriptions.last_period(state).period
    assert [one.charged for one in state.items] == [
        Charged(line_id(one.item, period, FEE, 1), FEBRUARY_28, one.plan, 1, one.quantity)
        for one in state.items
    ]


def test_a_charge_for_the_rest_of_a_period_is_what_is_credited_next() -> None:
    credit, charge = proration(1, CREDIT, -1450), proration(2, CHARGE, 7250, item=ITEM)
    state = given(*STARTED, SEATS, credit, charge).state
    line = line_id(ITEM, PERIOD, CHARGE, 2)
    assert state.charged == Charged(line, HALF_WAY, PRO.plan, 1, 5, 7250)
    assert (state.pending, state.prorations) == ((credit, charge), 2)


def test_a_change_without_prorations_leaves_what_was_charged_as_it_was() -> None:
    state = given(*STARTED, SEATS).state
    assert (state.charged, state.quantity) == (Charged(FEE_LINE, NOON, PRO.plan, 1, 2), 5)


def test_what_was_charged_is_on_the_first_invoice_that_billed_it() -> None:
    state = given(*STARTED, billed("inv_1"), billed("inv_2")).state
    assert state.charged is not None
    assert state.charged.invoice == "inv_1"
    charge = proration(1, CHARGE, 7250)
    waiting = given(*STARTED, billed("inv_1"), charge, billed("inv_2")).state
    assert waiting.charged is not None
    assert waiting.charged.invoice is None
    taken = given(*STARTED, billed("inv_1"), charge, billed("inv_2", 1)).state
    assert taken.charged is not None
    assert taken.charged.invoice == "inv_2"


def test_a_credit_knows_the_invoice_of_the_line_it_adjusts_until_it_is_billed_itself() -> None:
    events = (*STARTED, billed("inv_1"), proration(1, CREDIT, -1450), proration(2, CHARGE, 7250))
    assert given(*events).state.adjusted == {FEE_LINE: "inv_1"}
    assert given(*events, billed("inv_2", 2)).state.adjusted == {}


# -- what was billed --------------------------------------------------------------------------------


def test_an_invoice_takes_the_prorations_it_says_and_leaves_later_ones_waiting() -> None:
    events = (*STARTED, proration(1, CREDIT, -1450), proration(2, CHARGE, 7250))
    assert [one.sequence for one in given(*events, billed("inv_1", 1)).state.pending] == [2]


def test_nothing_of_a_period_is_billed_twice() -> None:
    state = given(*renewed(*STARTED), billed("inv_1", usage=(usage(),))).state
    assert state.unbilled == ()
    assert [one.rated for one in state.usage] == [70]
    assert [(one.from_at, one.to_at) for one in state.billed] == [(NOON, FEBRUARY_28)]


def test_stretches_without_usage_are_not_kept() -> None:
    assert given(*renewed(*STARTED), billed("inv_1")).state.billed == ()


def test_more_usage_of_a_stretch_takes_the_place_of_what_was_known_of_it() -> None:
    more = usage(rated=90, through_position=20)
    other = usage("storage")
    state = given(
        *renewed(*STARTED), billed("inv_1", usage=(usage(), other)), billed("inv_2", usage=(more,))
    ).state
    assert state.usage == (more, other)
    assert len(state.billed) == 1


def test_the_invoice_that_billed_usage_last_is_known_whatever_was_billed_since() -> None:
    state = given(*renewed(*STARTED), billed("inv_1", usage=(usage(),)), billed("inv_2")).state
    assert (state.metered_invoice, state.invoice) == ("inv_1", "inv_2")


def test_a_set_up_fee_is_remembered() -> None:
    state = given(*STARTED, billed("inv_1", setup_fee=True), billed("inv_2")).state
    assert state.setup_billed


def test_what_was_billed_without_an_invoice_leaves_the_last_one_in_place() -> None:
    assert given(*STARTED, billed("inv_1"), billed(None)).state.invoice == "inv_1"


# -- what is there ----------------------------------------------------------------------------------


def test_what_is_not_there_has_ended_or_is_set_to_end_is_refused() -> None:
    ending = CancellationScheduled(**NAMES, cancels_at=FEBRUARY_28)
    with pytest.raises(NotFound):
        subscriptions.require(None)
    with pytest.raises(SubscriptionEnded):
        subscriptions.require_alive(given(*STARTED, ENDED).state)
    with pytest.raises(SubscriptionEnded, match="ends at 2027-02-28T12:00:00Z"):
        subscriptions.require_changeable(given(*STARTED, ending).state)
    assert subscriptions.require_alive(given(*STARTED, ending).state).cancels_at == FEBRUARY_28


def test_an_item_that_is_not_there_is_refused() -> None:
    state = given(*STARTED, ADDED).state
    assert subscriptions.item_of(state, "item_2").quantity == 3
    with pytest.raises(NotFound):
        subscriptions.item_of(state, "item_3")


def test_there_is_no_present_period_before_the_first_and_after_the_last_that_was_opened() -> None:
    to_come = subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=HALF_WAY), NOON)
    with pytest.raises(PeriodNotOpen, match="begins at 2027-02-14"):
        subscriptions.period_now(given(*to_come).state, NOON)
    with pytest.raises(PeriodNotOpen, match="ended at 2027-02-28"):
        subscriptions.period_now(given(*STARTED).state, FEBRUARY_28)
    assert subscriptions.period_now(given(*STARTED).state, HALF_WAY).period == PERIOD
