"""The rules of a subscription: its periods, its renewal and its end."""

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
    SubscriptionCancelled,
    SubscriptionStarted,
)
from ledger.streams import subscription as subscriptions
from ledger.streams.subscription import PeriodNotOpen, PeriodNotOver
from tests.examples import ADA, NOON, PRO, PRO_IN_EURO, PRO_WEEKLY, PRO_YEARLY, TEAM, example_book, example_id
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.account import Account
    from ledger.streams.plan import Plan
    from ledger.streams.subscription import Subscription

given = Rules(subscriptions.evolve).given
SUB = example_id("sub")
NAMES = {"subscription": SUB, "account": ADA.account}
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
MARCH_31 = datetime(2027, 3, 31, 12, 0, tzinfo=UTC)
BOOK = example_book()


def started(plan: Plan = PRO, account: Account = ADA, at: datetime = NOON) -> tuple[SubscriptionEvent, ...]:
    return tuple(subscriptions.subscribe(SUB, account, plan, BOOK, at))


def renew(
    now: datetime, old: Plan = PRO, new: Plan | None = None, account: Account = ADA
) -> Callable[[Subscription | None], Sequence[SubscriptionEvent]]:
    return lambda state: subscriptions.renew(state, account, old, new or old, BOOK, now)


def cancel(
    now: datetime, *, at_period_end: bool = True
) -> Callable[[Subscription | None], Sequence[SubscriptionEvent]]:
    return lambda state: subscriptions.cancel(state, now, at_period_end=at_period_end)


def scheduled(to: Plan, at: datetime = FEBRUARY_28) -> PlanChangeScheduled:
    return PlanChangeScheduled(**NAMES, to_plan=to.plan, price_version=1, effective_at=at)


def period_of(events: Sequence[SubscriptionEvent]) -> PeriodOpened:
    (opened,) = (event for event in events if isinstance(event, PeriodOpened))
    return opened


ENDING = CancellationScheduled(**NAMES, cancels_at=FEBRUARY_28)
ENDED = SubscriptionCancelled(**NAMES, ended_at=FEBRUARY_28)


# -- subscribing ------------------------------------------------------------------------------------


def test_a_subscription_starts_with_its_anchor_and_its_first_period() -> None:
    first, second = started()
    assert isinstance(first, SubscriptionStarted)
    assert (first.anchor_day, first.anchor_month, first.anchor_weekday) == (31, 1, 7)
    assert isinstance(second, PeriodOpened)
    assert (second.starts_at, second.ends_at) == (NOON, FEBRUARY_28)
    assert (second.plan, second.price_version, second.policy_version) == (PRO.plan, 1, 1)


def test_a_subscription_starts_on_a_whole_second() -> None:
    first, second = started(at=NOON + timedelta(microseconds=999_999))
    assert isinstance(first, SubscriptionStarted)
    assert isinstance(second, PeriodOpened)
    assert first.starts_at == second.starts_at == NOON


def test_a_subscription_is_anchored_in_the_zone_of_its_account() -> None:
    tokyo = replace(ADA, time_zone="Asia/Tokyo")
    first, _ = started(account=tokyo, at=datetime(2027, 1, 31, 20, 0, tzinfo=UTC))
    assert isinstance(first, SubscriptionStarted)
    assert (first.anchor_day, first.anchor_month, first.time_zone) == (1, 2, "Asia/Tokyo")


def test_a_plan_in_another_currency_than_the_account_s_is_refused() -> None:
    dollars = replace(ADA, currency="USD")
    given().when(lambda _: started(PRO_IN_EURO, dollars)).refused_with(CurrencyConflict)
    assert len(started(PRO, dollars)) == 2


@pytest.mark.parametrize(
    ("plan", "ends_at"),
    [(PRO_WEEKLY, NOON + timedelta(days=7)), (PRO_YEARLY, datetime(2028, 1, 31, 12, tzinfo=UTC))],
)
def test_the_first_period_is_a_whole_one_of_the_plan_s_interval(plan: Plan, ends_at: datetime) -> None:
    assert period_of(started(plan)).ends_at == ends_at


# -- renewing ---------------------------------------------------------------------------------------


def test_a_period_that_is_not_over_cannot_be_renewed() -> None:
    a_moment_before = FEBRUARY_28 - timedelta(microseconds=1)
    given(*started()).when(renew(a_moment_before)).refused_with(PeriodNotOver)


def test_the_next_period_begins_where_the_last_one_ended_and_returns_to_the_anchor_day() -> None:
    renewed = given(*started()).when(renew(FEBRUARY_28))
    assert (period_of(renewed.events).starts_at, period_of(renewed.events).ends_at) == (FEBRUARY_28, MARCH_31)


def test_a_renewal_that_is_several_periods_late_opens_one_period_at_a_time() -> None:
    late = datetime(2027, 6, 15, tzinfo=UTC)
    events = started()
    ends = []
    for _ in range(4):
        renewed = given(*events).when(renew(late))
        events += renewed.events
        ends.append(period_of(renewed.events).ends_at.date().isoformat())
    assert ends == ["2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30"]
    given(*events).when(renew(late)).refused_with(PeriodNotOver)


def test_a_period_has_one_identity_however_often_it_is_opened() -> None:
    once, again = (given(*started()).when(renew(now)) for now in (FEBRUARY_28, MARCH_31))
    assert once.events == again.events


