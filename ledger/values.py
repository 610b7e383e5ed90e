"""The value domain: one set of limits for every edge, narrower than what PostgreSQL can hold."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from ledger.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME_CHARACTERS: Final = 200
MAX_EMAIL_CHARACTERS: Final = 254
MAX_IDENTITY_CHARACTERS: Final = 255
MAX_METER_CHARACTERS: Final = 100
MAX_REASON_CHARACTERS: Final = 1_000
MAX_CODE_CHARACTERS: Final = 100
MAX_PROPERTIES: Final = 50
MAX_PROPERTY_KEY_CHARACTERS: Final = 64
MAX_PROPERTY_VALUE_CHARACTERS: Final = 512
MAX_QUANTITY_INTEGER_DIGITS: Final = 18
MAX_QUANTITY_FRACTION_DIGITS: Final = 12
MAX_AMOUNT_DIGITS: Final = 18
MAX_PERCENT_FRACTION_DIGITS: Final = 6
# The least whole number that has more digits than a quantity may have.
BEYOND_QUANTITIES: Final = 10**MAX_QUANTITY_INTEGER_DIGITS
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

_WHOLE_PERCENT: Final = 100
# Text longer than this can only be a number beyond the domain; reading it would cost more than refusing it.
_MAX_QUANTITY_CHARACTERS: Final = 48
_MAX_QUANTITY_BITS: Final = 160
_CODE: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_CODE_CHARACTERS}}}")


def _refuse(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason}", {field: [reason]})


def text_problem(value: str, limit_characters: int) -> str | None:
    """Say what keeps a text out of the value domain, or nothing."""
    if not value or value.isspace():
        return "must not be empty"
    if len(value) > limit_characters:
        return f"must have at most {limit_characters} characters"
    if "\x00" in value:
        return "must not contain a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return "must not contain a lone surrogate"
    return None


def checked_text(value: str, limit_characters: int, field: str) -> str:
    """Return a text of the value domain, or refuse it by name."""
    problem = text_problem(value, limit_characters)
    if problem is not None:
        raise _refuse(field, problem)
    return value


def checked_code(value: str, field: str = "code") -> str:
    """Return a code that people give things, for files and addresses: letters, digits and `_.-`."""
    if not _CODE.fullmatch(value):
        raise _refuse(field, f"must be 1 to {MAX_CODE_CHARACTERS} letters, digits or one of _ . -")
    return value


def checked_code_beside_ids(value: str, prefix: str, field: str = "code") -> str:
    """Return a code of what is named by its id or by its code: no code looks like the beginning of an id."""
    if value.startswith(f"{prefix}_"):
        raise _refuse(field, f"must not begin with {prefix}_, as ids do")
    return checked_code(value, field)


def checked_external_id(value: str | None) -> str | None:
    """Return the id that an object has in another system, if it has one."""
    return None if value is None else checked_text(value, MAX_IDENTITY_CHARACTERS, "external_id")


def checked_metadata(metadata: Mapping[str, str], field: str = "metadata") -> dict[str, str]:
    """Return what a caller keeps with an object: at most 50 short texts by name."""
    if len(metadata) > MAX_PROPERTIES:
        raise _refuse(field, f"must have at most {MAX_PROPERTIES} entries")
    for name, value in metadata.items():
        checked_text(name, MAX_PROPERTY_KEY_CHARACTERS, f"{field}.{name[:64]}")
        checked_text(value, MAX_PROPERTY_VALUE_CHARACTERS, f"{field}.{name[:64]}")
    return dict(metadata)


def checked_quantity(value: str | int | Decimal, field: str = "quantity") -> Decimal:
    """Return a quantity: finite, not negative, at most 18 integer and 12 fraction digits."""
    # An integer of thousands of digits cannot even be written as text.
    text = "" if isinstance(value, int) and value.bit_length() > _MAX_QUANTITY_BITS else str(value)
    if len(text) > _MAX_QUANTITY_CHARACTERS or not text.isascii() or "_" in text or text != text.strip():
        raise _refuse(field, "must be a decimal number of at most 18 integer and 12 fraction digits")
    try:
        quantity = Decimal(text)
    except InvalidOperation:
        raise _refuse(field, "must be a decimal number") from None
    problem = _quantity_problem(quantity)
    if problem is not None:
        raise _refuse(field, problem)
    return quantity


def _quantity_problem(quantity: Decimal) -> str | None:
    if not quantity.is_finite():
        return "must be a finite number"
    if quantity.is_signed():
        return "must not be negative"
    if quantity.adjusted() >= MAX_QUANTITY_INTEGER_DIGITS:
        return "must have at most 18 integer digits"
    _, digits, exponent = quantity.as_tuple()
    assert isinstance(exponent, int)
    fraction_digits = max(0, -exponent)
    trailing_zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    if fraction_digits - min(trailing_zeros, fraction_digits) > MAX_QUANTITY_FRACTION_DIGITS:
        return "must have at most 12 fraction digits"
    return None


def checked_percent(value: Decimal, field: str = "percent") -> Decimal:
    """Return a share in per cent: from 0 to 100, with at most 6 fraction digits."""
    percent = checked_quantity(value, field)
    exponent = percent.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "a quantity is finite"
    if percent > _WHOLE_PERCENT or -exponent > MAX_PERCENT_FRACTION_DIGITS:
        reason = f"must be from 0 to 100, with at most {MAX_PERCENT_FRACTION_DIGITS} fraction digits"
        raise _refuse(field, reason)
    return percent


def quantity_text(quantity: Decimal) -> str:
    """Write a quantity the one canonical way: no exponent, no trailing zeros."""
    text = format(quantity, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text or "0"


def property_problem(value: object) -> str | None:
    """Say what keeps the value of a usage event's property out of the value domain, or nothing."""
    if isinstance(value, str):
        # Nearly every text is plain, and then one look is enough; unlike others, it may be blank.
        if len(value) <= MAX_PROPERTY_VALUE_CHARACTERS and (value.isprintable() or value.isspace()):
            return None
        return text_problem(value, MAX_PROPERTY_VALUE_CHARACTERS)
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if abs(value) < BEYOND_QUANTITIES else "must have at most 18 digits"
    if isinstance(value, Decimal):
        return None if _has_few_digits(value) else "must have at most 18 and 12 digits"
    return "must be text, a number, true, false or null"


def _has_few_digits(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return (
        isinstance(exponent, int)
        and -MAX_QUANTITY_FRACTION_DIGITS <= exponent <= MAX_QUANTITY_INTEGER_DIGITS
        and value.copy_abs() < BEYOND_QUANTITIES  # not abs(), which rounds to 28 digits
    )


def checked_time(value: datetime, field: str = "time") -> datetime:
    """Return an instant as aware UTC within the years 2000 to 2200."""
    if value.tzinfo is None:
        raise _refuse(field, "must carry a UTC offset")
    try:
        instant = value.astimezone(UTC)
    except OverflowError:
        raise _refuse(field, "is out of range") from None
    if not EARLIEST <= instant < LATEST:
        raise _refuse(field, "must lie between 2000 and 2200")
    return instant


def instant_text(instant: datetime) -> str:
    """Write an instant as RFC 3339 UTC with a Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
