"""What the edge takes about invoices written by hand, and about credit notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from ledger.manual_lines import MAX_LINES, MAX_TAX_RATES, WantedLine
from ledger.money import MAX_AMOUNT
from ledger.streams.billing_entity import DEFAULT_BILLING_ENTITY
from ledger.streams.manual_invoice import MAX_DUE_DAYS
from ledger.values import MAX_NAME_CHARACTERS, MAX_REASON_CHARACTERS
from schemas.catalogue_fields import code_field, currency_field, product_field
from schemas.fields import Instant, PublicId, Strict, Text, TrueOrFalse, strict_integer
from schemas.requests_pricing import DecimalText

if TYPE_CHECKING:
    from collections.abc import Mapping


class ManualLine(Strict):
    """A line: an `amount` in minor units, or a `quantity` of what costs `unit_amount` minor units each.

    A negative amount lowers the invoice. A line with a service period is earned over it.
    """

    description = Text(MAX_NAME_CHARACTERS, required=True)
    amount = strict_integer(
        load_default=None, allow_none=True, validate=validate.Range(min=-MAX_AMOUNT, max=MAX_AMOUNT)
    )
    quantity = DecimalText(load_default=None, allow_none=True)
    unit_amount = DecimalText(load_default=None, allow_none=True)
    product = product_field()
    tax_rates = fields.List(PublicId("tax"), load_default=list, validate=validate.Length(max=MAX_TAX_RATES))
    service_from = Instant(load_default=None, allow_none=True)
    service_to = Instant(load_default=None, allow_none=True)


def _lines() -> fields.List[Any]:
    return fields.List(
        fields.Nested(ManualLine), required=True, validate=validate.Length(min=1, max=MAX_LINES)
    )


class InvoiceLines(Strict):
    """Lines to add to a draft."""

    lines = _lines()


class NewInvoice(InvoiceLines):
    """An invoice written by hand: issued at once, or left a draft that takes more lines.

    Its currency is the account's unless it is given; it is due after the seller's usual days, or `due_days`
    after it is issued.
    """

    account = PublicId("acc", required=True)
    currency = currency_field(load_default=None, allow_none=True)
    billing_entity = code_field(load_default=DEFAULT_BILLING_ENTITY)
    auto_finalize = TrueOrFalse(load_default=True)
    due_days = strict_integer(
        load_default=None, allow_none=True, validate=validate.Range(min=0, max=MAX_DUE_DAYS)
    )


def _amount() -> fields.Integer:
    return strict_integer(load_default=None, allow_none=True, validate=validate.Range(min=1, max=MAX_AMOUNT))


class CreditedLine(Strict):
    """A line of the invoice to give back: an amount before tax, or all that is left of it."""

    line = PublicId("line", required=True)
    amount = _amount()


class NewCreditNote(Strict):
    """What to give back of an invoice, before tax, and why: amounts of lines, or an amount of the whole.

    Without either, all that is left of it is given back.
    """

    lines = fields.List(
        fields.Nested(CreditedLine), load_default=list, validate=validate.Length(max=MAX_LINES)
    )
    amount = _amount()
    reason = Text(MAX_REASON_CHARACTERS, load_default="asked for by an operator")


class CreditNoteQuery(Strict):
    """Whether to show the credit note that would be issued, and not to issue it."""

    preview = fields.String(load_default="false", validate=validate.OneOf(["true", "false"]))


def wanted_lines(body: Mapping[str, Any]) -> tuple[WantedLine, ...]:
    """Read the lines that a request asks for."""
    return tuple(WantedLine(**{**line, "tax_rates": tuple(line["tax_rates"])}) for line in body["lines"])
