"""A price that is recorded can rate every quantity; any other is refused with what to do about it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest

from ledger.errors import Invalid
from ledger.prices import MAX_TIERS, MODELS, Band, Price, Tier, UnusablePrice, checked_price

D = Decimal
OPEN = Tier(unit_amount=D(5))
TIERS = (Tier(up_to=D(10), unit_amount=D(10), flat_amount=D(2)), OPEN)

USABLE = {
    "per_unit": Price(model="per_unit", currency="USD", unit_amount=D("0.5"), free_units=D(100)),
    "graduated": Price(model="graduated", currency="EUR", tiers=TIERS, min_amount=D(5), max_amount=D(5)),
    "volume": Price(model="volume", currency="JPY", tiers=(Tier(unit_amount=D(1), package_size=D("0.5")),)),
    "graduated_percentage": Price(
        model="graduated_percentage", currency="USD", tiers=(Tier(up_to=D(10), rate=D("1.5")), Tier())
    ),
    "package": Price(model="package", currency="USD", package_size=D(10), package_amount=D(0)),
    "percentage": Price(
        model="percentage",
        currency="USD",
        rate=D(0),
        fixed_amount=D(1),
        free_events=3,
        free_units=D(1),
        event_min=D(1),
        event_max=D(2),
    ),
    "flat": Price(model="flat", currency="USD", flat_amount=D(2900)),
}


def graduated(*tiers: Tier) -> Price:
    return Price(model="graduated", currency="USD", tiers=tiers)


def test_each_model_has_a_usable_price() -> None:
    assert USABLE.keys() == MODELS.keys()


@pytest.mark.parametrize("price", USABLE.values(), ids=USABLE)
def test_a_usable_price_is_given_back(price: Price) -> None:
    assert checked_price(price) is price


@pytest.mark.parametrize("price", USABLE.values(), ids=USABLE)
def test_a_price_is_read_from_the_log_as_it_was_written(price: Price) -> None:
    assert price.bands, "its exact numbers, kept with it, are not written"
    written = msgspec.json.encode(price)
    assert b"bands" not in written
    assert msgspec.json.decode(written, type=Price) == price


def test_a_price_of_a_model_that_nobody_knows_any_more_still_loads() -> None:
    old = b'{"model":"barter","currency":"XAU","tiers":[{"up_to":"-3"}]}'
    assert msgspec.json.decode(old, type=Price).tiers == (Tier(up_to=D(-3)),)


REFUSED: list[tuple[str, Price, str, str]] = [
    ("no tiers", graduated(), "tiers", "at least one tier"),
    ("overlap", graduated(TIERS[0], TIERS[0], OPEN), "tiers.1.up_to", "greater than 10"),
    ("wrong order", graduated(TIERS[0], Tier(up_to=D(9)), OPEN), "tiers.1.up_to", "greater than 10"),
    ("an empty first tier", graduated(Tier(up_to=D(0)), OPEN), "tiers.0.up_to", "greater than 0"),
    ("open in the middle", graduated(OPEN, TIERS[0], OPEN), "tiers.0.up_to", "only the last tier"),
    ("no open last tier", graduated(TIERS[0]), "tiers.0.up_to", "must be null"),
    ("too many", graduated(*(Tier(up_to=D(n + 1)) for n in range(MAX_TIERS)), OPEN), "tiers", "at most"),
    ("a bound below 0", graduated(Tier(up_to=D(-1)), OPEN), "tiers.0.up_to", "not be negative"),
    ("a negative tier", graduated(Tier(unit_amount=D("-0.1"))), "tiers.0.unit_amount", "not be negative"),
    ("a size of 0", graduated(replace(OPEN, package_size=D(0))), "tiers.0.package_size", "greater than 0"),
    ("a size alone", graduated(Tier(package_size=D(1))), "tiers.0.unit_amount", "each package"),
    ("a tier's rate", graduated(Tier(rate=D(1))), "tiers.0.rate", "is not for a graduated price"),
    (
        "a tier's unit amount",
        Price(model="graduated_percentage", currency="USD", tiers=(OPEN,)),
        "tiers.0.unit_amount",
        "is not for a graduated_percentage price",
    ),
    ("unknown model", replace(USABLE["flat"], model="barter"), "model", "one of per_unit, graduated"),
    ("unknown currency", replace(USABLE["flat"], currency="usd"), "currency", "ISO 4217"),
    ("another model's field", replace(USABLE["flat"], rate=D(1)), "rate", "is not for a flat price"),
    ("tiers of none", replace(USABLE["per_unit"], tiers=TIERS), "tiers", "is not for a per_unit price"),
    ("nothing to pay", Price(model="per_unit", currency="USD"), "unit_amount", "must be given"),
    ("negative", replace(USABLE["per_unit"], unit_amount=D(-1)), "unit_amount", "not be negative"),
    ("a bound that is no number", graduated(Tier(up_to=D("NaN")), *TIERS), "tiers.0.up_to", "finite"),
    ("19 digits", replace(USABLE["flat"], flat_amount=D(10**18)), "flat_amount", "at most 18"),
    ("13 places", replace(USABLE["flat"], flat_amount=D("1E-13")), "flat_amount", "at most 12"),
    ("no number", replace(USABLE["flat"], flat_amount=D("NaN")), "flat_amount", "finite"),
    ("endless limits", replace(USABLE["flat"], min_amount=D("NaN"), max_amount=D(1)), "min_amount", "finite"),
    ("a package of 0", replace(USABLE["package"], package_size=D(0)), "package_size", "greater than 0"),
    ("limits", replace(USABLE["flat"], min_amount=D(2), max_amount=D(1)), "max_amount", "below min_amount"),
    (
        "event limits",
        replace(USABLE["percentage"], event_min=D(3)),
        "event_max",
        "must not be below event_min",
    ),
    ("free events", replace(USABLE["percentage"], free_events=-1), "free_events", "from 0 to"),
]


@pytest.mark.parametrize(
    ("price", "field", "hint"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_an_unusable_price_is_refused_with_what_to_do(price: Price, field: str, hint: str) -> None:
    with pytest.raises(UnusablePrice) as refused:
        checked_price(price, "charges.0.price")
    assert list(refused.value.errors) == [f"charges.0.price.{field}"]
    assert hint in refused.value.errors[f"charges.0.price.{field}"][0]
    assert str(refused.value).startswith(f"charges.0.price.{field}: ")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    price = Price(model="volume", currency="???", unit_amount=D(1), tiers=(OPEN, Tier(up_to=D(3))))
    with pytest.raises(Invalid) as refused:
        checked_price(price)
    assert list(refused.value.errors) == [
        "price.currency",
        "price.unit_amount",
        "price.tiers.0.up_to",
        "price.tiers.1.up_to",
    ]


def test_bands_are_the_tiers_as_spans_of_units() -> None:
    first, last = USABLE["graduated"].bands
    assert first == Band(
        terms=TIERS[0],
        tier=1,
        lower=Fraction(0),
        upper=Fraction(10),
        each=Fraction(10),
        flat=Fraction(2),
        size=None,
    )
    assert (last.terms, last.tier, last.lower, last.upper) == (OPEN, 2, Fraction(10), None)


@pytest.mark.parametrize(("model", "each"), [("package", Fraction(0)), ("per_unit", Fraction(1, 2))])
def test_a_price_without_tiers_is_one_open_band(model: str, each: Fraction) -> None:
    (band,) = USABLE[model].bands
    assert (band.tier, band.lower, band.upper, band.each) == (None, Fraction(0), None, each)
