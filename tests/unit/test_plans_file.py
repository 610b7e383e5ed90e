"""A catalogue's file: what it says, and what is said of it where it is wrong."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.plans_file import catalogue_of, read_catalogue
from ledger.errors import Invalid
from ledger.events.coupon import CouponTerms
from ledger.events.plan import PlanTerms
from ledger.meters import MeterDefinition
from ledger.streams import plan as plans
from ledger.streams import product as products
from ledger.streams import tax_rate as tax_rates
from ledger.streams.tax_rate import TaxTerms
from tests.examples import BOOK

if TYPE_CHECKING:
    from commands.catalogue_file import CatalogueFile, Wanted

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "plans.toml"
PLAN = """
[[plan]]
code = "pro"
name = "Pro"
"""
CHARGE = (
    PLAN
    + """
[[plan.charges]]
meter = "calls"
"""
)


def read(text: str) -> CatalogueFile:
    return catalogue_of(tomllib.loads(text, parse_float=Decimal), "plans.toml", BOOK)


def only(text: str) -> Wanted:
    (wanted,) = read(text).objects
    return wanted


def refused(text: str) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as refusal:
        read(text)
    return refusal.value.errors


def terms_of(text: str) -> PlanTerms:
    terms = only(text).terms
    assert isinstance(terms, PlanTerms)
    return terms


def test_the_example_holds_something_of_every_kind() -> None:
    file = read_catalogue(EXAMPLE, BOOK)
    assert (file.source, file.retire_missing) == ("plans.toml", False)
    found = {wanted.kind for wanted in file.objects}
    assert found == {"product", "meter", "tax_rate", "billing_entity", "plan", "coupon"}


def test_numbers_are_exact_with_quotes_or_without() -> None:
    tiers = 'tiers = [{ up_to = 10, unit_amount = 0.1 }, { unit_amount = "0.30" }]'
    text = f"{CHARGE}prices = [{{ model = 'graduated', currency = 'USD', {tiers} }}]"
    first, second = terms_of(text).charges[0].prices["USD"].tiers
    assert (first.up_to, first.unit_amount) == (Decimal(10), Decimal("0.1"))
    assert second.unit_amount == Decimal("0.3")


@given(st.decimals(min_value=0, max_value=100, places=6))
def test_a_percentage_is_read_to_its_last_digit(percent: Decimal) -> None:
    text = f'[[tax_rate]]\ncode = "t"\nname = "T"\njurisdiction = "DE"\npercent = {percent:f}'
    terms = only(text).terms
    assert isinstance(terms, TaxTerms)
    assert terms.percent == percent


def test_an_instant_is_written_as_toml_writes_it() -> None:
    text = PLAN + "currency = 'USD'\namount = 1\neffective_at = 2027-02-01T01:00:00+01:00"
    assert only(text).effective_at == datetime(2027, 2, 1, tzinfo=UTC)


def test_objects_are_named_by_their_codes() -> None:
    file = read(
        """
[[plan]]
code = "pro"
name = "Pro"
product = "api"
tax_rates = ["vat"]
fees = [{ code = "base", amounts = { USD = 1 }, product = "api", tax_rates = ["vat"] }]

