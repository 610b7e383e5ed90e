"""What the edge answers about prices."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import MoneyView, View


def _text(*, allow_none: bool = False) -> fields.String:
    return fields.String(required=True, allow_none=allow_none)


class RatedLineView(View):
    """A rated line: `quantity` units, packages or events at `unit_amount`, or at `rate` per cent.

    `exact` is in minor units; the `amount`s of the lines add up to the rounded total.
    """

    kind = _text()
    tier = fields.Integer(required=True, allow_none=True)
    from_quantity = _text(allow_none=True)
    to_quantity = _text(allow_none=True)
    quantity = _text()
    unit_amount = _text(allow_none=True)
    rate = _text(allow_none=True)
    package_size = _text(allow_none=True)
    exact = _text()
    amount = fields.Nested(MoneyView, required=True)


class RatedView(View):
    """What a quantity costs: exactly, in minor units, and rounded; line by line.

    A number without end is rounded to 20 digits behind the point.
    """

    exact = _text()
    amount = fields.Nested(MoneyView, required=True)
    effective_unit_amount = _text()
    lines = fields.List(fields.Nested(RatedLineView), required=True)
