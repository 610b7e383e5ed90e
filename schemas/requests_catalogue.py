"""What the edge takes of the catalogue: products, meters, tax rates, coupons and sellers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import fields, validate

from ledger.events.coupon import CouponTerms
from ledger.meters import AGGREGATIONS, MAX_FILTER_VALUES, MAX_FILTERS, VALUES, MeterDefinition, MeterFilter
from ledger.streams.billing_entity import (
    MAX_SERIES_CHARACTERS,
    MAX_TAX_ID_CHARACTERS,
    MAX_TERMS_DAYS,
    BillingEntity,
)
from ledger.streams.coupon import DURATIONS, MAX_PERIODS, MAX_REDEMPTIONS, MAX_RESTRICTIONS
from ledger.streams.tax_rate import BEHAVIOURS, MAX_JURISDICTION_CHARACTERS, STANDARD, TaxTerms
from ledger.values import (
    MAX_CODE_CHARACTERS,
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_PROPERTY_KEY_CHARACTERS,
)
from schemas.catalogue_fields import (
    CurrencyAmounts,
    Metadata,
    code_field,
    external_id_field,
    metadata_field,
    one_of,
)
from schemas.fields import Instant, PublicId, Strict, Text, strict_integer
from schemas.requests import Paged
from schemas.requests_pricing import DecimalText

if TYPE_CHECKING:
    from collections.abc import Mapping


class Description(Strict):
    """Another name or other metadata; what is left out stays."""

    name = Text(MAX_NAME_CHARACTERS, load_default=None)
    metadata = Metadata(load_default=None)


# -- products, meters, tax rates ----------------------------------------------------------------------


class NewProduct(Strict):
    """A product: what plans sell, as reports name it."""

    name = Text(MAX_NAME_CHARACTERS, required=True)
    external_id = external_id_field()
    metadata = metadata_field()


class FilterBody(Strict):
    """Only events whose property has one of these values count."""

    property = Text(MAX_PROPERTY_KEY_CHARACTERS, required=True)
    values = fields.List(
        fields.String(), required=True, validate=validate.Length(min=1, max=MAX_FILTER_VALUES)
    )


class NewMeter(Strict):
    """A meter; `event_type` is what producers name in their events, the meter's own code unless given."""

    code = code_field(required=True)
    name = Text(MAX_NAME_CHARACTERS, load_default=None)
    event_type = Text(MAX_METER_CHARACTERS, load_default=None)
    aggregation = one_of(AGGREGATIONS, "sum")
    property = Text(MAX_PROPERTY_KEY_CHARACTERS, allow_none=True, load_default=None)
    filters = fields.List(
        fields.Nested(FilterBody), load_default=list, validate=validate.Length(max=MAX_FILTERS)
    )
    group_by = fields.List(Text(MAX_PROPERTY_KEY_CHARACTERS), load_default=list)
    values = one_of(VALUES, "levels")
    external_id = external_id_field()
    metadata = metadata_field()


def definition_of(body: Mapping[str, Any]) -> MeterDefinition:
    """Make the definition that a body holds."""
    return MeterDefinition(
        code=body["code"],
        name=body["name"] or body["code"],
        event_type=body["event_type"] or body["code"],
        aggregation=body["aggregation"],
        property=body["property"],
        filters=tuple(
            MeterFilter(property=one["property"], values=tuple(one["values"])) for one in body["filters"]
        ),
        group_by=tuple(body["group_by"]),
        values=body["values"],
    )


class NewTaxRate(Strict):
    """A tax rate; `percent` is per cent, as text; what it says holds from the beginning."""

    name = Text(MAX_NAME_CHARACTERS, required=True)
    jurisdiction = Text(MAX_JURISDICTION_CHARACTERS, required=True)
    percent = DecimalText(required=True)
    behaviour = one_of(BEHAVIOURS, "exclusive")
    reason = Text(MAX_NAME_CHARACTERS, load_default=STANDARD)
    external_id = external_id_field()
    metadata = metadata_field()


def tax_terms_of(body: Mapping[str, Any]) -> TaxTerms:
    """Make the terms that a body holds."""
    return TaxTerms(
        name=body["name"],
        jurisdiction=body["jurisdiction"],
        percent=body["percent"],
        behaviour=body["behaviour"],
        reason=body["reason"],
    )


class NewTaxRateVersion(Description):
    """Another percentage from an instant on, or from now; what else is left out stays."""

    percent = DecimalText(required=True)
    effective_at = Instant(allow_none=True, load_default=None)
    reason = Text(MAX_NAME_CHARACTERS, load_default=None)


# -- coupons ------------------------------------------------------------------------------------------


