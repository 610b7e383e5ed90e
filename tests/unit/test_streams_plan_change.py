"""The rules of changing a subscription's plan, and what a change credits and charges."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.errors import CurrencyConflict, NotFound, SubscriptionEnded
from ledger.events.subscription import (
    CancellationScheduled,
    PeriodOpened,
    PlanChanged,
    PlanChangeScheduled,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
)
from ledger.streams import subscription as subscriptions
from ledger.streams.plan_change import Change, IntervalDiffers, change_plan
from ledger.streams.subscription import CHARGE, CREDIT, FEE, PeriodNotOpen, line_id
from tests.examples import ADA, FREE, NOON, PRO, PRO_IN_EURO, PRO_YEARLY, TEAM, example_book, example_id
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.plan import Plan
    from ledger.streams.subscription import Subscription

given = Rules(subscriptions.evolve).given
BOOK = example_book()
SUB = example_id("sub")
NAMES = {"subscription": SUB, "account": ADA.account}
STARTED = tuple(subscriptions.subscribe(SUB, ADA, PRO, BOOK, NOON))
(PERIOD,) = (event for event in STARTED if isinstance(event, PeriodOpened))
ENDS_AT = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
HALF_WAY = NOON + timedelta(days=14)
ITEM = given(*STARTED).state.item
FEE_LINE = line_id(ITEM, PERIOD.period, FEE, 1)


def ask(
    new: Plan,
    now: datetime = HALF_WAY,
    old: Plan = PRO,
    *,
    at_period_end: bool = False,
    fee_is_void: bool = False,
) -> Callable[[Subscription | None], Sequence[SubscriptionEvent]]:
    change = Change(old=old, new=new, book=BOOK, now=now, fee_is_void=fee_is_void)
    return lambda state: change_plan(state, change, at_period_end=at_period_end)


def changed(old: Plan, new: Plan, at: datetime = HALF_WAY) -> PlanChanged:
    return PlanChanged(
        **NAMES, from_plan=old.plan, to_plan=new.plan, price_version=1, effective_at=at, anchor=None
    )


def proration(
    sequence: int, plan: Plan, amount: int, adjusts: str | None = None, at: datetime = HALF_WAY
) -> ProrationAdded:
    return ProrationAdded(
        **NAMES,
        sequence=sequence,
        kind=CHARGE if sequence % 2 == 0 else CREDIT,
        plan=plan.plan,
        price_version=1,
        policy_version=1,
        period=PERIOD.period,
        service_from=at,
        service_to=ENDS_AT,
        amount=amount,
        currency="USD",
        adjusts_line=adjusts,
    )


def scheduled(to: Plan) -> PlanChangeScheduled:
    return PlanChangeScheduled(**NAMES, to_plan=to.plan, price_version=1, effective_at=ENDS_AT)


UPGRADED = (
    *STARTED,
    changed(PRO, TEAM),
    proration(1, PRO, -1450, FEE_LINE),
    proration(2, TEAM, 4950),
)


def test_an_upgrade_half_way_credits_half_the_old_fee_and_charges_half_the_new() -> None:
    outcome = given(*STARTED).when(ask(TEAM)).then(*UPGRADED[2:])
    assert [one.amount for one in outcome.state.pending] == [-1450, 4950]
    assert outcome.state.plan == TEAM.plan


def test_a_downgrade_credits_more_than_it_charges() -> None:
    amounts = [one.amount for one in given(*STARTED).when(ask(FREE)).state.pending]
    assert amounts == [-1450, 0]


def test_a_change_takes_effect_on_a_whole_second() -> None:
    now = HALF_WAY + timedelta(microseconds=999_999)
    given(*STARTED).when(ask(TEAM, now)).then(*UPGRADED[2:])


def test_a_change_in_the_last_second_of_a_period_is_prorated_by_that_second() -> None:
    now = ENDS_AT - timedelta(microseconds=1)
    state = given(*STARTED).when(ask(TEAM, now)).state
    assert [one.service_from for one in state.pending] == [ENDS_AT - timedelta(seconds=1)] * 2
    assert [one.amount for one in state.pending] == [0, 0]


def test_a_second_change_credits_what_the_first_one_charged_and_adjusts_its_line() -> None:
    later = HALF_WAY + timedelta(days=7)
    given(*UPGRADED).when(ask(PRO, later, old=TEAM)).then(
        changed(TEAM, PRO, later),
        proration(3, TEAM, -2475, line_id(ITEM, PERIOD.period, CHARGE, 2), later),
        proration(4, PRO, 725, at=later),
    )


def test_changing_there_and_back_at_once_costs_nothing() -> None:
    state = given(*UPGRADED).when(ask(PRO, HALF_WAY, old=TEAM)).state
    assert sum(one.amount for one in state.pending) == 0


def test_a_change_by_a_slow_clock_is_not_before_the_change_before_it() -> None:
    by_a_slow_clock = HALF_WAY - timedelta(seconds=3)
    state = given(*UPGRADED).when(ask(PRO, by_a_slow_clock, old=TEAM)).state
    assert [(one.amount, one.service_from) for one in state.pending[2:]] == [
        (-4950, HALF_WAY),
        (1450, HALF_WAY),
    ]


def test_a_fee_whose_invoice_was_made_void_is_not_credited() -> None:
    state = given(*STARTED).when(ask(TEAM, fee_is_void=True)).state
    assert [one.amount for one in state.pending] == [0, 4950]


def test_a_void_fee_does_not_take_the_credit_of_a_later_charge() -> None:
    state = given(*UPGRADED).when(ask(PRO, HALF_WAY, old=TEAM, fee_is_void=True)).state
    assert state.pending[2].amount == -4950


def test_a_new_period_credits_its_own_fee_again() -> None:
    book_it = SubscriptionBilled(
        **NAMES, invoice="inv_1", billed_through=ENDS_AT, prorations_through=2, fee_line=FEE_LINE
    )
    renewed = given(*UPGRADED, book_it).when(
        lambda state: subscriptions.renew(state, ADA, TEAM, TEAM, BOOK, ENDS_AT)
    )
    next_period = renewed.events[0]
    assert isinstance(next_period, PeriodOpened)
    outcome = given(*UPGRADED, book_it, *renewed.events).when(ask(PRO, ENDS_AT, old=TEAM))
    credit, charge = outcome.state.pending
    assert (credit.amount, charge.amount) == (-9900, 2900)
    assert credit.adjusts_line == line_id(ITEM, next_period.period, FEE, 1)
    assert (credit.sequence, charge.sequence) == (3, 4)


def test_an_invoice_takes_the_prorations_it_says_and_leaves_later_ones_waiting() -> None:
    billed = SubscriptionBilled(
        **NAMES, invoice="inv_1", billed_through=ENDS_AT, prorations_through=1, fee_line=FEE_LINE
    )
    assert [one.sequence for one in given(*UPGRADED, billed).state.pending] == [2]


# -- changes that wait for the period's end ---------------------------------------------------------


def test_a_change_can_wait_for_the_period_s_end() -> None:
    state = given(*STARTED).when(ask(TEAM, at_period_end=True)).then(scheduled(TEAM)).state
    assert (state.plan, state.next_plan, state.pending) == (PRO.plan, TEAM.plan, ())


def test_asking_again_for_the_same_change_changes_nothing() -> None:
    given(*STARTED, scheduled(TEAM)).when(ask(TEAM, at_period_end=True)).then_nothing()


def test_another_change_replaces_the_one_that_was_scheduled() -> None:
    outcome = given(*STARTED, scheduled(TEAM)).when(ask(FREE, at_period_end=True)).then(scheduled(FREE))
    assert outcome.state.next_plan == FREE.plan


def test_a_change_that_was_scheduled_can_be_made_at_once() -> None:
    state = given(*STARTED, scheduled(TEAM)).when(ask(TEAM)).then(*UPGRADED[2:]).state
    assert (state.plan, state.next_plan) == (TEAM.plan, None)


def test_a_change_at_once_to_a_third_plan_drops_the_one_that_was_scheduled() -> None:
    assert given(*STARTED, scheduled(TEAM)).when(ask(FREE)).state.next_plan is None


@pytest.mark.parametrize("at_period_end", [True, False])
def test_asking_for_the_present_plan_takes_the_scheduled_change_back_and_costs_nothing(
    at_period_end: bool,  # noqa: FBT001 - a case
) -> None:
    outcome = given(*STARTED, scheduled(TEAM)).when(ask(PRO, at_period_end=at_period_end))
    state = outcome.then(scheduled(PRO)).state
    assert (state.plan, state.next_plan, state.next_price_version, state.pending) == (
        PRO.plan,
        None,
        None,
        (),
    )


@pytest.mark.parametrize("at_period_end", [True, False])
def test_changing_to_the_present_plan_changes_nothing(at_period_end: bool) -> None:  # noqa: FBT001 - a case
    given(*STARTED).when(ask(PRO, at_period_end=at_period_end)).then_nothing()


def test_a_plan_of_another_interval_can_only_begin_with_a_period() -> None:
    given(*STARTED).when(ask(PRO_YEARLY)).refused_with(IntervalDiffers)
    given(*STARTED).when(ask(PRO_YEARLY, at_period_end=True)).then(scheduled(PRO_YEARLY))


# -- changes that are refused -----------------------------------------------------------------------


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_plan_in_another_currency_is_refused(at_period_end: bool) -> None:  # noqa: FBT001 - a case
    given(*STARTED).when(ask(PRO_IN_EURO, at_period_end=at_period_end)).refused_with(CurrencyConflict)


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_change_after_the_period_and_before_the_next_must_wait(at_period_end: bool) -> None:  # noqa: FBT001 - a case
    given(*STARTED).when(ask(TEAM, ENDS_AT, at_period_end=at_period_end)).refused_with(PeriodNotOpen)


@pytest.mark.parametrize(
    "end", [CancellationScheduled(**NAMES, cancels_at=ENDS_AT), SubscriptionCancelled(**NAMES, ended_at=NOON)]
)
def test_a_subscription_that_ends_takes_no_more_changes(end: SubscriptionEvent) -> None:
    given(*STARTED, end).when(ask(TEAM)).refused_with(SubscriptionEnded)


def test_an_unknown_subscription_cannot_change() -> None:
    given().when(ask(TEAM)).refused_with(NotFound)


def test_a_price_that_rises_later_does_not_raise_the_credit() -> None:
    dearer = replace(TEAM, amount=99_000)
    state = given(*UPGRADED).when(ask(FREE, HALF_WAY, old=dearer)).state
    assert state.pending[2].amount == -4950
