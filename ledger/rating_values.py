"""What rating is given and what it gives: usage, conventions, lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec

from ledger.money import Exact, RoundingName
from ledger.values import quantity_text

if TYPE_CHECKING:
    from collections.abc import Mapping

LinePosition: TypeAlias = Literal["only", "first", "middle", "last"]
LineKind: TypeAlias = Literal[
    "unit",
    "package",
    "percentage",
    "flat",
    "fixed",
    "event_minimum",
    "event_maximum",
    "prior",
    "minimum",
    "maximum_discount",
]
ZeroUsageFlat: TypeAlias = Literal["none", "billed", "first_line"]
ZeroUsagePackage: TypeAlias = Literal["zero_line", "no_line"]
VolumeSplit: TypeAlias = Literal["progressive", "closing_line"]

LINE_POSITIONS: Final[tuple[LinePosition, ...]] = get_args(LinePosition)
# Digits of an effective unit amount, and digits behind the point of a number that has no end.
EFFECTIVE_DIGITS: Final = 12
ENDLESS_FRACTION_DIGITS: Final = 20


@dataclass(frozen=True, kw_only=True)
class RatingConventions:
    """What systems settle differently when they rate usage: the part of a billing policy that rating needs.

    `zero_usage_flat`: whether the first tier's flat amount is billed without usage: not at all, always, or
    on the first line of the period and never on a later one. `zero_usage_package`: a package line of 0, or
    none. `volume_split`: a period billed in several lines bills a volume price as it goes, each line what it
    adds to the total so far, or wholly on the line that closes the period. `rounding` is that of the total.
    """

    zero_usage_flat: ZeroUsageFlat = "none"
    zero_usage_package: ZeroUsagePackage = "zero_line"
    volume_split: VolumeSplit = "progressive"
    rounding: RoundingName = "half_away"


# What each preset of the billing policy says of rating.
RATING_PRESETS: Final[Mapping[str, RatingConventions]] = MappingProxyType(
    {
        "stripe": RatingConventions(),
        "lago": RatingConventions(zero_usage_flat="billed"),
        "killbill": RatingConventions(),
        "polar": RatingConventions(),
        "openmeter": RatingConventions(
            zero_usage_flat="first_line", zero_usage_package="no_line", volume_split="closing_line"
        ),
    }
)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in one line's part of a period, and what earlier lines of that period billed.

    `quantity` is priced. `tier_quantity`, when it differs (a prorated quantity), chooses the tiers. `events`
    are the values of the single events, in order, for a percentage price that looks at each; it needs them
    where `needs_events` says so, and then no `quantity`. Otherwise `event_count` is how many events make up
    the quantity: one unless told. `prior_*` are the units, the amount and the events that lines before this
    one, in the same period, have billed.
    """

    quantity: Exact = 0
    tier_quantity: Exact | None = None
    events: Iterable[Decimal] | None = None
    event_count: int | None = None
    prior_quantity: Exact = 0
    prior_amount: Exact = 0
    prior_events: int = 0
    line_position: LinePosition = "only"


class RatedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line: `quantity` units, packages or events at `unit_amount` each, or at `rate` per cent.

    `amount` is exact, in minor units. `tier` counts from 1; the units billed are those from `from_quantity`,
    exclusive, to `to_quantity`, inclusive, of the period's paid units.
    """

    kind: LineKind
    amount: Fraction
    quantity: Exact = 1
    unit_amount: Decimal | None = None
    rate: Decimal | None = None
    package_size: Decimal | None = None
    tier: int | None = None
    from_quantity: Exact | None = None
    to_quantity: Exact | None = None


class Rated(msgspec.Struct, frozen=True, kw_only=True):
    """What a quantity costs: the exact sum of its lines, and that sum rounded once to minor units."""

    currency: str
    exact: Fraction
    amount: int
    quantity: Exact
    lines: tuple[RatedLine, ...]

    @property
    def effective_unit_amount(self) -> Decimal:
        """Give the amount for each unit, to 12 significant digits and never fewer than its whole ones."""
        units = Fraction(self.quantity)
        if units == 0:
            return Decimal(0)
        each = self.exact / units
        digits = max(EFFECTIVE_DIGITS, len(str(abs(each.numerator) // each.denominator)))
        context = Context(prec=digits, rounding=ROUND_HALF_UP)
        return context.divide(Decimal(each.numerator), Decimal(each.denominator))


def number_text(value: Exact) -> str:
    """Write an exact number as a decimal: all its digits, or 20 behind the point where it has no end."""
    if not isinstance(value, Fraction):
        return quantity_text(Decimal(value))
    digits = _fraction_digits(value.denominator)
    scaled = value * 10 ** (ENDLESS_FRACTION_DIGITS if digits is None else digits)
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    places = ENDLESS_FRACTION_DIGITS if digits is None else digits
    sign = int(whole < 0)
    return quantity_text(Decimal((sign, tuple(map(int, str(abs(whole)))), -places)))


def _fraction_digits(denominator: int) -> int | None:
    """Count the digits behind the point of a number with this denominator, if they end."""
    counts = []
    for prime in (2, 5):
        count = 0
        while denominator % prime == 0:
            denominator //= prime
            count += 1
        counts.append(count)
    return max(counts) if denominator == 1 else None
