"""The rules of changing a subscription's plan: what a change credits and charges, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ledger.errors import CurrencyConflict, Invalid, NotFound, SubscriptionEnded
from ledger.events.subscription import (
    CancellationScheduled,
    PeriodOpened,
    PlanChanged,
    PlanChangeScheduled,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
    SubscriptionPaused,
)
from ledger.streams import subscription as subscriptions
from ledger.streams.changes import Change, change
from ledger.streams.prorating import NotWhilePaused
from ledger.streams.subscribing import MAX_SEATS, Beginning, advance, subscribe
from ledger.streams.subscription import CHARGE, CREDIT, FEE, PeriodNotOpen, line_id
from tests.examples import (
    ADA,
    FREE,
    NOON,
    PRO,
    PRO_IN_EURO,
    TEAM,
    book_under,
    example_book,
    example_id,
    example_plan,
    fee,
)
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.book import Book
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription

    Decide = Callable[[Subscription | None], Sequence[SubscriptionEvent]]

given = Rules(subscriptions.evolve).given
BOOK = example_book()
SUB = example_id("sub")
NAMES: dict[str, Any] = {"subscription": SUB, "account": ADA.account}
STARTED = tuple(subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON), NOON))
(PERIOD,) = (event for event in STARTED if isinstance(event, PeriodOpened))
ENDS_AT = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
HALF_WAY = NOON + timedelta(days=14)
ITEM = given(*STARTED).state.item
FEE_LINE = line_id(ITEM, PERIOD.period, FEE, 1)


def ask(
    new: PricedPlan,
    now: datetime = HALF_WAY,
    old: PricedPlan = PRO,
    *,
    at_period_end: bool | None = False,
    book: Book = BOOK,
    **more: Any,
) -> Decide:
    asked = Change(old=old, new=new, book=book, now=now, at_period_end=at_period_end, **more)
    return lambda state: change(state, asked)


def changed(
    old: PricedPlan, new: PricedPlan, at: datetime = HALF_WAY, quantity: int | None = None
) -> PlanChanged:
    return PlanChanged(
        **NAMES,
        from_plan=old.plan,
        to_plan=new.plan,
        price_version=1,
        effective_at=at,
        anchor=None,
        quantity=quantity,
    )


def proration(
    sequence: int, plan: PricedPlan, amount: int, adjusts: str | None = None, at: datetime = HALF_WAY
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
        item=ITEM,
        exact=str(amount),
    )


def scheduled(to: PricedPlan, quantity: int | None = None) -> PlanChangeScheduled:
    return PlanChangeScheduled(
        **NAMES, to_plan=to.plan, price_version=1, effective_at=ENDS_AT, quantity=quantity
    )


UPGRADED = (
    *STARTED,
    changed(PRO, TEAM),
    proration(1, PRO, -1450, FEE_LINE),
    proration(2, TEAM, 4950),
)

# -- now --------------------------------------------------------------------------------------------


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


def test_a_new_period_credits_its_own_fee_again() -> None:
    book_it = SubscriptionBilled(
        **NAMES, invoice="inv_1", billed_through=ENDS_AT, prorations_through=2, fee_line=FEE_LINE
    )
    renewed = given(*UPGRADED, book_it).when(lambda state: advance(state, ADA, TEAM, TEAM, BOOK, ENDS_AT))
    next_period = renewed.events[0]
    assert isinstance(next_period, PeriodOpened)
    outcome = given(*UPGRADED, book_it, *renewed.events).when(ask(PRO, ENDS_AT, old=TEAM))
    credit, charge = outcome.state.pending
    assert (credit.amount, charge.amount) == (-9900, 2900)
    assert credit.adjusts_line == line_id(ITEM, next_period.period, FEE, 1)
    assert (credit.sequence, charge.sequence) == (3, 4)


def test_a_change_without_proration_costs_nothing() -> None:
    given(*STARTED).when(ask(TEAM, prorates=False)).then(changed(PRO, TEAM))


# -- what was billed --------------------------------------------------------------------------------


def test_a_fee_whose_invoice_was_made_void_is_not_credited() -> None:
    state = given(*STARTED).when(ask(TEAM, fee_is_void=True)).state
    assert [one.amount for one in state.pending] == [0, 4950]


def test_a_price_that_rises_later_does_not_raise_the_credit() -> None:
    dearer = example_plan(2, "Team", 99_000)
    state = given(*UPGRADED).when(ask(FREE, HALF_WAY, old=dearer, charged=TEAM)).state
    assert state.pending[2].amount == -4950


@pytest.mark.parametrize(
    ("preset", "credit"),
    [
        # At the present price, but no more than was billed; at the price that was billed; at the present one.
        ("stripe", -2900),
        ("killbill", -2175),
        ("classic", -7425),
    ],
)
def test_what_was_never_charged_is_not_credited_but_where_the_policy_says_so(
    preset: str, credit: int
) -> None:
    book = book_under("stripe", credit_base="current_price") if preset == "classic" else book_under(preset)
    week, unprorated = NOON + timedelta(days=7), changed(PRO, TEAM, NOON)
    state = given(*STARTED, unprorated).when(ask(FREE, week, old=TEAM, charged=PRO, book=book)).state
    assert [one.amount for one in state.pending] == [credit, 0]
    assert state.pending[0].adjusts_line == FEE_LINE


def test_no_more_is_credited_than_a_first_period_that_was_part_of_one_cost() -> None:
    two_fees = example_plan(1, "Pro", fees=(fee(1, "one"), fee(1, "two"), fee(1, "three")))
    half = Beginning(starts_at=datetime(2027, 4, 16, tzinfo=UTC), calendar=True)
    started = subscribe(SUB, ADA, two_fees, BOOK, half, half.starts_at)
    # Half of each is rounded up to 1, and half of all is 1.5: 2 are credited of the 3 that were billed.
    state = given(*started).when(ask(FREE, half.starts_at, old=two_fees)).state
    assert [(one.amount, one.exact) for one in state.pending] == [(-2, "-3/2"), (0, "0")]


# -- seats ------------------------------------------------------------------------------------------

SEATS = example_plan(7, "Seats", fees=(fee(1000), fee(500, "seat", per_seat=True)))
IN_SEATS = tuple(subscribe(SUB, ADA, SEATS, BOOK, Beginning(starts_at=NOON, quantity=3), NOON))


def test_seats_are_prorated_together_and_the_exact_amount_is_kept() -> None:
    state = given(*IN_SEATS).when(ask(TEAM, NOON + timedelta(days=8), old=SEATS)).state
    assert [(one.amount, one.quantity, one.exact) for one in state.pending] == [
        (-1786, 3, "-12500/7"),
        (21_214, 3, "148500/7"),
    ]


def test_more_seats_half_way_cost_half_of_what_they_add() -> None:
    outcome = given(*IN_SEATS).when(ask(SEATS, old=SEATS, quantity=5))
    assert outcome.events[0] == changed(SEATS, SEATS, quantity=5)
    assert [(one.amount, one.quantity) for one in outcome.state.pending] == [(-1250, 3), (1750, 5)]
    assert outcome.state.quantity == 5


def test_seats_and_plan_change_together() -> None:
    state = given(*IN_SEATS).when(ask(TEAM, old=SEATS, quantity=2)).state
    assert (state.plan, state.quantity) == (TEAM.plan, 2)
    assert [(one.amount, one.quantity) for one in state.pending] == [(-1250, 3), (9900, 2)]


def test_asking_for_the_seats_there_are_changes_nothing() -> None:
    given(*IN_SEATS).when(ask(SEATS, old=SEATS, quantity=3)).then_nothing()


@pytest.mark.parametrize("quantity", [0, -1, MAX_SEATS + 1])
def test_a_number_of_seats_that_cannot_be_is_refused(quantity: int) -> None:
    given(*IN_SEATS).when(ask(SEATS, old=SEATS, quantity=quantity)).refused_with(Invalid, "quantity")


# -- changes that are refused -----------------------------------------------------------------------


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_plan_in_another_currency_is_refused(*, at_period_end: bool) -> None:
    given(*STARTED).when(ask(PRO_IN_EURO, at_period_end=at_period_end)).refused_with(CurrencyConflict)


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_change_after_the_period_and_before_the_next_must_wait(*, at_period_end: bool) -> None:
    given(*STARTED).when(ask(TEAM, ENDS_AT, at_period_end=at_period_end)).refused_with(PeriodNotOpen)


@pytest.mark.parametrize(
    "end", [CancellationScheduled(**NAMES, cancels_at=ENDS_AT), SubscriptionCancelled(**NAMES, ended_at=NOON)]
)
def test_a_subscription_that_ends_takes_no_more_changes(end: SubscriptionEvent) -> None:
    given(*STARTED, end).when(ask(TEAM)).refused_with(SubscriptionEnded)


def test_a_paused_subscription_takes_no_changes() -> None:
    paused = SubscriptionPaused(**NAMES, paused_at=HALF_WAY, shifts=False)
    given(*STARTED, paused).when(ask(TEAM)).refused_with(NotWhilePaused)
    given(*STARTED, paused).when(ask(TEAM, at_period_end=True)).refused_with(NotWhilePaused)


def test_an_unknown_subscription_cannot_change() -> None:
    given().when(ask(TEAM)).refused_with(NotFound)


# -- other conventions ------------------------------------------------------------------------------


def test_a_change_follows_the_conventions_of_the_book_and_names_their_version() -> None:
    evening = HALF_WAY + timedelta(hours=6)
    state = given(*STARTED).when(ask(TEAM, evening, book=book_under("lago"))).state
    midnight = datetime(2027, 2, 14, tzinfo=UTC)
    assert [(one.amount, one.service_from, one.policy_version) for one in state.pending] == [
        (-1450, midnight, 2),
        (4950, midnight, 2),
    ]


def test_the_account_s_time_zone_says_which_day_it_is() -> None:
    in_tokyo = replace(ADA, time_zone="Asia/Tokyo")
    started = subscribe(SUB, in_tokyo, PRO, BOOK, Beginning(starts_at=NOON), NOON)
    late = datetime(2027, 2, 13, 16, 0, tzinfo=UTC)
    state = given(*started).when(ask(TEAM, late, book=book_under("lago"))).state
    assert [one.service_from for one in state.pending] == [datetime(2027, 2, 13, 15, tzinfo=UTC)] * 2
    assert [one.exact for one in state.pending] == ["-1450", "4950"]


# -- before the first paid period -------------------------------------------------------------------


def test_a_change_during_a_trial_costs_nothing() -> None:
    trial = subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON, trial_days=30), NOON)
    given(*trial).when(ask(TEAM)).then(changed(PRO, TEAM))


@pytest.mark.parametrize("at_period_end", [True, False])
def test_a_change_before_the_beginning_lets_another_plan_begin(*, at_period_end: bool) -> None:
    to_come = subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON), NOON - timedelta(days=9))
    asked = ask(TEAM, NOON - timedelta(days=2), at_period_end=at_period_end, quantity=4)
    state = given(*to_come).when(asked).then(changed(PRO, TEAM, NOON, 4)).state
    assert (state.plan, state.quantity, state.pending) == (TEAM.plan, 4, ())
