"""A change of price told on its own: which period it falls in, what it costs, and what comes next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.coupons import Discount, MalformedDiscount
from ledger.errors import Invalid
from ledger.money import AmountOutOfRange, UnknownCurrency
from ledger.periods import INTERVALS, UnknownZone
from ledger.policies import LAGO, POLAR, PRESETS, STRIPE, BillingPolicy
from ledger.proration_preview import Billed, Preview, Question, preview
from ledger.proration_values import NothingToProrate, OutsidePeriod, RecurringPrice

MONTHLY = RecurringPrice(amount_minor=1000, interval="month")
DEARER = RecurringPrice(amount_minor=2000, interval="month")
YEARLY = RecurringPrice(amount_minor=36_500, interval="year")


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def question(**more: Any) -> Question:
    instants = ("cycle_start", "change_at", "subscription_start", "trial_end")
    told = {"cycle_start": "2026-06-01", "change_at": "2026-06-16", "old": MONTHLY, "new": DEARER, **more}
    read: dict[str, Any] = {
        name: day(value) if name in instants and isinstance(value, str) else value
        for name, value in told.items()
    }
    return Question(**{"currency": "USD", "zone": "UTC", **read})


def ask(policy: BillingPolicy = STRIPE, **more: Any) -> Preview:
    return preview(question(**more), policy)


def amounts(found: Preview) -> tuple[int, int]:
    return found.credit_minor, found.debit_minor


def days(found: Preview) -> list[str]:
    ends = [found.period.start, found.period.end]
    if found.next_period is not None:
        ends += [found.next_period.start, found.next_period.end]
    return [f"{one:%Y-%m-%d}" for one in ends]


# -- which period -----------------------------------------------------------------------------------


def test_periods_turn_over_on_the_day_the_cycle_began() -> None:
    assert days(ask()) == ["2026-06-01", "2026-07-01", "2026-07-01", "2026-08-01"]


def test_periods_of_the_end_of_a_month_are_counted_from_the_subscription_s_start() -> None:
    told: dict[str, Any] = {"cycle_start": "2026-02-28", "change_at": "2026-03-10"}
    assert days(ask(**told)) == ["2026-02-28", "2026-03-28", "2026-03-28", "2026-04-28"]
    found = ask(**told, subscription_start="2026-01-31")
    assert days(found) == ["2026-02-28", "2026-03-31", "2026-03-31", "2026-04-30"]


def test_a_cycle_that_began_on_no_anniversary_was_begun_by_a_change_of_interval() -> None:
    found = ask(cycle_start="2026-02-20", change_at="2026-03-06", subscription_start="2026-01-31")
    assert days(found) == ["2026-02-20", "2026-03-20", "2026-03-20", "2026-04-20"]
    assert amounts(found) == (500, 1000)


def test_where_the_anchor_is_kept_such_a_cycle_is_part_of_a_period() -> None:
    told = {"cycle_start": "2026-06-11", "change_at": "2026-06-21", "subscription_start": "2026-01-01"}
    found = ask(LAGO, **told)
    assert days(found) == ["2026-06-11", "2026-07-01", "2026-07-01", "2026-08-01"]
    assert amounts(found) == (333, 667)


def test_an_item_that_began_later_than_its_period_keeps_the_period() -> None:
    found = ask(subscription_start="2026-06-10", old=None)
    assert days(found)[:2] == ["2026-06-01", "2026-07-01"]
    assert amounts(found) == (0, 1000)


def test_calendar_periods_turn_over_at_local_midnight() -> None:
    found = ask(zone="Asia/Tokyo", anchor="calendar", cycle_start="2026-06-10", change_at="2026-06-15T15:00")
    assert found.period.start == day("2026-06-10")
    assert found.period.end == day("2026-06-30T15:00")
    assert amounts(found) == (500, 1000)


@pytest.mark.parametrize(
    ("interval", "end"),
    [("week", "2026-06-22"), ("month", "2026-07-15"), ("quarter", "2026-09-15"), ("year", "2027-06-15")],
)
def test_every_interval_has_its_period(interval: Any, end: str) -> None:
    price = RecurringPrice(amount_minor=1000, interval=interval)
    found = ask(cycle_start="2026-06-15", old=price, new=price)
    assert days(found)[1] == end


def test_a_period_may_begin_with_its_local_day() -> None:
    found = ask(LAGO, cycle_start="2026-06-01T18:00", change_at="2026-06-01T20:00")
    assert found.period.start == day("2026-06-01")
    assert amounts(found) == (1000, 2000)
    assert found.effective_at == day("2026-06-01")


@pytest.mark.parametrize("change_at", ["2026-05-31T23:59:59", "2026-07-01", "2027-01-01"])
def test_a_change_outside_the_period_is_refused(change_at: str) -> None:
    with pytest.raises(OutsidePeriod) as refused:
        ask(change_at=change_at)
    assert list(refused.value.errors) == ["change_at"]
    assert "from 2026-06-01T00:00:00Z to before 2026-07-01T00:00:00Z" in str(refused.value)


# -- what comes next --------------------------------------------------------------------------------


def test_after_a_cancellation_no_period_comes() -> None:
    found = ask(new=None)
    assert found.next_period is None
    assert (found.total_minor, found.effective_at) == (-500, day("2026-06-16"))


def test_a_change_of_interval_begins_the_next_period() -> None:
    assert days(ask(new=YEARLY)) == ["2026-06-01", "2026-07-01", "2026-06-16", "2027-06-16"]
    assert amounts(ask(new=YEARLY)) == (500, 36_500)
    calendar = ask(LAGO, new=YEARLY, anchor="calendar")
    assert days(calendar)[2:] == ["2026-06-16", "2027-01-01"]
    assert amounts(calendar) == (500, 19_900)


def test_a_downgrade_waits_for_the_period_s_end_where_the_policy_says() -> None:
    cheaper = RecurringPrice(amount_minor=500, interval="month")
    found = ask(LAGO, new=cheaper)
    assert amounts(found) == (0, 0)
    assert found.segments == ()
    assert found.invoiced is None
    assert found.effective_at == day("2026-07-01")
    assert days(found)[2:] == ["2026-07-01", "2026-08-01"]
    assert amounts(ask(STRIPE, new=cheaper)) == (500, 250)


@pytest.mark.parametrize(
    ("policy", "more", "invoiced"),
    [
        (STRIPE, {}, "next_invoice"),
        (STRIPE, {"proration_behavior": "always_invoice"}, "now"),
        (STRIPE, {"proration_behavior": "none"}, None),
        (STRIPE, {"new": YEARLY}, "now"),
        (STRIPE, {"new": YEARLY, "proration_behavior": "none"}, "now"),
        (STRIPE, {"old": None}, "now"),
        (LAGO, {}, "now"),
        (LAGO, {"proration_behavior": "create_prorations"}, "next_invoice"),
        (POLAR, {}, "next_invoice"),
    ],
)
def test_what_starts_a_period_is_invoiced_at_once_and_the_rest_as_the_policy_or_the_request_says(
    policy: BillingPolicy, more: dict[str, Any], invoiced: str | None
) -> None:
    assert ask(policy, **more).invoiced == invoiced


# -- what it costs ----------------------------------------------------------------------------------


def test_a_mode_says_which_price_is_credited() -> None:
    billed = Billed(amount_minor=600, interval="month")
    by_mode = {None: 500, "classic": 500, "flexible": 300}
    for mode, credit in by_mode.items():
        assert ask(billing_mode=mode, last_billed=billed).credit_minor == credit
    assert ask(billing_mode="flexible", last_billed=billed).policy.credit_base == "last_billed_price"


def test_a_price_that_was_billed_is_billed_for_what_the_item_had_of_the_period() -> None:
    told = {"subscription_start": "2026-06-11", "change_at": "2026-06-21"}
    flexible = replace(STRIPE, credit_base="last_billed_price")
    for last_billed in (Billed(amount_minor=900, interval="month"), Billed(amount_minor=600)):
        assert ask(flexible, last_billed=last_billed, **told).credit_minor == 300
    several = Billed(amount_minor=300, interval="month", quantity=Decimal(3))
    assert ask(flexible, last_billed=several, **told).credit_minor == 300


def test_a_discount_is_not_taken_twice_off_an_amount_that_was_billed() -> None:
    discount = Discount(percent_off=Decimal(10))
    assert ask(POLAR, discount=discount, last_billed=Billed(amount_minor=900)).credit_minor == 450
    priced = Billed(amount_minor=1000, interval="month")
    found = ask(POLAR, discount=discount, last_billed=priced)
    assert found.credit_minor == 450
    assert found.proration.used is not None
    assert found.proration.used.amount_minor == 450


def test_tax_is_beside_the_net_or_in_the_credit_note() -> None:
    stripe, lago = ask(tax_rate=Decimal(25)), ask(LAGO, tax_rate=Decimal(25))
    assert (stripe.credit_minor, stripe.net_minor, stripe.tax_minor, stripe.total_minor) == (
        500,
        500,
        125,
        625,
    )
    assert (lago.credit_minor, lago.net_minor, lago.tax_minor, lago.total_minor) == (625, 375, 250, 625)


PRICES = st.builds(
    RecurringPrice,
    amount_minor=st.integers(0, 10**12),
    interval=st.sampled_from(INTERVALS),
    quantity=st.decimals(0, 1000, places=3),
)
INSTANTS = st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001 - made UTC here
QUESTIONS = st.builds(
    Question,
    currency=st.just("USD"),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Africa/Cairo"]),
    cycle_start=INSTANTS,
    change_at=INSTANTS,
    old=st.none() | PRICES,
    new=st.none() | PRICES,
    anchor=st.sampled_from(["anniversary", "calendar"]),
    subscription_start=st.none() | INSTANTS,
    trial_end=st.none() | INSTANTS,
    tax_rate=st.decimals(0, 100, places=2),
    discount=st.none() | st.builds(Discount, percent_off=st.decimals(0, 100, places=2)),
    proration_behavior=st.sampled_from([None, "create_prorations", "none", "always_invoice"]),
    billing_mode=st.sampled_from([None, "flexible"]),
    last_billed=st.none() | st.builds(Billed, amount_minor=st.integers(0, 10**12)),
)


@given(QUESTIONS, st.timedeltas(timedelta(0), timedelta(days=30)), st.sampled_from(list(PRESETS)))
def test_any_question_has_an_answer_that_adds_up_or_is_refused_by_name(
    asked: Question, later: timedelta, preset: str
) -> None:
    # Most changes then lie in their period.
    asked = replace(asked, change_at=asked.cycle_start + later)
    try:
        found = preview(asked, PRESETS[preset].billing)
    except Invalid:
        return
    assert found.period.start <= found.effective_at <= found.period.end or asked.old is None
    assert min(found.credit_minor, found.debit_minor) >= 0
    assert found.net_minor == found.debit_minor - found.credit_minor
    assert found.total_minor == found.net_minor + found.tax_minor
    lines = sum(one.amount_minor + one.tax_minor for one in found.segments)
    assert found.total_minor == lines
    if asked.last_billed is not None and found.proration.credit is not None:
        billed = asked.last_billed.amount_minor
        assert -found.proration.credit.amount_minor <= billed


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "field"),
    [
        ({"old": None, "new": None}, NothingToProrate, "old"),
        ({"currency": "XXX"}, UnknownCurrency, "currency"),
        ({"zone": "Mars/Olympus"}, UnknownZone, "zone"),
        ({"discount": Discount()}, MalformedDiscount, "coupon"),
        ({"tax_rate": Decimal("100.1")}, Invalid, "tax_rate"),
        ({"tax_rate": Decimal(-1)}, Invalid, "tax_rate"),
        ({"subscription_start": "2026-06-17"}, Invalid, "subscription_start"),
        ({"last_billed": Billed(amount_minor=1, interval="year")}, Invalid, "last_billed.interval"),
        ({"last_billed": Billed(amount_minor=-1)}, Invalid, "last_billed.amount"),
        (
            {"last_billed": Billed(amount_minor=10**17, quantity=Decimal(10))},
            AmountOutOfRange,
            "last_billed.amount",
        ),
        ({"cycle_start": datetime(2026, 6, 1)}, Invalid, "cycle_start"),  # noqa: DTZ001 - the point
        ({"change_at": datetime(2026, 6, 1)}, Invalid, "change_at"),  # noqa: DTZ001 - the point
        ({"new": replace(DEARER, amount_minor=10**18)}, Invalid, "amount"),
        ({"cycle_start": "2199-12-20", "change_at": "2199-12-21"}, Invalid, "cycle_start"),
    ],
)
def test_what_cannot_be_told_is_refused_by_its_field(
    more: dict[str, Any], error: type[Invalid], field: str
) -> None:
    with pytest.raises(error) as refused:
        ask(**more)
    assert list(refused.value.errors) == [field]


def test_a_total_beyond_18_digits_is_refused() -> None:
    huge = replace(DEARER, amount_minor=10**18 - 1)
    with pytest.raises(AmountOutOfRange):
        _ = ask(new=huge, change_at="2026-06-01", old=None, tax_rate=Decimal(100)).total_minor
    assert ask(new=huge, change_at="2026-06-01", old=None).total_minor == 10**18 - 1


def test_what_was_last_billed_says_nothing_of_a_start() -> None:
    assert amounts(ask(old=None, last_billed=Billed(amount_minor=1, interval="year"))) == (0, 1000)


def test_the_exact_amounts_are_told() -> None:
    found = ask(old=replace(MONTHLY, amount_minor=1001), change_at="2026-06-11")
    assert [one.exact for one in found.segments] == [Fraction(-2002, 3), Fraction(4000, 3)]
