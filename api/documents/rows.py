"""The document as CSV (RFC 4180): one row a line item, in figures for machines, whatever the locale."""

from __future__ import annotations

import csv
from io import StringIO
from typing import TYPE_CHECKING, Final

from ledger.money import Money, exponent, major_units
from ledger.values import instant_text

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal

    from api.documents.model import Document, Line

# A row's `total` is amount - discount + exclusive_tax; the rows' totals add up to the invoice's.
COLUMNS: Final = (
    "invoice",
    "number",
    "status",
    "issued_on",
    "due_on",
    "currency",
    "position",
    "line",
    "kind",
    "description",
    "service_from",
    "service_to",
    "quantity",
    "unit_price",
    "amount",
    "discount",
    "exclusive_tax",
    "inclusive_tax",
    "total",
    "adjusts_line",
)
# A spreadsheet takes text that begins so for a formula, and carries it out.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - these too


def csv_of(document: Document) -> str:
    """Write the line items, under a row of names."""
    written = StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(line, document) for line in document.lines)
    return written.getvalue()


def _row(line: Line, document: Document) -> tuple[str, ...]:
    return (
        document.invoice,
        _text(document.number),
        document.status,
        _day(document.issued_on),
        _day(document.due_on),
        document.currency,
        str(line.position),
        line.line,
        _text(line.kind),
        _text(line.description),
        _instant(line.service_from),
        _instant(line.service_to),
        f"{line.quantity:f}",
        _unit_price(line.unit_amount, document.currency),
        _amount(line.amount, document),
        _amount(line.discount, document),
        _amount(line.exclusive_tax, document),
        _amount(line.inclusive_tax, document),
        _amount(line.total, document),
        _text(line.adjusts_line),
    )


def _text(value: str | None) -> str:
    """Put an apostrophe before what a spreadsheet would carry out."""
    text = value or ""
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def _day(value: date | None) -> str:
    return value.isoformat() if value else ""


def _instant(value: datetime | None) -> str:
    return instant_text(value) if value else ""


def _amount(amount: int, document: Document) -> str:
    return f"{major_units(Money(amount, document.currency)):f}"


def _unit_price(unit_amount: Decimal | None, currency: str) -> str:
    return "" if unit_amount is None else f"{unit_amount.scaleb(-exponent(currency)):f}"
