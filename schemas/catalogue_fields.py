"""Fields of the catalogue at the edge: amounts by currency, metadata, codes and ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields, validate

from ledger.errors import Invalid
from ledger.money import MAX_AMOUNT, exponent
from ledger.plan_terms import MAX_TAX_RATES
from ledger.values import (
    MAX_CODE_CHARACTERS,
    MAX_IDENTITY_CHARACTERS,
    MAX_PROPERTIES,
    MAX_PROPERTY_KEY_CHARACTERS,
    MAX_PROPERTY_VALUE_CHARACTERS,
)
from schemas.fields import PublicId, Text, strict_integer

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CURRENCIES: Final = 50


def known_currency(currency: str) -> None:
    """Refuse what is no currency."""
    try:
        exponent(currency)
    except Invalid as error:
        raise ValidationError(error.errors["currency"][0]) from None


class _Table(fields.Dict):
    """A table whose refusals stand under its keys, wherever in an entry the trouble is."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        try:
            return super()._deserialize(value, attr, data, **options)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            if isinstance(error.messages, list):
                raise
            messages = {
                key: [reason for part in ("key", "value") for reason in parts.get(part, ())]
                for key, parts in error.messages.items()
            }
            raise ValidationError(messages) from None


class CurrencyAmounts(_Table):
    """Amounts in minor units by currency, such as {"USD": 2900, "EUR": 2700}."""

    def __init__(self, *, least: int = 0, **options: Any) -> None:
        """Set the least amount."""
        super().__init__(
            keys=fields.String(validate=known_currency),
            values=strict_integer(validate=validate.Range(min=least, max=MAX_AMOUNT)),
            validate=validate.Length(max=MAX_CURRENCIES),
            metadata={"example": {"USD": 2900}},
            **options,
        )


class Metadata(_Table):
    """What a caller keeps with an object: short texts by name."""

    def __init__(self, **options: Any) -> None:
        """Set the limits."""
        super().__init__(
            keys=Text(MAX_PROPERTY_KEY_CHARACTERS),
            values=Text(MAX_PROPERTY_VALUE_CHARACTERS),
            validate=validate.Length(max=MAX_PROPERTIES),
            **options,
        )


def currency_field(**options: Any) -> fields.String:
    """Make a field for a currency."""
    return fields.String(validate=known_currency, **options)


def code_field(**options: Any) -> Text:
    """Make a field for a code that people give things."""
    return Text(MAX_CODE_CHARACTERS, **options)


def external_id_field() -> Text:
    """Make a field for the id that an object has in another system."""
    return Text(MAX_IDENTITY_CHARACTERS, allow_none=True, load_default=None)


def metadata_field() -> Metadata:
    """Make a field for metadata, of which there may be none."""
    return Metadata(load_default=dict)


def tax_rates_field() -> fields.List[Any]:
    """Make a field for ids of tax rates."""
    return fields.List(PublicId("tax"), load_default=list, validate=validate.Length(max=MAX_TAX_RATES))


def product_field() -> PublicId:
    """Make a field for the id of a product, if any."""
    return PublicId("prod", allow_none=True, load_default=None)


def one_of(values: Sequence[str], default: str) -> fields.String:
    """Make a field for one of some words, with the one that is meant when none is given."""
    return fields.String(load_default=default, validate=validate.OneOf(values))
