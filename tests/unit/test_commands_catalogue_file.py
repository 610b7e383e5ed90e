"""Applying a catalogue's file: the difference, all of it or nothing, and nothing the second time."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.plans_file import catalogue_of
from commands.catalogue_difference import Difference, differences
from commands.catalogue_file import CatalogueMoved, CatalogueRefused, Change, Gone, apply, difference
from commands.context import Context, Unit
from commands.coupons import create_coupon
from commands.meters import define_meter, retire_meter
from commands.plans import create_plan, retire_plan
from ledger.errors import Invalid
from ledger.events import Actor
from ledger.events.coupon import CouponTerms
from ledger.events.meter import MeterDefined
from ledger.events.plan import Entitlement, PlanCreated, PlanDescribed, PlanRepriced
from ledger.identifiers import stream_of
from ledger.meters import default_meter
from ledger.settings import Settings
from ledger.streams import book as books
from ledger.streams import meter as meters
from ledger.streams import plan as plans
from ledger.streams import product as products
from ledger.streams.base import Stream, fold
from tests.examples import BOOK, example_id
from tests.memory_log import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from commands.catalogue_file import CatalogueFile
    from ledger.events import Event

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PRODUCT = '[[product]]\ncode = "api"\nname = "API"\n'
METER = '[[meter]]\ncode = "calls"\naggregation = "count"\n'
VAT = '[[tax_rate]]\ncode = "vat"\nname = "VAT"\njurisdiction = "DE"\npercent = 19\n'
SELLER = '[[billing_entity]]\ncode = "gmbh"\nname = "Acme GmbH"\ninvoice_series = "R"\n'
PLAN = '[[plan]]\ncode = "pro"\nname = "Pro"\ncurrency = "USD"\namount = 2900\n'
COUPON = '[[coupon]]\ncode = "HALF"\npercent_off = 50\n'
EVERYTHING = PRODUCT + METER + VAT + SELLER + PLAN + COUPON


def charge_for(meter: str) -> str:
    """Give a charge of the plan before it in a file."""
    return (
        f'[[plan.charges]]\nmeter = "{meter}"\n'
        'prices = [{ model = "flat", currency = "USD", flat_amount = 1 }]\n'
    )


class World:
    """A book in memory."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.context = Context(
            self.log.as_log(),
            Settings(),
            BOOK,
            Actor(principal="operator", kind="system"),
            "test",
            NOW,
            os.urandom,
        )
        unit = Unit(self.context)
        opened = books.open_book("book", "org", "Acme Inc.", "test", "USD", "UTC")
        unit.add(BOOK, Stream(), books.evolve, opened)
        self.log.append(BOOK, unit.events)

    def later(self, days: int) -> None:
        """Move the clock on."""
        self.context = replace(self.context, now=self.context.now + days * DAY)

    def file(self, text: str) -> CatalogueFile:
        """Read a file for this book."""
        return catalogue_of(tomllib.loads(text, parse_float=Decimal), "plans.toml", BOOK)

    def apply(self, text: str, *gone: Gone) -> list[str]:
        """Apply a file and say what it changed."""
        file = self.file(text)
        shown = difference(self.context, file, gone)
        assert apply(self.context, file, gone, shown).result == shown
        return said(shown)

    def events(self, *kinds: type[Event]) -> list[Event]:
        """Give the events of some kinds."""
        return [event for event in self.log.events() if isinstance(event, kinds)]

    def plan(self) -> plans.Plan:
        """Give the plan of the file."""
        recorded = self.log.load(BOOK, stream_of("plan", plans.plan_id(BOOK, "pro")))
        return plans.require(fold(plans.evolve, recorded).state)

    def meter(self, code: str) -> meters.Meter:
        """Give a meter."""
        recorded = self.log.load(BOOK, stream_of("meter", meters.meter_id(BOOK, code)))
        return meters.require(fold(meters.evolve, recorded).state)


