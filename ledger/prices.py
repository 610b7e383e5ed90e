"""Prices: what a quantity costs, as values that events carry; checked when they are recorded.

A price of any model is one flat value, of which each model takes its own fields. Amounts are decimals in
minor units, rates per cent. A tier ends at `up_to` and holds that bound: of tiers up to 10 and up to 20 the
second is (10, 20], so 10.5 falls into it. The last tier is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from ledger.errors import Invalid
from ledger.money import UnknownCurrency, exponent
from ledger.values import checked_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_TIERS: Final = 100
MAX_FREE_EVENTS: Final = 10**12


class UnusablePrice(Invalid):
    """The price cannot rate every quantity in one way; `errors` says what to do, field by field."""

    code = "unusable_price"


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One tier: its units cost `unit_amount` or `rate` each, and `flat_amount` once when it is entered.

    `up_to` is the tier's last unit; the last tier has none. With a `package_size`, `unit_amount` is for each
    package begun. A tier without `unit_amount` makes no unit line.
    """

    up_to: Decimal | None = None
    unit_amount: Decimal | None = None
    flat_amount: Decimal | None = None
    rate: Decimal | None = None
    package_size: Decimal | None = None


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """The units (lower, upper] that one tier prices, in exact numbers; `tier` counts from 1.

    `each` is for one unit, or for one package of `size` units. What has no tiers is one open band.
    """

    terms: Tier
    tier: int | None
    lower: Fraction
    upper: Fraction | None
    each: Fraction | None
    flat: Fraction | None
    size: Fraction | None


@dataclass(frozen=True, kw_only=True)
class Price:
    """A price in one currency; which fields a model needs and takes is in `MODELS`.

    `free_units` (and `free_events` of a percentage) cost nothing in each period. `min_amount` and
    `max_amount` are what the whole charge costs at least and at most in a period.
    """

    model: str
    currency: str
    unit_amount: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    package_size: Decimal | None = None
    package_amount: Decimal | None = None
    rate: Decimal | None = None
    fixed_amount: Decimal | None = None
    flat_amount: Decimal | None = None
    free_units: Decimal | None = None
    free_events: int | None = None
    event_min: Decimal | None = None
    event_max: Decimal | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None

    # Kept with the price, which never changes: making the exact numbers costs as much as rating with them.
    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """Give the tiers as exact spans of units; a price without tiers is one open tier."""
        if not self.tiers:
            each = self.package_amount if self.model == "package" else self.unit_amount
            return (_band(Tier(unit_amount=each, package_size=self.package_size), None, None),)
        bounds = (None, *(tier.up_to for tier in self.tiers))
        return tuple(_band(tier, number, bounds[number - 1]) for number, tier in enumerate(self.tiers, 1))


def _band(tier: Tier, number: int | None, lower: Decimal | None) -> Band:
    each = exact(tier.unit_amount) if tier.rate is None else Fraction(tier.rate) / 100
    return Band(
        terms=tier,
        tier=number,
        lower=Fraction(lower or 0),
        upper=exact(tier.up_to),
        each=each,
        flat=exact(tier.flat_amount),
        size=exact(tier.package_size),
    )


def exact(value: Decimal | None) -> Fraction | None:
    """Make a decimal, if there is one, a fraction."""
    return None if value is None else Fraction(value)


@dataclass(frozen=True)
class Model:
    """What a model needs and may have besides; of each tier too, when it has tiers."""

    needs: tuple[str, ...]
    takes: tuple[str, ...] = ("free_units",)
    tier_takes: tuple[str, ...] = ()


_UNIT_TIER: Final = ("unit_amount", "flat_amount", "package_size")
MODELS: Final[Mapping[str, Model]] = MappingProxyType(
    {
        "per_unit": Model(needs=("unit_amount",)),
        "graduated": Model(needs=("tiers",), tier_takes=_UNIT_TIER),
        "volume": Model(needs=("tiers",), tier_takes=_UNIT_TIER),
        "graduated_percentage": Model(needs=("tiers",), tier_takes=("rate", "flat_amount")),
        "package": Model(needs=("package_size", "package_amount")),
        "percentage": Model(
            needs=("rate",), takes=("fixed_amount", "free_events", "free_units", "event_min", "event_max")
        ),
        "flat": Model(needs=("flat_amount",), takes=()),
    }
)
_COMMITMENTS: Final = ("min_amount", "max_amount")
_DECIMALS: Final = (
    "unit_amount",
    "package_size",
    "package_amount",
    "rate",
    "fixed_amount",
    "flat_amount",
    "free_units",
    "event_min",
    "event_max",
    *_COMMITMENTS,
)
_FIELDS: Final = (*_DECIMALS, "free_events", "tiers")
_TIER_DECIMALS: Final = ("unit_amount", "flat_amount", "rate", "package_size")
_POSITIVE: Final = ("package_size",)


