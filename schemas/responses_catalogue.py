"""What the edge answers about the catalogue."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from schemas.responses import MoneyView, View


def _text(**options: Any) -> fields.String:
    return fields.String(required=True, **options)


def _whole(**options: Any) -> fields.Integer:
    return fields.Integer(required=True, **options)


def _instant(**options: Any) -> fields.AwareDateTime:
    return fields.AwareDateTime(required=True, **options)


def _truth() -> fields.Boolean:
    return fields.Boolean(required=True)


def _texts() -> fields.List[Any]:
    return fields.List(fields.String(), required=True)


def _many(item: type[View]) -> fields.List[Any]:
    return fields.List(fields.Nested(item), required=True)


def _amounts() -> fields.Dict:
    return fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class _CatalogueView(View):
    """What every object of the catalogue has."""

    id = _text()
    name = _text()
    status = _text()
    external_id = _text(allow_none=True)
    metadata = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    created_at = _instant()
    version = _whole()


class ProductView(_CatalogueView):
    """A product."""

    product_version = _whole()


class MeterFilterView(View):
    """Only events whose property has one of these values count."""

    property = _text()
    values = _texts()


class MeterDefinitionView(_CatalogueView):
    """A meter: which usage events count, by which value, and how they are added up."""

    code = _text()
    event_type = _text()
    aggregation = _text()
    property = _text(allow_none=True)
    filters = _many(MeterFilterView)
    group_by = _texts()
    values = _text()


class TaxRateVersionView(View):
    """A version of a tax rate, in force from an instant on."""

    tax_rate_version = _whole()
    name = _text()
    jurisdiction = _text()
    percent = _text()
    behaviour = _text()
    reason = _text()
    effective_at = _instant()


class TaxRateView(_CatalogueView):
    """A tax rate as it is now, and every version of it, the oldest first."""

    tax_rate_version = _whole()
    jurisdiction = _text()
    percent = _text()
    behaviour = _text()
    reason = _text()
    versions = _many(TaxRateVersionView)


class CouponView(_CatalogueView):
    """A coupon, and how often it was redeemed."""

    code = _text()
    percent_off = _text(allow_none=True)
    amounts_off = _amounts()
    duration = _text()
    periods = _whole(allow_none=True)
    plans = _texts()
    meters = _texts()
    max_redemptions = _whole(allow_none=True)
    redeem_by = _instant(allow_none=True)
    redemptions = _whole()


class BillingEntityView(View):
    """A seller that invoices are issued by."""

    id = _text()
    name = _text()
    tax_id = _text(allow_none=True)
    invoice_series = _text()
    credit_note_series = _text()
    payment_terms_days = _whole()
    metadata = fields.Dict(keys=fields.String(), values=fields.String(), required=True)


# -- plans --------------------------------------------------------------------------------------------


class TierView(View):
    """A tier; what it does not have is left out."""

    up_to = fields.String()
    unit_amount = fields.String()
    flat_amount = fields.String()
    rate = fields.String()
    package_size = fields.String()


class PriceView(View):
    """A price; what its model does not take is left out."""

    model = _text()
    currency = _text()
    unit_amount = fields.String()
    tiers = fields.List(fields.Nested(TierView))
    package_size = fields.String()
    package_amount = fields.String()
    rate = fields.String()
    fixed_amount = fields.String()
    flat_amount = fields.String()
    free_units = fields.String()
    free_events = fields.Integer()
    event_min = fields.String()
    event_max = fields.String()
    min_amount = fields.String()
    max_amount = fields.String()


class FeeView(View):
    """A fee an interval, in minor units by currency."""

    code = _text()
    name = _text()
    amounts = _amounts()
    timing = _text()
    per_seat = _truth()
    product = _text(allow_none=True)
    tax_rates = _texts()


class ChargeView(View):
    """What usage of a meter costs, and what it costs at least in a period."""

    code = _text()
    name = _text()
    meter = _text()
    prices = _many(PriceView)
    minimums = _amounts()
    product = _text(allow_none=True)
    tax_rates = _texts()


class SetupFeeView(View):
    """A fee charged once."""

    name = _text()
    amounts = _amounts()
    product = _text(allow_none=True)
    tax_rates = _texts()


class EntitlementView(View):
    """What a subscriber may use of a feature or a meter in a period."""

    feature = _text()
    limit = _text(allow_none=True)
    hard = _truth()
    per_seat = _truth()


class TermsView(View):
    """What a plan costs and gives, as it can be sent for another plan or price version."""

    interval = _text()
    fees = _many(FeeView)
    charges = _many(ChargeView)
    setup_fee = fields.Nested(SetupFeeView, required=True, allow_none=True)
    trial_days = _whole()
    trial_needs_card = _truth()
    minimums = _amounts()
    entitlements = _many(EntitlementView)
    tax_rates = _texts()
    calendar = _truth()


class PriceVersionView(View):
    """A price version, for those who subscribe from an instant on; the first one has none."""

    price_version = _whole()
    effective_at = _instant(allow_none=True)
    terms = fields.Nested(TermsView, required=True)


class PlanView(_CatalogueView):
    """A plan: the terms that who subscribes now gets, and every price version, the oldest first.

    `price`, `currency` and `amount` are what an interval costs without usage, for one seat, where the terms
    have one currency; with several they are null.
    """

    product = _text()
    interval = _text()
    price = fields.Nested(MoneyView, required=True, allow_none=True)
    currency = _text(allow_none=True)
    amount = _whole(allow_none=True)
    price_version = _whole()
    terms = fields.Nested(TermsView, required=True)
    versions = _many(PriceVersionView)
