"""Coupons: what is taken off a price, and how an amount off is shared among the lines of an invoice."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ledger.errors import Invalid
from ledger.money import Money, checked_amount

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from ledger.policies import BillingPolicy

_WHOLE_PER_CENT: Final = 100
# Largest remainders do not ask which currency it is.
_ANY_CURRENCY: Final = "USD"


class MalformedDiscount(Invalid):
    """The discount is not exactly one of a part in per cent, from 0 to 100, and an amount, not negative."""

    code = "malformed_discount"


@dataclass(frozen=True, kw_only=True)
class Discount:
    """What is taken off a whole period's price: a part of it in per cent, or an amount in minor units."""

    percent_off: Decimal | None = None
    amount_off_minor: int | None = None


def checked_discount(discount: Discount, at: str = "coupon") -> Discount:
    """Return a discount, or refuse it; `at` is its path in what was asked."""
    if (discount.percent_off is None) == (discount.amount_off_minor is None):
        raise _malformed(at, "must have either percent_off or amount_off")
    if discount.percent_off is not None and not 0 <= discount.percent_off <= _WHOLE_PER_CENT:
        raise _malformed(f"{at}.percent_off", "must be from 0 to 100")
    if discount.amount_off_minor is not None and checked_amount(discount.amount_off_minor) < 0:
        raise _malformed(f"{at}.amount_off", "must not be negative")
    return discount


def discounted(price: Fraction, discount: Discount | None) -> Fraction:
    """Take a discount off a price, which it never makes negative."""
    if discount is None:
        return price
    if discount.percent_off is not None:
        return price * (1 - Fraction(discount.percent_off) / _WHOLE_PER_CENT)
    return max(Fraction(0), price - (discount.amount_off_minor or 0))


def share_discount(
    amounts_minor: Sequence[int], discount_minor: int, policy: BillingPolicy
) -> tuple[int, ...]:
    """Share an amount off among lines in proportion to what they ask for, in whole minor units.

    The shares sum to the discount, or to what the lines ask for where that is less. A line that asks for
    nothing, or is a credit, gets no share, and no line gets more than it asks for.
    """
    asked, shared_out = _asked(amounts_minor, discount_minor)
    if not shared_out:
        return tuple(0 for _ in asked)
    if policy.fixed_coupon_split == "floor_remainder_on_last":
        return tuple(_floored(asked, shared_out))
    return tuple(share.amount for share in Money(shared_out, _ANY_CURRENCY).allocate(asked))


def exact_discount_shares(amounts_minor: Sequence[int], discount_minor: int) -> tuple[Fraction, ...]:
    """Share an amount off exactly, for a policy (`exact_per_line`) that rounds only taxes and totals."""
    asked, shared_out = _asked(amounts_minor, discount_minor)
    return tuple(Fraction(shared_out * amount, sum(asked) or 1) for amount in asked)


def _asked(amounts_minor: Sequence[int], discount_minor: int) -> tuple[list[int], int]:
    """Give what each line asks for, and how much of the discount there is something to take off."""
    asked = [max(0, amount) for amount in amounts_minor]
    return asked, max(0, min(checked_amount(discount_minor), sum(asked)))


def _floored(asked: Sequence[int], shared_out: int) -> list[int]:
    """Round every share down; the last line takes the remainder, and the ones before it what it cannot."""
    shares = [shared_out * amount // sum(asked) for amount in asked]
    left = shared_out - sum(shares)
    for index in reversed(range(len(shares))):
        taken = min(left, asked[index] - shares[index])
        shares[index] += taken
        left -= taken
    assert left == 0, "the lines ask for at least what is shared out"
    return shares


def _malformed(at: str, reason: str) -> MalformedDiscount:
    return MalformedDiscount(f"{at}: {reason}", {at: [reason]})
