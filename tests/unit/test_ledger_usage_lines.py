"""The lines of usage: a tier a line, a group at a time, and what came late beyond what was billed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from ledger.aggregates import MeasuredEvent
from ledger.events.subscription import PlanChanged
from ledger.measuring import measure
from ledger.meters import MeterDefinition, default_meter
from ledger.periods import Period
from ledger.prices import Price
from ledger.rating import RATING_PRESETS
from ledger.streams import subscription as subscriptions
from ledger.streams.subscribing import Beginning, advance, subscribe
from ledger.usage_lines import (
    ask_of,
    by_event,
    charge,
    chargings,
    looks_at_events,
    merged,
)
from tests.bills import used
from tests.examples import ADA, NOON, example_book, example_id, example_plan, graduated
from tests.examples import charge as charge_of
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from typing import Any

    from ledger.events.subscription import SubscriptionEvent
    from ledger.measuring import Measured
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription
    from ledger.usage_lines import Charged, Charging

given = Rules(subscriptions.evolve).given
BOOK = example_book()
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
HALF_WAY = NOON + timedelta(days=14)
STRIPE = RATING_PRESETS["stripe"]
TIERS = graduated((100, 2), (None, 1))
CALLS = example_plan(1, "Calls", charges=(charge_of(TIERS),), fees=())
NAMES: dict[str, Any] = {"subscription": example_id("sub"), "account": ADA.account}


def over(plan: PricedPlan = CALLS, *more: SubscriptionEvent) -> Subscription:
    """Give a subscription whose first period is over."""
    started = subscribe(example_id("sub"), ADA, plan, BOOK, Beginning(starts_at=NOON), NOON)
    renewed = given(*started, *more).when(lambda state: advance(state, ADA, plan, plan, BOOK, FEBRUARY_28))
    return renewed.state


def to_bill(subscription: Subscription, *plans: PricedPlan, late_since: datetime = NOON) -> list[Charging]:
    known = {(plan.plan, plan.price_version): plan for plan in plans or (CALLS,)}
    return chargings(subscription, known, late_since)


def billed(one: Charging, *groups: Measured, through: int = 50) -> Charged:
    return charge(one, groups, ask_of(one, ADA.account, {}, through), STRIPE)


def seats(at: datetime, quantity: int, to: PricedPlan = CALLS) -> PlanChanged:
    return PlanChanged(
        **NAMES, from_plan=CALLS.plan, to_plan=to.plan, price_version=1, effective_at=at, quantity=quantity
    )


# -- what there is to bill --------------------------------------------------------------------------


def test_each_charge_of_a_stretch_that_is_over_is_billed() -> None:
    two = example_plan(1, "Calls", fees=(), charges=(charge_of(1), charge_of(2, "storage", "bytes")))
    found = to_bill(over(two), two)
    assert [(one.charge.code, one.service_from, one.service_to, one.before) for one in found] == [
        ("calls", NOON, FEBRUARY_28, None),
        ("storage", NOON, FEBRUARY_28, None),
    ]


def test_seats_do_not_split_a_stretch_and_another_plan_does() -> None:
    other = example_plan(2, "Other", fees=(), charges=(charge_of(3),))
    changes = (seats(NOON + timedelta(days=5), 4), seats(HALF_WAY, 4, other))
    found = to_bill(over(CALLS, *changes), CALLS, other)
    assert [(one.plan.name, one.service_from, one.service_to) for one in found] == [
        ("Calls", NOON, HALF_WAY),
        ("Other", HALF_WAY, FEBRUARY_28),
    ]


def test_a_plan_that_comes_back_has_a_stretch_of_its_own() -> None:
    other = example_plan(2, "Other", fees=(), charges=(charge_of(3),))
    back = replace(seats(NOON + timedelta(days=20), 1), from_plan=other.plan, to_plan=CALLS.plan)
    stretches = merged(over(CALLS, seats(HALF_WAY, 1, other), back).unbilled)
    assert [(one.plan, one.from_at) for one in stretches] == [
        (CALLS.plan, NOON),
        (other.plan, HALF_WAY),
        (CALLS.plan, NOON + timedelta(days=20)),
    ]


def test_what_was_billed_is_looked_at_again_while_usage_may_come_late() -> None:
    subscription = over()
    (first,) = to_bill(subscription)
    known = billed(first, used(10)).billed
    assert known is not None
    again = replace(subscription, unbilled=(), usage=(known,))
    assert [one.before for one in to_bill(again)] == [known]
    assert to_bill(again, late_since=FEBRUARY_28) == []


def test_a_stretch_is_measured_by_its_meter_from_its_beginning_to_its_end() -> None:
    (one,) = to_bill(over())
    ask = ask_of(one, ADA.account, {}, 77)
    assert (ask.definition, ask.account) == (default_meter("api_calls"), ADA.account)
    assert (ask.period_from, ask.period_to, ask.after_position, ask.through_position) == (
        NOON,
        FEBRUARY_28,
        0,
        77,
    )
    defined = MeterDefinition(code="api_calls", name="Calls", event_type="call", aggregation="count")
    assert ask_of(one, ADA.account, {"api_calls": defined}, 77).definition == defined


# -- lines ------------------------------------------------------------------------------------------


def test_each_tier_is_a_line_that_says_how_its_amount_came_about() -> None:
    (one,) = to_bill(over())
    charged = billed(one, used(150, 3))
    told = [(line.description, line.quantity, line.amount) for line in charged.lines]
    assert told == [("Calls, 0 to 100", "100", 200), ("Calls, 100 to 150", "50", 50)]
    ratings = [line.rating for line in charged.lines]
    assert [(rating.formula, rating.exact, rating.tier) for rating in ratings if rating] == [
        ("100 x 2", "200", 1),
        ("50 x 1", "50", 2),
    ]
    (line, _) = charged.lines
    assert (line.kind, line.sequence, line.service_from, line.service_to) == (
        "usage",
        1,
        NOON,
        FEBRUARY_28,
    )
    assert (line.usage_after_position, line.usage_through_position) == (0, 50)
    assert line.usage is not None
    assert (line.usage.meter, line.usage.charge, line.usage.events) == ("api_calls", "calls", 3)


def test_it_is_remembered_what_was_billed_and_up_to_where() -> None:
    (one,) = to_bill(over())
    charged = billed(one, used(150, 3))
    known = charged.billed
    assert known is not None
    assert (known.events, known.quantity, known.rated, known.through_position) == (3, Decimal(150), 250, 50)
    assert (known.service_from, known.service_to, known.line) == (
        NOON,
        FEBRUARY_28,
        charged.lines[0].line,
    )


def test_no_usage_makes_no_line_but_is_remembered() -> None:
    (one,) = to_bill(over())
    charged = billed(one, used(0, 0))
    assert charged.lines == ()
    assert charged.billed is not None
    assert (charged.billed.rated, charged.billed.line) == (0, None)


def test_each_group_fills_tiers_of_its_own() -> None:
    (one,) = to_bill(over())
    charged = billed(one, used(150, 3, "eu"), used(100, 2, "us"))
    told = [(line.description, line.amount) for line in charged.lines]
    assert told == [("Calls, eu, 0 to 100", 200), ("Calls, eu, 100 to 150", 50), ("Calls, us, 0 to 100", 200)]
    assert charged.billed is not None
    assert charged.billed.rated == 450
    groups = [line.usage.group for line in charged.lines if line.usage]
    assert groups == [("eu",), ("eu",), ("us",)]


def test_no_two_groups_have_the_same_line() -> None:
    (one,) = to_bill(over())
    groups = (used(1, 1, None, "a"), used(1, 1, "", "a"), used(1, 1, "a:b", "c"), used(1, 1, "a", "b:c"))
    charged = billed(one, *groups)
    assert len({line.line for line in charged.lines}) == len(groups)


def test_the_lines_of_a_fraction_of_a_cent_add_up_to_what_is_rounded_once() -> None:
    half_cents = Price(model="per_unit", currency="USD", unit_amount=Decimal("0.5"))
    plan = example_plan(1, "Calls", fees=(), charges=(charge_of(half_cents),))
    (one,) = to_bill(over(plan), plan)
    charged = billed(one, used(3))
    (line,) = charged.lines
    assert line.rating is not None
    assert (line.amount, line.rating.exact, line.rating.rounding) == (2, "3/2", "half_away")


def test_a_quantity_without_end_is_kept_to_its_digits() -> None:
    (one,) = to_bill(over())
    third = replace(used(1), quantity=Fraction(1, 3))
    known = billed(one, third).billed
    assert known is not None
    assert known.quantity == Decimal("0.33333333333333333333")


def test_less_than_nothing_costs_nothing() -> None:
    packages = Price(model="package", currency="USD", package_amount=Decimal(5), package_size=Decimal(10))
    plan = example_plan(1, "Calls", fees=(), charges=(charge_of(packages),))
    (one,) = to_bill(over(plan), plan)
    charged = billed(one, replace(used(1), quantity=Decimal(-25)))
    assert [line.amount for line in charged.lines] == [0]
    assert charged.billed is not None
    assert (charged.billed.rated, charged.billed.quantity) == (0, Decimal(-25))


# -- what came late ---------------------------------------------------------------------------------


def known_of(groups: list[Measured]) -> tuple[Charging, Charged]:
    (one,) = to_bill(over())
    first = billed(one, *groups)
    return replace(one, before=first.billed), first


def test_what_came_late_is_billed_beyond_what_was() -> None:
    again, first = known_of([used(150, 3)])
    late = billed(again, used(180, 5), through=80)
    (line,) = late.lines
    assert (line.kind, line.amount, line.quantity) == ("usage_adjustment", 30, "30")
    assert (line.usage_after_position, line.usage_through_position) == (50, 80)
    assert line.adjusts_line == first.lines[0].line
    assert line.usage is not None
    assert line.usage.events == 2
    assert late.billed is not None
    assert (late.billed.rated, late.billed.events, late.billed.line) == (280, 5, first.lines[0].line)


def test_where_nothing_came_late_nothing_is_billed_and_nothing_remembered() -> None:
    again, _ = known_of([used(150, 3)])
    nothing = billed(again, used(150, 3), through=80)
    assert (nothing.lines, nothing.billed) == ((), None)


def test_what_came_late_and_costs_nothing_is_told_of() -> None:
    again, _ = known_of([used(150, 3)])
    (line,) = billed(again, used(150, 4), through=80).lines
    assert (line.amount, line.quantity) == (0, "0")


def test_usage_that_turns_out_less_is_given_back() -> None:
    again, _ = known_of([used(150, 3)])
    (line,) = billed(again, used(140, 2), through=80).lines
    assert (line.amount, line.quantity) == (-10, "-10")


def test_late_usage_of_what_had_none_is_the_first_line_that_later_ones_adjust() -> None:
    again, _ = known_of([used(0, 0)])
    late = billed(again, used(10, 1), through=80)
    (line,) = late.lines
    assert (line.amount, line.adjusts_line) == (20, None)
    assert late.billed is not None
    later = billed(replace(again, before=late.billed), used(12, 2), through=90)
    assert later.lines[0].adjusts_line == line.line
    assert later.lines[0].line != line.line


# -- prices that look at each event -----------------------------------------------------------------

EACH = Price(
    model="percentage",
    currency="USD",
    rate=Decimal(1),
    fixed_amount=Decimal(30),
    free_events=1,
    event_min=Decimal(50),
)
PAYMENTS = example_plan(1, "Payments", fees=(), charges=(charge_of(EACH, "payments", "payment"),))


def event(position: int, quantity: str, **properties: Any) -> MeasuredEvent:
    return MeasuredEvent(position, HALF_WAY, Decimal(quantity), properties)


def rated_by_event(definition: MeterDefinition, *events: MeasuredEvent) -> list[tuple[str, int]]:
    (one,) = to_bill(over(PAYMENTS), PAYMENTS)
    ask = ask_of(one, ADA.account, {"payment": definition}, 50)
    assert looks_at_events(one, ask)
    groups = measure(definition, events, Period(NOON, FEBRUARY_28))
    charged = charge(one, by_event(definition, groups, events), ask, STRIPE)
    return [(line.description, line.amount) for line in charged.lines]


def test_a_price_with_free_events_and_a_minimum_for_each_looks_at_them_in_the_order_of_the_log() -> None:
    # The first is free; of the others, 1 % and 30 each, one is below 50 and is raised.
    told = rated_by_event(default_meter("payment"), event(3, "100000"), event(5, "1000"), event(8, "10000"))
    assert told == [
        ("Payments", 110),
        ("Payments, fee for each event", 60),
        ("Payments, minimum for each event", 10),
    ]


def test_each_group_has_its_own_free_events_and_the_value_of_its_property() -> None:
    by_card = MeterDefinition(
        code="payment", name="Payments", event_type="payment", property="amount", group_by=("card",)
    )
    told = rated_by_event(
        by_card,
        event(3, "1", card="a", amount=1000),
        event(4, "1", card="b", amount="9000"),
        event(5, "1", card="a", amount=7000),
        event(6, "1", card="a"),
    )
    assert told == [("Payments, a", 70), ("Payments, a, fee for each event", 30)]


def test_counted_events_are_worth_one_each() -> None:
    counted = MeterDefinition(code="payment", name="Payments", event_type="payment", aggregation="count")
    told = rated_by_event(counted, event(3, "500"), event(4, "500"))
    assert told[1:] == [("Payments, fee for each event", 30), ("Payments, minimum for each event", 20)]


def test_what_is_no_sum_of_its_events_is_rated_as_one() -> None:
    highest = MeterDefinition(code="payment", name="Payments", event_type="payment", aggregation="max")
    (one,) = to_bill(over(PAYMENTS), PAYMENTS)
    ask = ask_of(one, ADA.account, {"payment": highest}, 50)
    assert not looks_at_events(one, ask)
    assert charge(one, [used(9000, 3)], ask, STRIPE).lines == ()
    assert charge(one, [used(0, 0)], ask, STRIPE).lines == ()


@pytest.mark.parametrize("model", ["per_unit", "percentage"])
def test_other_prices_look_at_the_sum_alone(model: str) -> None:
    rate: dict[str, Any] = {"unit_amount": Decimal(1)} if model == "per_unit" else {"rate": Decimal(1)}
    plain = example_plan(
        1, "Plain", fees=(), charges=(charge_of(Price(model=model, currency="USD", **rate)),)
    )
    (one,) = to_bill(over(plain), plain)
    assert not looks_at_events(one, ask_of(one, ADA.account, {}, 50))
    assert [line.amount for line in billed(one, used(1000, 4)).lines] == [1000 if model == "per_unit" else 10]
