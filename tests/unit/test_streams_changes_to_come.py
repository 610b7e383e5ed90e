"""The rules of changes that wait for the period's end, and of those that begin a period of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.events.subscription import AddOnAdded, PeriodOpened, PlanChanged
from ledger.streams.prorating import IntervalDiffers
from ledger.streams.subscribing import Beginning, advance, subscribe
from ledger.streams.subscription import CREDIT
from tests.examples import (
    ADA,
    FREE,
    NOON,
    PRO,
    PRO_WEEKLY,
    PRO_YEARLY,
    TEAM,
    book_under,
    example_plan,
    fee,
)
from tests.unit.test_streams_changes import (
    BOOK,
    ENDS_AT,
    HALF_WAY,
    NAMES,
    STARTED,
    SUB,
    UPGRADED,
    ask,
    changed,
    given,
    scheduled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.plan import PricedPlan

SECOND = timedelta(seconds=1)

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
    *, at_period_end: bool
) -> None:
    outcome = given(*STARTED, scheduled(TEAM, 3)).when(ask(PRO, at_period_end=at_period_end))
    state = outcome.then(scheduled(PRO)).state
    assert (state.plan, state.next_plan, state.next_price_version, state.pending) == (
        PRO.plan,
        None,
        None,
        (),
    )
    assert state.next_quantity is None


@pytest.mark.parametrize("at_period_end", [True, False])
def test_changing_to_the_present_plan_changes_nothing(*, at_period_end: bool) -> None:
    given(*STARTED).when(ask(PRO, at_period_end=at_period_end)).then_nothing()


def test_seats_can_wait_for_the_period_s_end() -> None:
    outcome = given(*STARTED).when(ask(PRO, at_period_end=True, quantity=4)).then(scheduled(PRO, 4))
    assert (outcome.state.quantity, outcome.state.next_quantity) == (1, 4)
    given(*STARTED, scheduled(PRO, 4)).when(ask(PRO, at_period_end=True, quantity=4)).then_nothing()
    back = given(*STARTED, scheduled(PRO, 4)).when(ask(PRO, at_period_end=True)).then(scheduled(PRO))
    assert back.state.next_plan is None


@pytest.mark.parametrize(
    ("old", "new", "waits"), [(TEAM, PRO, True), (PRO, TEAM, False), (PRO_YEARLY, PRO_WEEKLY, False)]
)
def test_the_policy_may_let_a_cheaper_plan_wait(old: PricedPlan, new: PricedPlan, *, waits: bool) -> None:
    started = subscribe(SUB, ADA, old, BOOK, Beginning(starts_at=NOON), NOON)
    by_policy = ask(new, old=old, at_period_end=None, book=book_under("lago"))
    assert (given(*started).when(by_policy).state.next_plan is not None) is waits
    assert given(*started).when(ask(new, old=old, at_period_end=None)).state.next_plan is None


def test_what_a_plan_asks_for_in_arrears_counts_for_which_is_cheaper() -> None:
    in_arrears = example_plan(8, "Arrears", fees=(fee(9900, timing="arrears"),))
    started = subscribe(SUB, ADA, in_arrears, BOOK, Beginning(starts_at=NOON), NOON)
    asked = ask(PRO, old=in_arrears, at_period_end=None, book=book_under("lago"))
    assert given(*started).when(asked).state.next_plan == PRO.plan


# -- seats beside a plan that is scheduled ----------------------------------------------------------


def test_more_seats_now_leave_the_plan_that_was_scheduled_to_come() -> None:
    seats = example_plan(1, "Pro", fees=(fee(500, per_seat=True),))
    started = tuple(subscribe(SUB, ADA, seats, BOOK, Beginning(starts_at=NOON), NOON))
    outcome = given(*started, scheduled(TEAM)).when(ask(seats, old=seats, quantity=3, keeps_plan=True))
    assert outcome.events[-1] == scheduled(TEAM)
    assert (outcome.state.quantity, outcome.state.next_plan) == (3, TEAM.plan)
    named = given(*started, scheduled(TEAM)).when(ask(seats, old=seats, quantity=3))
    assert named.state.next_plan is None


def test_seats_at_period_end_come_with_the_plan_that_was_scheduled() -> None:
    asked = ask(PRO, quantity=3, at_period_end=True, keeps_plan=True)
    given(*STARTED, scheduled(TEAM)).when(asked).then(scheduled(TEAM, 3))
    given(*STARTED, scheduled(TEAM, 3)).when(asked).then_nothing()


def test_asking_for_the_present_seats_leaves_the_plan_that_was_scheduled_to_come() -> None:
    given(*STARTED, scheduled(TEAM)).when(ask(PRO, quantity=1, keeps_plan=True)).then_nothing()


# -- another interval -------------------------------------------------------------------------------


def opened(events: Sequence[SubscriptionEvent]) -> PeriodOpened:
    (period,) = (event for event in events if isinstance(event, PeriodOpened))
    return period


def test_a_plan_of_another_interval_begins_a_period_and_credits_the_rest_of_the_old_one() -> None:
    outcome = given(*STARTED).when(ask(PRO_YEARLY))
    change, credit, period = outcome.events
    assert isinstance(change, PlanChanged)
    assert change.anchor is not None
    assert (change.effective_at, change.anchor.day, change.anchor.month) == (HALF_WAY, 14, 2)
    assert [(one.kind, one.amount) for one in outcome.state.pending] == [(CREDIT, -1450)]
    assert isinstance(period, PeriodOpened)
    assert (period.starts_at, period.ends_at) == (HALF_WAY, datetime(2028, 2, 14, 12, tzinfo=UTC))
    assert credit == outcome.state.pending[0]


def test_a_plan_of_another_interval_can_wait_for_the_period_s_end() -> None:
    given(*STARTED).when(ask(PRO_YEARLY, at_period_end=True)).then(scheduled(PRO_YEARLY))


def test_without_proration_the_rest_of_the_old_period_is_not_credited() -> None:
    outcome = given(*STARTED).when(ask(PRO_YEARLY, prorates=False))
    assert outcome.state.pending == ()
    assert opened(outcome.events).starts_at == HALF_WAY


def test_a_calendar_that_is_kept_lets_the_new_period_be_part_of_a_whole_one() -> None:
    started = subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON, calendar=True), NOON)
    book = book_under("stripe", interval_change="new_period_to_anchor")
    period = opened(given(*started).when(ask(PRO_YEARLY, NOON + timedelta(hours=3), book=book)).events)
    assert (period.starts_at, period.ends_at) == (NOON + timedelta(hours=3), datetime(2028, 1, 1, tzinfo=UTC))
    assert (period.whole_from, period.whole_to) == (
        datetime(2027, 1, 1, tzinfo=UTC),
        datetime(2028, 1, 1, tzinfo=UTC),
    )


def test_a_new_period_that_a_contract_cuts_short_is_part_of_a_whole_one() -> None:
    ends_at = datetime(2027, 5, 1, tzinfo=UTC)
    started = subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON, ends_at=ends_at), NOON)
    period = opened(given(*started).when(ask(PRO_YEARLY)).events)
    assert (period.ends_at, period.whole_to) == (ends_at, datetime(2028, 2, 14, 12, tzinfo=UTC))


def test_two_periods_never_begin_at_once_though_the_clock_stands_still() -> None:
    period = opened(given(*STARTED).when(ask(PRO_YEARLY, NOON)).events)
    assert period.starts_at == NOON + SECOND


def test_a_period_that_begins_with_its_day_does_not_reach_back_before_the_present_one() -> None:
    evening = NOON + timedelta(hours=7)
    outcome = given(*STARTED).when(ask(PRO_YEARLY, evening, book=book_under("lago")))
    assert opened(outcome.events).starts_at == evening
    assert [one.amount for one in outcome.state.pending] == [-2900]


def test_a_period_that_begins_with_its_day_does_not_reach_back_before_the_last_change() -> None:
    evening = HALF_WAY + timedelta(hours=7)
    seats = (*STARTED, changed(PRO, PRO, HALF_WAY, 2))
    outcome = given(*seats).when(ask(PRO_YEARLY, evening, book=book_under("lago")))
    assert opened(outcome.events).starts_at == evening
    assert [(one.from_at, one.to_at) for one in outcome.state.unbilled] == [
        (NOON, HALF_WAY),
        (HALF_WAY, evening),
    ]


def test_another_interval_during_a_trial_begins_where_the_trial_ends() -> None:
    trial = tuple(subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON, trial_days=30), NOON))
    outcome = given(*trial).when(ask(PRO_YEARLY)).then(changed(PRO, PRO_YEARLY))
    trial_end = NOON + timedelta(days=30)
    following = given(*trial, *outcome.events).when(
        lambda state: advance(state, ADA, PRO_YEARLY, PRO_YEARLY, BOOK, trial_end)
    )
    assert opened(following.events).ends_at == trial_end.replace(year=2028)


@pytest.mark.parametrize("more", [{}, {"at_period_end": True}])
def test_plans_beside_it_keep_a_subscription_in_their_interval(more: dict[str, Any]) -> None:
    added = AddOnAdded(
        **NAMES, item="item_2", plan=TEAM.plan, price_version=1, quantity=1, effective_at=HALF_WAY
    )
    given(*STARTED, added).when(ask(PRO_YEARLY, ENDS_AT - SECOND, **more)).refused_with(IntervalDiffers)
    assert given(*STARTED, added).when(ask(replace(FREE, name="Also monthly"))).refusal is None
