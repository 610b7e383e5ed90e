"""What the edge answers with when a document is asked for as JSON."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import MoneyView, View


class WrittenMoneyView(MoneyView):
    """An amount in the currency's minor units, and how the locale writes it."""

    text = fields.String(required=True)


def _money() -> fields.Nested:
    return fields.Nested(WrittenMoneyView, required=True)


def _text(*, allow_none: bool = False) -> fields.String:
    return fields.String(required=True, allow_none=allow_none)


def _instant() -> fields.AwareDateTime:
    return fields.AwareDateTime(required=True, allow_none=True)


class DocumentPartyView(View):
    """The seller or the buyer, as the invoice names them."""

    name = _text(allow_none=True)
    email = _text(allow_none=True)
    tax_id = _text(allow_none=True)


class DocumentDiscountView(View):
    """What a coupon takes off a line."""

    coupon = _text()
    name = _text()
    amount = _money()


class DocumentLineView(View):
    """A line item; `unit_amount` is a decimal number of minor units."""

    position = fields.Integer(required=True)
    id = _text()
    kind = _text()
    description = _text()
    quantity = _text()
    unit_amount = _text(allow_none=True)
    amount = _money()
    discounts = fields.List(fields.Nested(DocumentDiscountView), required=True)
    exclusive_tax = _money()
    inclusive_tax = _money()
    total = _money()
    service_from = _instant()
    service_to = _instant()
    service_period = _text()
    adjusts_line = _text(allow_none=True)


class DocumentTaxView(View):
    """What a tax rate comes to over all lines; exclusive is added to the prices, inclusive within them."""

    rate = _text()
    rate_version = fields.Integer(required=True)
    name = _text()
    percent = _text(allow_none=True)
    jurisdiction = _text()
    behaviour = _text()
    reason = _text()
    base = _money()
    amount = _money()


class DocumentSettlementView(View):
    """What settles the invoice beside its lines."""

    kind = _text()
    reference = _text(allow_none=True)
    amount = _money()


class DocumentView(View):
    """An invoice as its document shows it; or a credit note, which names the number it gives back."""

    invoice = _text()
    account = _text()
    locale = _text()
    time_zone = _text()
    status = _text()
    number = _text(allow_none=True)
    credits_number = _text(allow_none=True)
    issued_on = fields.Date(required=True, allow_none=True)
    due_on = fields.Date(required=True, allow_none=True)
    terms = _text(allow_none=True)
    period_start = _instant()
    period_end = _instant()
    seller = fields.Nested(DocumentPartyView, required=True)
    buyer = fields.Nested(DocumentPartyView, required=True)
    lines = fields.List(fields.Nested(DocumentLineView), required=True)
    subtotal = _money()
    discount_total = _money()
    taxes = fields.List(fields.Nested(DocumentTaxView), required=True)
    tax_total = _money()
    total = _money()
    settlements = fields.List(fields.Nested(DocumentSettlementView), required=True)
    amount_paid = _money()
    amount_due = _money()
