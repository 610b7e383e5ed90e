"""How a subscription begins and goes on: which period opens when, and what ends it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from ledger.errors import Invalid, NotFound, SubscriptionEnded
from ledger.events.subscription import (
    CancellationScheduled,
    PeriodOpened,
    PlanChanged,
    PlanChangeScheduled,
    SubscriptionCancelled,
    SubscriptionStarted,
)
from ledger.streams import subscription as subscriptions
from ledger.streams.subscribing import MAX_SEATS, Beginning, NothingDue, advance, due_at, subscribe
from tests.examples import ADA, NOON, PRO, PRO_WEEKLY, PRO_YEARLY, TEAM, example_book, example_id
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.account import Account
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription

given = Rules(subscriptions.evolve).given
SUB = example_id("sub")
NAMES: dict[str, Any] = {"subscription": SUB, "account": ADA.account}
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
MARCH_31 = datetime(2027, 3, 31, 12, 0, tzinfo=UTC)
FAR = datetime(2035, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
BOOK = example_book()
ENDING = CancellationScheduled(**NAMES, cancels_at=FEBRUARY_28)
ENDED = SubscriptionCancelled(**NAMES, ended_at=FEBRUARY_28)


def begun(
    plan: PricedPlan = PRO, account: Account = ADA, now: datetime | None = None, **beginning: Any
) -> tuple[SubscriptionEvent, ...]:
    how = Beginning(**{"starts_at": NOON, **beginning})
    return tuple(subscribe(SUB, account, plan, BOOK, how, now or how.starts_at))


def go_on(
    now: datetime, old: PricedPlan = PRO, new: PricedPlan | None = None, account: Account = ADA
) -> Callable[[Subscription | None], Sequence[SubscriptionEvent]]:
    return lambda state: advance(state, account, old, new or old, BOOK, now)


def scheduled(to: PricedPlan, at: datetime = FEBRUARY_28, quantity: int | None = None) -> PlanChangeScheduled:
    return PlanChangeScheduled(**NAMES, to_plan=to.plan, price_version=1, effective_at=at, quantity=quantity)


def period_of(events: Sequence[SubscriptionEvent]) -> PeriodOpened:
    (opened,) = (event for event in events if isinstance(event, PeriodOpened))
    return opened


def bounds(opened: PeriodOpened) -> tuple[datetime, datetime]:
    return opened.starts_at, opened.ends_at


def periods_until(
    until: datetime, events: tuple[SubscriptionEvent, ...], plan: PricedPlan = PRO
) -> list[PeriodOpened]:
    """Open what is due until an instant, one by one, and give every period."""
    while (due := due_at(given(*events).state)) is not None and due <= until:
        events += given(*events).when(go_on(until, plan)).events
    return [event for event in events if isinstance(event, PeriodOpened)]


# -- subscribing ------------------------------------------------------------------------------------


def test_a_subscription_starts_with_its_anchor_and_its_first_period() -> None:
    first, second = begun()
    assert isinstance(first, SubscriptionStarted)
    assert (first.anchor_day, first.anchor_month, first.anchor_weekday) == (31, 1, 7)
    assert (first.currency, first.quantity) == ("USD", 1)
    assert isinstance(second, PeriodOpened)
    assert bounds(second) == (NOON, FEBRUARY_28)
    assert (second.plan, second.price_version, second.policy_version) == (PRO.plan, 1, 1)
    assert (second.trial, second.whole_from, second.whole_to) == (False, None, None)


def test_a_subscription_starts_on_a_whole_second() -> None:
    first, second = begun(starts_at=NOON + timedelta(microseconds=999_999))
    assert isinstance(first, SubscriptionStarted)
    assert isinstance(second, PeriodOpened)
    assert first.starts_at == second.starts_at == NOON


def test_instants_are_kept_in_utc_and_by_the_second() -> None:
    tokyo = timezone(timedelta(hours=9))
    first, _ = begun(
        starts_at=NOON.astimezone(tokyo), ends_at=MARCH_31.astimezone(tokyo) + timedelta(microseconds=7)
    )
    assert isinstance(first, SubscriptionStarted)
    assert (first.starts_at.tzinfo, first.ends_at) == (UTC, MARCH_31)


def test_a_subscription_is_anchored_in_the_zone_of_its_account() -> None:
    tokyo = replace(ADA, time_zone="Asia/Tokyo")
    first, _ = begun(account=tokyo, starts_at=datetime(2027, 1, 31, 20, 0, tzinfo=UTC))
    assert isinstance(first, SubscriptionStarted)
    assert (first.anchor_day, first.anchor_month, first.time_zone) == (1, 2, "Asia/Tokyo")


@pytest.mark.parametrize(
    ("plan", "ends_at"),
    [(PRO_WEEKLY, NOON + timedelta(days=7)), (PRO_YEARLY, datetime(2028, 1, 31, 12, tzinfo=UTC))],
)
def test_the_first_period_is_a_whole_one_of_the_plan_s_interval(plan: PricedPlan, ends_at: datetime) -> None:
    assert period_of(begun(plan)).ends_at == ends_at


@pytest.mark.parametrize(
    ("field", "beginning"),
    [
        ("quantity", {"quantity": 0}),
        ("quantity", {"quantity": MAX_SEATS + 1}),
        ("trial_days", {"trial_days": -1}),
        ("trial_days", {"trial_days": 731}),
        ("ends_at", {"ends_at": NOON}),
        ("billed_through", {"billed_through": NOON - SECOND}),
        ("billed_through", {"billed_through": MARCH_31, "ends_at": MARCH_31}),
        ("starts_at", {"starts_at": datetime(9999, 12, 31, tzinfo=UTC)}),
        ("ends_at", {"ends_at": datetime(2400, 1, 1, tzinfo=UTC)}),
    ],
)
def test_a_beginning_that_cannot_be_is_refused_by_its_field(field: str, beginning: dict[str, Any]) -> None:
    given().when(lambda _: begun(now=NOON, **beginning)).refused_with(Invalid, field)


# -- going on ---------------------------------------------------------------------------------------


def test_a_period_that_is_not_over_is_not_followed() -> None:
    a_moment_before = FEBRUARY_28 - timedelta(microseconds=1)
    given(*begun()).when(go_on(a_moment_before)).refused_with(NothingDue)


def test_the_next_period_begins_where_the_last_one_ended_and_returns_to_the_anchor_day() -> None:
    opened = period_of(given(*begun()).when(go_on(FEBRUARY_28)).events)
    assert (bounds(opened), opened.whole_from) == ((FEBRUARY_28, MARCH_31), None)


def test_a_start_in_the_past_is_caught_up_with_one_period_at_a_time() -> None:
    late = datetime(2027, 6, 15, tzinfo=UTC)
    events = begun(now=late)
    assert len(events) == 2
    ends = [period.ends_at.date().isoformat() for period in periods_until(late, events)]
    assert ends == ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30"]


def test_a_period_has_one_identity_however_often_it_is_opened() -> None:
    once, again = (given(*begun()).when(go_on(now)) for now in (FEBRUARY_28, MARCH_31))
    assert once.events == again.events


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        # New York's clocks jump on 14 March 2027, Lord Howe's by half an hour on 4 April.
        (
            "America/New_York",
            datetime(2027, 2, 28, 14, 0, tzinfo=UTC),
            datetime(2027, 3, 28, 13, 0, tzinfo=UTC),
        ),
        (
            "Australia/Lord_Howe",
            datetime(2027, 3, 9, 13, 0, tzinfo=UTC),
            datetime(2027, 4, 9, 13, 30, tzinfo=UTC),
        ),
    ],
)
def test_the_time_of_day_holds_across_daylight_saving(zone: str, start: datetime, end: datetime) -> None:
    assert period_of(begun(account=replace(ADA, time_zone=zone), starts_at=start)).ends_at == end


def test_a_year_that_began_on_a_leap_day_returns_to_it() -> None:
    leap_day = datetime(2028, 2, 29, 8, tzinfo=UTC)
    opened = periods_until(
        datetime(2033, 1, 1, tzinfo=UTC), begun(PRO_YEARLY, starts_at=leap_day), PRO_YEARLY
    )
    ends = [period.ends_at.date().isoformat() for period in opened]
    assert ends == ["2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29", "2033-02-28"]


def test_a_plan_that_was_scheduled_begins_with_the_next_period_in_its_seats() -> None:
    events = (*begun(), scheduled(TEAM, quantity=3))
    renewed = given(*events).when(go_on(MARCH_31, PRO, TEAM))
    changed, opened = renewed.events
    assert changed == PlanChanged(
        **NAMES,
        from_plan=PRO.plan,
        to_plan=TEAM.plan,
        price_version=1,
        effective_at=FEBRUARY_28,
        anchor=None,
        quantity=3,
    )
    assert isinstance(opened, PeriodOpened)
    assert (opened.plan, opened.starts_at) == (TEAM.plan, FEBRUARY_28)
    state = renewed.state
    assert (state.plan, state.quantity, state.next_plan, state.next_quantity) == (TEAM.plan, 3, None, None)


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
    old: PricedPlan, new: PricedPlan, ends: list[str]
) -> None:
    events = begun(old)
    events += (scheduled(new, period_of(events).ends_at),)
    first = given(*events).when(go_on(FAR, old, new))
    second = given(*events, *first.events).when(go_on(FAR, new))
    found = [period_of(one.events).ends_at.date().isoformat() for one in (first, second)]
    assert found == ends


# -- a start to come --------------------------------------------------------------------------------


def test_a_start_to_come_opens_its_first_period_when_its_time_has_come() -> None:
    events = begun(now=NOON - DAY)
    assert len(events) == 1
    state = given(*events).state
    assert (state.period, due_at(state)) == (None, NOON)
    given(*events).when(go_on(NOON - SECOND)).refused_with(NothingDue)
    opened = period_of(given(*events).when(go_on(NOON + DAY)).events)
    assert bounds(opened) == (NOON, FEBRUARY_28)
    assert opened == period_of(begun())


def test_a_plan_that_was_chosen_instead_before_the_start_is_the_one_that_begins() -> None:
    instead = PlanChanged(
        **NAMES, from_plan=PRO.plan, to_plan=PRO_YEARLY.plan, price_version=1, effective_at=NOON
    )
    events = (*begun(now=NOON - DAY), instead)
    opened = period_of(given(*events).when(go_on(NOON, PRO_YEARLY)).events)
    assert (opened.plan, opened.ends_at) == (PRO_YEARLY.plan, datetime(2028, 1, 31, 12, tzinfo=UTC))


# -- ending -----------------------------------------------------------------------------------------


def test_nothing_goes_on_once_the_account_is_closed() -> None:
    closed = replace(ADA, status="closed", closed_at=FEBRUARY_28)
    given(*begun()).when(go_on(MARCH_31, account=closed)).then(ENDED)


def test_a_period_that_began_before_the_account_closed_is_still_opened() -> None:
    closed = replace(ADA, status="closed", closed_at=FEBRUARY_28 + SECOND)
    renewed = given(*begun()).when(go_on(MARCH_31, account=closed))
    assert period_of(renewed.events).starts_at == FEBRUARY_28


def test_a_subscription_ends_with_its_period() -> None:
    given(*begun(), ENDING).when(go_on(FEBRUARY_28 - SECOND)).refused_with(NothingDue)
    ended = given(*begun(), ENDING).when(go_on(MARCH_31)).then(ENDED)
    assert (ended.state.status, ended.state.ended_at) == ("cancelled", FEBRUARY_28)


def test_what_ended_does_not_go_on() -> None:
    given(*begun(), ENDED).when(go_on(MARCH_31)).refused_with(SubscriptionEnded)
    assert due_at(given(*begun(), ENDED).state) is None


def test_an_unknown_subscription_does_not_go_on() -> None:
    given().when(go_on(NOON)).refused_with(NotFound)


@pytest.mark.parametrize("plan", [PRO, PRO_WEEKLY, PRO_YEARLY])
@pytest.mark.parametrize("calendar", [False, True])
def test_periods_follow_one_another_without_a_gap(plan: PricedPlan, *, calendar: bool) -> None:
    events = begun(plan, trial_days=3, calendar=calendar, ends_at=datetime(2028, 8, 8, tzinfo=UTC))
    periods = periods_until(FAR, events, plan)
    assert all(one.ends_at == following.starts_at for one, following in pairwise(periods))
    assert periods[-1].ends_at == datetime(2028, 8, 8, tzinfo=UTC)
