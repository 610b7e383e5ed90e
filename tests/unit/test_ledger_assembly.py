"""An invoice's lines put together: fees in advance and in arrears, the set-up fee, prorations, taxes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from ledger.assembly import asks_of, assemble
from ledger.events.coupon import CouponTerms
from ledger.events.plan import SetupFee
from ledger.events.subscription import CouponApplied, SubscriptionBilled, SubscriptionCancelled
from ledger.streams import subscription as subscriptions
from ledger.streams.add_ons import add
from ledger.streams.changes import Change, change
from ledger.streams.subscribing import Beginning, advance, subscribe
from ledger.streams.subscription import FEE, line_id
from tests.bills import amounts, bill_of, tax_rate, usage_of, used
from tests.examples import (
    ADA,
    FREE,
    NOON,
    PRO,
    TEAM,
    book_under,
    charge,
    example_book,
    example_id,
    example_plan,
    fee,
)
from tests.given_when_then import Rules

if TYPE_CHECKING:
    from typing import Any

    from ledger.events.invoice import InvoiceLine
    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.book import Book
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription

given = Rules(subscriptions.evolve).given
BOOK = example_book()
SUB = example_id("sub")
NAMES: dict[str, Any] = {"subscription": SUB, "account": ADA.account}
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)
HALF_WAY = NOON + timedelta(days=14)
TAXED_10, TAXED_20 = tax_rate(1, "10"), tax_rate(2, "20")
RATES = {rate.tax_rate: rate for rate in (TAXED_10, TAXED_20)}
BILLED = SubscriptionBilled(
    **NAMES, invoice="inv_1", billed_through=FEBRUARY_28, prorations_through=0, fee_line=None
)


class Story:
    """What happened to one subscription, told step by step."""

    def __init__(self, plan: PricedPlan, book: Book = BOOK, **beginning: Any) -> None:
        """Begin on a plan."""
        self.plan, self.book = plan, book
        how = Beginning(**{"starts_at": NOON, **beginning})
        self.events: list[SubscriptionEvent] = list(subscribe(SUB, ADA, plan, book, how, how.starts_at))

    @property
    def state(self) -> Subscription:
        return given(*self.events).state

    def changes(self, at: datetime, plan: PricedPlan | None = None, quantity: int | None = None) -> Story:
        """Change the plan or the seats."""
        new = plan or self.plan
        asked = Change(old=self.plan, new=new, book=self.book, now=at, quantity=quantity, at_period_end=False)
        self.events += change(self.state, asked)
        self.plan = new
        return self

    def adds(self, at: datetime, plan: PricedPlan, quantity: int = 1) -> Story:
        """Add a plan beside."""
        self.events += add(self.state, self.plan, plan, "item_2", quantity, self.book, at)
        return self

    def is_billed(self) -> Story:
        """Let an invoice take what there was."""
        self.events.append(replace(BILLED, prorations_through=self.state.prorations))
        return self

    def goes_on(self, at: datetime = FEBRUARY_28) -> Story:
        """Open the next period."""
        self.events += advance(self.state, ADA, self.plan, self.plan, self.book, at)
        return self

    def ends(self, at: datetime) -> Story:
        """End."""
        self.events.append(SubscriptionCancelled(**NAMES, ended_at=at))
        return self


def lines_of(story: Story, *plans: PricedPlan, **more: Any) -> tuple[InvoiceLine, ...]:
    bill = bill_of(story.state, *(plans or (story.plan,)), book=story.book, tax_rates=RATES, **more)
    return assemble(bill, usage_of(bill)).lines


# -- in advance -------------------------------------------------------------------------------------


def test_a_first_period_asks_for_its_fee_in_advance() -> None:
    (line,) = lines_of(Story(PRO))
    assert (line.kind, line.amount, line.description, line.product) == ("fee", 2900, "Pro", PRO.product)
    assert (line.service_from, line.service_to, line.quantity) == (NOON, FEBRUARY_28, "1")
    assert (line.plan, line.price_version, line.policy_version) == (PRO.plan, 1, 1)
    assert (line.performance_obligation, line.recognition_rule) == ("subscription", "straight_line")
    assert line.rating is not None
    assert (line.rating.formula, line.rating.exact) == ("2900", "2900")


def test_every_fee_is_a_line_and_those_for_seats_tell_how_many() -> None:
    plan = example_plan(7, "Seats", fees=(fee(1000), fee(500, "seat", per_seat=True, product="prod_9")))
    told = [
        (line.description, line.quantity, line.amount, line.product)
        for line in lines_of(Story(plan, quantity=3))
    ]
    assert told == [("Base", "1", 1000, plan.product), ("Seat", "3", 1500, "prod_9")]


def test_part_of_a_period_costs_its_part_and_says_of_what() -> None:
    start = datetime(2027, 4, 21, tzinfo=UTC)
    (line,) = lines_of(Story(PRO, starts_at=start, calendar=True))
    assert line.amount == 967
    assert line.rating is not None
    assert (line.rating.formula, line.rating.exact) == ("2900 x 1/3", "2900/3")


def test_a_trial_asks_for_nothing_and_what_follows_for_everything() -> None:
    story = Story(PRO, trial_days=28)
    assert lines_of(story) == ()
    assert amounts(lines_of(story.goes_on())) == [("fee", 2900)]


def test_plans_beside_it_are_renewed_with_it() -> None:
    story = Story(PRO).adds(HALF_WAY, TEAM).is_billed().goes_on()
    told = [(line.subscription_item == "item_2", line.amount) for line in lines_of(story, PRO, TEAM)]
    assert told == [(False, 2900), (True, 9900)]


def test_what_ended_asks_for_no_fee_to_come() -> None:
    assert lines_of(Story(PRO).is_billed().ends(HALF_WAY)) == ()


# -- the set-up fee ---------------------------------------------------------------------------------

WITH_SETUP = replace(PRO, terms=replace(PRO.terms, setup_fee=SetupFee(name="Set-up", amounts={"USD": 700})))


def test_a_set_up_fee_is_charged_with_the_first_period_that_is_paid_for() -> None:
    story = Story(WITH_SETUP, trial_days=28)
    assert lines_of(story) == ()
    setup, _ = lines_of(story.goes_on())
    assert (setup.kind, setup.amount, setup.recognition_rule) == ("setup_fee", 700, "at_finalization")
    assert (setup.service_from, setup.performance_obligation) == (None, "setup")


def test_a_set_up_fee_is_charged_once() -> None:
    assert amounts(lines_of(Story(WITH_SETUP).is_billed().goes_on())) == [("fee", 2900)]


def test_a_set_up_fee_of_a_later_plan_is_not_charged() -> None:
    story = Story(TEAM).is_billed().changes(HALF_WAY, WITH_SETUP).is_billed().goes_on()
    assert amounts(lines_of(story, TEAM, WITH_SETUP)) == [("fee", 2900)]


def test_who_was_moved_here_has_paid_it_elsewhere() -> None:
    assert amounts(lines_of(Story(WITH_SETUP, billed_through=NOON))) == [("fee", 2900)]


# -- in arrears -------------------------------------------------------------------------------------

ARREARS = example_plan(8, "Arrears", fees=(fee(2800, timing="arrears", per_seat=True),))


def test_a_fee_in_arrears_is_charged_when_its_period_is_over() -> None:
    story = Story(ARREARS)
    assert lines_of(story) == ()
    (line,) = lines_of(story.goes_on())
    assert (line.kind, line.amount, line.description) == ("fee_in_arrears", 2800, "Base")
    assert (line.service_from, line.service_to) == (NOON, FEBRUARY_28)


def test_each_number_of_seats_is_charged_for_its_time_in_arrears() -> None:
    story = Story(ARREARS, quantity=1).changes(HALF_WAY, quantity=3).is_billed().goes_on()
    lines = lines_of(story)
    told = [(line.quantity, line.amount, line.service_from, line.service_to) for line in lines]
    assert told == [("1", 1400, NOON, HALF_WAY), ("3", 4200, HALF_WAY, FEBRUARY_28)]
    assert len({line.line for line in lines}) == 2


def test_the_end_charges_what_is_over_in_arrears() -> None:
    assert amounts(lines_of(Story(ARREARS).ends(HALF_WAY))) == [("fee_in_arrears", 1400)]


# -- prorations -------------------------------------------------------------------------------------


def test_what_a_change_left_to_be_billed_is_billed_each_on_its_own_product() -> None:
    story = Story(PRO).is_billed().changes(HALF_WAY, TEAM).goes_on()
    lines = lines_of(story, PRO, TEAM)
    assert [(line.kind, line.amount, line.description, line.product) for line in lines] == [
        ("fee", 9900, "Team", TEAM.product),
        ("proration_credit", -1450, "Unused time on Pro", PRO.product),
        ("proration_charge", 4950, "Remaining time on Team", TEAM.product),
    ]
    first = Story(PRO)
    (first_fee,) = lines_of(first)
    assert [line.adjusts_line for line in lines] == [None, first_fee.line, None]
    assert len({line.line for line in (*lines, first_fee)}) == 4
    ratings = [line.rating for line in lines[1:]]
    assert [rating.exact for rating in ratings if rating] == ["-1450", "4950"]


def test_only_what_waits_is_billed_where_that_is_asked_for() -> None:
    plan = example_plan(9, "Calls", 2900, charges=(charge(1),))
    story = Story(plan).is_billed().changes(HALF_WAY, TEAM)
    bill = bill_of(story.state, plan, TEAM, waiting_only=True)
    assert asks_of(bill) == ([], [])
    assert amounts(assemble(bill, []).lines) == [("proration_credit", -1450), ("proration_charge", 4950)]


def test_an_end_asks_for_the_prorations_that_waited() -> None:
    story = Story(PRO).is_billed().changes(HALF_WAY, TEAM).ends(HALF_WAY)
    assert [line.amount for line in lines_of(story, PRO, TEAM)] == [-1450, 4950]


MIXED = example_plan(
    10,
    "Mixed",
    fees=(
        fee(1001, tax_rates=(TAXED_10.tax_rate,)),
        fee(2000, "support", tax_rates=(TAXED_20.tax_rate,)),
    ),
)


def test_fees_under_different_taxes_share_a_proration_and_each_keeps_its_own() -> None:
    story = Story(MIXED).is_billed().changes(HALF_WAY, FREE)
    credit, other, charge_ = lines_of(story, MIXED, FREE, waiting_only=True)
    assert (credit.amount, credit.description) == (-501, "Unused time on Mixed, Base")
    assert (other.amount, other.description) == (-1000, "Unused time on Mixed, Support")
    assert credit.amount + other.amount == -1501
    assert [tax.amount for tax in (*credit.taxes, *other.taxes)] == [-50, -200]
    assert charge_.amount == 0
    item = story.state.item
    period = subscriptions.last_period(story.state).period
    assert credit.adjusts_line == other.adjusts_line == line_id(item, period, FEE, 1)
    assert len({credit.line, other.line, charge_.line}) == 3


def test_fees_under_the_same_taxes_share_a_line() -> None:
    rates = (TAXED_20.tax_rate,)
    plan = example_plan(11, "Same", fees=(fee(1000, tax_rates=rates), fee(500, "seat", tax_rates=rates)))
    story = Story(plan).is_billed().changes(HALF_WAY, FREE)
    credit, _ = lines_of(story, plan, FREE, waiting_only=True)
    assert (credit.amount, credit.description) == (-750, "Unused time on Same")
    assert [tax.amount for tax in credit.taxes] == [-150]


def test_the_rounding_of_a_proration_is_that_of_the_policy_it_was_made_under() -> None:
    book = book_under("lago")
    story = Story(PRO, book).is_billed().changes(HALF_WAY, TEAM)
    lines = lines_of(story, PRO, TEAM, waiting_only=True)
    assert [line.policy_version for line in lines] == [2, 2]
    assert [line.rating.rounding for line in lines if line.rating] == ["half_up", "half_up"]


# -- coupons and taxes ------------------------------------------------------------------------------


def test_a_part_without_tax_rates_of_its_own_is_under_those_of_the_plan() -> None:
    terms: dict[str, Any] = {"fees": (fee(1000), fee(1000, "seat", tax_rates=(TAXED_20.tax_rate,)))}
    plan = example_plan(12, "Taxed", **terms, tax_rates=(TAXED_10.tax_rate,))
    assert [[tax.amount for tax in line.taxes] for line in lines_of(Story(plan))] == [[100], [200]]


@pytest.mark.parametrize("kind", ["setup", "arrears", "usage"])
def test_every_part_is_under_its_own_tax_rates(kind: str) -> None:
    own = (TAXED_20.tax_rate,)
    parts: dict[str, dict[str, Any]] = {
        "setup": {"setup_fee": SetupFee(name="Set-up", amounts={"USD": 100}, tax_rates=own)},
        "arrears": {"fees": (fee(100, timing="arrears", tax_rates=own),)},
        "usage": {"fees": (), "charges": (charge(1, tax_rates=own),)},
    }
    plan = example_plan(13, "Parts", **parts[kind], tax_rates=(TAXED_10.tax_rate,))
    story = Story(plan) if kind == "setup" else Story(plan).goes_on()
    bill = bill_of(story.state, plan, tax_rates=RATES)
    line = assemble(bill, usage_of(bill, calls=used(100))).lines[0]
    assert (line.amount, [tax.amount for tax in line.taxes]) == (100, [20])


def test_a_coupon_is_taken_off_and_given_back_with_the_fee_it_was_taken_off() -> None:
    terms = CouponTerms(percent_off=Decimal(50), duration="once")
    story = Story(PRO)
    story.events.append(CouponApplied(**NAMES, coupon="coup_1", name="Half", terms=terms))
    bill = bill_of(story.state, PRO)
    first = assemble(bill, [])
    assert first.coupons == ("coup_1",)
    (fee_line,) = first.lines
    assert [share.amount for share in fee_line.discounts] == [1450]
    story.events.append(replace(BILLED, coupons=("coup_1",)))
    story.changes(HALF_WAY, FREE)
    credit, _ = lines_of(story, PRO, FREE, waiting_only=True, earlier=first.lines)
    assert (credit.amount, [share.amount for share in credit.discounts]) == (-1450, [-725])
