"""What the edge takes of plans: their terms, whole, with prices of every model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields, validate, validates_schema

from ledger.events.plan import Entitlement, PlanTerms, RecurringFee, SetupFee, UsageCharge
from ledger.money import MAX_AMOUNT
from ledger.periods import INTERVALS
from ledger.plan_terms import MAX_PARTS, MAX_TRIAL_DAYS, TIMINGS
from ledger.values import MAX_METER_CHARACTERS, MAX_NAME_CHARACTERS
from schemas.catalogue_fields import (
    MAX_CURRENCIES,
    CurrencyAmounts,
    code_field,
    currency_field,
    external_id_field,
    metadata_field,
    one_of,
    product_field,
    tax_rates_field,
)
from schemas.fields import Instant, Strict, Text, TrueOrFalse, strict_integer
from schemas.requests_pricing import DecimalText, PriceBody, price_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.prices import Price

_MISSING: Final = "Missing data for required field."


class FeeBody(Strict):
    """A fee an interval, in minor units by currency; in advance or in arrears, for each seat unless said."""

    code = code_field(required=True)
    name = Text(MAX_NAME_CHARACTERS, load_default=None)
    amounts = CurrencyAmounts(required=True)
    timing = one_of(TIMINGS, "advance")
    per_seat = TrueOrFalse(load_default=True)
    product = product_field()
    tax_rates = tax_rates_field()


class ChargeBody(Strict):
    """What usage of a meter costs: one price a currency, and what it costs at least in a period.

    `meter` is a meter's code, or an event type, whose quantities are then added up.
    """

    code = code_field(load_default=None)
    name = Text(MAX_NAME_CHARACTERS, load_default=None)
    meter = Text(MAX_METER_CHARACTERS, required=True)
    prices = fields.List(
        fields.Nested(PriceBody), required=True, validate=validate.Length(min=1, max=MAX_CURRENCIES)
    )
    minimums = CurrencyAmounts(load_default=dict)
    product = product_field()
    tax_rates = tax_rates_field()

    @validates_schema(skip_on_field_errors=True)
    def _one_price_a_currency(self, data: dict[str, Any], **options: Any) -> None:
        del options
        seen: set[str] = set()
        for number, price in enumerate(data["prices"]):
            if price["currency"] in seen:
                reason = f"there is a price in {price['currency'][:16]} before this one"
                raise ValidationError({"prices": {number: {"currency": [reason]}}})
            seen.add(price["currency"])


class SetupFeeBody(Strict):
    """A fee charged once, with the first period that is billed."""

    name = Text(MAX_NAME_CHARACTERS, load_default="Set-up")
    amounts = CurrencyAmounts(required=True)
    product = product_field()
    tax_rates = tax_rates_field()


class EntitlementBody(Strict):
    """What a subscriber may use of a feature or a meter in a period: as much as they like without a limit."""

    feature = Text(MAX_METER_CHARACTERS, required=True)
    limit = DecimalText(allow_none=True, load_default=None)
    hard = TrueOrFalse(load_default=False)
    per_seat = TrueOrFalse(load_default=False)


def _parts(part: type[Strict]) -> fields.List[Any]:
    return fields.List(fields.Nested(part), load_default=list, validate=validate.Length(max=MAX_PARTS))


class TermsBody(Strict):
    """What a plan costs and gives; `currency` and `amount` are short for one fee in advance."""

    interval = one_of(INTERVALS, "month")
    currency = currency_field()
    amount = strict_integer(validate=validate.Range(min=0, max=MAX_AMOUNT))
    fees = _parts(FeeBody)
    charges = _parts(ChargeBody)
    setup_fee = fields.Nested(SetupFeeBody, allow_none=True, load_default=None)
    trial_days = strict_integer(load_default=0, validate=validate.Range(min=0, max=MAX_TRIAL_DAYS))
    trial_needs_card = TrueOrFalse(load_default=False)
    minimums = CurrencyAmounts(load_default=dict)
    entitlements = _parts(EntitlementBody)
    tax_rates = tax_rates_field()
    calendar = TrueOrFalse(load_default=False)

    @validates_schema(skip_on_field_errors=True)
    def _fees_or_their_short_form(self, data: dict[str, Any], **options: Any) -> None:
        del options
        short = [name for name in ("currency", "amount") if name in data]
        if short and data["fees"]:
            raise ValidationError({name: ["must be left out where there are fees"] for name in short})
        if len(short) == 1 or not (short or data["fees"] or data["charges"]):
            missing = {"currency", "amount"} - set(short)
            raise ValidationError({name: [_MISSING] for name in sorted(missing)})


class NewPlan(TermsBody):
    """A plan and its first price version; it gets a product of its own unless one is named."""

    name = Text(MAX_NAME_CHARACTERS, required=True)
    product = product_field()
    external_id = external_id_field()
    metadata = metadata_field()


class NewPrices(TermsBody):
    """A plan's next price version, whole, from an instant on, or from now."""

    effective_at = Instant(allow_none=True, load_default=None)


def terms_of(body: Mapping[str, Any], name: str) -> PlanTerms:
    """Make the terms that a body holds; `name` is what the one fee is called that is given in short."""
    fees = tuple(_fee(fee) for fee in body["fees"])
    if body.get("currency") is not None:
        fees = (RecurringFee(code="fee", name=name, amounts={body["currency"]: body["amount"]}),)
    setup = body["setup_fee"]
    return PlanTerms(
        interval=body["interval"],
        fees=fees,
        charges=tuple(_charge(charge) for charge in body["charges"]),
        setup_fee=None if setup is None else SetupFee(**{**setup, "tax_rates": tuple(setup["tax_rates"])}),
        trial_days=body["trial_days"],
        trial_needs_card=body["trial_needs_card"],
        minimums=body["minimums"],
        entitlements=tuple(Entitlement(**one) for one in body["entitlements"]),
        tax_rates=tuple(body["tax_rates"]),
        calendar=body["calendar"],
    )


def _fee(body: Mapping[str, Any]) -> RecurringFee:
    fee = RecurringFee(**{**body, "name": body["name"] or body["code"]})
    return replace(fee, tax_rates=tuple(fee.tax_rates))


def _charge(body: Mapping[str, Any]) -> UsageCharge:
    code = body["code"] or body["meter"]
    prices: dict[str, Price] = {price["currency"]: price_of(price) for price in body["prices"]}
    charge = UsageCharge(**{**body, "code": code, "name": body["name"] or code, "prices": prices})
    return replace(charge, tax_rates=tuple(charge.tax_rates))
