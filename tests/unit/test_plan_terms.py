"""Which terms a plan may have, and what is said of those it may not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events.plan import Entitlement, PlanTerms, RecurringFee, SetupFee, UsageCharge
from ledger.money import MAX_AMOUNT
from ledger.plan_terms import (
    MAX_PARTS,
    MAX_TRIAL_DAYS,
    UnusableTerms,
    checked_terms,
    currencies_of,
    meters_of,
    plain_price,
    products_of,
    tax_rates_of,
)
from ledger.prices import Price, Tier

FEE = RecurringFee(code="base", name="Base", amounts={"USD": 2900, "EUR": 2700})
PER_CALL = {
    currency: Price(model="per_unit", currency=currency, unit_amount=Decimal("0.5"))
    for currency in ("USD", "EUR")
}
CALLS = UsageCharge(code="calls", name="Calls", meter="api_calls", prices=PER_CALL)
TERMS = PlanTerms(interval="month", fees=(FEE,), charges=(CALLS,))


def problems(terms: PlanTerms) -> dict[str, list[str]]:
    with pytest.raises(UnusableTerms) as refusal:
        checked_terms(terms)
    assert str(refusal.value).startswith(next(iter(refusal.value.errors)))
    return refusal.value.errors


def fee(**changes: Any) -> PlanTerms:
    return replace(TERMS, fees=(replace(FEE, **changes),))


def charge(**changes: Any) -> PlanTerms:
    return replace(TERMS, charges=(replace(CALLS, **changes),))


def test_a_plan_may_have_every_part_there_is() -> None:
    terms = replace(
        TERMS,
        setup_fee=SetupFee(name="Set-up", amounts={"USD": 10_000, "EUR": 9_000}),
        trial_days=14,
        minimums={"USD": 5_000},
        entitlements=(Entitlement(feature="api_calls", limit=Decimal(1000)), Entitlement(feature="sso")),
        tax_rates=("tax_1", "tax_2"),
    )
    assert checked_terms(terms) is terms
    assert currencies_of(terms) == {"USD", "EUR"}


def test_usage_alone_makes_a_plan() -> None:
    assert currencies_of(checked_terms(replace(TERMS, fees=()))) == {"USD", "EUR"}


@pytest.mark.parametrize(
    ("terms", "path", "words"),
    [
        (replace(TERMS, interval="day"), "interval", "week, month, quarter, year"),
        (replace(TERMS, trial_days=-1), "trial_days", "from 0"),
        (replace(TERMS, trial_days=MAX_TRIAL_DAYS + 1), "trial_days", "730"),
        (replace(TERMS, fees=(FEE, FEE)), "fees", "base stands there twice"),
        (replace(TERMS, charges=(CALLS, CALLS)), "charges", "calls stands there twice"),
        (
            replace(TERMS, entitlements=(Entitlement(feature="sso"), Entitlement(feature="sso"))),
            "entitlements",
            "sso stands there twice",
        ),
        (
            replace(TERMS, fees=tuple(replace(FEE, code=f"fee-{number}") for number in range(MAX_PARTS + 1))),
            "fees",
            "at most 50",
        ),
        (fee(code=""), "fees.0.code", "letters, digits"),
        (fee(code="a b"), "fees.0.code", "letters, digits"),
        (fee(name=" "), "fees.0.name", "must not be empty"),
        (fee(timing="later"), "fees.0.timing", "advance, arrears"),
        (fee(amounts={"USD": -1, "EUR": 0}), "fees.0.amounts.USD", "must not be negative"),
        (fee(amounts={"USD": MAX_AMOUNT + 1, "EUR": 0}), "fees.0.amounts.USD", "18 digits"),
        (fee(amounts={"USD": 1, "EUR": 1, "usd": 1}), "fees.0.amounts.usd", "ISO 4217"),
        (fee(tax_rates=("tax_1", "tax_1")), "fees.0.tax_rates", "only once"),
        (
            fee(tax_rates=tuple(f"tax_{number}" for number in range(11))),
            "fees.0.tax_rates",
            "at most 10",
        ),
        (charge(code="a/b"), "charges.0.code", "letters, digits"),
        (charge(name=""), "charges.0.name", "must not be empty"),
        (charge(meter=""), "charges.0.meter", "must not be empty"),
        (charge(meter="x" * 101), "charges.0.meter", "at most 100"),
        (charge(minimums={"USD": -5}), "charges.0.minimums.USD", "must not be negative"),
        (charge(minimums={"GBP": 5}), "charges.0.minimums.GBP", "EUR or USD"),
        (replace(TERMS, minimums={"GBP": 5}), "minimums.GBP", "EUR or USD"),
        (
            charge(prices={"USD": PER_CALL["EUR"], "EUR": PER_CALL["EUR"]}),
            "charges.0.prices.0.currency",
            "must be USD",
        ),
        (
            replace(TERMS, setup_fee=SetupFee(name="", amounts={"USD": 1, "EUR": 1})),
            "setup_fee.name",
            "must not be empty",
        ),
        (
            replace(TERMS, setup_fee=SetupFee(name="Set-up", amounts={"USD": -1, "EUR": 1})),
            "setup_fee.amounts.USD",
            "must not be negative",
        ),
        (
            replace(TERMS, entitlements=(Entitlement(feature="calls", limit=Decimal(-1)),)),
            "entitlements.0.limit",
            "must not be negative",
        ),
        (
            replace(TERMS, entitlements=(Entitlement(feature=""),)),
            "entitlements.0.feature",
            "must not be empty",
        ),
        (replace(TERMS, tax_rates=("tax_1", "tax_1")), "tax_rates", "only once"),
    ],
)
def test_a_part_that_cannot_be_billed_is_refused_by_its_path(terms: PlanTerms, path: str, words: str) -> None:
    found = problems(terms)
    assert set(found) == {path}
    assert words in found[path][0]


def test_all_that_is_wrong_is_said_at_once() -> None:
    terms = replace(TERMS, interval="day", fees=(replace(FEE, name="", amounts={"USD": -1, "EUR": 1}),))
    assert set(problems(terms)) == {"interval", "fees.0.name", "fees.0.amounts.USD"}


@pytest.mark.parametrize(
    ("tiers", "path"),
    [
        ((Tier(up_to=Decimal(10), unit_amount=Decimal(1)), Tier(up_to=Decimal(5))), "tiers.1.up_to"),
        ((Tier(up_to=Decimal(10), unit_amount=Decimal(1)),), "tiers.0.up_to"),
        ((Tier(unit_amount=Decimal(1)), Tier(unit_amount=Decimal(1))), "tiers.0.up_to"),
        ((Tier(unit_amount=Decimal(-1)),), "tiers.0.unit_amount"),
    ],
)
def test_overlapping_tiers_gaps_and_negative_prices_are_refused(tiers: tuple[Tier, ...], path: str) -> None:
    prices = {**PER_CALL, "EUR": Price(model="graduated", currency="EUR", tiers=tiers)}
    assert f"charges.0.prices.1.{path}" in problems(charge(prices=prices))


def test_a_plan_needs_a_currency_in_which_all_of_it_has_a_price() -> None:
    found = problems(charge(prices={"GBP": replace(PER_CALL["USD"], currency="GBP")}))
    assert set(found) == {"charges.0.prices"}
    assert "fees.0.amounts in EUR, USD; charges.0.prices in GBP" in found["charges.0.prices"][0]


def test_a_part_in_no_currency_is_refused_alone() -> None:
    assert set(problems(fee(amounts={}))) == {"fees.0.amounts"}


def test_a_plan_of_nothing_is_refused() -> None:
    assert "a free plan has a fee of 0" in problems(PlanTerms(interval="month"))["fees"][0]


def test_fees_that_nothing_could_hold_together_are_refused() -> None:
    most = {"USD": MAX_AMOUNT, "EUR": 0}
    two = replace(TERMS, fees=(replace(FEE, amounts=most), replace(FEE, code="more", amounts=most)))
    assert "add up to at most 18 digits in USD" in problems(two)["fees"][0]


def test_a_plan_of_one_currency_has_a_plain_price() -> None:
    dollars = {"USD": PER_CALL["USD"]}
    more = replace(FEE, code="more", timing="arrears", amounts={"USD": 100})
    assert plain_price(replace(TERMS, fees=(FEE, more), charges=(replace(CALLS, prices=dollars),))) == (
        "USD",
        3000,
    )
    assert plain_price(TERMS) is None


def test_what_terms_name_is_listed_with_the_field_that_names_it() -> None:
    terms = replace(
        TERMS,
        fees=(replace(FEE, product="prod_1", tax_rates=("tax_2", "tax_3")),),
        setup_fee=SetupFee(name="Set-up", amounts={"USD": 1}, product="prod_2", tax_rates=("tax_4",)),
        tax_rates=("tax_1",),
    )
    assert meters_of(terms) == [("charges.0.meter", "api_calls")]
    assert products_of(terms) == [("fees.0.product", "prod_1"), ("setup_fee.product", "prod_2")]
    assert tax_rates_of(terms) == [
        ("tax_rates.0", "tax_1"),
        ("fees.0.tax_rates.0", "tax_2"),
        ("fees.0.tax_rates.1", "tax_3"),
        ("setup_fee.tax_rates.0", "tax_4"),
    ]


currencies = st.sets(st.sampled_from(["USD", "EUR", "GBP", "JPY"]), min_size=1)


@given(st.lists(currencies, min_size=1, max_size=4))
def test_a_plan_is_sold_in_the_currencies_that_every_part_has(tables: list[set[str]]) -> None:
    fees = tuple(
        RecurringFee(code=f"fee-{number}", name="Fee", amounts=dict.fromkeys(sorted(table), 100))
        for number, table in enumerate(tables)
    )
    terms = PlanTerms(interval="month", fees=fees)
    shared = set.intersection(*tables)
    assert currencies_of(terms) == shared
    if shared:
        checked_terms(terms)
    else:
        assert set(problems(terms)) == {f"fees.{len(fees) - 1}.amounts"}
