"""Rating by units: per unit, graduated, volume, package, graduated percentage and flat prices.

All arithmetic is on exact numbers. What a line bills is the span of the period's paid units between those
that earlier lines billed and the present total, so lines that split a period add up to one line for it all.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ledger.rating_values import RatedLine

if TYPE_CHECKING:
    from ledger.prices import Band, Price
    from ledger.rating_values import LineKind, RatingConventions, Usage

_ZERO = Fraction(0)


def graduated_lines(price: Price, usage: Usage, conventions: RatingConventions) -> list[RatedLine]:
    """Rate each unit in the tier it falls into; a tier's flat amount is billed by the line that enters it.

    When a tier quantity is given, it is what fills the tiers, and the units of each tier cost the share that
    the priced quantity is of it.
    """
    low, high = _paid_span(price, usage)
    share = _share(usage)
    lines = []
    for band in price.bands:
        if band.lower >= high and band.lower:
            break
        end = high if band.upper is None or high < band.upper else band.upper
        start = max(low, band.lower)
        if start < end and band.each is not None:
            lines.append(_span_line(price, band, start, end, share))
        if band.flat is not None and _enters(band, low, high, usage, conventions):
            lines.append(_flat_line(band, band.flat))
    return lines


def _enters(band: Band, low: Fraction, high: Fraction, usage: Usage, conventions: RatingConventions) -> bool:
    """Say whether this line enters a tier; the first one, by some conventions, is entered without usage."""
    if band.lower or conventions.zero_usage_flat == "none":
        return low <= band.lower < high
    return not _billed_before(usage, conventions)


def _billed_before(usage: Usage, conventions: RatingConventions) -> bool:
    """Say whether an earlier line of the period has billed what is due without usage."""
    if usage.prior_quantity:
        return True
    if conventions.zero_usage_flat == "first_line":
        return usage.line_position in ("middle", "last")
    return conventions.zero_usage_flat == "billed" and usage.prior_amount > 0


def volume_lines(price: Price, usage: Usage, conventions: RatingConventions) -> list[RatedLine]:
    """Rate all units of the period in the one tier that the period's whole quantity falls into."""
    prior = Fraction(usage.prior_quantity)
    quantity = Fraction(usage.quantity)
    whole = _volume_of(price, prior + quantity, prior + _tier_quantity(usage), conventions)
    if conventions.volume_split == "closing_line":
        return whole if usage.line_position in ("only", "last") else []
    if not _billed_before(usage, conventions):
        return whole
    billed = sum((line.amount for line in _volume_of(price, prior, prior, conventions)), _ZERO)
    if price.max_amount is not None:
        billed = min(billed, Fraction(price.max_amount))
    taken_off = [RatedLine(kind="prior", amount=-billed)] if billed else []
    return taken_off + whole


def _volume_of(
    price: Price, units: Fraction, tier_units: Fraction, conventions: RatingConventions
) -> list[RatedLine]:
    # Free units count towards the volume that chooses the tier: else more of them could raise a price.
    paid = max(_ZERO, units - _free(price))
    band = next(one for one in price.bands if one.upper is None or tier_units <= one.upper)
    lines = []
    if paid and band.each is not None:
        lines.append(_span_line(price, band, _ZERO, paid, Fraction(1), origin=_ZERO))
    if band.flat is not None and (paid or conventions.zero_usage_flat != "none"):
        lines.append(_flat_line(band, band.flat))
    return lines


def per_unit_lines(price: Price, usage: Usage, conventions: RatingConventions) -> list[RatedLine]:
    """Rate every paid unit at one amount."""
    del conventions
    low, high = _paid_span(price, usage)
    return [_span_line(price, price.bands[0], low, high, Fraction(1))] if low < high else []


def package_lines(price: Price, usage: Usage, conventions: RatingConventions) -> list[RatedLine]:
    """Rate the packages that the line begins; one begun by an earlier line is paid already."""
    low, high = _paid_span(price, usage)
    line = _span_line(price, price.bands[0], low, high, Fraction(1))
    return [line] if line.quantity or conventions.zero_usage_package == "zero_line" else []


def flat_lines(price: Price, usage: Usage, conventions: RatingConventions) -> list[RatedLine]:
    """Rate a period at one amount, whatever was used, on its first line."""
    del conventions
    assert price.flat_amount is not None, "a flat price has its amount"
    if usage.line_position not in ("only", "first"):
        return []
    return [RatedLine(kind="flat", amount=Fraction(price.flat_amount), unit_amount=price.flat_amount)]


def _paid_span(price: Price, usage: Usage) -> tuple[Fraction, Fraction]:
    """Give the paid units that earlier lines have reached, and those that this one reaches."""
    prior = Fraction(usage.prior_quantity)
    total = prior + _tier_quantity(usage)
    free = _free(price)
    if free:
        return max(_ZERO, prior - free), max(_ZERO, total - free)
    return prior, total


def _free(price: Price) -> Fraction:
    return _ZERO if price.free_units is None else Fraction(price.free_units)


def _tier_quantity(usage: Usage) -> Fraction:
    return Fraction(usage.tier_quantity or usage.quantity)


def _share(usage: Usage) -> Fraction:
    if not usage.tier_quantity:
        return Fraction(1)
    return Fraction(usage.quantity) / Fraction(usage.tier_quantity)


def _span_line(
    price: Price, band: Band, low: Fraction, high: Fraction, share: Fraction, origin: Fraction | None = None
) -> RatedLine:
    """Bill the units (low, high] at a tier's amount; its packages are counted from where the tier begins."""
    assert band.each is not None, "a tier without an amount makes no line"
    quantity = high - low
    kind: LineKind = "percentage" if price.model == "graduated_percentage" else "unit"
    if band.size is not None:
        kind = "package"
        begins = band.lower if origin is None else origin
        quantity = Fraction(_packages(high - begins, band.size) - _packages(low - begins, band.size))
    if share != 1:
        quantity *= share
    return RatedLine(
        kind=kind,
        amount=quantity * band.each,
        quantity=quantity,
        unit_amount=band.terms.unit_amount,
        rate=band.terms.rate,
        package_size=band.terms.package_size,
        tier=band.tier,
        from_quantity=low,
        to_quantity=high,
    )


def _packages(units: Fraction, size: Fraction) -> int:
    return -int(-units // size)


def _flat_line(band: Band, amount: Fraction) -> RatedLine:
    return RatedLine(kind="flat", amount=amount, unit_amount=band.terms.flat_amount, tier=band.tier)
