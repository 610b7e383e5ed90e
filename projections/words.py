"""Amounts and times in the words of a sentence, the same in every rebuild and every locale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.money import EXPONENTS, Money, format_plain

if TYPE_CHECKING:
    from datetime import date, datetime


def money(amount: int, currency: str) -> str:
    """Write an amount of minor units."""
    code = currency.upper()
    if code not in EXPONENTS:
        return f"{amount} minor units of {code}"
    return format_plain(Money(amount, code))


def instant(at: datetime) -> str:
    """Write an instant of the log, to the second."""
    # Half the cost of a format string, and a page has a hundred of them; the log's instants are UTC.
    return f"{at.isoformat(' ', 'seconds')[:19]} UTC"


def day(on: date) -> str:
    """Write a date."""
    return on.isoformat()
