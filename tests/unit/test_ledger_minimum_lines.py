"""Minimums: what a charge or a plan must come to, in whole periods and in parts, and with late usage."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ledger.assembly import assemble
from ledger.events.subscription import SubscriptionBilled
from tests.bills import amounts, bill_of, tax_rate, usage_of, used
from tests.examples import NOON, charge, example_plan, fee
from tests.unit.test_ledger_assembly import FEBRUARY_28, HALF_WAY, NAMES, Story

if TYPE_CHECKING:
    from typing import Any

    from ledger.assembly import Assembled
    from ledger.streams.plan import PricedPlan

TAXED_10, TAXED_20 = tax_rate(1, "10"), tax_rate(2, "20")
RATES = {rate.tax_rate: rate for rate in (TAXED_10, TAXED_20)}
CALLS = example_plan(1, "Calls", fees=(), charges=(charge(1, minimums={"USD": 1000}),))
PLAN = example_plan(2, "Plan", fees=(fee(300),), charges=(charge(1),), minimums={"USD": 1000})


def assembled(story: Story, *plans: PricedPlan, through: int = 100, **usage: Any) -> Assembled:
    bill = bill_of(story.state, *(plans or (story.plan,)), tax_rates=RATES, through_position=through)
    return assemble(bill, usage_of(bill, **usage))


def minimums(found: Assembled) -> list[int]:
    return [line.amount for line in found.lines if line.kind == "minimum"]


def billed(story: Story, found: Assembled) -> Story:
    """Remember what was put together."""
    story.events.append(
        SubscriptionBilled(
            **NAMES,
            invoice="inv_2",
            billed_through=FEBRUARY_28,
            prorations_through=story.state.prorations,
            fee_line=None,
            usage=found.usage,
        )
    )
    return story


# -- of a charge ------------------------------------------------------------------------------------


def test_a_charge_is_topped_up_to_its_minimum() -> None:
    found = assembled(Story(CALLS).goes_on(), calls=used(400))
    assert amounts(found.lines) == [("usage", 400), ("minimum", 600)]
    line = found.lines[-1]
    assert (line.description, line.recognition_rule) == ("Calls, minimum", "period_end")
    assert (line.service_from, line.service_to, line.adjusts_line) == (NOON, FEBRUARY_28, None)
    assert line.rating is not None
    assert (line.rating.formula, line.rating.exact) == ("1000 - 400", "600")
    assert line.usage is not None
    assert (line.usage.charge, line.usage.events) == ("calls", 0)


def test_a_charge_that_comes_to_its_minimum_is_not_topped_up() -> None:
    assert minimums(assembled(Story(CALLS).goes_on(), calls=used(1000))) == []
    assert minimums(assembled(Story(CALLS).goes_on(), calls=used(5000))) == []


def test_without_any_usage_the_minimum_is_all_there_is() -> None:
    assert amounts(assembled(Story(CALLS).goes_on()).lines) == [("minimum", 1000)]


def test_part_of_a_period_asks_for_part_of_the_minimum() -> None:
    assert minimums(assembled(Story(CALLS).ends(HALF_WAY), calls=used(100))) == [400]
    third = Story(CALLS, starts_at=datetime(2027, 4, 21, tzinfo=NOON.tzinfo), calendar=True)
    assert minimums(assembled(third.goes_on(datetime(2027, 5, 1, tzinfo=NOON.tzinfo)))) == [333]


def test_seats_do_not_split_a_minimum_and_another_plan_does() -> None:
    seats = Story(CALLS).changes(HALF_WAY, quantity=5).is_billed().goes_on()
    assert minimums(assembled(seats, calls=used(400))) == [600]
    plain = example_plan(3, "Plain", fees=(), charges=(charge(1),))
    moved = Story(CALLS).changes(HALF_WAY, plain).is_billed().goes_on()
    assert minimums(assembled(moved, CALLS, plain, calls=used(400))) == [100]


def test_what_tops_a_charge_up_is_taxed_as_the_charge_is() -> None:
    taxed = charge(1, minimums={"USD": 1000}, tax_rates=(TAXED_20.tax_rate,))
    plan = example_plan(4, "Taxed", fees=(), charges=(taxed,), tax_rates=(TAXED_10.tax_rate,))
    found = assembled(Story(plan).goes_on(), calls=used(400))
    assert [tax.amount for line in found.lines for tax in line.taxes] == [80, 120]


# -- of a plan --------------------------------------------------------------------------------------


def test_a_plan_is_topped_up_to_its_minimum_with_fees_and_usage_in() -> None:
    found = assembled(Story(PLAN).is_billed().goes_on(), calls=used(400))
    assert amounts(found.lines) == [("fee", 300), ("usage", 400), ("minimum", 300)]
    assert found.lines[-1].description == "Plan, minimum"
    assert minimums(assembled(Story(PLAN).is_billed().goes_on(), calls=used(700))) == []


def test_fees_in_arrears_count_towards_the_minimum_of_a_plan() -> None:
    plan = example_plan(5, "Arrears", fees=(fee(300, timing="arrears"),), minimums={"USD": 1000})
    assert amounts(assembled(Story(plan).goes_on()).lines) == [("fee_in_arrears", 300), ("minimum", 700)]


def test_the_minimum_of_a_charge_counts_towards_that_of_its_plan() -> None:
    both = example_plan(
        6, "Both", fees=(), charges=(charge(1, minimums={"USD": 800}),), minimums={"USD": 1000}
    )
    assert minimums(assembled(Story(both).goes_on(), calls=used(400))) == [400, 200]


def test_seats_that_changed_count_each_for_their_time() -> None:
    plan = example_plan(
        7, "Seats", fees=(fee(100, per_seat=True),), minimums={"USD": 1000}, charges=(charge(1),)
    )
    story = Story(plan, quantity=2).is_billed().changes(HALF_WAY, quantity=8).is_billed().goes_on()
    # Half a month of two seats and half of eight are 500, of which nothing is usage.
    assert minimums(assembled(story)) == [500]


def test_a_plan_that_was_had_for_half_a_period_asks_for_half_its_minimum() -> None:
    plain = example_plan(3, "Plain", fees=())
    story = Story(PLAN).is_billed().changes(HALF_WAY, plain).is_billed().goes_on()
    assert minimums(assembled(story, PLAN, plain, calls=used(100))) == [500 - 150 - 100]


def test_what_tops_a_plan_up_is_under_the_tax_that_its_parts_share() -> None:
    rates = (TAXED_20.tax_rate,)
    parts: dict[str, Any] = {"fees": (fee(300, tax_rates=rates),), "charges": (charge(1, tax_rates=rates),)}
    plan = example_plan(8, "Taxed", **parts, minimums={"USD": 1000})
    found = assembled(Story(plan).is_billed().goes_on())
    assert [tax.amount for tax in found.lines[-1].taxes] == [140]


# -- with usage that comes late ---------------------------------------------------------------------


def test_late_usage_takes_the_place_of_what_was_topped_up() -> None:
    story = Story(CALLS).goes_on()
    first = assembled(story, calls=used(400))
    billed(story, first)
    second = assembled(story, through=110, calls=used(700, 2))
    assert amounts(second.lines) == [("usage_adjustment", 300), ("minimum", -300)]
    assert second.lines[-1].adjusts_line == first.lines[-1].line
    assert second.lines[-1].rating is not None
    assert second.lines[-1].rating.formula == "1000 - 700, less the 600 asked for before"
    third = assembled(billed(story, second), through=120, calls=used(1500, 3))
    assert amounts(third.lines) == [("usage_adjustment", 800), ("minimum", -300)]
    assert third.lines[-1].line not in {line.line for line in (*first.lines, *second.lines)}
    last = assembled(billed(story, third), calls=used(1600, 4))
    assert amounts(last.lines) == [("usage_adjustment", 100)]


def test_late_usage_takes_the_place_of_what_a_plan_was_topped_up_by() -> None:
    story = Story(PLAN).is_billed().goes_on()
    first = assembled(story, calls=used(400))
    second = assembled(billed(story, first), calls=used(900, 2))
    assert amounts(second.lines) == [("fee", 300), ("usage_adjustment", 500), ("minimum", -300)]
    again = assembled(billed(story, second), calls=used(900, 2))
    assert amounts(again.lines) == [("fee", 300)]


def test_usage_that_turns_out_less_is_topped_up_again() -> None:
    story = Story(CALLS).goes_on()
    first = assembled(story, calls=used(1200, 2))
    second = assembled(billed(story, first), calls=used(900, 1))
    assert amounts(second.lines) == [("usage_adjustment", -300), ("minimum", 100)]


def test_however_late_it_comes_usage_and_minimum_come_to_the_same() -> None:
    for steps in ([100, 500, 1300], [1300], [0, 999, 1000, 1001]):
        story, asked = Story(CALLS).goes_on(), 0
        for number, quantity in enumerate(steps):
            found = assembled(story, calls=used(quantity, number))
            billed(story, found)
            asked += sum(line.amount for line in found.lines)
        assert asked == max(1000, steps[-1])


def test_half_a_unit_is_rounded_once() -> None:
    plan = example_plan(9, "Odd", fees=(), charges=(charge(1, minimums={"USD": 333}),))
    story = Story(plan).ends(HALF_WAY)
    found = assembled(story, calls=used(100))
    (line,) = [one for one in found.lines if one.kind == "minimum"]
    assert line.rating is not None
    assert (line.amount, line.rating.exact) == (67, "133/2")
