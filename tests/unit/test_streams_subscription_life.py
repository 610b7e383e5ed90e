"""What else happens to a subscription: it is cancelled, goes on after all, pauses, resumes, begins again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from ledger.errors import NotFound, SubscriptionEnded
from ledger.events.coupon import CouponTerms
from ledger.events.subscription import (
    BillingAnchor,
    CancellationScheduled,
    CancellationWithdrawn,
    CouponApplied,
    CouponEnded,
    NoticeGiven,
    PeriodOpened,
    PlanChangeScheduled,
    SubscriptionBilled,
    SubscriptionCancelled,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
)
from ledger.streams import subscription as subscriptions
from ledger.streams import subscription_life as life
from ledger.streams.subscribing import Beginning, NothingDue, advance, due_at, subscribe
from ledger.streams.subscription import PeriodNotOpen
from tests.examples import ADA, NOON, PRO, TEAM, example_book, example_id
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.subscription import Subscription

    Decide = Callable[[Subscription | None], Sequence[SubscriptionEvent]]

given = Rules(subscriptions.evolve).given
SUB = example_id("sub")
NAMES: dict[str, Any] = {"subscription": SUB, "account": ADA.account}
BOOK = example_book()
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
MARCH_31 = datetime(2027, 3, 31, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def begun(now: datetime = NOON, **beginning: Any) -> tuple[SubscriptionEvent, ...]:
    how = Beginning(**{"starts_at": NOON, **beginning})
    return tuple(subscribe(SUB, ADA, PRO, BOOK, how, now))


STARTED = begun()
ENDING = CancellationScheduled(**NAMES, cancels_at=FEBRUARY_28)
ENDED = SubscriptionCancelled(**NAMES, ended_at=FEBRUARY_28)


def go_on(now: datetime) -> Decide:
    return lambda state: advance(state, ADA, PRO, PRO, BOOK, now)


def cancel(now: datetime, *, at_period_end: bool = True) -> Decide:
    return lambda state: life.cancel(state, now, at_period_end=at_period_end)


def pause(now: datetime, *, shifts: bool = False) -> Decide:
    return lambda state: life.pause(state, now, shifts=shifts)


def resume(now: datetime) -> Decide:
    return lambda state: life.resume(state, now)


def reactivate(now: datetime) -> Decide:
    return lambda state: life.reactivate(state, now)


def paused(at: datetime = NOON + 9 * DAY, *, shifts: bool = False) -> SubscriptionPaused:
    return SubscriptionPaused(**NAMES, paused_at=at, shifts=shifts)


def resumed(at: datetime, ends_at: datetime | None = None) -> SubscriptionResumed:
    anchor = None
    if ends_at is not None:
        anchor = BillingAnchor(
            day=ends_at.day, month=ends_at.month, weekday=ends_at.isoweekday(), time=ends_at.time()
        )
    return SubscriptionResumed(**NAMES, resumed_at=at, period_ends_at=ends_at, anchor=anchor)


# -- ending -----------------------------------------------------------------------------------------


def test_a_subscription_is_set_to_end_with_its_period() -> None:
    asked = given(*STARTED).when(cancel(NOON)).then(ENDING)
    assert (asked.state.status, asked.state.cancels_at) == ("active", FEBRUARY_28)


def test_asking_again_for_the_end_changes_nothing() -> None:
    given(*STARTED, ENDING).when(cancel(NOON)).then_nothing()


def test_a_plan_change_that_was_scheduled_falls_with_the_subscription() -> None:
    scheduled = PlanChangeScheduled(
        **NAMES, to_plan=TEAM.plan, price_version=1, effective_at=FEBRUARY_28, quantity=2
    )
    for end in (ENDING, ENDED):
        state = given(*STARTED, scheduled, end).state
        assert (state.next_plan, state.next_price_version, state.next_quantity) == (None, None, None)


def test_a_subscription_ends_now_on_a_whole_second() -> None:
    now = NOON + 3 * DAY + timedelta(microseconds=5)
    given(*STARTED).when(cancel(now, at_period_end=False)).then(
        SubscriptionCancelled(**NAMES, ended_at=NOON + 3 * DAY)
    )


def test_a_subscription_that_was_to_end_with_its_period_can_still_end_at_once() -> None:
    now = NOON + 3 * DAY
    given(*STARTED, ENDING).when(cancel(now, at_period_end=False)).then(
        SubscriptionCancelled(**NAMES, ended_at=now)
    )


def test_a_subscription_never_ends_after_it_was_to_end() -> None:
    given(*STARTED, ENDING).when(cancel(MARCH_31, at_period_end=False)).then(ENDED)


def test_a_subscription_never_ends_before_its_period_began() -> None:
    by_a_slow_clock = NOON - 2 * SECOND
    given(*STARTED).when(cancel(by_a_slow_clock, at_period_end=False)).then(
        SubscriptionCancelled(**NAMES, ended_at=NOON)
    )
    given(*STARTED).when(cancel(by_a_slow_clock)).then(ENDING)


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_period_that_is_over_must_be_followed_before_anything_ends(*, at_period_end: bool) -> None:
    given(*STARTED).when(cancel(FEBRUARY_28, at_period_end=at_period_end)).refused_with(PeriodNotOpen)


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_subscription_that_ended_cannot_end_again(*, at_period_end: bool) -> None:
    given(*STARTED, ENDED).when(cancel(NOON, at_period_end=at_period_end)).refused_with(SubscriptionEnded)


@pytest.mark.parametrize("at_period_end", [True, False])
def test_what_has_not_begun_ends_where_it_would_have_begun(*, at_period_end: bool) -> None:
    to_come = begun(now=NOON - 5 * DAY)
    ended = given(*to_come).when(cancel(NOON - DAY, at_period_end=at_period_end))
    ended.then(SubscriptionCancelled(**NAMES, ended_at=NOON))
    assert (ended.state.unbilled, due_at(ended.state)) == ((), None)


def test_what_is_paid_for_elsewhere_ends_now_or_where_that_ends() -> None:
    moved = begun(now=NOON + DAY, billed_through=FEBRUARY_28)
    now = NOON + 2 * DAY
    given(*moved).when(cancel(now, at_period_end=False)).then(SubscriptionCancelled(**NAMES, ended_at=now))
    given(*moved).when(cancel(now)).then(ENDING)
    given(*moved, ENDING).when(go_on(MARCH_31)).then(ENDED)


# -- going on after all -----------------------------------------------------------------------------


def test_a_cancellation_to_come_can_be_taken_back() -> None:
    withdrawn = given(*STARTED, ENDING).when(reactivate(NOON + DAY)).then(CancellationWithdrawn(**NAMES))
    assert withdrawn.state.cancels_at is None


def test_what_ended_begins_again_with_a_calendar_of_its_own() -> None:
    now = datetime(2027, 5, 17, 8, tzinfo=UTC)
    anchor = BillingAnchor(day=17, month=5, weekday=1, time=now.time())
    again = given(*STARTED, ENDED).when(reactivate(now + timedelta(microseconds=3)))
    again.then(SubscriptionReactivated(**NAMES, reactivated_at=now, anchor=anchor))
    state = again.state
    assert (state.status, state.period, state.ended_at, due_at(state)) == ("active", None, None, now)
    opened = given(*STARTED, ENDED, *again.events).when(go_on(now)).events[0]
    assert isinstance(opened, PeriodOpened)
    assert (opened.starts_at, opened.ends_at, opened.trial) == (
        now,
        datetime(2027, 6, 17, 8, tzinfo=UTC),
        False,
    )


def test_what_begins_again_has_neither_the_trial_nor_the_end_of_the_first_contract() -> None:
    first = begun(trial_days=60, ends_at=FEBRUARY_28)
    again = given(*first, ENDED).when(reactivate(NOON + 29 * DAY))
    opened = given(*first, ENDED, *again.events).when(go_on(MARCH_31)).events[0]
    assert isinstance(opened, PeriodOpened)
    assert (opened.trial, opened.ends_at) == (False, datetime(2027, 4, 1, 12, tzinfo=UTC))


def test_two_periods_never_begin_at_once_though_the_clock_stands_still() -> None:
    at_once = SubscriptionCancelled(**NAMES, ended_at=NOON)
    again = given(*STARTED, at_once).when(reactivate(NOON))
    assert again.state.starts_at == NOON + SECOND


def test_what_begins_again_does_not_begin_before_it_ended() -> None:
    by_a_slow_clock = FEBRUARY_28 - 2 * SECOND
    assert given(*STARTED, ENDED).when(reactivate(by_a_slow_clock)).state.starts_at == FEBRUARY_28


def test_what_has_not_ended_cannot_be_taken_back() -> None:
    given(*STARTED).when(reactivate(NOON)).refused_with(life.NotEnding)
    given().when(reactivate(NOON)).refused_with(NotFound)


# -- pausing ----------------------------------------------------------------------------------------


def test_a_pause_that_keeps_the_period_leaves_its_end_where_it_is() -> None:
    state = given(*STARTED).when(pause(NOON + 9 * DAY)).then(paused()).state
    assert (state.status, due_at(state), state.first.since) == ("paused", None, None)
    back = given(*STARTED, paused()).when(resume(NOON + 12 * DAY)).then(resumed(NOON + 12 * DAY)).state
    assert (back.status, back.pause, due_at(back)) == ("active", None, FEBRUARY_28)


def test_a_pause_that_shifts_the_period_moves_its_end_and_those_after_it() -> None:
    held = paused(shifts=True)
    ends_at = FEBRUARY_28 + 3 * DAY
    back = given(*STARTED, held).when(resume(NOON + 12 * DAY)).then(resumed(NOON + 12 * DAY, ends_at))
    assert due_at(back.state) == ends_at
    opened = given(*STARTED, held, *back.events).when(go_on(ends_at)).events[0]
    assert isinstance(opened, PeriodOpened)
    assert (opened.starts_at, opened.ends_at) == (ends_at, datetime(2027, 4, 3, 12, tzinfo=UTC))


def test_a_pause_that_outlasts_its_period_leaves_the_time_between_unbilled() -> None:
    back = datetime(2027, 3, 10, 12, tzinfo=UTC)
    events = (*STARTED, paused(), resumed(back))
    given(*events).when(go_on(back - SECOND)).refused_with(NothingDue)
    following = given(*events).when(go_on(back))
    opened = following.events[0]
    assert isinstance(opened, PeriodOpened)
    assert (opened.starts_at, opened.ends_at) == (back, MARCH_31)
    assert (opened.whole_from, opened.whole_to) == (FEBRUARY_28, MARCH_31)
    told = [(one.from_at, one.to_at) for one in following.state.unbilled]
    assert told == [(NOON, NOON + 9 * DAY)]


def test_a_shifted_period_is_whole_though_the_pause_outlasted_it() -> None:
    held, back = paused(shifts=True), datetime(2027, 4, 10, 12, tzinfo=UTC)
    events = (*STARTED, held, *given(*STARTED, held).when(resume(back)).events)
    following = given(*events).when(go_on(FEBRUARY_28 + (back - held.paused_at)))
    lengths = [one.to_at - one.from_at for one in following.state.unbilled]
    assert lengths == [9 * DAY, 19 * DAY]


def test_the_time_of_a_pause_is_not_billed() -> None:
    events = (*STARTED, paused(), resumed(NOON + 12 * DAY))
    following = given(*events).when(go_on(FEBRUARY_28)).state
    told = [(one.from_at, one.to_at) for one in following.unbilled]
    assert told == [(NOON, NOON + 9 * DAY), (NOON + 12 * DAY, FEBRUARY_28)]


def test_a_trial_that_is_resumed_is_a_trial_still() -> None:
    assert given(*begun(trial_days=20), paused(), resumed(NOON + 12 * DAY)).state.status == "trialing"


def test_a_shifted_period_ends_no_later_than_the_contract() -> None:
    ends_at = FEBRUARY_28 + DAY
    events = begun(ends_at=ends_at)
    back = given(*events, paused(shifts=True)).when(resume(NOON + 12 * DAY))
    back.then(resumed(NOON + 12 * DAY, ends_at))


def test_a_contract_that_ended_in_a_pause_ends_with_it() -> None:
    events = (*begun(ends_at=FEBRUARY_28), paused(), resumed(MARCH_31))
    given(*events).when(go_on(MARCH_31)).then(ENDED)


def test_a_paused_subscription_ends_where_it_was_paused() -> None:
    ended = SubscriptionCancelled(**NAMES, ended_at=NOON + 9 * DAY)
    for at_period_end in (True, False):
        outcome = given(*STARTED, paused()).when(cancel(MARCH_31, at_period_end=at_period_end)).then(ended)
        assert [one.to_at for one in outcome.state.unbilled] == [NOON + 9 * DAY]


def test_a_pause_is_not_before_what_came_before_it() -> None:
    by_a_slow_clock = NOON - 2 * SECOND
    given(*STARTED).when(pause(by_a_slow_clock)).then(paused(NOON))
    given(*STARTED, paused(NOON)).when(resume(by_a_slow_clock)).then(resumed(NOON))


@pytest.mark.parametrize(
    ("events", "decide", "refusal"),
    [
        ((*STARTED, paused()), pause(NOON + 10 * DAY), life.AlreadyPaused),
        (STARTED, resume(NOON), life.NotPaused),
        ((*STARTED, ENDING), pause(NOON), SubscriptionEnded),
        ((*STARTED, ENDED), pause(NOON), SubscriptionEnded),
        ((*STARTED, ENDED), resume(NOON), SubscriptionEnded),
        (STARTED, pause(FEBRUARY_28), PeriodNotOpen),
        (begun(now=NOON - DAY), pause(NOON - DAY), PeriodNotOpen),
        ((*STARTED, paused()), go_on(MARCH_31), NothingDue),
    ],
)
def test_a_pause_where_there_is_none_to_make_or_to_end_is_refused(
    events: tuple[SubscriptionEvent, ...], decide: Decide, refusal: type[Any]
) -> None:
    given(*events).when(decide).refused_with(refusal)


# -- coupons and notices ----------------------------------------------------------------------------

TERMS = CouponTerms(percent_off=Decimal(10))
APPLIED = CouponApplied(**NAMES, coupon="coup_1", name="Welcome", terms=TERMS)


def apply_coupon(state: Subscription | None) -> Sequence[SubscriptionEvent]:
    return life.apply_coupon(state, "coup_1", "Welcome", TERMS)


def test_a_coupon_is_taken_off_until_it_ends() -> None:
    state = given(*STARTED).when(apply_coupon).then(APPLIED).state
    assert [one.applied for one in state.discounts] == [APPLIED]
    ended = CouponEnded(**NAMES, coupon="coup_1", reason="removed")
    outcome = given(*STARTED, APPLIED).when(lambda state: life.end_coupon(state, "coup_1", "removed"))
    assert outcome.then(ended).state.discounts == ()


def test_a_coupon_twice_is_refused_and_one_that_is_not_there_does_not_end() -> None:
    given(*STARTED, APPLIED).when(apply_coupon).refused_with(life.CouponTwice)
    given(*STARTED, ENDED).when(apply_coupon).refused_with(SubscriptionEnded)
    given(*STARTED).when(lambda state: life.end_coupon(state, "coup_1", "removed")).then_nothing()


def test_each_invoice_that_takes_a_coupon_off_counts_once() -> None:
    def billed(invoice: str | None) -> SubscriptionBilled:
        return SubscriptionBilled(
            **NAMES,
            invoice=invoice,
            billed_through=FEBRUARY_28,
            prorations_through=0,
            fee_line=None,
            coupons=("coup_1",),
        )

    state = given(*STARTED, APPLIED, billed("inv_1"), billed("inv_1"), billed(None), billed("inv_2")).state
    assert [one.invoices for one in state.discounts] == [("inv_1", "inv_2")]


def test_a_notice_is_given_once_for_each_thing() -> None:
    def notice(state: Subscription | None) -> Sequence[SubscriptionEvent]:
        return life.give_notice(state, "renewal", FEBRUARY_28)

    given_one = NoticeGiven(**NAMES, kind="renewal", due_at=FEBRUARY_28)
    given(*STARTED).when(notice).then(given_one)
    given(*STARTED, given_one).when(notice).then_nothing()
    other = given(*STARTED, given_one).when(lambda state: life.give_notice(state, "trial_end", FEBRUARY_28))
    assert len(other.events) == 1