[[coupon]]
code = "HALF"
percent_off = 50
plans = ["pro"]
"""
    )
    plan, coupon = file.objects
    product, vat = products.product_id(BOOK, "api"), tax_rates.tax_rate_id(BOOK, "vat")
    assert isinstance(plan.terms, PlanTerms)
    assert isinstance(coupon.terms, CouponTerms)
    assert (plan.product, plan.terms.tax_rates) == (product, (vat,))
    assert (plan.terms.fees[0].product, plan.terms.fees[0].tax_rates) == (product, (vat,))
    assert coupon.terms.plans == (plans.plan_id(BOOK, "pro"),)
    assert file.names == {product: "api", vat: "vat", plans.plan_id(BOOK, "pro"): "pro"}


def test_an_id_may_stand_where_a_code_does() -> None:
    product = products.product_id(BOOK, "made elsewhere")
    assert only(f"{PLAN}product = '{product}'\ncurrency = 'USD'\namount = 1").product == product


def test_metadata_is_the_callers_whatever_it_is_called() -> None:
    text = '[[product]]\ncode = "api"\nname = "API"\nmetadata = { product = "x", limit = "5" }'
    assert only(text).metadata == {"product": "x", "limit": "5"}


def test_what_a_meter_does_not_say_is_the_sum_of_the_events_of_its_code() -> None:
    definition = MeterDefinition(code="calls", name="calls", event_type="calls")
    assert only('[[meter]]\ncode = "calls"').terms == definition


def test_objects_come_after_those_they_name() -> None:
    file = read(
        '[[coupon]]\ncode = "C"\npercent_off = 5\n'
        f'{PLAN}currency = "USD"\namount = 1\n[[product]]\ncode = "p"\nname = "P"'
    )
    assert [wanted.kind for wanted in file.objects] == ["product", "plan", "coupon"]


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[[plans]]", "plans.toml: plans", "[[plan]]"),
        ("retire_missing = 1", "plans.toml: retire_missing", "true or false"),
        ("[plan]\ncode = 'pro'", "plans.toml: plan", "[[plan]]"),
        ("plan = ['pro']", "plans.toml: plan", "[[plan]]"),
        ("[[product]]\nname = 'P'", "plans.toml: product number 1: code", "Missing"),
        ("[[product]]\ncode = 'a b'\nname = 'P'", "plans.toml: product a b: code", "letters, digits"),
        ("[[product]]\ncode = 'p'", "plans.toml: product p: name", "Missing"),
        ("[[product]]\ncode = 'p'\nname = 'P'\nprice = 5", "plans.toml: product p: price", "Unknown"),
        (
            "[[product]]\ncode = 'p'\nname = 'P'\nexternal_id = 'x'",
            "plans.toml: product p: external_id",
            "Unknown",
        ),
        (
            "[[product]]\ncode = 'p'\nname = 'P'\n[[product]]\ncode = 'p'\nname = 'Q'",
            "plans.toml: product p",
            "twice",
        ),
        (PLAN, "plans.toml: plan pro: amount", "Missing"),
        (PLAN + "currency = 'USD'\namount = 29.5", "plans.toml: plan pro: amount", "integer"),
        (
            PLAN + "currency = 'USD'\namount = -1",
            "plans.toml: plan pro: amount",
            "greater than or equal to 0",
        ),
        (PLAN + "currency = 'USD'\namount = 1\ninterval = 'day'", "plans.toml: plan pro: interval", "week"),
        (
            PLAN + "currency = 'USD'\namount = 1\neffective_at = 2027-02-01",
            "plans.toml: plan pro: effective_at",
            "datetime",
        ),
        (
            PLAN + "currency = 'USD'\namount = 1\neffective_at = 2027-02-01T00:00:00",
            "plans.toml: plan pro: effective_at",
            "datetime",
        ),
        (
            PLAN + "fees = [{ code = 'f', amounts = { usd = 1 } }]",
            "plans.toml: plan pro: fees.0.amounts.usd",
            "ISO",
        ),
        (
            PLAN + "fees = [{ code = 'f', amounts = { USD = 1 } }, { code = 'f', amounts = { USD = 1 } }]",
            "plans.toml: plan pro: fees",
            "f stands there twice",
        ),
        (
            CHARGE
            + "prices = [{ model = 'volume', currency = 'USD', tiers = [{ up_to = 5, unit_amount = 1 }] }]",
            "plans.toml: plan pro: charges.0.prices.0.tiers.0.up_to",
            "must be null",
        ),
        (
            CHARGE + "prices = [{ model = 'per_unit', currency = 'USD', unit_amount = -0.5 }]",
            "plans.toml: plan pro: charges.0.prices.0.unit_amount",
            "negative",
        ),
        (
            CHARGE + "prices = [{ model = 'per_unit', currency = 'USD', unit_amount = nan }]",
            "plans.toml: plan pro: charges.0.prices.0.unit_amount",
            "decimal number",
        ),
        ("[[meter]]\ncode = 'm'\naggregation = 'unique_count'", "plans.toml: meter m: property", "property"),
        ("[[coupon]]\ncode = 'C'", "plans.toml: coupon C: percent_off", "amounts_off"),
        ("[[coupon]]\ncode = 'C'\npercent_off = 5\nplans = [5]", "plans.toml: coupon C: plans.0", "string"),
        ("[[plan]]\ncode = 5", "plans.toml: plan number 1: code", "string"),
    ],
)
def test_what_is_wrong_is_said_with_file_object_and_field(text: str, path: str, words: str) -> None:
    found = refused(text)
    assert path in found, found
    assert words in found[path][0]


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = refused("colour = 1\n[[product]]\ncode = 'p'\n[[meter]]\ncode = 'm'\naggregation = 'x'")
    assert set(found) == {
        "plans.toml: colour",
        "plans.toml: product p: name",
        "plans.toml: meter m: aggregation",
    }


@pytest.mark.parametrize(
    ("content", "words"), [(b"[[plan", "is not TOML"), (b"\xff", "must be UTF-8"), (None, "cannot be read")]
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "plans.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Invalid, match=words) as refusal:
        read_catalogue(path, BOOK)
    assert str(path) in str(refusal.value)


scalars: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.decimals() | st.datetimes()
)
trees = st.recursive(
    scalars,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
)
fields = st.sampled_from(
    [
        "code",
        "name",
        "product",
        "currency",
        "amount",
        "fees",
        "charges",
        "prices",
        "tiers",
        "plans",
        "percent",
    ]
)
tables = st.dictionaries(fields, trees, max_size=6)


@given(
    st.dictionaries(
        st.sampled_from(["product", "meter", "tax_rate", "plan", "coupon"]), trees | st.lists(tables)
    )
)
def test_whatever_a_file_holds_it_is_read_or_refused(data: dict[str, Any]) -> None:
    reasons = {}
    try:
        catalogue_of(data, "plans.toml", BOOK)
    except Invalid as error:
        reasons = error.errors or {"nothing": []}
    assert all(path.startswith("plans.toml: ") for path in reasons)
