"""What the edge takes about corrections of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from marshmallow import ValidationError, fields, validate, validates_schema

from ledger.streams.usage_correction import MAX_CORRECTIONS, Correcting
from ledger.values import MAX_IDENTITY_CHARACTERS, MAX_REASON_CHARACTERS
from schemas.fields import Strict, Text, TrueOrFalse
from schemas.usage_wire import exact_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

# What is read of a number is what was written: a float would be another one.
_exact: Final = msgspec.json.Decoder(float_hook=exact_number).decode


class Quantity(fields.Field[Any]):
    """A decimal number, as text or as a number; how many digits it may have is for the stream to say."""

    def __init__(self, **options: Any) -> None:
        """Say in the documentation what it takes."""
        kinds = {"oneOf": [{"type": "string"}, {"type": "number"}]}
        super().__init__(metadata=kinds, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:  # noqa: ARG002
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValidationError("must be a decimal number, as text or as a number")
        return value


class NewUsageCorrection(Strict):
    """A usage event, by the source and the id it was sent with: it is void, or it says something else.

    Properties that are not given stay as they are; an empty object takes them away.
    """

    source = Text(MAX_IDENTITY_CHARACTERS, required=True)
    id = Text(MAX_IDENTITY_CHARACTERS, required=True)
    void = TrueOrFalse(load_default=False)
    quantity = Quantity(load_default=None)
    properties = fields.Dict(keys=fields.String(), values=fields.Raw(allow_none=True), load_default=None)

    @validates_schema
    def _void_or_replaced(self, data: Mapping[str, Any], **_: Any) -> None:
        if data["void"] and (data["quantity"] is not None or data["properties"] is not None):
            raise ValidationError("must be left out where the event is void", "quantity")
        if not data["void"] and data["quantity"] is None:
            raise ValidationError("say what was used, or that the event is void", "quantity")


class NewUsageCorrections(Strict):
    """Corrections, all or none, and why; in a preview, or without a commit, they are not made."""

    corrections = fields.List(
        fields.Nested(NewUsageCorrection), required=True, validate=validate.Length(min=1, max=MAX_CORRECTIONS)
    )
    reason = Text(MAX_REASON_CHARACTERS, required=True)
    preview = TrueOrFalse(load_default=False)
    commit = TrueOrFalse(load_default=True)


class UsageCorrectionsQuery(Strict):
    """Whether to show what the corrections would do, and not to make them."""

    preview = fields.String(load_default="false", validate=validate.OneOf(["true", "false"]))


def read_corrections(body: bytes) -> list[Correcting]:
    """Read corrections that the schema found well-formed, their numbers as they are written."""
    return [_correcting(one) for one in _exact(body)["corrections"]]


def _correcting(given: Mapping[str, Any]) -> Correcting:
    quantity: str | int | Decimal | None = None if given.get("void") else given["quantity"]
    return Correcting(
        source=given["source"],
        event_id=given["id"],
        quantity=quantity,
        properties=given.get("properties"),
    )
