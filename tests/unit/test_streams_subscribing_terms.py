"""How a subscription begins on terms of its own: a trial, a calendar, the end of a contract, a move here."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from ledger.events.subscription import CancellationScheduled, SubscriptionCancelled
from ledger.streams.subscribing import due_at
from tests.examples import ADA, NOON, PRO
from tests.unit.test_streams_subscribing import (
    DAY,
    ENDED,
    FAR,
    FEBRUARY_28,
    MARCH_31,
    NAMES,
    begun,
    bounds,
    given,
    go_on,
    period_of,
    periods_until,
)

# -- trials -----------------------------------------------------------------------------------------


def test_a_trial_is_a_period_of_its_own_and_the_calendar_begins_where_it_ends() -> None:
    periods = periods_until(datetime(2027, 3, 1, tzinfo=UTC), begun(trial_days=10))
    trial_end = NOON + 10 * DAY
    assert [(period.trial, *bounds(period)) for period in periods] == [
        (True, NOON, trial_end),
        (False, trial_end, datetime(2027, 3, 10, 12, tzinfo=UTC)),
    ]
    assert given(*begun(trial_days=10)).state.status == "trialing"


def test_the_plan_says_how_long_a_trial_is_unless_the_subscription_does() -> None:
    with_trial = replace(PRO, terms=replace(PRO.terms, trial_days=7))
    assert period_of(begun(with_trial)).ends_at == NOON + 7 * DAY
    assert period_of(begun(with_trial, trial_days=0)).trial is False


def test_after_a_trial_a_calendar_subscription_begins_with_the_rest_of_its_month() -> None:
    _, paid = periods_until(datetime(2027, 2, 20, tzinfo=UTC), begun(trial_days=10, calendar=True))
    assert bounds(paid) == (NOON + 10 * DAY, datetime(2027, 3, 1, tzinfo=UTC))
    assert (paid.whole_from, paid.whole_to) == (
        datetime(2027, 2, 1, tzinfo=UTC),
        datetime(2027, 3, 1, tzinfo=UTC),
    )


def test_a_trial_ends_no_later_than_the_contract() -> None:
    events = begun(trial_days=30, ends_at=NOON + 5 * DAY)
    assert bounds(period_of(events)) == (NOON, NOON + 5 * DAY)
    given(*events).when(go_on(FAR)).then(SubscriptionCancelled(**NAMES, ended_at=NOON + 5 * DAY))


def test_a_subscription_that_ends_with_its_trial_opens_no_paid_period() -> None:
    ending = CancellationScheduled(**NAMES, cancels_at=NOON + 10 * DAY)
    given(*begun(trial_days=10), ending).when(go_on(FAR)).then(
        SubscriptionCancelled(**NAMES, ended_at=NOON + 10 * DAY)
    )


# -- calendars and contracts ------------------------------------------------------------------------


def test_calendar_billing_begins_with_part_of_a_month_and_goes_on_with_whole_ones() -> None:
    periods = periods_until(datetime(2027, 3, 15, tzinfo=UTC), begun(calendar=True))
    turns = [datetime(2027, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4)]
    assert [bounds(period) for period in periods] == [
        (NOON, turns[1]),
        (turns[1], turns[2]),
        (turns[2], turns[3]),
    ]
    assert [(period.whole_from, period.whole_to) for period in periods] == [
        (turns[0], turns[1]),
        (None, None),
        (None, None),
    ]


def test_the_plan_says_whether_it_turns_over_with_the_calendar() -> None:
    of_calendar = replace(PRO, terms=replace(PRO.terms, calendar=True))
    assert period_of(begun(of_calendar)).ends_at == datetime(2027, 2, 1, tzinfo=UTC)
    assert period_of(begun(of_calendar, calendar=False)).ends_at == FEBRUARY_28


def test_the_calendar_is_that_of_the_account_s_zone() -> None:
    new_york = replace(ADA, time_zone="America/New_York")
    assert period_of(begun(account=new_york, calendar=True)).ends_at == datetime(2027, 2, 1, 5, tzinfo=UTC)


def test_the_last_period_ends_with_the_contract_and_is_of_a_whole_one() -> None:
    ends_at = datetime(2027, 3, 10, tzinfo=UTC)
    *_, last = periods_until(datetime(2027, 3, 1, tzinfo=UTC), begun(ends_at=ends_at))
    assert bounds(last) == (FEBRUARY_28, ends_at)
    assert (last.whole_from, last.whole_to) == (FEBRUARY_28, MARCH_31)


def test_a_contract_that_is_over_is_not_renewed() -> None:
    events = begun(ends_at=FEBRUARY_28)
    ended = given(*events).when(go_on(FAR)).then(ENDED)
    assert (ended.state.status, due_at(ended.state)) == ("cancelled", None)


# -- customers who were moved here ------------------------------------------------------------------


def test_who_was_moved_here_is_billed_from_where_the_other_system_left_off() -> None:
    moved = datetime(2027, 2, 10, tzinfo=UTC)
    opened = period_of(begun(billed_through=moved, now=datetime(2027, 2, 11, tzinfo=UTC)))
    assert bounds(opened) == (moved, FEBRUARY_28)
    assert (opened.whole_from, opened.whole_to) == (NOON, FEBRUARY_28)


def test_what_is_paid_for_elsewhere_is_waited_for() -> None:
    events = begun(billed_through=FEBRUARY_28, now=NOON + DAY)
    assert len(events) == 1
    assert due_at(given(*events).state) == FEBRUARY_28
    opened = period_of(given(*events).when(go_on(FEBRUARY_28)).events)
    assert (bounds(opened), opened.whole_from) == ((FEBRUARY_28, MARCH_31), None)


def test_who_was_moved_here_gets_no_trial_unless_told() -> None:
    with_trial = replace(PRO, terms=replace(PRO.terms, trial_days=7))
    assert period_of(begun(with_trial, billed_through=NOON)).trial is False
    assert period_of(begun(billed_through=NOON, trial_days=7)).trial is True


def test_a_trial_that_was_over_before_the_move_is_over() -> None:
    moved = NOON + 20 * DAY
    opened = period_of(begun(trial_days=10, billed_through=moved, now=moved))
    assert (opened.trial, opened.starts_at, opened.ends_at) == (
        False,
        moved,
        datetime(2027, 3, 10, 12, tzinfo=UTC),
    )
