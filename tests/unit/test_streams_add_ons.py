"""The rules of plans beside a subscription's own, and of what is credited where one or all of them end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ledger.errors import Invalid, SubscriptionEnded
from ledger.events.subscription import (
    AddOnAdded,
    AddOnRemoved,
    CancellationScheduled,
    PeriodOpened,
    ProrationAdded,
    SubscriptionPaused,
)
from ledger.streams import add_ons, prorating
from ledger.streams import subscription as subscriptions
from ledger.streams.add_ons import NotAnAddOn
from ledger.streams.prorating import Held, IntervalDiffers, NotWhilePaused
from ledger.streams.subscribing import Beginning, advance, subscribe
from ledger.streams.subscription import CHARGE, CREDIT, FEE, PeriodNotOpen, line_id
from tests.examples import (
    ADA,
    NOON,
    PRO,
    PRO_YEARLY,
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
SUB = example_id("sub")
NAMES: dict[str, Any] = {"subscription": SUB, "account": ADA.account}
BOOK = example_book()
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
HALF_WAY = NOON + timedelta(days=14)
LATER = NOON + timedelta(days=21)
SEATS = example_plan(7, "Seats", fees=(fee(500, "seat", per_seat=True),))
STARTED = tuple(subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON), NOON))
TRIAL = tuple(subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=NOON, trial_days=28), NOON))
PERIOD = next(event.period for event in STARTED if isinstance(event, PeriodOpened))
ADDED = AddOnAdded(
    **NAMES, item="item_2", plan=SEATS.plan, price_version=1, quantity=4, effective_at=HALF_WAY
)


def proration(
    sequence: int, kind: str, amount: int, at: datetime, adjusts: str | None = None
) -> ProrationAdded:
    return ProrationAdded(
        **NAMES,
        sequence=sequence,
        kind=kind,
        plan=SEATS.plan,
        price_version=1,
        policy_version=1,
        period=PERIOD,
        service_from=at,
        service_to=FEBRUARY_28,
        amount=amount,
        currency="USD",
        adjusts_line=adjusts,
        item="item_2",
        quantity=4,
        exact=str(amount),
    )


CHARGED = proration(1, CHARGE, 1000, HALF_WAY)
CHARGED_LINE = line_id("item_2", PERIOD, CHARGE, 1)
REMOVED = AddOnRemoved(**NAMES, item="item_2", effective_at=LATER)


def add(now: datetime = HALF_WAY, plan: PricedPlan = SEATS, quantity: int = 4, book: Book = BOOK) -> Decide:
    return lambda state: add_ons.add(state, PRO, plan, "item_2", quantity, book, now)


def remove(now: datetime = LATER, item: str = "item_2", *, is_void: bool = False) -> Decide:
    def decide(state: Subscription | None) -> Sequence[SubscriptionEvent]:
        assert state is not None
        held = Held(subscriptions.item_of(state, item), SEATS, is_void=is_void)
        return add_ons.remove(state, held, BOOK, now)

    return decide


def test_a_plan_that_is_added_is_charged_for_the_rest_of_the_period() -> None:
    state = given(*STARTED).when(add()).then(ADDED, CHARGED).state
    assert [(one.item, one.plan, one.quantity) for one in state.items[1:]] == [("item_2", SEATS.plan, 4)]


def test_a_plan_added_to_part_of_a_period_is_charged_for_that_part_of_a_whole_one() -> None:
    start = datetime(2027, 2, 15, tzinfo=UTC)
    stub = subscribe(SUB, ADA, PRO, BOOK, Beginning(starts_at=start, calendar=True), start)
    state = given(*stub).when(add(start + timedelta(days=7))).state
    assert [one.amount for one in state.pending] == [500]


def test_a_day_that_has_begun_is_charged_whole_where_the_policy_counts_days() -> None:
    evening = HALF_WAY + timedelta(hours=6)
    state = given(*STARTED).when(add(evening, book=book_under("lago"))).state
    assert [(one.amount, one.service_from) for one in state.pending] == [(1000, evening)]


def test_a_plan_that_is_taken_away_is_credited_for_what_is_left() -> None:
    credit = proration(2, CREDIT, -500, LATER, CHARGED_LINE)
    state = given(*STARTED, ADDED, CHARGED).when(remove()).then(credit, REMOVED).state
    assert [one.item for one in state.items] == [state.item]


def test_after_a_renewal_what_is_credited_is_the_fee_of_the_new_period() -> None:
    events = (*STARTED, ADDED, CHARGED)
    renewed = given(*events).when(lambda state: advance(state, ADA, PRO, PRO, BOOK, FEBRUARY_28)).events
    credit, _ = given(*events, *renewed).when(remove(FEBRUARY_28)).events
    assert isinstance(credit, ProrationAdded)
    (opened,) = (event for event in renewed if isinstance(event, PeriodOpened))
    assert (credit.amount, credit.adjusts_line) == (-2000, line_id("item_2", opened.period, FEE, 1))


def test_what_is_added_and_taken_away_at_once_costs_nothing() -> None:
    events = (*STARTED, ADDED, CHARGED)
    state = given(*events).when(remove(HALF_WAY)).state
    assert sum(one.amount for one in state.pending) == 0
    assert state.stretches == ()


def test_what_was_taken_back_is_not_credited() -> None:
    given(*STARTED, ADDED, CHARGED).when(remove(is_void=True)).then(REMOVED)


def test_in_a_trial_plans_come_and_go_for_nothing() -> None:
    given(*TRIAL).when(add()).then(ADDED)
    given(*TRIAL, ADDED).when(remove()).then(REMOVED)


def test_what_cannot_be_added_is_refused() -> None:
    paused = SubscriptionPaused(**NAMES, paused_at=HALF_WAY, shifts=False)
    ending = CancellationScheduled(**NAMES, cancels_at=FEBRUARY_28)
    given(*STARTED).when(add(plan=PRO_YEARLY)).refused_with(IntervalDiffers)
    given(*STARTED).when(add(quantity=0)).refused_with(Invalid, "quantity")
    given(*STARTED).when(add(FEBRUARY_28)).refused_with(PeriodNotOpen)
    given(*STARTED, ending).when(add()).refused_with(SubscriptionEnded)
    given(*STARTED, paused).when(add()).refused_with(NotWhilePaused)


def test_what_cannot_be_taken_away_is_refused() -> None:
    paused = SubscriptionPaused(**NAMES, paused_at=LATER, shifts=False)
    own = given(*STARTED).state.item
    given(*STARTED).when(remove(item=own)).refused_with(NotAnAddOn)
    given(*STARTED, ADDED, CHARGED).when(remove(FEBRUARY_28)).refused_with(PeriodNotOpen)
    given(*STARTED, ADDED, CHARGED, paused).when(remove()).refused_with(NotWhilePaused)


# -- where all of it ends ---------------------------------------------------------------------------


def credits_at(
    at: datetime, *events: SubscriptionEvent, book: Book = BOOK
) -> list[tuple[str | None, int, str | None]]:
    state = given(*events).state
    plans = {PRO.plan: PRO, SEATS.plan: SEATS, TEAM.plan: TEAM}
    held = [Held(item, plans[item.plan]) for item in state.items]
    found = prorating.credits_of_the_rest(state, held, book, at)
    return [(one.item, one.amount, one.adjusts_line) for one in found if isinstance(one, ProrationAdded)]


def test_the_end_credits_what_is_left_of_every_item() -> None:
    item = given(*STARTED).state.item
    assert credits_at(LATER, *STARTED, ADDED, CHARGED) == [
        (item, -725, line_id(item, PERIOD, FEE, 1)),
        ("item_2", -500, CHARGED_LINE),
    ]


def test_a_day_that_has_begun_is_kept_where_the_policy_says_so() -> None:
    evening = LATER + timedelta(hours=6)
    ((_, amount, _),) = credits_at(evening, *STARTED, book=book_under("lago"))
    assert amount == -621


def test_nothing_is_credited_at_the_end_of_a_period_in_a_trial_or_of_what_was_free() -> None:
    free = subscribe(SUB, ADA, example_plan(3, "Free"), BOOK, Beginning(starts_at=NOON), NOON)
    assert credits_at(FEBRUARY_28, *STARTED) == []
    assert credits_at(LATER, *TRIAL) == []
    held = [Held(given(*free).state.first, example_plan(3, "Free"))]
    assert prorating.credits_of_the_rest(given(*free).state, held, BOOK, LATER) == []
