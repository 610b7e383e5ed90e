"""What the edge takes of conventions and of changes of price."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from ledger.errors import Invalid
from ledger.periods import INTERVALS, local_date
from ledger.policies import DEFAULT_PRESET, PRESETS
from ledger.proration_preview import ANCHOR_KINDS, BILLING_MODES, PRORATION_BEHAVIORS
from ledger.values import EARLIEST, MAX_AMOUNT_DIGITS
from schemas.fields import Instant, Strict, Text, strict_integer
from schemas.requests import PositionPaged
from schemas.requests_pricing import DecimalText

_MAX_AMOUNT: Final = 10**MAX_AMOUNT_DIGITS - 1
_MAX_ZONE_CHARACTERS: Final = 64
_PER_CENT: Final = 100


def _known_zone(name: str) -> None:
    try:
        local_date(EARLIEST, name)
    except Invalid:
        raise ValidationError("must be a time zone of the IANA database") from None


def _preset(**options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(tuple(PRESETS)), **options)


def _overrides() -> fields.Dict:
    return fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)


def _amount(**options: Any) -> fields.Integer:
    return strict_integer(validate=validate.Range(min=0, max=_MAX_AMOUNT), **options)


class _Decimal(DecimalText):
    """A decimal number as text, or a JSON integer, which no program reads as another number."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        whole = type(value) is int and abs(value) <= _MAX_AMOUNT
        return super()._deserialize(str(value) if whole else value, attr, data, **options)


def _quantity() -> _Decimal:
    return _Decimal(allow_none=True, load_default=None)


def _per_cent() -> _Decimal:
    return _Decimal(
        allow_none=True,
        load_default=None,
        validate=validate.Range(max=_PER_CENT, error="must be at most 100"),
    )


def _choice(choices: tuple[str, ...], **options: Any) -> fields.String:
    return fields.String(validate=validate.OneOf(choices), **options)


def _optional_choice(choices: tuple[str, ...]) -> fields.String:
    return _choice(choices, allow_none=True, load_default=None)


class NewPolicy(Strict):
    """The conventions to bill by from now on: a preset, and the axes that are to differ from it."""

    preset = _preset(load_default=DEFAULT_PRESET)
    overrides = _overrides()


class PoliciesPaged(PositionPaged):
    """A page of the versions of the book's conventions; `after` is the cursor of the page before."""


class RecurringPriceBody(Strict):
    """A price in advance, in minor units for each of a quantity, which is 1 unless it is given."""

    amount = _amount(required=True)
    interval = _choice(INTERVALS, required=True)
    quantity = _quantity()


class LastBilledBody(Strict):
    """What was last billed: with an interval, the price of a whole one; without, the amount of the period."""

    amount = _amount(required=True)
    interval = _optional_choice(INTERVALS)
    quantity = _quantity()


class ProrationCouponBody(Strict):
    """A discount of the item: a part of its price in per cent, or an amount in minor units off it."""

    percent_off = _per_cent()
    amount_off = _amount(allow_none=True, load_default=None)


class _LastBilled(fields.Nested):
    """What was last billed, or its amount alone."""

    def _deserialize(
        self, value: Any, attr: str | None, data: Any, partial: Any = None, **options: Any
    ) -> Any:
        told = {"amount": value} if type(value) is int else value
        return super()._deserialize(told, attr, data, partial, **options)


class ProrationQuestion(Strict):
    """A change of price to preview, under a preset or else the book's own conventions, with overrides."""

    preset = _preset(allow_none=True, load_default=None)
    policy = _overrides()
    currency = fields.String(required=True)
    time_zone = Text(_MAX_ZONE_CHARACTERS, load_default="UTC", validate=_known_zone)
    anchor = _choice(ANCHOR_KINDS, load_default="anniversary")
    subscription_start = Instant(allow_none=True, load_default=None)
    cycle_start = Instant(required=True)
    change_at = Instant(required=True)
    old = fields.Nested(RecurringPriceBody, allow_none=True, load_default=None)
    new = fields.Nested(RecurringPriceBody, allow_none=True, load_default=None)
    trial_end = Instant(allow_none=True, load_default=None)
    tax_rate = _per_cent()
    coupon = fields.Nested(ProrationCouponBody, allow_none=True, load_default=None)
    proration_behavior = _optional_choice(PRORATION_BEHAVIORS)
    billing_mode = _optional_choice(BILLING_MODES)
    last_billed = _LastBilled(LastBilledBody, allow_none=True, load_default=None)
