"""What the edge answers about conventions and changes of price."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import View


class PolicyView(View):
    """A version of the book's conventions: its preset, the overrides, and every axis with its value."""

    version = fields.Integer(required=True)
    preset = fields.String(required=True)
    overrides = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    adopted_at = fields.AwareDateTime(required=True)
    billing = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    mrr = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    recognition = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class AxisView(View):
    """A question that billing systems settle differently: its values, and the one of each preset."""

    axis = fields.String(required=True)
    values = fields.List(fields.String(), required=True)
    presets = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class PresetsView(View):
    """Every axis, by the name that an override gives it."""

    presets = fields.List(fields.String(), required=True)
    axes = fields.List(fields.Nested(AxisView), required=True)


class StretchView(View):
    """A stretch of time, from its start up to but without its end."""

    starts_at = fields.AwareDateTime(required=True)
    ends_at = fields.AwareDateTime(required=True)


class ProrationLineView(View):
    """What a change gives back (negative) or charges, in minor units: so many units of those of the period.

    `exact` is the amount before it was rounded, as a fraction; `total` is the amount with its tax.
    """

    kind = fields.String(required=True)
    description = fields.String(required=True)
    service_from = fields.AwareDateTime(required=True)
    service_to = fields.AwareDateTime(required=True)
    unit = fields.String(required=True)
    units = fields.Integer(required=True)
    units_of_period = fields.Integer(required=True)
    exact = fields.String(required=True)
    amount = fields.Integer(required=True)
    tax = fields.Integer(required=True)
    total = fields.Integer(required=True)


class ProrationPreviewView(View):
    """What a change would cost, in minor units: net = debit - credit, total = net + tax.

    Where the policy gives a credit note, `credit` holds its tax, which then is not in `tax`. `policy` is
    every axis of billing with its value, and the preset. `invoiced` is now, next_invoice, or null where
    there is nothing to invoice.
    """

    currency = fields.String(required=True)
    credit = fields.Integer(required=True)
    debit = fields.Integer(required=True)
    net = fields.Integer(required=True)
    tax = fields.Integer(required=True)
    total = fields.Integer(required=True)
    lines = fields.List(fields.Nested(ProrationLineView), required=True)
    policy = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    effective_at = fields.AwareDateTime(required=True)
    invoiced = fields.String(required=True, allow_none=True)
    period = fields.Nested(StretchView, required=True)
    next_period = fields.Nested(StretchView, required=True, allow_none=True)
