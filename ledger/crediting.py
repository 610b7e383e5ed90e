"""What of an invoice may still be given back, and how much of it a credit note gives back, line by line.

A line brought so much before tax and so much of each of its taxes; credit notes never give back more of
either. Part of a line gives back the tax of just that part, rounded by itself. Who takes the last of a line
takes what is left of its taxes too, so that the notes of a line that is credited whole add up to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from ledger.errors import Conflict, Invalid
from ledger.line_taxes import family_of
from ledger.money import Money, checked_amount, round_half_away
from ledger.proration import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from ledger.events.invoice import InvoiceLine, LineTax
    from ledger.policies import BillingPolicy
    from ledger.streams.invoice import Invoice

_HUNDRED: Final = 100

# The percentage of each version of a tax rate.
Percents: TypeAlias = "Mapping[tuple[str, int], Decimal]"


class CreditExceedsInvoice(Conflict):
    """More is to be given back than is left of the line or the invoice."""

    code = "credit_exceeds_invoice"


class NothingToCredit(Conflict):
    """Nothing is left that could be given back."""

    code = "nothing_to_credit"


@dataclass(frozen=True)
class Left:
    """What no credit note has given back of a line: before tax, and of each of its taxes in their order."""

    line: InvoiceLine
    net: int
    taxes: tuple[int, ...]

    @property
    def total(self) -> int:
        """What is left with tax."""
        return self.net + sum(self.taxes)


@dataclass(frozen=True)
class Credit:
    """What a line of another invoice, or one that waits, credits of a line: how much of its price.

    `usage` is the item, the charge and the beginning of what it bills, where it is of usage.
    """

    adjusts_line: str
    amount: int
    usage: tuple[str, str, datetime] | None = None


@dataclass(frozen=True)
class Part:
    """So much of what is left of a line before tax: rounded, and exactly; none is exact where it is all."""

    left: Left
    net: int
    exact: Fraction | None = None


@dataclass(frozen=True)
class GivenBack:
    """What a credit note gives back of a line, in minor units: before tax, and of each of its taxes."""

    line: InvoiceLine
    net: int
    taxes: tuple[int, ...]
    exact: Fraction | None

    @property
    def total(self) -> int:
        """What is given back with tax."""
        return self.net + sum(self.taxes)


def net_of(line: InvoiceLine) -> int:
    """Give what a line brought before tax: net of its discounts and of the taxes inside its price."""
    inclusive = sum(tax.amount for tax in line.taxes if tax.behaviour == "inclusive")
    return _discounted(line) - inclusive


def left_of(invoice: Invoice, by_lines: Mapping[str, int] = MappingProxyType({})) -> list[Left]:
    """Give what is left of each line, of whose price lines of other invoices may have credited some."""
    left = []
    for line in invoice.draft.lines:
        credited = [one for note in invoice.credit_notes for one in note.lines if one.line == line.line]
        share = Fraction(by_lines.get(line.line, 0), line.amount or 1)
        net = _less(net_of(line), sum(one.net for one in credited), share)
        taxes = tuple(
            _less(tax.amount, sum(one.taxes[place] for one in credited), share)
            for place, tax in enumerate(line.taxes)
        )
        left.append(Left(line, net, taxes))
    return left


def _less(brought: int, given: int, share: Fraction) -> int:
    """Take off what notes gave back, and a share; of what was given back twice nothing is left."""
    if not share:
        return brought - given
    return max(0, brought - given - round_half_away(brought * share))


def credited_by(invoice: Invoice, credits_elsewhere: Iterable[Credit]) -> dict[str, int]:
    """Spread what lines of other invoices credit over the lines of this one that they adjust."""
    whole, by_lines = left_of(invoice), dict[str, int]()
    for credit in credits_elsewhere:
        adjusted = of_usage(whole, *credit.usage) if credit.usage else of_fee(whole, credit.adjusts_line)
        known = any(one.line.line == credit.adjusts_line for one in adjusted)
        weights = [max(0, one.line.amount) for one in adjusted]
        if known and any(weights):
            shares = Money(credit.amount, invoice.draft.currency).allocate(weights)
            for one, share in zip(adjusted, shares, strict=True):
                by_lines[one.line.line] = by_lines.get(one.line.line, 0) + share.amount
    return by_lines


# -- which parts ------------------------------------------------------------------------------------------


def whole(left: Sequence[Left]) -> list[Part]:
    """Take all that is left, of credits among the lines too."""
    return [Part(one, one.net) for one in left if one.net or any(one.taxes)]


def by_line(left: Sequence[Left], asked: Sequence[tuple[str, int | None]]) -> list[Part]:
    """Take parts of lines that are named, each with an amount before tax, or with all that is left of it."""
    known = {one.line.line: one for one in left}
    parts: list[Part] = []
    for number, (name, amount) in enumerate(asked):
        path = f"lines.{number}"
        if name not in known:
            raise _refused(f"{path}.line", f"the invoice has no line {name}")
        if any(part.left.line.line == name for part in parts):
            raise _refused(f"{path}.line", f"line {name} is named twice")
        parts.append(_part(known[name], amount, path))
    return parts


def _part(left: Left, amount: int | None, path: str) -> Part:
    if left.total <= 0:
        what = "is a credit itself" if left.total < 0 else "has been given back whole"
        message = f"{path}: line {left.line.line} {what}"
        raise NothingToCredit(message)
    if amount is None:
        return Part(left, left.net)
    if checked_amount(amount) <= 0:
        raise _refused(f"{path}.amount", "must be positive")
    if amount > left.net:
        message = f"{path}: {left.net} before tax is left of line {left.line.line}, not {amount}"
        raise CreditExceedsInvoice(message)
    return Part(left, amount, Fraction(amount))


def spread(left: Sequence[Left], amount: int, currency: str) -> list[Part]:
    """Take an amount before tax of the invoice: of each line that asks, in proportion to what is left."""
    if checked_amount(amount) <= 0:
        raise _refused("amount", "must be positive")
    there = sum(one.net for one in left)
    if amount > there:
        message = f"{max(0, there)} before tax is left of the invoice, not {amount}"
        raise CreditExceedsInvoice(message)
    if amount == there:
        return whole(left)
    asking = [one for one in left if one.net > 0]
    shares = Money(amount, currency).allocate([one.net for one in asking])
    return [
        Part(one, share.amount, Fraction(share.amount))
        for one, share in zip(asking, shares, strict=True)
        if share.amount
    ]


def of_fee(left: Sequence[Left], adjusted: str) -> list[Left]:
    """Give the lines that a fee or a change was charged by, named by its first line."""
    first = next((one.line for one in left if one.line.line == adjusted), None)
    return [] if first is None else [one for one in left if family_of(one.line) == family_of(first)]


def of_usage(left: Sequence[Left], item: str, charge: str, service_from: datetime) -> list[Left]:
    """Give the lines that ask for the usage of a charge in a stretch of time."""
    return [
        one
        for one in left
        if one.line.usage is not None
        and one.line.amount > 0
        and (one.line.subscription_item, one.line.usage.charge, one.line.service_from)
        == (item, charge, service_from)
    ]


def given_back_of(left: Sequence[Left]) -> int:
    """Say how much of what lines cost, as priced, credit notes have given back."""
    return sum(
        round_half_away(Fraction(one.line.amount * (net - one.net), net))
        for one in left
        if (net := net_of(one.line)) > 0
    )


def price_left(left: Sequence[Left]) -> int:
    """Say how much of what lines cost, as priced, is left to be given back."""
    return sum(one.line.amount for one in left) - given_back_of(left)


def of_price(left: Sequence[Left], price: Fraction, percents: Percents, policy: BillingPolicy) -> list[Part]:
    """Take part of what lines cost, as priced, before discounts and with taxes inside, as far as it is left.

    Each line gives its part in proportion, and of its part what discounts and inclusive taxes leave. The
    running sum is rounded, so that they add up to what all of them together give.
    """
    cost = sum(one.line.amount for one in left)
    so_far = Fraction()
    parts = []
    for one in left:
        if one.line.amount > 0:
            exact = price * one.line.amount / cost * _net_share(one.line, percents)
            before, so_far = so_far, so_far + exact
            net = rounded(so_far, policy) - rounded(before, policy)
            parts.append(Part(one, min(net, one.net), exact))
    return parts


def _net_share(line: InvoiceLine, percents: Percents) -> Fraction:
    """Give which part of a line's price is before tax and after discounts, exactly."""
    inclusive = sum(
        (_rate(line, tax, percents) for tax in line.taxes if tax.behaviour == "inclusive"), Fraction()
    )
    return Fraction(_discounted(line), line.amount) / (1 + inclusive)


