"""What the edge answers of monthly recurring revenue."""

from __future__ import annotations

from marshmallow import fields

from schemas.responses import MoneyView, View


def _money() -> fields.Nested:
    return fields.Nested(MoneyView, required=True)


class MovementSumsView(View):
    """What moved revenue: amounts add up to how it changed; fx is what exchange rates alone did."""

    new = _money()
    expansion = _money()
    contraction = _money()
    churn = _money()
    reactivation = _money()
    fx = _money()


class PlanMrrView(View):
    """Revenue of one plan, or of one of Stripe's prices."""

    plan = fields.String(required=True)
    mrr = _money()


class MrrPeriodView(View):
    """Revenue of one currency over a period: how it stood, what moved it, how it stood at the end.

    `trial` is what trials would be worth, where the definition asks for that.
    """

    since = fields.Date(data_key="from", required=True)
    until = fields.Date(data_key="to", required=True)
    from_at = fields.AwareDateTime(required=True)
    to_at = fields.AwareDateTime(required=True)
    opening = _money()
    movements = fields.Nested(MovementSumsView, required=True)
    mrr = _money()
    trial = fields.Nested(MoneyView, required=True, allow_none=True)
    accounts = fields.Integer(required=True)
    by_plan = fields.List(fields.Nested(PlanMrrView), required=True, allow_none=True)


class _DefinedView(View):
    since = fields.Date(data_key="from", required=True)
    until = fields.Date(data_key="to", required=True)
    time_zone = fields.String(required=True)
    known_at = fields.String(required=True, allow_none=True)
    preset = fields.String(required=True)
    definition = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


class MrrView(_DefinedView):
    """Monthly recurring revenue by period, one series a currency, under a definition."""

    interval = fields.String(required=True)
    data = fields.List(fields.Nested(MrrPeriodView), required=True)


class MovementView(View):
    """A movement of an account's revenue, and the event that caused it.

    `exact` is the amount before it was rounded, as a fraction of minor units; `positions` are of all events
    that the definition takes as this one change.
    """

    occurred_at = fields.AwareDateTime(required=True)
    account = fields.String(required=True)
    subscription = fields.String(required=True)
    kind = fields.String(required=True)
    amount = _money()
    exact = fields.String(required=True)
    mrr_after = _money()
    position = fields.Integer(required=True)
    positions = fields.List(fields.Integer(), required=True)
    topic = fields.String(required=True)


class MovementTotalsView(View):
    """Movements of one currency added up, over all pages."""

    currency = fields.String(required=True)
    movements = fields.Nested(MovementSumsView, required=True)
    net = _money()


class MovementsView(_DefinedView):
    """A page of movements, oldest first, and what all of them add up to."""

    data = fields.List(fields.Nested(MovementView), required=True)
    totals = fields.List(fields.Nested(MovementTotalsView), required=True)
    next = fields.String(required=True, allow_none=True)