@pytest.fixture
def world() -> World:
    return World()


def said(changes: Sequence[Change]) -> list[str]:
    return [f"{one.kind} {one.code} {one.action}" for one in changes if one.action != "unchanged"]


# -- applying -----------------------------------------------------------------------------------------


def test_everything_is_created_and_the_second_time_nothing_changes(world: World) -> None:
    assert world.apply(EVERYTHING) == [
        "product api created",
        "meter calls created",
        "tax_rate vat created",
        "billing_entity gmbh created",
        "plan pro created",
        "coupon HALF created",
    ]
    head = world.log.head()
    world.later(30)
    assert world.apply(EVERYTHING) == []
    assert world.log.head() == head


def test_looking_at_the_difference_changes_nothing(world: World) -> None:
    head = world.log.head()
    assert len(difference(world.context, world.file(EVERYTHING))) == 6
    assert world.log.head() == head


def test_another_price_is_a_new_version_from_now(world: World) -> None:
    world.apply(PLAN)
    world.later(1)
    file = world.file(PLAN.replace("2900", "3900"))
    (change,) = difference(world.context, file)
    assert change == Change(
        kind="plan",
        code="pro",
        action="repriced",
        differences=(Difference("fees.fee.amounts.USD", "2900", "3900"),),
        effective_at=NOW + DAY,
    )
    apply(world.context, file, (), (change,))
    (event,) = world.events(PlanRepriced)
    assert isinstance(event, PlanRepriced)
    assert (event.price_version, event.effective_at) == (2, NOW + DAY)
    assert world.plan().versions[0].terms.fees[0].amounts == {"USD": 2900}


def test_a_new_version_holds_from_when_the_file_says(world: World) -> None:
    world.apply(PLAN)
    dearer = PLAN.replace("2900", "3900") + "effective_at = 2027-07-01T00:00:00Z\n"
    assert world.apply(dearer) == ["plan pro repriced"]
    assert world.plan().newest.effective_at == datetime(2027, 7, 1, tzinfo=UTC)
    assert world.apply(dearer) == []


def test_another_name_is_no_new_price(world: World) -> None:
    named = '[[plan]]\ncode = "pro"\nname = "{}"\nfees = [{{ code = "fee", amounts = {{ USD = 2900 }} }}]\n'
    world.apply(named.format("Pro"))
    assert world.apply(named.format("Pro+") + 'metadata = { tier = "2" }') == ["plan pro changed"]
    assert world.events(PlanRepriced) == []
    assert len(world.events(PlanDescribed)) == 1
    assert (world.plan().name, world.plan().metadata) == ("Pro+", {"tier": "2"})


def test_a_tax_rate_gets_another_version(world: World) -> None:
    world.apply(VAT)
    (change,) = difference(world.context, world.file(VAT.replace("19", "21")))
    assert (change.action, change.effective_at) == ("repriced", NOW)
    assert change.differences == (Difference("percent", "19", "21"),)
    assert world.apply(VAT.replace("VAT", "MwSt")) == ["tax_rate vat changed"]


def test_a_seller_a_product_and_a_meter_change_their_names(world: World) -> None:
    world.apply(PRODUCT + METER + SELLER)
    renamed = (PRODUCT + METER + SELLER).replace('"API"', '"The API"').replace("GmbH", "SE")
    assert world.apply(renamed + 'metadata = { country = "DE" }') == [
        "product api changed",
        "billing_entity gmbh changed",
    ]
    assert world.apply(METER + 'name = "Calls"') == ["meter calls changed"]


def test_the_seller_that_a_book_opens_with_is_the_files_too(world: World) -> None:
    text = '[[billing_entity]]\ncode = "default"\nname = "Acme Inc."\ninvoice_series = "INV"\n'
    assert world.apply(text + 'credit_note_series = "CN"') == []