# -- how much of each -------------------------------------------------------------------------------------


def given_back(parts: Sequence[Part], percents: Percents, policy: BillingPolicy) -> list[GivenBack]:
    """Add to parts the taxes on them, rounded as the policy rounds those of an invoice."""
    found: list[GivenBack] = []
    by_rate: dict[tuple[str, int], Fraction] = {}
    for part in parts:
        left = part.left
        taxes = left.taxes if part.net == left.net else _taxes(part, percents, policy, by_rate)
        if part.net or any(taxes):
            found.append(GivenBack(left.line, part.net, taxes, part.exact))
    return found


def _taxes(
    part: Part, percents: Percents, policy: BillingPolicy, by_rate: dict[tuple[str, int], Fraction]
) -> tuple[int, ...]:
    """Round the taxes on part of a line, each by itself or each rate once, within what is left of them."""
    left, exact = part.left, part.exact
    assert exact is not None, "all that is left needs no rounding"
    once = policy.tax_rounding == "per_rate_on_invoice"
    amounts = []
    for tax, most in zip(left.line.taxes, left.taxes, strict=True):
        key = (tax.rate, tax.rate_version)
        before = by_rate.get(key, Fraction()) if once else Fraction()
        after = by_rate[key] = before + exact * _rate(left.line, tax, percents)
        amounts.append(min(max(rounded(after, policy) - rounded(before, policy), 0), most))
    return tuple(amounts)


def _rate(line: InvoiceLine, tax: LineTax, percents: Percents) -> Fraction:
    """Give a tax's share of what is before tax; of a rate that nobody knows any more, as it was invoiced."""
    percent = percents.get((tax.rate, tax.rate_version))
    if percent is not None:
        return Fraction(percent) / _HUNDRED
    return Fraction(tax.amount, net_of(line) or 1)


def _discounted(line: InvoiceLine) -> int:
    return line.amount - sum(share.amount for share in line.discounts)


def _refused(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason}", {field: [reason]})
