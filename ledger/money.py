"""Money: whole minor units of one currency, how they add up, are shared out and are rounded; never a float.

The limits checked here are permanent: an amount that was once written to the log must stay readable, so the
currency table only grows and the largest amount never shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ledger.errors import CurrencyConflict, Invalid
from ledger.values import MAX_AMOUNT_DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Exact: TypeAlias = Decimal | Fraction | int
RoundingName: TypeAlias = Literal["half_away", "half_up", "half_down", "half_even"]

MAX_AMOUNT: Final = 10**MAX_AMOUNT_DIGITS - 1

# A decimal of a larger scale is an attack or a bug: making it exact would fill the memory with its zeros.
_MAX_DECIMAL_SCALE: Final = 1_000

# ISO 4217 by number of minor-unit digits. Units of account that have none (XAU, XDR, XXX ...) are left out:
# nobody can be billed in them.
_CODES_BY_EXPONENT: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE "
    "CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD "
    "HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP "
    "MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD "
    "SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS "
    "VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
# Withdrawn since 2015 or so: histories brought over from another system still carry them.
_WITHDRAWN_BY_EXPONENT: Final = {0: "BYR", 2: "ANG BGN CUC HRK LTL MRO SLL STD VEF ZMK ZWL"}


def _exponents(*tables: Mapping[int, str]) -> Mapping[str, int]:
    return MappingProxyType(
        {code: digits for table in tables for digits, codes in table.items() for code in codes.split()},
    )


EXPONENTS: Final = _exponents(_CODES_BY_EXPONENT, _WITHDRAWN_BY_EXPONENT)
WITHDRAWN: Final = frozenset(_exponents(_WITHDRAWN_BY_EXPONENT))


class UnknownCurrency(Invalid):
    """The currency is not an upper-case ISO 4217 code with a known number of minor-unit digits."""

    code = "unknown_currency"


class AmountOutOfRange(Invalid):
    """The amount has more than 18 digits, or is not finite."""

    code = "amount_out_of_range"


class InexactAmount(Invalid):
    """The amount is not an exact number of minor units: floats and booleans are refused."""

    code = "inexact_amount"


class UnusableWeights(Invalid):
    """The weights cannot share anything out: there must be some, none negative, and not all zero."""

    code = "unusable_weights"


class CurrencyMismatch(CurrencyConflict):
    """Two amounts of different currencies were added, subtracted or compared."""


def exponent(currency: str) -> int:
    """Give the number of minor-unit digits of a currency: 2 for USD, 0 for JPY."""
    digits = EXPONENTS.get(currency)
    if digits is None:
        message = f"currency: {str(currency)[:16]!r} is not an ISO 4217 code in upper case"
        raise UnknownCurrency(message, {"currency": ["must be an ISO 4217 code in upper case"]})
    return digits


def checked_amount(amount: int) -> int:
    """Return an amount of minor units, or refuse it: not an integer, or more than 18 digits."""
    # An exact type test: True is an int to isinstance, and would be booked as one cent.
    if type(amount) is not int:
        message = f"amount: must be an integer of minor units, not {type(amount).__name__}"
        raise InexactAmount(message, {"amount": ["must be an integer of minor units"]})
    if abs(amount) > MAX_AMOUNT:
        reason = f"must have at most {MAX_AMOUNT_DIGITS} digits"
        raise AmountOutOfRange(f"amount: {reason}", {"amount": [reason]})
    return amount


@dataclass(frozen=True)
class Money:
    """An amount of whole minor units of one currency; it may be negative."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        """Let no amount exist that could not be written to the log."""
        checked_amount(self.amount)
        exponent(self.currency)

    def __add__(self, other: Money) -> Money:
        """Add an amount of the same currency."""
        return Money(self.amount + self._amount_of(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        """Subtract an amount of the same currency."""
        return Money(self.amount - self._amount_of(other), self.currency)

    def __neg__(self) -> Money:
        """Turn the sign."""
        return Money(-self.amount, self.currency)

    def __lt__(self, other: Money) -> bool:
        """Compare within one currency."""
        return self.amount < self._amount_of(other)

    def __le__(self, other: Money) -> bool:
        """Compare within one currency."""
        return self.amount <= self._amount_of(other)

    def __gt__(self, other: Money) -> bool:
        """Compare within one currency."""
        return self.amount > self._amount_of(other)

    def __ge__(self, other: Money) -> bool:
        """Compare within one currency."""
        return self.amount >= self._amount_of(other)

    def allocate(self, weights: Sequence[Exact]) -> tuple[Money, ...]:
        """Share the amount out by weight, by largest remainder, so that the shares sum to it exactly.

        Each share is within one minor unit of the exact one; of equal remainders the earlier weight wins. A
        negative amount is shared as its opposite is, so that a credit undoes a charge share by share.
        """
        sign = -1 if self.amount < 0 else 1
        shares = _largest_remainder(abs(self.amount), _checked_weights(weights))
        return tuple(Money(sign * share, self.currency) for share in shares)

    def _amount_of(self, other: object) -> int:
        if not isinstance(other, Money):
            message = f"money does not mix with {type(other).__name__}"
            raise TypeError(message)
        if other.currency != self.currency:
            message = f"{self.currency} and {other.currency} do not mix"
            raise CurrencyMismatch(message)
        return other.amount


def zero(currency: str) -> Money:
    """Give nothing, in a currency."""
    return Money(0, currency)


def total(amounts: Iterable[Money], currency: str) -> Money:
    """Sum amounts that are all of one currency; the sum of none is zero."""
    return sum(amounts, start=zero(currency))


def major_units(money: Money) -> Decimal:
    """Give the amount in major units, with exactly as many fraction digits as the currency has."""
    sign, digits, _ = Decimal(money.amount).as_tuple()
    return Decimal((sign, digits, -exponent(money.currency)))


def format_plain(money: Money) -> str:
    """Write money for machines and logs, the same in every locale: `USD 29.00`, `USD -0.05`, `JPY 500`."""
    return f"{money.currency} {major_units(money):f}"


def round_half_away(value: Exact) -> int:
    """Round to the nearest integer, a tie away from zero (what Java and Ruby call HALF_UP)."""
    floor, over_half = _split(value)
    return checked_amount(floor + (over_half > 0 or (over_half == 0 and floor >= 0)))


def round_half_up(value: Exact) -> int:
    """Round to the nearest integer, a tie towards plus infinity: -2.5 gives -2."""
    floor, over_half = _split(value)
    return checked_amount(floor + (over_half >= 0))


def round_half_down(value: Exact) -> int:
    """Round to the nearest integer, a tie towards minus infinity: -2.5 gives -3."""
    floor, over_half = _split(value)
    return checked_amount(floor + (over_half > 0))


def round_half_even(value: Exact) -> int:
    """Round to the nearest integer, a tie to the even neighbour."""
    floor, over_half = _split(value)
    return checked_amount(floor + (over_half > 0 or (over_half == 0 and floor % 2 == 1)))


# By name, because a policy that is recorded as an event names its rounding.
ROUNDINGS: Final[Mapping[RoundingName, Callable[[Exact], int]]] = MappingProxyType(
    {
        "half_away": round_half_away,
        "half_up": round_half_up,
        "half_down": round_half_down,
        "half_even": round_half_even,
    },
)


def _split(value: Exact) -> tuple[int, int]:
    """Split a number into its floor and a sign: whether the rest is below, at or above one half."""
    exact = _exact(value)
    floor, rest = divmod(exact.numerator, exact.denominator)
    return floor, 2 * rest - exact.denominator


def _exact(value: object) -> Fraction:
    """Make a number a fraction, which unlike a decimal quotient cannot lose the digit that decides a tie."""
    if isinstance(value, bool) or not isinstance(value, Decimal | Fraction | int):
        message = f"must be an exact number, not {type(value).__name__}"
        raise InexactAmount(message)
    if isinstance(value, Decimal) and not (value.is_finite() and abs(value.adjusted()) <= _MAX_DECIMAL_SCALE):
        message = "must be a finite number of a sensible size"
        raise AmountOutOfRange(message)
    return Fraction(value)


def _checked_weights(weights: Sequence[Exact]) -> list[Fraction]:
    exact = [_exact(weight) for weight in weights]
    if any(weight < 0 for weight in exact) or not any(exact):
        message = "weights: there must be some, none negative, and not all zero"
        raise UnusableWeights(message, {"weights": ["must be some, none negative, and not all zero"]})
    return exact


def _largest_remainder(amount: int, weights: list[Fraction]) -> list[int]:
    whole = sum(weights)
    exact = [amount * weight / whole for weight in weights]
    shares = [share.numerator // share.denominator for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: (shares[index] - exact[index], index))
    for index in by_remainder[: amount - sum(shares)]:
        shares[index] += 1
    return shares
