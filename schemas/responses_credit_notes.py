"""What the edge answers about credit notes."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import MoneyView, View, instant_field, text_field, whole_field
from schemas.responses_billing import LineTaxView


class CreditNoteLineView(View):
    """How much of an invoice's line is given back: before tax and net of discounts, and of each tax.

    `exact` is the amount before it was rounded; null where all that was left of the line is given back.
    """

    id = text_field()
    invoice_line = text_field()
    description = text_field()
    net = fields.Nested(MoneyView, required=True)
    taxes = fields.List(fields.Nested(LineTaxView), required=True)
    total = fields.Nested(MoneyView, required=True)
    service_from = instant_field(allow_none=True)
    service_to = instant_field(allow_none=True)
    product = text_field(allow_none=True)
    exact = text_field(allow_none=True)


class CreditNoteSummaryView(View):
    """A credit note in a list: what it settles of its invoice, and what it credits to the account."""

    id = text_field()
    invoice = text_field()
    account = text_field()
    subscription = text_field(allow_none=True)
    kind = text_field()
    number = text_field(allow_none=True)
    issued_on = fields.Date(required=True)
    net_total = fields.Nested(MoneyView, required=True)
    tax_total = fields.Nested(MoneyView, required=True)
    total = fields.Nested(MoneyView, required=True)
    applied_to_invoice = fields.Nested(MoneyView, required=True)
    credited_to_account = fields.Nested(MoneyView, required=True)


class CreditNoteView(CreditNoteSummaryView):
    """A credit note with its lines; in a preview it has no number yet.

    `restored_to_grants`, of what is applied to the invoice, takes the place of what prepaid grants settled.
    """

    billing_entity = text_field()
    series = text_field()
    series_number = whole_field(allow_none=True)
    reason = text_field()
    lines = fields.List(fields.Nested(CreditNoteLineView), required=True)
    restored_to_grants = fields.Nested(MoneyView, required=True)
    policy_version = whole_field()
