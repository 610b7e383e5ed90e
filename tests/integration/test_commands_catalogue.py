"""The catalogue from command to log: what a plan relies on, and who was first."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api.plans_file import catalogue_of
from commands.catalogue import UnknownReference
from commands.catalogue_file import CatalogueMoved, apply, difference
from commands.coupons import create_coupon
from commands.plans import PlanDraft, create_plan_of, reprice_plan
from commands.products import define_product, retire_product
from commands.tax_rates import define_tax_rate, retire_tax_rate
from ledger.errors import Conflict, IdTaken
from ledger.events.coupon import CouponTerms
from ledger.events.meter import MeterDefined
from ledger.events.plan import PlanCreated, PlanTerms, UsageCharge
from ledger.identifiers import stream_of
from ledger.prices import Price
from ledger.streams.plan import one_fee
from ledger.streams.product import ProductIsRetired
from ledger.streams.tax_rate import TaxRateIsRetired, TaxTerms
from tests.acme import Acme, acme_on, at_once, events_of, interrupted, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.context import Context
    from tests.postgres import Database

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "plans.toml"
FEE = one_fee("Pro", "USD", "month", 2900)
CALLS = UsageCharge(
    code="calls",
    name="Calls",
    meter="api_calls",
    prices={"USD": Price(model="per_unit", currency="USD", unit_amount=Decimal("0.5"))},
)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


def a_plan(context: Context, terms: PlanTerms = FEE, external_id: str | None = None) -> str:
    draft = PlanDraft(name="Pro", terms=terms, external_id=external_id)
    return str(known(create_plan_of(context, draft).result).plan)


def a_tax_rate(context: Context) -> str:
    terms = TaxTerms(name="VAT", jurisdiction="DE", percent=Decimal(19))
    return str(known(define_tax_rate(context, terms).result).tax_rate)


def count_of(acme: Acme, *kinds: type) -> int:
    return sum(isinstance(event, kinds) for event in events_of(acme))


# -- what is relied upon ------------------------------------------------------------------------------


def test_a_tax_rate_that_is_retired_while_a_plan_is_made_is_not_named_by_it(acme: Acme) -> None:
    vat = a_tax_rate(acme.live)
    context, log = interrupted(acme.live, lambda: retire_tax_rate(acme.live, vat, "abolished"))
    with pytest.raises(TaxRateIsRetired, match=r"tax_rates.0"):
        a_plan(context, replace(FEE, tax_rates=(vat,)))
    assert (log.appends, count_of(acme, PlanCreated)) == (1, 0)


def test_a_product_that_is_retired_while_a_plan_is_made_is_not_sold_by_it(acme: Acme) -> None:
    product = known(define_product(acme.live, "API").result).product
    context, _ = interrupted(acme.live, lambda: retire_product(acme.live, product, "merged"))
    with pytest.raises(ProductIsRetired):
        create_plan_of(context, PlanDraft(name="Pro", terms=FEE, product=product))


def test_a_tax_rate_that_another_price_version_names_is_relied_upon_too(acme: Acme) -> None:
    vat, plan = a_tax_rate(acme.live), a_plan(acme.live)
    context, _ = interrupted(acme.live, lambda: retire_tax_rate(acme.live, vat, "abolished"))
    with pytest.raises(TaxRateIsRetired):
        reprice_plan(context, plan, replace(FEE, tax_rates=(vat,)))


@pytest.mark.parametrize("book", ["test", "live"])
def test_what_is_in_another_book_is_not_there(acme: Acme, book: str) -> None:
    here, there = (acme.live, acme.test) if book == "live" else (acme.test, acme.live)
    vat, plan = a_tax_rate(there), a_plan(there)
    with pytest.raises(UnknownReference) as refusal:
        a_plan(here, replace(FEE, tax_rates=(vat,)))
    assert set(refusal.value.errors) == {"tax_rates.0"}
    with pytest.raises(UnknownReference) as refusal:
        create_coupon(here, "HALF", "Half", CouponTerms(percent_off=Decimal(50), plans=(plan,)))
    assert set(refusal.value.errors) == {"plans.0"}


# -- who was first ------------------------------------------------------------------------------------


def test_of_many_who_make_the_same_plan_at_once_one_does(acme: Acme) -> None:
    contexts = [replace(acme.live, cause=f"request {number}") for number in range(8)]
    answers = at_once(lambda context: a_plan(context, external_id="pro"), contexts)
    assert sorted(type(answer).__name__ for answer in answers) == ["IdTaken"] * 7 + ["str"]


def test_many_plans_that_charge_by_a_new_event_type_share_its_meter(acme: Acme) -> None:
    contexts = [replace(acme.live, cause=f"request {number}") for number in range(8)]
    answers = at_once(lambda context: a_plan(context, replace(FEE, charges=(CALLS,))), contexts)
    assert len(set(answers)) == 8
    assert (count_of(acme, PlanCreated), count_of(acme, MeterDefined)) == (8, 1)


def test_a_plan_that_is_taken_leaves_nothing_behind(acme: Acme) -> None:
    a_plan(acme.live, external_id="pro")
    before = len(events_of(acme))
    with pytest.raises(IdTaken):
        a_plan(acme.live, replace(FEE, charges=(CALLS,)), external_id="pro")
    assert len(events_of(acme)) == before


# -- a file -------------------------------------------------------------------------------------------


def test_what_the_log_gives_back_of_the_example_is_what_the_file_says(acme: Acme) -> None:
    file = catalogue_of(
        tomllib.loads(EXAMPLE.read_text("utf-8"), parse_float=Decimal), EXAMPLE.name, acme.live.book
    )
    shown = difference(acme.live, file)
    assert apply(acme.live, file, (), shown).position is not None
    later = replace(acme.live, cause="again")
    assert {change.action for change in difference(later, file)} == {"unchanged"}
    assert apply(later, file, (), difference(later, file)).position is None


def test_a_file_that_somebody_else_applies_first_is_shown_again(acme: Acme) -> None:
    data = {"product": [{"code": "api", "name": "API"}]}
    file = catalogue_of(data, "plans.toml", acme.live.book)
    shown = difference(acme.live, file)

    def meanwhile() -> None:
        other = replace(acme.live, cause="somebody else")
        apply(other, file, (), difference(other, file))

    context, log = interrupted(acme.live, meanwhile)
    with pytest.raises(CatalogueMoved):
        apply(context, file, (), shown)
    assert log.appends == 1


def test_two_books_apply_one_file_apart(acme: Acme) -> None:
    data = {"plan": [{"code": "pro", "name": "Pro", "currency": "USD", "amount": 2900}]}
    for context in (acme.live, acme.test):
        file = catalogue_of(dict(data), "plans.toml", context.book)
        apply(context, file, (), difference(context, file))
        plan = next(iter(event.plan for event in events_of(acme, context) if isinstance(event, PlanCreated)))
        assert acme.log.load(context.book, stream_of("plan", plan))
    with pytest.raises(Conflict):
        a_plan(acme.live, external_id="pro")
