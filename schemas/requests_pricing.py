"""What the edge takes of prices: a price of any model, and the usage to rate it with."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from ledger.errors import Invalid
from ledger.policies import DEFAULT_PRESET, PRESETS
from ledger.prices import MAX_FREE_EVENTS, MAX_TIERS, MODELS, Price, Tier
from ledger.rating import LINE_POSITIONS
from ledger.values import checked_quantity, quantity_text
from schemas.fields import Strict

MAX_PREVIEW_EVENTS: Final = 10_000
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
_COUNT: Final = re.compile(r"[0-9]{1,12}")


class DecimalText(fields.String):
    """A decimal number as JSON text, not negative, of at most 18 integer and 12 fraction digits.

    A JSON number is refused: many a program reads it as a float, and sends another number than it was given.
    """

    def __init__(self, **options: Any) -> None:
        """Show its form in the documentation."""
        metadata = {"pattern": r"^[0-9]{1,18}(\.[0-9]{1,12})?$", **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        del attr, data, options
        if not isinstance(value, str):
            raise ValidationError('must be a decimal number written as text, such as "12.5"')
        if value.startswith("-"):
            raise ValidationError("must not be negative")
        if not _NUMBER.fullmatch(value):
            raise ValidationError('must be a decimal number without exponent or spaces, such as "12.5"')
        try:
            return Decimal(quantity_text(checked_quantity(value)))
        except Invalid as error:
            raise ValidationError(error.errors["quantity"][0]) from None


def _optional(**options: Any) -> DecimalText:
    return DecimalText(allow_none=True, load_default=None, **options)


class EventCount(fields.Integer):
    """A number of events: a JSON integer, or the same as text, as other quantities are written."""

    def __init__(self) -> None:
        """Take none as none given."""
        metadata = {"minimum": 0, "maximum": MAX_FREE_EVENTS}
        super().__init__(allow_none=True, load_default=None, metadata=metadata)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> int:
        del attr, data, options
        if isinstance(value, str) and _COUNT.fullmatch(value):
            return int(value)
        if type(value) is not int or not 0 <= value <= MAX_FREE_EVENTS:
            raise ValidationError(f"must be a whole number from 0 to {MAX_FREE_EVENTS}")
        return value


class TierBody(Strict):
    """A tier, up to and with its bound; the last one has none: null, or left out."""

    up_to = _optional()
    unit_amount = _optional()
    flat_amount = _optional()
    rate = _optional()
    package_size = _optional()


class PriceBody(Strict):
    """A price: amounts in minor units, rates per cent; each model takes its own fields."""

    model = fields.String(required=True, validate=validate.OneOf(tuple(MODELS)))
    currency = fields.String(required=True)
    unit_amount = _optional()
    tiers = fields.List(fields.Nested(TierBody), load_default=list, validate=validate.Length(max=MAX_TIERS))
    package_size = _optional()
    package_amount = _optional()
    rate = _optional()
    fixed_amount = _optional()
    flat_amount = _optional()
    free_units = _optional()
    free_events = EventCount()
    event_min = _optional()
    event_max = _optional()
    min_amount = _optional()
    max_amount = _optional()


def price_of(body: dict[str, Any]) -> Price:
    """Make the price that a body holds; whether it is usable is for `prices.checked_price` to say."""
    return Price(**{**body, "tiers": tuple(Tier(**tier) for tier in body["tiers"])})


class PricePreview(Strict):
    """A price and usage to rate with it, under the conventions of a preset with single axes overridden."""

    preset = fields.String(load_default=DEFAULT_PRESET, validate=validate.OneOf(tuple(PRESETS)))
    policy = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    price = fields.Nested(PriceBody, required=True)
    quantity = _optional()
    events = fields.List(
        DecimalText(), allow_none=True, load_default=None, validate=validate.Length(max=MAX_PREVIEW_EVENTS)
    )
    tier_quantity = _optional()
    prior_quantity = _optional()
    prior_amount = _optional()
    prior_events = EventCount()
    min_amount = _optional()
    max_amount = _optional()
    line_position = fields.String(load_default="only", validate=validate.OneOf(LINE_POSITIONS))