def test_the_time_of_day_holds_across_daylight_saving() -> None:
    new_york = replace(ADA, time_zone="America/New_York")
    start = datetime(2027, 2, 28, 14, 0, tzinfo=UTC)
    assert period_of(started(account=new_york, at=start)).ends_at == datetime(2027, 3, 28, 13, 0, tzinfo=UTC)


def test_a_plan_that_was_scheduled_begins_with_the_next_period() -> None:
    renewed = given(*started(), scheduled(TEAM)).when(renew(MARCH_31, PRO, TEAM))
    changed, opened = renewed.events
    assert changed == PlanChanged(
        **NAMES, from_plan=PRO.plan, to_plan=TEAM.plan, price_version=1, effective_at=FEBRUARY_28, anchor=None
    )
    assert isinstance(opened, PeriodOpened)
    assert (opened.plan, opened.starts_at) == (TEAM.plan, FEBRUARY_28)
    assert (renewed.state.plan, renewed.state.next_plan) == (TEAM.plan, None)


@pytest.mark.parametrize(
    ("old", "new", "ends"),
    [
        (PRO, PRO_YEARLY, ["2028-02-28", "2029-02-28"]),
        (PRO, PRO_WEEKLY, ["2027-03-07", "2027-03-14"]),
        (PRO_WEEKLY, PRO, ["2027-03-07", "2027-04-07"]),
        (PRO_YEARLY, PRO_WEEKLY, ["2028-02-07", "2028-02-14"]),
    ],
)
def test_a_plan_of_another_interval_begins_a_calendar_of_whole_periods(
    old: Plan, new: Plan, ends: list[str]
) -> None:
    events = started(old)
    events += (scheduled(new, period_of(events).ends_at),)
    far = datetime(2029, 12, 1, tzinfo=UTC)
    first = given(*events).when(renew(far, old, new))
    second = given(*events, *first.events).when(renew(far, new))
    found = [period_of(one.events).ends_at.date().isoformat() for one in (first, second)]
    assert found == ends


def test_nothing_renews_once_the_account_is_closed() -> None:
    closed = replace(ADA, status="closed", closed_at=FEBRUARY_28)
    given(*started()).when(renew(MARCH_31, account=closed)).then(ENDED)


def test_a_period_that_began_before_the_account_closed_is_still_opened() -> None:
    closed = replace(ADA, status="closed", closed_at=FEBRUARY_28 + timedelta(seconds=1))
    renewed = given(*started()).when(renew(MARCH_31, account=closed))
    assert period_of(renewed.events).starts_at == FEBRUARY_28


def test_an_unknown_subscription_cannot_be_renewed_or_cancelled() -> None:
    given().when(renew(NOON)).refused_with(NotFound)
    given().when(cancel(NOON)).refused_with(NotFound)


# -- ending -----------------------------------------------------------------------------------------


def test_a_subscription_ends_with_its_period() -> None:
    asked = given(*started()).when(cancel(NOON)).then(ENDING)
    assert asked.state.status == "active"
    given(*started(), ENDING).when(renew(FEBRUARY_28 - timedelta(seconds=1))).refused_with(PeriodNotOver)
    ended = given(*started(), ENDING).when(renew(MARCH_31)).then(ENDED)
    assert (ended.state.status, ended.state.ended_at) == ("cancelled", FEBRUARY_28)


def test_asking_again_for_the_end_changes_nothing() -> None:
    given(*started(), ENDING).when(cancel(NOON)).then_nothing()


def test_a_plan_change_that_was_scheduled_falls_with_the_subscription() -> None:
    state = given(*started(), scheduled(TEAM), ENDING).state
    assert (state.next_plan, state.next_price_version) == (None, None)
    given(*started(), scheduled(TEAM), ENDING).when(renew(FEBRUARY_28)).then(ENDED)
    assert given(*started(), scheduled(TEAM), ENDED).state.next_plan is None


def test_a_subscription_ends_now_on_a_whole_second() -> None:
    now = NOON + timedelta(days=3, microseconds=5)
    ended_at = NOON + timedelta(days=3)
    given(*started()).when(cancel(now, at_period_end=False)).then(
        SubscriptionCancelled(**NAMES, ended_at=ended_at)
    )


def test_a_subscription_that_was_to_end_with_its_period_can_still_end_at_once() -> None:
    now = NOON + timedelta(days=3)
    given(*started(), ENDING).when(cancel(now, at_period_end=False)).then(
        SubscriptionCancelled(**NAMES, ended_at=now)
    )


def test_a_subscription_never_ends_after_it_was_to_end() -> None:
    given(*started(), ENDING).when(cancel(MARCH_31, at_period_end=False)).then(ENDED)


def test_a_subscription_never_ends_before_its_period_began() -> None:
    by_a_slow_clock = NOON - timedelta(seconds=2)
    given(*started()).when(cancel(by_a_slow_clock, at_period_end=False)).then(
        SubscriptionCancelled(**NAMES, ended_at=NOON)
    )


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_period_that_is_over_must_be_followed_before_anything_ends(at_period_end: bool) -> None:  # noqa: FBT001 - a case
    given(*started()).when(cancel(FEBRUARY_28, at_period_end=at_period_end)).refused_with(PeriodNotOpen)


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_subscription_that_ended_cannot_end_again_or_renew(at_period_end: bool) -> None:  # noqa: FBT001 - a case
    given(*started(), ENDED).when(cancel(NOON, at_period_end=at_period_end)).refused_with(SubscriptionEnded)
    given(*started(), ENDED).when(renew(MARCH_31)).refused_with(SubscriptionEnded)
