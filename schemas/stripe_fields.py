"""Read single fields of Stripe's JSON: descriptive ones leniently, money and identities strictly."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias

from ledger.values import (
    EARLIEST,
    LATEST,
    MAX_AMOUNT_DIGITS,
    MAX_IDENTITY_CHARACTERS,
    MAX_QUANTITY_FRACTION_DIGITS,
    MAX_QUANTITY_INTEGER_DIGITS,
    text_problem,
)

JsonObject: TypeAlias = dict[str, object]

_CURRENCY_CHARACTERS: Final = 3
_DECIMAL_CHARACTERS: Final = 48


class Unreadable(ValueError):
    """A field that a fact cannot do without is missing or is not what Stripe's contract says."""

    def __init__(self, field: str, reason: str) -> None:
        """Put the field's path before the reason."""
        super().__init__(f"{field}: {reason}")


def child(node: object, *path: str) -> object:
    """Walk down nested objects; None where the path ends early."""
    for name in path:
        if not isinstance(node, dict):
            return None
        node = node.get(name)
    return node


def first(*values: object) -> object:
    """Return the first value that is there: a field's new place goes before its old one."""
    return next((value for value in values if value is not None), None)


def identifier(value: object) -> str | None:
    """Return an id, from plain text or from the expanded object that stands in its place."""
    if isinstance(value, dict):
        value = value.get("id")
    if not isinstance(value, str) or text_problem(value, MAX_IDENTITY_CHARACTERS) is not None:
        return None
    return value


def required_identifier(value: object, field: str) -> str:
    """Return an id, or say that the fact cannot be read without it."""
    found = identifier(value)
    if found is None:
        raise Unreadable(field, "must be an id")
    return found


def words(value: object, limit_characters: int) -> str | None:
    """Return descriptive text, cut to the limit, with NUL and lone surrogates replaced."""
    if not isinstance(value, str):
        return None
    text = value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = text[:limit_characters]
    return None if text_problem(text, limit_characters) is not None else text


def whole_text(value: object, limit_characters: int) -> str | None:
    """Return text that means nothing when cut, such as an e-mail address: all of it or None."""
    if not isinstance(value, str) or text_problem(value, limit_characters) is not None:
        return None
    return value


def minor_units(value: object, field: str) -> int:
    """Return an amount of money in minor units; anything but a whole number is unreadable."""
    # bool is a subclass of int, and true is no amount.
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unreadable(field, "must be a whole number of minor units")
    if abs(value) >= 10**MAX_AMOUNT_DIGITS:
        raise Unreadable(field, f"must have at most {MAX_AMOUNT_DIGITS} digits")
    return value


def optional_minor_units(value: object, field: str) -> int | None:
    """Return an amount of money, or None where there is none; a malformed one is unreadable."""
    return None if value is None else minor_units(value, field)


def currency(value: object) -> str | None:
    """Return a currency code in upper case."""
    if not isinstance(value, str) or len(value) != _CURRENCY_CHARACTERS:
        return None
    if not (value.isascii() and value.isalpha()):
        return None
    return value.upper()


def required_currency(value: object, field: str) -> str:
    """Return a currency code, without which an amount means nothing."""
    code = currency(value)
    if code is None:
        raise Unreadable(field, "must be a three-letter currency code")
    return code


def instant(value: object) -> datetime | None:
    """Return a Unix time in seconds as an aware UTC instant within the years 2000 to 2200."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    if not EARLIEST.timestamp() <= value < LATEST.timestamp():
        return None
    return datetime.fromtimestamp(value, UTC)


def count(value: object) -> int | None:
    """Return a whole number that is not money, such as a number of seats."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if abs(value) < 10**MAX_QUANTITY_INTEGER_DIGITS else None


def decimal(value: object) -> Decimal | None:
    """Return an exact number, which Stripe writes as text in `*_decimal` fields."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    if isinstance(value, int):
        return Decimal(value) if count(value) is not None else None
    if isinstance(value, str) and (len(value) > _DECIMAL_CHARACTERS or not value.isascii() or "_" in value):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    if number.is_zero():
        return Decimal(0)
    return number if _within_domain(number) else None


def _within_domain(number: Decimal) -> bool:
    """Tell whether writing the number out in full stays short; `1e999999` is ten bytes of JSON."""
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        return False
    digits_before_point = number.adjusted() + 1
    return digits_before_point <= MAX_QUANTITY_INTEGER_DIGITS and -exponent <= MAX_QUANTITY_FRACTION_DIGITS


def rows(value: object, field: str) -> tuple[JsonObject, ...]:
    """Return the objects of a Stripe list or a plain array; a malformed one is unreadable."""
    found = value.get("data") if isinstance(value, dict) else value
    if found is None:
        return ()
    if not isinstance(found, list):
        raise Unreadable(field, "must be a list")
    if not all(isinstance(row, dict) for row in found):
        raise Unreadable(field, "must hold objects")
    return tuple(found)


def has_more(value: object, seen: int) -> bool:
    """Tell whether a Stripe list goes on beyond the page that came with the event."""
    total = count(child(value, "total_count"))
    return child(value, "has_more") is True or (total is not None and total > seen)


def sum_of(parts: tuple[JsonObject, ...], field: str) -> int:
    """Add up the `amount` of each part."""
    return sum(minor_units(part.get("amount"), f"{field}.amount") for part in parts)