def checked_price(price: Price, field: str = "price") -> Price:
    """Return a price that can rate every quantity, or refuse it with what to do about each of its fields."""
    reasons: dict[str, list[str]] = {}
    for path, reason in _problems(price):
        reasons.setdefault(f"{field}.{path}", []).append(reason)
    if reasons:
        path, (reason, *_) = next(iter(reasons.items()))
        raise UnusablePrice(f"{path}: {reason}", reasons)
    return price


def _problems(price: Price) -> Iterator[tuple[str, str]]:
    try:
        exponent(price.currency)
    except UnknownCurrency as error:
        yield "currency", error.errors["currency"][0]
    model = MODELS.get(price.model)
    if model is None:
        yield "model", f"must be one of {', '.join(MODELS)}"
        return
    yield from _misplaced(price, model)
    for name in _DECIMALS:
        yield from _number_problem(name, getattr(price, name))
    if price.free_events is not None and not 0 <= price.free_events <= MAX_FREE_EVENTS:
        yield "free_events", f"must be a whole number from 0 to {MAX_FREE_EVENTS}"
    yield from _order_problem(price, "event_min", "event_max")
    yield from _order_problem(price, "min_amount", "max_amount")
    if model.tier_takes:
        yield from _tier_problems(price, model)


def _misplaced(price: Price, model: Model) -> Iterator[tuple[str, str]]:
    for name in _FIELDS:
        given = getattr(price, name) not in (None, ())
        if given and name not in (*model.needs, *model.takes, *_COMMITMENTS):
            yield name, f"is not for a {price.model} price: leave it out"
        elif name == "tiers" and name in model.needs and not given:
            yield name, "must hold at least one tier, the last one with up_to null"
        elif name in model.needs and not given:
            yield name, f"must be given: a {price.model} price needs it"


def _number_problem(path: str, value: Decimal | None) -> Iterator[tuple[str, str]]:
    """Say what is wrong with an amount, a rate or a size: all of them are of the domain of quantities."""
    if value is None:
        return
    try:
        checked_quantity(value)
    except Invalid as error:
        yield path, error.errors["quantity"][0]
        return
    if value == 0 and path.rpartition(".")[2] in _POSITIVE:
        yield path, "must be greater than 0"


def _order_problem(price: Price, least: str, most: str) -> Iterator[tuple[str, str]]:
    low, high = getattr(price, least), getattr(price, most)
    if low is not None and high is not None and _comparable(low, high) and low > high:
        yield most, f"must not be below {least}"


def _comparable(*values: Decimal) -> bool:
    return all(value.is_finite() for value in values)


def _tier_problems(price: Price, model: Model) -> Iterator[tuple[str, str]]:
    if len(price.tiers) > MAX_TIERS:
        yield "tiers", f"must be at most {MAX_TIERS}"
        return
    yield from _bound_problems(price.tiers)
    for index, tier in enumerate(price.tiers):
        for name in _TIER_DECIMALS:
            value = getattr(tier, name)
            if value is not None and name not in model.tier_takes:
                yield f"tiers.{index}.{name}", f"is not for a {price.model} price: leave it out"
            yield from _number_problem(f"tiers.{index}.{name}", value)
        if tier.package_size is not None and tier.unit_amount is None:
            yield f"tiers.{index}.unit_amount", "must be given: it is the amount for each package"


def _bound_problems(tiers: tuple[Tier, ...]) -> Iterator[tuple[str, str]]:
    """Say where tiers overlap, stand in the wrong order, or leave quantities that no tier prices."""
    before = Decimal(0)
    for index, tier in enumerate(tiers):
        path = f"tiers.{index}.up_to"
        last = index == len(tiers) - 1
        if tier.up_to is None:
            if not last:
                yield path, "must be given: only the last tier is open, and a tier after it would overlap it"
            continue
        problems = list(_number_problem(path, tier.up_to))
        if not problems and tier.up_to <= before:
            reason = f"must be greater than {before}, where the tier before ends: tiers stand in order"
            problems = [(path, reason if index else "must be greater than 0")]
        yield from problems
        if last:
            yield path, "must be null: without an open last tier the quantities beyond it have no price"
        elif not problems:
            before = tier.up_to
