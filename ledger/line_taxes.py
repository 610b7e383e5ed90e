"""Coupons and taxes on an invoice's lines: shares that add up to the whole, under the book's conventions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeAlias

from ledger.coupons import exact_discount_shares, share_discount
from ledger.events.invoice import DiscountShare, LineTax
from ledger.money import round_half_away
from ledger.proration import rounded
from ledger.streams.subscription import CREDIT, FEE
from ledger.streams.tax_rate import in_force

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from ledger.events.coupon import CouponTerms
    from ledger.events.invoice import InvoiceLine
    from ledger.events.tax_rate import TaxRateDefined
    from ledger.policies import BillingPolicy
    from ledger.streams.subscription import Discount
    from ledger.streams.tax_rate import TaxRate

_HUNDRED: Final = 100


@dataclass(frozen=True)
class Discounted:
    """Lines with their shares of discounts, what exactly is left of each, and which coupons took anything."""

    lines: tuple[InvoiceLine, ...]
    left: tuple[Fraction, ...]
    coupons: tuple[str, ...]


def discounted(
    lines: Sequence[InvoiceLine],
    discounts: Sequence[Discount],
    currency: str,
    policy: BillingPolicy,
    earlier: Sequence[InvoiceLine] = (),
) -> Discounted:
    """Take coupons off, one after the other, never more than a line is; and off credits what was then.

    A credit undoes the discount of the lines that it adjusts, in proportion: they are among these lines, or
    on an earlier invoice.
    """
    result = Discounted(tuple(lines), tuple(Fraction(line.amount) for line in lines), ())
    for discount in discounts:
        terms = discount.applied.terms
        if not _used_up(discount):
            result = _with_coupon(result, discount.applied.coupon, terms, currency, policy)
    return _with_undone(result, (*earlier, *result.lines), policy)


def _with_undone(before: Discounted, known: Sequence[InvoiceLine], policy: BillingPolicy) -> Discounted:
    """Give each credit its part of the discounts on the lines it adjusts, as a negative share."""
    families: dict[Family, list[InvoiceLine]] = {}
    for line in {one.line: one for one in known}.values():
        families.setdefault(family_of(line), []).append(line)
    named = {line.line: family_of(line) for line in known}
    credited: dict[Family, int] = {}
    lines, left = list(before.lines), list(before.left)
    for index, line in enumerate(lines):
        adjusted = named.get(line.adjusts_line or "")
        if line.kind != CREDIT or adjusted is None:
            continue
        so_far = credited.get(adjusted, 0)
        credited[adjusted] = so_far - line.amount
        for coupon, share in _undone(families[adjusted], so_far, credited[adjusted], policy):
            lines[index] = _with_share(lines[index], -share, coupon)
            left[index] += share
    return Discounted(tuple(lines), tuple(left), before.coupons)


Family: TypeAlias = tuple[str | None, str | None, str, int | None]


def family_of(line: InvoiceLine) -> Family:
    """Name the lines that are adjusted together: all fees of an item in a period, or all of one change."""
    return line.subscription_item, line.period, line.kind, None if line.kind == FEE else line.sequence


def _undone(
    adjusted: Sequence[InvoiceLine], so_far: int, credited: int, policy: BillingPolicy
) -> Iterator[tuple[str, int]]:
    """Say, for each coupon, how much of it the credit from one amount to another gives back."""
    whole = sum(line.amount for line in adjusted)
    taken: dict[str, int] = {}
    for share in (share for line in adjusted for share in line.discounts):
        taken[share.coupon] = taken.get(share.coupon, 0) + share.amount
    for coupon, amount in taken.items():
        parts = [
            rounded(Fraction(amount * min(one, whole), whole or 1), policy) for one in (so_far, credited)
        ]
        if parts[1] != parts[0]:
            yield coupon, parts[1] - parts[0]


def _used_up(discount: Discount) -> bool:
    """Say whether a coupon was taken off as many invoices as it is good for."""
    terms = discount.applied.terms
    limit = {"once": 1, "repeating": terms.periods, "forever": None}[terms.duration]
    return limit is not None and len(discount.invoices) >= limit


def _with_coupon(
    before: Discounted, coupon: str, terms: CouponTerms, currency: str, policy: BillingPolicy
) -> Discounted:
    open_amounts = [_open(line, terms) for line in before.lines]
    amount = _amount_off(terms, sum(open_amounts), currency, policy)
    if not amount:
        return before
    shares = share_discount(open_amounts, amount, policy)
    assert sum(shares) == amount, "the shares of a discount add up to it"
    exactly = policy.fixed_coupon_split == "exact_per_line"
    exact: Sequence[Fraction | int] = exact_discount_shares(open_amounts, amount) if exactly else shares
    return Discounted(
        tuple(_with_share(*one, coupon) for one in zip(before.lines, shares, strict=True)),
        tuple(left - share for left, share in zip(before.left, exact, strict=True)),
        (*before.coupons, coupon),
    )


def _open(line: InvoiceLine, terms: CouponTerms) -> int:
    """Say what of a line a coupon may still be taken off."""
    if terms.plans and line.plan not in terms.plans:
        return 0
    if terms.meters and (line.usage is None or line.usage.meter not in terms.meters):
        return 0
    return max(0, line.amount - sum(share.amount for share in line.discounts))


def _amount_off(terms: CouponTerms, whole: int, currency: str, policy: BillingPolicy) -> int:
    if terms.percent_off is not None:
        exact = whole * Fraction(terms.percent_off) / _HUNDRED
        return rounded(exact, policy)
    return min(whole, terms.amounts_off.get(currency, 0))


def _with_share(line: InvoiceLine, amount: int, coupon: str) -> InvoiceLine:
    if not amount:
        return line
    return replace(line, discounts=(*line.discounts, DiscountShare(coupon=coupon, amount=amount)))


@dataclass(frozen=True)
class _Taxable:
    """A rate that falls on a line: by index, on what price, with inclusive taxes in it, and the exact tax."""

    index: int
    rate: TaxRateDefined
    price: int
    exact: Fraction


def taxed(
    priced: Discounted,
    rates_by_line: Mapping[str, tuple[str, ...]],
    tax_rates: Mapping[str, TaxRate],
    policy: BillingPolicy,
    at: datetime,
) -> list[InvoiceLine]:
    """Add to each line the taxes of its rates in force at an instant, on what discounts leave of it."""
    found = [
        one
        for index, (line, left) in enumerate(zip(priced.lines, priced.left, strict=True))
        for one in _taxables(
            index, left, [in_force(tax_rates[rate], at) for rate in rates_by_line[line.line]]
        )
    ]
    once = policy.tax_rounding == "per_rate_on_invoice"
    amounts = _rounded_by_rate(found, policy) if once else [rounded(one.exact, policy) for one in found]
    included: dict[int, int] = {}
    for one, amount in zip(found, amounts, strict=True):
        if one.rate.behaviour == "inclusive":
            included[one.index] = included.get(one.index, 0) + amount
    result = list(priced.lines)
    for one, amount in zip(found, amounts, strict=True):
        line, base = result[one.index], one.price - included.get(one.index, 0)
        result[one.index] = replace(line, taxes=(*line.taxes, _tax(one, base, amount)))
    return result


def _taxables(index: int, net: Fraction, rates: Sequence[TaxRateDefined]) -> list[_Taxable]:
    """Work out the exact taxes of a line; inclusive ones are taken out of the price together."""
    inclusive = sum((Fraction(rate.percent) for rate in rates if rate.behaviour == "inclusive"), Fraction())
    without = net * _HUNDRED / (_HUNDRED + inclusive)
    return [
        _Taxable(
            index,
            rate,
            round_half_away(net),
            without * Fraction(rate.percent) / _HUNDRED,
        )
        for rate in rates
    ]


def _rounded_by_rate(taxables: Sequence[_Taxable], policy: BillingPolicy) -> list[int]:
    """Round the tax of each rate once, and give each line the difference that it makes to the sum so far."""
    so_far: dict[str, Fraction] = {}
    amounts = []
    for one in taxables:
        before = so_far.get(one.rate.tax_rate, Fraction())
        after = so_far[one.rate.tax_rate] = before + one.exact
        amounts.append(rounded(after, policy) - rounded(before, policy))
    return amounts


def _tax(one: _Taxable, base: int, amount: int) -> LineTax:
    return LineTax(
        rate=one.rate.tax_rate,
        rate_version=one.rate.tax_rate_version,
        jurisdiction=one.rate.jurisdiction,
        base=base,
        amount=amount,
        behaviour=one.rate.behaviour,
        reason=one.rate.reason,
    )
