"""What a subscription is worth a month, from instant to instant, and which event made it so."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from ledger.events.invoice import CreditApplied, InvoiceMarkedUncollectible
from ledger.events.subscription import (
    CouponApplied,
    CouponEnded,
    PeriodOpened,
    PlanChanged,
    SubscriptionStarted,
)
from ledger.mrr import monthly
from ledger.policies import MrrPolicy, policy_of
from tests.mrr_story import Story

if TYPE_CHECKING:
    from ledger.mrr_values import History, Step

STRIPE = MrrPolicy()
CHARTMOGUL = policy_of("chartmogul", {}).mrr
POLAR = policy_of("polar", {}).mrr
JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
END = datetime(2030, 1, 1, tzinfo=UTC)


def day(number: int, month: int = 1) -> datetime:
    return datetime(2027, month, number, tzinfo=UTC)


@pytest.fixture
def story() -> Story:
    story = Story()
    story.add_plan("monthly", "month", {"USD": 3000})
    story.add_plan("yearly", "year", {"USD": 12000})
    return story


def steps(story: Story, policy: MrrPolicy = STRIPE) -> list[tuple[datetime, Any]]:
    """Give when the only subscription came to be worth what."""
    return [(step.at, step.value) for step in _steps(story, policy)]


def _steps(story: Story, policy: MrrPolicy = STRIPE) -> tuple[Any, ...]:
    (history,) = story.histories(policy)
    return history.steps


def worth_last(history: History, at: datetime = END) -> Any:
    """Give what a subscription is worth at an instant."""
    return [step.value for step in history.steps if step.at <= at][-1]


def caused_by(story: Story, step: Step) -> str:
    """Name the event that a step says made it so."""
    topic = story.recorded[step.position - 1].event.topic
    assert topic == step.topic
    return topic


@pytest.mark.parametrize(
    ("interval", "count", "a_month"),
    [
        ("month", 1, Fraction(1200)),
        ("month", 6, Fraction(200)),
        ("quarter", 1, Fraction(400)),
        ("year", 1, Fraction(100)),
        ("year", 2, Fraction(50)),
        ("week", 1, Fraction(5200)),
        ("week", 2, Fraction(2600)),
        ("day", 1, Fraction(36500)),
        ("day", 30, Fraction(36500, 30)),
    ],
)
def test_an_amount_is_told_a_month(interval: str, count: int, a_month: Fraction) -> None:
    assert monthly(1200, interval, STRIPE, count) == a_month


def test_seats_count_where_the_fee_is_a_seats(story: Story) -> None:
    story.add_plan("flat", "month", {"USD": 3000}, per_seat=False)
    story.start(JANUARY, "a", "acme", "monthly", quantity=3)
    story.start(JANUARY, "b", "acme", "flat", quantity=3)
    assert [worth_last(one) for one in story.histories(STRIPE)] == [9000, 3000]


def test_who_subscribed_before_keeps_the_price_of_that_time(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.add_plan("monthly", "month", {"USD": 5000})
    story.start(day(5), "b", "acme", "monthly")
    story.change(day(9), "a", "monthly")
    first, second = story.histories(STRIPE)
    assert [step.at for step in first.steps] == [JANUARY, day(9)]
    assert worth_last(first, day(8)) == 3000
    assert [worth_last(one) for one in (first, second)] == [5000, 5000]


def test_a_trial_becomes_revenue_by_the_period_that_is_paid_for(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly", trial_days=14)
    assert steps(story) == []
    story.open_due(day(20))
    assert steps(story) == [(day(15), 3000)]
    assert caused_by(story, _steps(story)[0]) == PeriodOpened.topic


def test_a_trial_that_was_paused_goes_on_as_a_trial(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly", trial_days=14)
    story.pause(day(5), "a")
    story.resume(day(8), "a")
    assert steps(story) == []
    assert [(step.at, step.trial) for step in _steps(story, POLAR)] == [
        (JANUARY, 3000),
        (day(5), 0),
        (day(8), 3000),
    ]


def test_add_ons_are_worth_what_they_cost_by_plan(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.add(day(5), "a", "yearly", "seats", quantity=2)
    story.remove(day(9), "a", "seats")
    assert [dict(step.by_plan) for step in _steps(story)] == [
        {"monthly": 3000},
        {"monthly": 3000, "yearly": 2000},
        {"monthly": 3000},
    ]


def test_a_subscription_that_begins_later_is_worth_nothing_before(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly", starts_at="2027-02-01")
    story.coupon(day(5), "a", "forever", percent_off="10", duration="forever")
    assert steps(story) == [(day(1, 2), 2700)]


def test_one_that_is_given_up_before_it_began_never_was(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly", starts_at="2027-02-01")
    story.cancel(day(5), "a", ended_at="2027-02-01")
    assert steps(story) == []
    assert steps(story, CHARTMOGUL) == []


def test_a_change_of_plan_keeps_the_seats_unless_it_says_how_many(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly", quantity=3)
    story.change(day(5), "a", "yearly")
    story.change(day(9), "a", quantity=1)
    assert steps(story) == [(JANUARY, 9000), (day(5), 3000), (day(9), 1000)]


def test_one_that_begins_again_just_as_what_was_paid_for_ends_was_never_lost(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.cancel(day(5), "a")
    story.reactivate(day(1, 2), "a")
    assert steps(story, POLAR) == [(JANUARY, 3000)]


def test_one_that_begins_again_is_paid_for_once_its_period_opens(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.cancel(day(5), "a")
    story.reactivate(day(9), "a")
    story.recorded.pop()
    story.cancel(day(10), "a")
    assert steps(story, POLAR) == [(JANUARY, 3000), (day(10), 0)]


def test_what_was_paused_when_it_was_cancelled_stays_lost_since_then(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.pause(day(5), "a")
    story.cancel(day(9), "a", ended_at="2027-01-05")
    assert steps(story, POLAR) == [(JANUARY, 3000), (day(5), 0)]


def test_what_is_recorded_late_counts_from_when_it_happened(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.coupon(day(12, 2), "a", "forever", percent_off="50", duration="forever")
    # The scheduler was late: the change is of before the coupon.
    story.change(day(10, 2), "a", "yearly")
    assert steps(story) == [(JANUARY, 3000), (day(10, 2), 1000), (day(12, 2), 500)]
    assert [caused_by(story, step) for step in _steps(story)[1:]] == [PlanChanged.topic, CouponApplied.topic]


# -- coupons ------------------------------------------------------------------------------------------


def test_an_amount_off_is_shared_and_never_makes_a_plan_negative(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.add(JANUARY, "a", "yearly", "more")
    story.coupon(day(2), "a", "some", amounts_off={"USD": 800}, duration="forever")
    story.coupon(day(3), "a", "all", amounts_off={"USD": 9000}, duration="forever")
    whole, less, nothing = _steps(story)
    assert dict(whole.by_plan) == {"monthly": 3000, "yearly": 1000}
    assert dict(less.by_plan) == {"monthly": 2400, "yearly": 800}
    assert nothing.value == 0


def test_a_coupon_for_one_plan_leaves_the_others_alone(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.add(JANUARY, "a", "yearly", "more")
    story.coupon(day(2), "a", "some", percent_off="10", duration="forever", plans=["yearly"])
    assert dict(_steps(story)[-1].by_plan) == {"monthly": 3000, "yearly": 900}


def test_a_coupon_in_another_currency_takes_nothing_off(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.coupon(day(2), "a", "some", amounts_off={"EUR": 800}, duration="forever")
    assert steps(story) == [(JANUARY, 3000)]


def test_a_finite_coupon_counts_until_the_last_period_it_was_taken_off(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.coupon(JANUARY, "a", "once", percent_off="50", duration="once")
    # It is used up by the invoice that takes it off, whichever of the two is written first.
    story.coupon_ends(JANUARY, "a", "once")
    story.bill(JANUARY, "a", ["once"])
    assert steps(story, CHARTMOGUL) == [(JANUARY, 1500), (day(1, 2), 3000)]
    assert caused_by(story, _steps(story, CHARTMOGUL)[1]) == CouponEnded.topic
    assert steps(story) == [(JANUARY, 3000)]


def test_a_coupon_that_no_invoice_took_off_ends_when_it_is_ended(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.coupon(day(2), "a", "twice", percent_off="50", duration="repeating", periods=2)
    story.coupon_ends(day(9), "a", "twice")
    assert steps(story, CHARTMOGUL) == [(JANUARY, 3000), (day(2), 1500), (day(9), 3000)]


def test_a_coupon_that_ends_after_its_subscription_moves_nothing(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.coupon(day(2), "a", "half", percent_off="50", duration="forever")
    story.cancel(day(5), "a")
    cancelled = story.recorded[-1]
    story.coupon_ends(day(9), "a", "half")
    last = _steps(story)[-1]
    assert (last.at, last.value, last.position) == (day(5), 0, cancelled.position)
    # Until what was paid for is over, the coupon's end still counts.
    lingering = _steps(story, POLAR)
    assert [(step.at, step.value) for step in lingering[-2:]] == [(day(9), 3000), (day(1, 2), 0)]
    assert lingering[-1].position == cancelled.position


# -- taxes and currencies -----------------------------------------------------------------------------


def test_taxes_within_a_price_are_no_revenue() -> None:
    story = Story()
    story.add_tax_rate("vat", "19", "inclusive")
    story.add_tax_rate("sales", "8", "exclusive")
    story.add_plan("taxed", "month", {"EUR": 11900}, tax_rates=("vat", "sales"))
    story.start(JANUARY, "a", "acme", "taxed", currency="EUR")
    assert steps(story) == [(JANUARY, 10000)]


def test_a_new_version_of_a_tax_counts_from_when_a_price_is_taken_on() -> None:
    story = Story()
    story.add_tax_rate("vat", "19", "inclusive")
    story.add_plan("taxed", "month", {"EUR": 11900}, tax_rates=("vat",))
    story.start(JANUARY, "a", "acme", "taxed", currency="EUR")
    story.add_tax_rate("vat", "0", "inclusive", day(5))
    story.coupon(day(8), "a", "none", percent_off="0", duration="forever")
    assert steps(story) == [(JANUARY, 10000)]
    story.change(day(9), "a", quantity=2)
    assert steps(story) == [(JANUARY, 10000), (day(9), 23800)]


def test_an_old_subscription_is_billed_in_its_plans_only_currency(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly", currency=None)
    (history,) = story.histories(STRIPE)
    assert history.currency == "USD"
    assert steps(story) == [(JANUARY, 3000)]


def test_a_subscription_without_a_currency_is_left_out() -> None:
    story = Story()
    story.add_plan("usage", "month", {})
    story.start(JANUARY, "a", "acme", "usage", currency=None)
    assert story.histories(STRIPE) == []


# -- those that Stripe manages ------------------------------------------------------------------------


def test_what_is_not_told_of_an_item_counts_as_nothing(story: Story) -> None:
    odd: list[dict[str, Any]] = [
        {"unit_amount": None},
        {"unit_amount": "ten"},
        {"unit_amount": "1e400"},
        {"unit_amount": "-5"},
        {"unit_amount": "5", "interval": "fortnight"},
        {"unit_amount": "5", "interval": None},
        {"unit_amount": "5", "interval_count": 0},
        {"unit_amount": "5", "quantity": "none"},
    ]
    story.stripe(JANUARY, "sub_1", "acme", "active", [*odd, {"unit_amount": "0.5", "quantity": 3}])
    assert steps(story) == [(JANUARY, Fraction(3, 2))]


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "paused", "something new"])
def test_only_some_of_stripes_statuses_count(story: Story, status: str) -> None:
    story.stripe(JANUARY, "sub_1", "acme", status, [{"unit_amount": "500"}])
    assert steps(story, POLAR) == []


def test_one_at_stripe_that_was_paid_for_counts_until_that_is_over(story: Story) -> None:
    items = [{"unit_amount": "500"}]
    story.stripe(JANUARY, "sub_1", "acme", "active", items, period_end="2027-02-01")
    story.stripe(day(9), "sub_1", "acme", "canceled", items, period_end="2027-02-01")
    assert steps(story) == [(JANUARY, 500), (day(9), 0)]
    assert steps(story, POLAR) == [(JANUARY, 500), (day(1, 2), 0)]


def test_one_at_stripe_that_was_past_due_was_not_paid_for(story: Story) -> None:
    items = [{"unit_amount": "500"}]
    story.stripe(JANUARY, "sub_1", "acme", "past_due", items, period_end="2027-02-01")
    story.stripe(day(9), "sub_1", "acme", "canceled", items, period_end="2027-02-01")
    assert steps(story, POLAR) == [(JANUARY, 500), (day(9), 0)]


def test_what_stripe_says_again_changes_nothing(story: Story) -> None:
    for number in (1, 5, 9):
        story.stripe(day(number), "sub_1", "acme", "active", [{"unit_amount": "500"}])
    assert len(story.standings()) == 1


@pytest.mark.parametrize(
    ("past_due", "at_past_due", "at_unpaid"),
    [("counted_until_unpaid", 500, 0), ("counted", 500, 500), ("not_counted", 0, 0)],
)
def test_what_is_past_due_counts_as_the_definition_says(
    story: Story, past_due: str, at_past_due: int, at_unpaid: int
) -> None:
    policy = policy_of("stripe", {"mrr.past_due": past_due}).mrr
    for number, status in ((1, "active"), (5, "past_due"), (9, "unpaid")):
        story.stripe(day(number), "sub_1", "acme", status, [{"unit_amount": "500"}])
    (history,) = story.histories(policy)
    assert (worth_last(history, day(5)), worth_last(history, day(9))) == (at_past_due, at_unpaid)


# -- invoices that are not paid -----------------------------------------------------------------------


@pytest.fixture
def billed(story: Story) -> Story:
    """Give a subscription with an invoice of its first period."""
    story.start(JANUARY, "a", "acme", "monthly")
    story.invoice(JANUARY, "a", "first")
    return story


def test_what_is_past_due_counts_until_it_is_given_up_and_again_once_it_is_paid(billed: Story) -> None:
    billed.dun(day(8), "first")
    billed.dun(day(9), "first")
    billed.give_up(day(20), "first")
    billed.dun(day(21), "first")
    billed.pay(day(25), "first", amount=60, credit=40)
    assert steps(billed) == [(JANUARY, 3000), (day(20), 0), (day(25), 3000)]
    assert [caused_by(billed, step) for step in _steps(billed)[1:]] == [
        InvoiceMarkedUncollectible.topic,
        CreditApplied.topic,
    ]
    assert steps(billed, POLAR) == [(JANUARY, 3000)]
    strict = policy_of("stripe", {"mrr.past_due": "not_counted"}).mrr
    assert steps(billed, strict) == [(JANUARY, 3000), (day(8), 0), (day(25), 3000)]


def test_a_step_of_dunning_that_was_taken_late_counts_from_when_it_was_due(billed: Story) -> None:
    strict = policy_of("stripe", {"mrr.past_due": "not_counted"}).mrr
    billed.dun(day(12), "first", due_at="2027-01-08")
    assert steps(billed, strict) == [(JANUARY, 3000), (day(8), 0)]


def test_a_late_step_of_dunning_leaves_what_changed_meanwhile_as_it_was(billed: Story) -> None:
    strict = policy_of("stripe", {"mrr.past_due": "not_counted"}).mrr
    billed.change(day(10), "a", quantity=2)
    billed.dun(day(12), "first", due_at="2027-01-08")
    assert steps(billed, strict) == [(JANUARY, 3000), (day(10), 0)]
    assert steps(billed) == [(JANUARY, 3000), (day(10), 6000)]


def test_part_of_a_payment_settles_nothing(billed: Story) -> None:
    billed.give_up(day(20), "first")
    billed.pay(day(25), "first", amount=99)
    assert steps(billed) == [(JANUARY, 3000), (day(20), 0)]


def test_an_invoice_that_is_taken_back_is_owed_no_more(billed: Story) -> None:
    billed.give_up(day(20), "first")
    billed.void(day(25), "first")
    assert steps(billed)[-1] == (day(25), 3000)


def test_who_pays_a_later_invoice_is_paying_again(billed: Story) -> None:
    billed.give_up(day(20), "first")
    billed.invoice(day(1, 2), "a", "second")
    billed.invoice(day(2, 2), "a", "third")
    billed.give_up(day(3, 2), "third")
    billed.pay(day(5, 2), "second")
    # Neither is a sign of paying: an invoice that is taken back, and one that asks for nothing.
    billed.invoice(day(6, 2), "a", "fourth")
    billed.void(day(6, 2), "fourth")
    billed.invoice(day(7, 2), "a", "fifth", total=0)
    assert steps(billed) == [(JANUARY, 3000), (day(20), 0)]
    billed.pay(day(8, 2), "third")
    assert steps(billed)[-1] == (day(8, 2), 3000)


def test_what_was_owed_before_it_began_again_counts_no_more(billed: Story) -> None:
    billed.give_up(day(20), "first")
    billed.cancel(day(21), "a")
    billed.reactivate(day(1, 3), "a")
    assert steps(billed) == [(JANUARY, 3000), (day(20), 0), (day(1, 3), 3000)]
    # It was not paid for when it was cancelled.
    assert steps(billed, policy_of("stripe", {"mrr.churn_dated": "end_of_paid_period"}).mrr) == steps(billed)


def test_an_invoice_of_no_subscription_is_nothing_to_any(billed: Story) -> None:
    billed.invoice(JANUARY, None, "manual")
    billed.give_up(day(20), "manual")
    billed.give_up(day(20), "unknown")
    assert steps(billed) == [(JANUARY, 3000)]


def test_a_draft_can_be_written_again(billed: Story) -> None:
    billed.invoice(day(2), "a", "second", total=300)
    billed.recorded.append(billed.recorded[-2])
    billed.pay(day(3), "second", amount=300)
    assert steps(billed) == [(JANUARY, 3000)]


def test_of_two_events_at_one_instant_the_one_that_changed_something_is_named(story: Story) -> None:
    story.start(JANUARY, "a", "acme", "monthly")
    story.coupon(JANUARY, "a", "none", percent_off="0", duration="forever")
    (step,) = _steps(story)
    assert caused_by(story, step) == SubscriptionStarted.topic