def test_objects_may_name_others_of_the_same_file(world: World) -> None:
    text = (
        COUPON
        + 'plans = ["pro"]\n'
        + PLAN
        + 'product = "api"\ntax_rates = ["vat"]\n'
        + charge_for("calls")
        + PRODUCT
        + METER
        + VAT
    )
    assert len(world.apply(text)) == 5
    assert world.plan().product == products.product_id(BOOK, "api")
    assert world.meter("calls").definition.aggregation == "count"
    assert world.apply(text) == []


def test_an_event_type_that_is_charged_for_is_shown_as_the_meter_it_gets(world: World) -> None:
    charge = charge_for("clicks")
    assert world.apply(PLAN) == ["plan pro created"]
    assert world.apply(PLAN + charge) == ["meter clicks created", "plan pro repriced"]
    assert world.meter("clicks").definition == default_meter("clicks")
    assert world.apply(PLAN + charge) == []


def test_what_was_made_otherwise_under_the_same_code_is_taken_over(world: World) -> None:
    define_meter(world.context, replace(default_meter("calls"), aggregation="count"))
    create_coupon(world.context, "HALF", "HALF", CouponTerms(percent_off=Decimal(50)))
    assert world.apply(METER + COUPON) == []


# -- what is gone -------------------------------------------------------------------------------------


def gone(kind: str, prefix: str, code: str, identity: str) -> Gone:
    assert identity.startswith(prefix)
    return Gone(kind=kind, id=identity, code=code)


def test_what_is_gone_from_the_file_is_retired(world: World) -> None:
    world.apply(EVERYTHING)
    old = gone("plan", "plan", "pro", plans.plan_id(BOOK, "pro"))
    meter = gone("meter", "meter", "calls", meters.meter_id(BOOK, "calls"))
    assert world.apply(PRODUCT, old, meter) == ["plan pro retired", "meter calls retired"]
    assert (world.plan().status, world.meter("calls").status) == ("retired", "retired")
    # Lists may trail the log: what is retired already is not retired again.
    assert world.apply(PRODUCT, old, meter) == []


def test_what_is_retired_is_not_brought_back_by_a_file(world: World) -> None:
    world.apply(PLAN)
    retire_plan(world.context, plans.plan_id(BOOK, "pro"), "old")
    with pytest.raises(CatalogueRefused, match=r"plans.toml: plan pro: it is retired: .* another code"):
        world.apply(PLAN)


# -- refusals -----------------------------------------------------------------------------------------


