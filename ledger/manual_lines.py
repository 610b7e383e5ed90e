"""Lines that somebody writes by hand: an amount, or a quantity at a unit price, and tax rates."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ledger.errors import Invalid
from ledger.events.invoice import InvoiceLine, LineRating
from ledger.identifiers import derived_id
from ledger.money import ROUNDINGS, checked_amount
from ledger.rating_values import number_text
from ledger.values import MAX_NAME_CHARACTERS, checked_quantity, checked_text, checked_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from decimal import Decimal

    from ledger.money import RoundingName

MANUAL: Final = "manual"
MAX_LINES: Final = 500
MAX_TAX_RATES: Final = 20


@dataclass(frozen=True, kw_only=True)
class WantedLine:
    """A line that is asked for: an amount in minor units, or a quantity of what costs `unit_amount` each."""

    description: str
    amount: int | None = None
    quantity: Decimal | None = None
    unit_amount: Decimal | None = None
    product: str | None = None
    tax_rates: tuple[str, ...] = ()
    service_from: datetime | None = None
    service_to: datetime | None = None


def products_of(wanted: Sequence[WantedLine]) -> list[tuple[str, str]]:
    """List the products that lines name, each with the field that names it."""
    return [
        (f"lines.{number}.product", one.product)
        for number, one in enumerate(wanted)
        if one.product is not None
    ]


def tax_rates_of(wanted: Sequence[WantedLine]) -> list[tuple[str, str]]:
    """List the tax rates that lines name, each with the field that names it."""
    return [
        (f"lines.{number}.tax_rates.{place}", rate)
        for number, one in enumerate(wanted)
        for place, rate in enumerate(one.tax_rates)
    ]


def manual_lines(
    invoice: str,
    wanted: Sequence[WantedLine],
    after: int,
    policy_version: int,
    rounding: RoundingName,
) -> list[InvoiceLine]:
    """Write lines, numbered after those that there are, without their taxes; or refuse one that cannot be."""
    if not wanted:
        raise _refused("lines", "must be at least one")
    if after + len(wanted) > MAX_LINES:
        raise _refused("lines", f"must be at most {MAX_LINES} on one invoice")
    return [
        _line(invoice, one, after + number, policy_version, rounding, f"lines.{number - 1}")
        for number, one in enumerate(wanted, 1)
    ]


def _line(
    invoice: str,
    wanted: WantedLine,
    sequence: int,
    policy_version: int,
    rounding: RoundingName,
    path: str,
) -> InvoiceLine:
    checked_text(wanted.description, MAX_NAME_CHARACTERS, f"{path}.description")
    if len(wanted.tax_rates) > MAX_TAX_RATES or len(set(wanted.tax_rates)) != len(wanted.tax_rates):
        raise _refused(f"{path}.tax_rates", f"must be at most {MAX_TAX_RATES}, each named once")
    service_from, service_to = _checked_period(wanted, path)
    amount, quantity, rating = _priced(wanted, rounding, path)
    return InvoiceLine(
        line=derived_id("line", "manual-line", invoice, str(sequence)),
        subscription_item=None,
        period=None,
        kind=MANUAL,
        sequence=sequence,
        description=wanted.description,
        quantity=quantity,
        amount=amount,
        service_from=service_from,
        service_to=service_to,
        usage_after_position=None,
        usage_through_position=None,
        plan=None,
        price_version=None,
        policy_version=policy_version,
        performance_obligation=MANUAL,
        recognition_rule="at_finalization" if service_from is None else "straight_line",
        revenue_account="revenue",
        product=wanted.product,
        rating=rating,
    )


def _priced(wanted: WantedLine, rounding: RoundingName, path: str) -> tuple[int, str, LineRating]:
    """Give a line's amount, its quantity, and how the one came of the other, rounded once."""
    if wanted.amount is not None:
        if wanted.quantity is not None or wanted.unit_amount is not None:
            raise _refused(f"{path}.amount", "must be left out where a quantity and a unit_amount are given")
        amount = str(checked_amount(wanted.amount))
        return wanted.amount, "1", LineRating(formula=amount, exact=amount, rounding="none")
    if wanted.quantity is None or wanted.unit_amount is None:
        raise _refused(f"{path}.amount", "must be given, or else a quantity and a unit_amount")
    quantity = checked_quantity(wanted.quantity, f"{path}.quantity")
    each = checked_quantity(wanted.unit_amount, f"{path}.unit_amount")
    exact = Fraction(quantity) * Fraction(each)
    rating = LineRating(
        formula=f"{number_text(quantity)} x {number_text(each)}",
        exact=str(exact),
        rounding=rounding,
        unit_amount=number_text(each),
    )
    return ROUNDINGS[rounding](exact), number_text(quantity), rating


def _checked_period(wanted: WantedLine, path: str) -> tuple[datetime | None, datetime | None]:
    if wanted.service_from is None and wanted.service_to is None:
        return None, None
    if wanted.service_from is None or wanted.service_to is None:
        raise _refused(f"{path}.service_to", "must be given together with service_from, or neither")
    service_from = checked_time(wanted.service_from, f"{path}.service_from")
    service_to = checked_time(wanted.service_to, f"{path}.service_to")
    if service_from >= service_to:
        raise _refused(f"{path}.service_to", "must come after service_from")
    return service_from, service_to


def _refused(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason}", {field: [reason]})
