"""Money, numbers and dates as a locale writes them, by Babel; every digit of an amount, never a float."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from babel import Locale
from babel.dates import format_date, format_interval, format_timedelta
from babel.numbers import (
    NumberPattern,
    format_decimal,
    format_percent,
    get_currency_symbol,
    parse_pattern,
)

from api.documents.words import DEFAULT_LANGUAGE, has_words, words_of
from ledger.money import Money, exponent, major_units
from ledger.periods import local_date

if TYPE_CHECKING:
    from datetime import date, datetime

# A quantity has up to 18 digits before its point and 12 behind it: more than a context keeps by itself.
_PRECISION_DIGITS: Final = 100
_FRACTION: Final = re.compile(r"0(?:\.[0#]+)?(?![0#.,])")
_NO_WEEKS: Final = 1_000_000
_PER_CENT: Final = Decimal("0.01")
_NBSP: Final = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Formats:
    """How a locale writes figures; words and dates are English where a language has no words here.

    That keeps a page in one language: a date holds the name of a month.
    """

    locale: Locale

    @property
    def language(self) -> Locale:
        """The locale of words and dates."""
        return self.locale if has_words(self.locale.language) else Locale(DEFAULT_LANGUAGE)

    def word(self, key: str, **values: str) -> str:
        """Give a word or a sentence in the document's language."""
        return words_of(self.locale.language)[key].format(**values)

    def word_or(self, key: str, other: str) -> str:
        """Give a word, or something else where there is none for the key."""
        return words_of(self.locale.language).get(key, other)

    def money(self, amount: int, currency: str) -> str:
        """Write an amount of minor units with exactly the currency's digits."""
        return self._money(major_units(Money(amount, currency)), currency)

    def unit_price(self, unit_amount: Decimal, currency: str) -> str:
        """Write a unit price of minor units, with all its digits, and no fewer than the currency's."""
        with localcontext(prec=_PRECISION_DIGITS):
            return self._money(unit_amount.scaleb(-exponent(currency)), currency)

    def quantity(self, quantity: Decimal) -> str:
        """Write a quantity with all its digits."""
        with localcontext(prec=_PRECISION_DIGITS):
            return format_decimal(quantity, locale=self.locale, decimal_quantization=False)

    def percent(self, percent: Decimal) -> str:
        """Write a percentage with all its digits."""
        with localcontext(prec=_PRECISION_DIGITS):
            return format_percent(percent * _PER_CENT, locale=self.locale, decimal_quantization=False)

    def date(self, day: date) -> str:
        """Write a date."""
        return format_date(day, "long", locale=self.language)

    def days(self, days: int) -> str:
        """Write a number of days."""
        # A threshold beyond reach keeps a fortnight from being "2 weeks".
        return format_timedelta(
            timedelta(days=days), granularity="day", threshold=_NO_WEEKS, locale=self.language
        )

    def period(self, starts_at: datetime | None, ends_at: datetime | None, zone: str) -> str:
        """Write a half-open period by its first and its last day in a zone."""
        days = [
            local_date(instant, zone)
            for instant in (starts_at, ends_at and ends_at - timedelta(microseconds=1))
            if instant is not None
        ]
        if not days:
            return ""
        first, last = days[0], max(days)
        return format_interval(first, last, "yMMMd", locale=self.language)

    def _money(self, value: Decimal, currency: str) -> str:
        # The sign belongs to the words: 元 on a page in English would be a riddle.
        symbol = get_currency_symbol(currency, self.language)
        with localcontext(prec=_PRECISION_DIGITS):
            written = _pattern(self.locale, symbol, exponent(currency)).apply(
                value, self.locale, decimal_quantization=False
            )
        return str(written).replace("¤", symbol)


@lru_cache(maxsize=1_000)
def _pattern(locale: Locale, symbol: str, digits: int) -> NumberPattern:
    """Give the locale's way of writing money, with the digits of our own table of currencies.

    Babel's own table rounds currencies whose small units are out of use: an invoice may not.
    """
    fraction = "0." + "0" * digits if digits else "0"
    standard = _FRACTION.sub(fraction, locale.currency_formats["standard"].pattern)
    return parse_pattern(_spaced(standard, symbol))


def _spaced(pattern: str, symbol: str) -> str:
    """Put a space between digits and a symbol that is a word there (CHF 5.00), as the standard has it."""
    if symbol[-1:].isalpha():
        pattern = re.sub(r"¤(?=[#0])", f"¤{_NBSP}", pattern)
    if symbol[:1].isalpha():
        pattern = re.sub(r"(?<=[#0])¤", f"{_NBSP}¤", pattern)
    return pattern
