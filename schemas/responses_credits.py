"""What the edge answers about credit and prepaid grants."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import MoneyView, View, instant_field, text_field, whole_field


class CreditBalanceView(View):
    """What an account holds in a currency: its own credit, and what is left of its grants, by kind."""

    currency = text_field()
    account_credit = fields.Nested(MoneyView, required=True)
    paid = fields.Nested(MoneyView, required=True)
    promotional = fields.Nested(MoneyView, required=True)


class CreditChangeView(View):
    """What changed a grant, or without one the account's own credit; a negative amount lowered it."""

    position = whole_field()
    type = text_field()
    amount = fields.Nested(MoneyView, required=True)
    grant = text_field(allow_none=True)
    invoice = text_field(allow_none=True)
    credit = text_field(allow_none=True)
    reference = text_field(allow_none=True)
    reason = text_field(allow_none=True)
    occurred_at = instant_field()


class CreditsView(View):
    """An account's credit as it stands, and a page of what changed it, the newest first."""

    account = text_field()
    balances = fields.List(fields.Nested(CreditBalanceView), required=True)
    data = fields.List(fields.Nested(CreditChangeView), required=True)
    next = text_field(allow_none=True)


class CreditedView(View):
    """A credit by hand, and what the account's own credit is with it."""

    id = text_field()
    account = text_field()
    amount = fields.Nested(MoneyView, required=True)
    balance = fields.Nested(MoneyView, required=True)
    reference = text_field(allow_none=True)
    reason = text_field(allow_none=True)


class GrantScopeView(View):
    """The plans and the meters whose lines a grant may settle; none named is all."""

    plans = fields.List(fields.String(), required=True)
    meters = fields.List(fields.String(), required=True)


class GrantView(View):
    """A prepaid grant and what is left of it."""

    id = text_field()
    account = text_field()
    kind = text_field()
    status = text_field()
    amount = fields.Nested(MoneyView, required=True)
    balance = fields.Nested(MoneyView, required=True)
    priority = whole_field()
    granted_at = instant_field()
    expires_at = instant_field(allow_none=True)
    scope = fields.Nested(GrantScopeView, required=True)
    name = text_field(allow_none=True)
    reference = text_field(allow_none=True)
    method = text_field(allow_none=True)
