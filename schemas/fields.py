"""Fields of the edge: text, ids and instants of the value domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marshmallow import RAISE, Schema, ValidationError, fields

from ledger.errors import Invalid
from ledger.identifiers import MalformedId, stream_of
from ledger.values import checked_time, text_problem

if TYPE_CHECKING:
    from datetime import datetime


_BASE32: Final = "[0-9a-hjkmnp-tv-z]"


class Strict(Schema):
    """A request: fields that it does not know are refused, so that a typing error is not silently ignored."""

    class Meta:
        """Refuse unknown fields."""

        unknown = RAISE


class Text(fields.String):
    """Text of the value domain, of a limited length."""

    def __init__(self, limit_characters: int, **options: Any) -> None:
        """Set the limit, which the documentation shows too."""
        metadata = {"minLength": 1, "maxLength": limit_characters, **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)
        self._limit_characters = limit_characters

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **options)
        problem = text_problem(text, self._limit_characters)
        if problem is not None:
            raise ValidationError(problem)
        return text


class PublicId(fields.String):
    """A public id with a prefix."""

    def __init__(self, prefix: str, **options: Any) -> None:
        """Set the prefix."""
        super().__init__(metadata={"pattern": f"^{prefix}_[0-9a-z]{{26}}$"}, **options)
        self._prefix = prefix

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **options)
        try:
            stream_of(self._prefix, text)
        except MalformedId as error:
            raise ValidationError(str(error)) from None
        return text


class ChosenId(PublicId):
    """An id that its sender chose: a random UUID, of version 4 or 7, behind its prefix.

    Ids that are derived from facts are of version 5: nobody can choose one before its fact happens.
    """

    _VERSIONS: Final = (4, 7)

    def __init__(self, prefix: str, **options: Any) -> None:
        """Set the prefix."""
        super().__init__(prefix, **options)
        # The version is in the eleventh character, the variant in the fourteenth.
        self.metadata = {
            "pattern": f"^{prefix}_[0-7]{_BASE32}{{9}}[89ef]{_BASE32}{{2}}[89abrstv]{_BASE32}{{12}}$"
        }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **options)
        if stream_of(self._prefix, text).version not in self._VERSIONS:
            raise ValidationError("must be a random UUID, of version 4 or 7")
        return text


class Instant(fields.AwareDateTime):
    """An instant with a UTC offset, between the years 2000 and 2200."""

    def __init__(self, **options: Any) -> None:
        """Take RFC 3339."""
        super().__init__(format="iso", **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> datetime:
        if not isinstance(value, str):
            raise ValidationError("must be an RFC 3339 date and time with an offset")
        instant: datetime = super()._deserialize(value, attr, data, **options)
        try:
            return checked_time(instant)
        except Invalid as error:
            raise ValidationError(str(error)) from None


class TrueOrFalse(fields.Boolean):
    """A JSON boolean: no text, no number that stands for one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **options)


def strict_integer(**options: Any) -> fields.Integer:
    """Make a field for a JSON integer: no text, no fraction, no boolean."""
    return _StrictInteger(strict=True, **options)


class _StrictInteger(fields.Integer):
    def _validated(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return value