class NewCoupon(Strict):
    """A coupon: a share in per cent, or amounts by currency; once, repeating (for `periods`) or forever."""

    code = code_field(required=True)
    name = Text(MAX_NAME_CHARACTERS, load_default=None)
    percent_off = DecimalText(allow_none=True, load_default=None)
    amounts_off = CurrencyAmounts(least=1, load_default=dict)
    duration = one_of(DURATIONS, "once")
    periods = strict_integer(
        allow_none=True, load_default=None, validate=validate.Range(min=1, max=MAX_PERIODS)
    )
    plans = fields.List(PublicId("plan"), load_default=list, validate=validate.Length(max=MAX_RESTRICTIONS))
    meters = fields.List(
        Text(MAX_METER_CHARACTERS), load_default=list, validate=validate.Length(max=MAX_RESTRICTIONS)
    )
    max_redemptions = strict_integer(
        allow_none=True, load_default=None, validate=validate.Range(min=1, max=MAX_REDEMPTIONS)
    )
    redeem_by = Instant(allow_none=True, load_default=None)
    external_id = external_id_field()
    metadata = metadata_field()


def coupon_terms_of(body: Mapping[str, Any]) -> CouponTerms:
    """Make the terms that a body holds."""
    return CouponTerms(
        percent_off=body["percent_off"],
        amounts_off=body["amounts_off"],
        duration=body["duration"],
        periods=body["periods"],
        plans=tuple(body["plans"]),
        meters=tuple(body["meters"]),
        max_redemptions=body["max_redemptions"],
        redeem_by=body["redeem_by"],
    )


# -- billing entities ---------------------------------------------------------------------------------


def _tax_id() -> Text:
    return Text(MAX_TAX_ID_CHARACTERS, allow_none=True, load_default=None)


def _terms_days(**options: Any) -> fields.Integer:
    return strict_integer(validate=validate.Range(min=0, max=MAX_TERMS_DAYS), **options)


class NewBillingEntity(Strict):
    """A seller; credit notes have the invoices' series with -CN behind it unless it is given."""

    code = code_field(required=True)
    name = Text(MAX_NAME_CHARACTERS, required=True)
    tax_id = _tax_id()
    invoice_series = Text(MAX_SERIES_CHARACTERS, required=True)
    credit_note_series = Text(MAX_SERIES_CHARACTERS, load_default=None)
    payment_terms_days = _terms_days(load_default=14)
    metadata = metadata_field()


class BillingEntityChange(Strict):
    """What to change of a seller from here on; what is left out stays."""

    name = Text(MAX_NAME_CHARACTERS)
    tax_id = Text(MAX_TAX_ID_CHARACTERS, allow_none=True)
    invoice_series = Text(MAX_SERIES_CHARACTERS)
    credit_note_series = Text(MAX_SERIES_CHARACTERS)
    payment_terms_days = _terms_days()
    metadata = Metadata()


def entity_of(body: Mapping[str, Any]) -> BillingEntity:
    """Make the seller that a body holds."""
    return BillingEntity(
        billing_entity=body["code"],
        name=body["name"],
        tax_id=body["tax_id"],
        invoice_series=body["invoice_series"],
        payment_terms_days=body["payment_terms_days"],
        credit_note_series=body["credit_note_series"] or f"{body['invoice_series']}-CN",
        metadata=body["metadata"],
    )


# -- lists --------------------------------------------------------------------------------------------


class _Listed(Paged):
    status = fields.String(validate=validate.OneOf(["active", "retired"]))


class _ListedByExternalId(_Listed):
    external_id = Text(MAX_IDENTITY_CHARACTERS)


class _ListedByCode(_Listed):
    code = Text(MAX_CODE_CHARACTERS)


class ProductsPaged(_ListedByExternalId):
    """A page of products; `external_id` finds the one that another system knows under it."""

    after = PublicId("prod")


class TaxRatesPaged(_ListedByExternalId):
    """A page of tax rates; `external_id` finds the one that another system knows under it."""

    after = PublicId("tax")


class PlansPaged(_ListedByExternalId):
    """A page of plans; `external_id` finds the one that another system knows under it."""

    after = PublicId("plan")


class MetersPaged(_ListedByCode):
    """A page of meters; `code` finds the one that has it."""

    after = PublicId("meter")


class CouponsPaged(_ListedByCode):
    """A page of coupons; `code` finds the one that has it."""

    after = PublicId("coup")


class BillingEntitiesPaged(Paged):
    """A page of billing entities; `after` is the cursor that the page before gave as `next`: a code."""

    after = Text(MAX_CODE_CHARACTERS)