def test_one_object_that_is_refused_keeps_all_from_being_applied(world: World) -> None:
    world.apply(METER)
    head = world.log.head()
    with pytest.raises(CatalogueRefused, match=r"plans.toml: meter calls: .* defined otherwise"):
        world.apply(PRODUCT + METER.replace("count", "sum") + PLAN)
    assert world.log.head() == head


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            COUPON,
            COUPON.replace("50", "40"),
            "coupon HALF: a coupon never changes .*percent_off is 50, not 40",
        ),
        (VAT, VAT.replace("DE", "FR"), "tax_rate vat: .*exclusive tax of DE for good"),
        (VAT, VAT + 'behaviour = "inclusive"', "tax_rate vat: .*exclusive tax of DE for good"),
        (PRODUCT + PLAN, PRODUCT + PLAN + 'product = "api"', "plan pro: its product cannot change"),
    ],
)
def test_what_never_changes_is_refused_with_the_way_out(
    world: World, before: str, after: str, words: str
) -> None:
    world.apply(before)
    with pytest.raises(CatalogueRefused, match=words):
        world.apply(after)


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (PLAN + 'tax_rates = ["vat"]', "plans.toml: plan pro: tax_rates.0", "no tax rate vat"),
        (PLAN + 'product = "api"', "plans.toml: plan pro: product", "no product api"),
        (COUPON + 'plans = ["pro"]', "plans.toml: coupon HALF: plans.0", "no plan pro"),
        (SELLER + 'credit_note_series = "R"', "plans.toml: billing_entity gmbh: credit_note_series", "each"),
        (VAT.replace("19", "101"), "plans.toml: tax_rate vat: percent", "from 0 to 100"),
    ],
)
def test_what_is_named_but_not_there_is_refused_by_the_code_that_names_it(
    world: World, text: str, path: str, words: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        world.apply(text)
    assert set(refusal.value.errors) == {path}
    assert words in refusal.value.errors[path][0]


def test_a_new_plan_of_a_retired_meter_is_refused(world: World) -> None:
    world.apply(METER)
    retire_meter(world.context, "calls", "old")
    with pytest.raises(CatalogueRefused, match=r"plan pro: charges.0.meter: meter calls is retired"):
        world.apply(PLAN + charge_for("calls"))


def test_what_changed_since_it_was_shown_is_not_applied(world: World) -> None:
    file = world.file(PLAN)
    shown = difference(world.context, file)
    world.apply(PLAN.replace("2900", "3900"))
    with pytest.raises(CatalogueMoved, match="look at the difference again"):
        apply(world.context, file, (), shown)


def test_a_version_before_one_that_is_yet_to_come_is_refused(world: World) -> None:
    world.apply(PLAN)
    world.apply(PLAN.replace("2900", "3900") + "effective_at = 2027-07-01T00:00:00Z\n")
    with pytest.raises(Invalid, match="2027-07-01T00:00:00Z"):
        world.apply(PLAN)


# -- differences --------------------------------------------------------------------------------------


def test_parts_of_a_list_are_told_apart_by_their_code() -> None:
    old = plans.one_fee("Pro", "USD", "month", 2900)
    new = replace(old, fees=(replace(old.fees[0], code="base", per_seat=True),), trial_days=7)
    assert differences(old, new) == (
        Difference("fees.fee.code", "fee", None),
        Difference("fees.fee.name", "Pro", None),
        Difference("fees.fee.amounts.USD", "2900", None),
        Difference("fees.fee.timing", "advance", None),
        Difference("fees.fee.per_seat", "yes", None),
        Difference("trial_days", "0", "7"),
        Difference("fees.base.code", None, "base"),
        Difference("fees.base.name", None, "Pro"),
        Difference("fees.base.amounts.USD", None, "2900"),
        Difference("fees.base.timing", None, "advance"),
        Difference("fees.base.per_seat", None, "yes"),
    )


def test_another_order_alone_is_a_difference() -> None:
    old = replace(
        plans.one_fee("Pro", "USD", "month", 2900),
        entitlements=(Entitlement(feature="sso"), Entitlement(feature="calls", limit=Decimal("1E+3"))),
    )
    (one,) = differences(old, replace(old, entitlements=old.entitlements[::-1]))
    assert one.field == "order"
    assert differences(old, old) == ()


amounts = st.integers(0, 5)
files = st.builds(
    lambda pro, name, vat, days: (
        PLAN.replace("2900", str(pro)).replace('"Pro"', f'"{name}"')
        + VAT.replace("19", str(vat))
        + (PRODUCT if days % 2 else "")
    ),
    amounts,
    st.sampled_from(["Pro", "Team"]),
    amounts,
    amounts,
)


@given(st.lists(files, min_size=1, max_size=5))
def test_whatever_came_before_a_file_applied_twice_changes_nothing_the_second_time(texts: list[str]) -> None:
    world = World()
    for text in texts:
        world.apply(text)
        assert world.apply(text) == []
        world.later(1)
    events = world.events(PlanCreated, PlanRepriced)
    versions = [one.price_version for one in events if isinstance(one, PlanCreated | PlanRepriced)]
    assert versions == list(range(1, len(versions) + 1))


def test_a_plain_plan_and_the_files_do_not_meet(world: World) -> None:
    create_plan(world.context, "Pro", "USD", "month", 2900)
    assert world.apply(PLAN) == ["plan pro created"]
    assert example_id("plan") != world.plan().plan
    assert world.events(MeterDefined) == []
