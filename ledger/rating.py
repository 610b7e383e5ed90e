"""Rating: what a quantity costs at a price, as lines that add up to an exact sum, rounded once.

    Rated = rate(price, usage, conventions)

Nothing is validated here: `prices.checked_price` has seen the price, and rating runs once for each charge of
each period.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from ledger.money import ROUNDINGS
from ledger.rating_events import needs_events, percentage_lines
from ledger.rating_tiers import flat_lines, graduated_lines, package_lines, per_unit_lines, volume_lines
from ledger.rating_values import (
    LINE_POSITIONS,
    RATING_PRESETS,
    LineKind,
    LinePosition,
    Rated,
    RatedLine,
    RatingConventions,
    Usage,
    number_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ledger.money import Exact, RoundingName
    from ledger.prices import Price

__all__ = [
    "LINE_POSITIONS",
    "RATING_PRESETS",
    "LineKind",
    "LinePosition",
    "Rated",
    "RatedLine",
    "RatingConventions",
    "Usage",
    "line_amounts",
    "needs_events",
    "number_text",
    "rate",
]

UnitModel: TypeAlias = "Callable[[Price, Usage, RatingConventions], list[RatedLine]]"

_ZERO: Final = Fraction(0)
_UNIT_MODELS: Final[Mapping[str, UnitModel]] = MappingProxyType(
    {
        "per_unit": per_unit_lines,
        "graduated": graduated_lines,
        "graduated_percentage": graduated_lines,
        "volume": volume_lines,
        "package": package_lines,
        "flat": flat_lines,
    }
)
_STRIPE: Final = RATING_PRESETS["stripe"]


def rate(price: Price, usage: Usage, conventions: RatingConventions = _STRIPE) -> Rated:
    """Rate the usage of one line: its lines, their exact sum, and that sum rounded to minor units."""
    quantity: Exact
    if price.model == "percentage":
        lines, quantity = percentage_lines(price, usage)
    else:
        assert usage.events is None, "only a percentage price looks at single events"
        lines = _UNIT_MODELS[price.model](price, usage, conventions)
        quantity = usage.tier_quantity or usage.quantity
    lines = _topped_up(price, usage, _capped(price, usage, lines))
    exact = _sum(lines)
    return Rated(
        currency=price.currency,
        exact=exact,
        amount=ROUNDINGS[conventions.rounding](exact),
        quantity=quantity,
        lines=tuple(lines),
    )


def line_amounts(rated: Rated, rounding: RoundingName) -> tuple[int, ...]:
    """Give each line's share of the rounded total: what the rounded sum grows by with that line.

    So the shares add up to the rounded total, and each is at most one minor unit from its exact amount.
    """
    rounded = ROUNDINGS[rounding]
    sums = [0]
    exact = _ZERO
    for line in rated.lines:
        exact += line.amount
        sums.append(rounded(exact))
    return tuple(after - before for before, after in pairwise(sums))


def _capped(price: Price, usage: Usage, lines: list[RatedLine]) -> list[RatedLine]:
    """Take off each line what it brings above the period's maximum, given what earlier lines billed."""
    if price.max_amount is None:
        return lines
    given_back = sum((line.amount for line in lines if line.amount < 0), _ZERO)
    room = Fraction(price.max_amount) - Fraction(usage.prior_amount) - given_back
    capped: list[RatedLine] = []
    for line in lines:
        capped.append(line)
        if line.amount <= 0:
            continue
        room -= line.amount
        # Never more than the line itself: what earlier lines billed too much is not given back here.
        over = min(-room, line.amount)
        if over > 0:
            capped.append(RatedLine(kind="maximum_discount", amount=-over, tier=line.tier))
    return capped


def _topped_up(price: Price, usage: Usage, lines: list[RatedLine]) -> list[RatedLine]:
    """Add what the period lacks to its minimum; only the line that closes the period knows."""
    if price.min_amount is None or usage.line_position not in ("only", "last"):
        return lines
    short = Fraction(price.min_amount) - Fraction(usage.prior_amount) - _sum(lines)
    return [*lines, RatedLine(kind="minimum", amount=short)] if short > 0 else lines


def _sum(lines: Iterable[RatedLine]) -> Fraction:
    return sum((line.amount for line in lines), _ZERO)
