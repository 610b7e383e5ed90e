"""What the edge takes of monthly recurring revenue: which days, as known when, by which definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from marshmallow import ValidationError, fields, validate

from ledger.mrr_periods import INTERVALS
from ledger.policies import PRESETS
from ledger.values import instant_text
from schemas.fields import Instant, PublicId
from schemas.requests import Paged, Read

if TYPE_CHECKING:
    from datetime import datetime

_MAX_CHARACTERS: Final = 64
_MAX_POSITION_DIGITS: Final = 18


class KnownAt(fields.String):
    """A position of the log, or an RFC 3339 instant of the time that events were booked at."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        text: str = super()._deserialize(value, attr, data, **options)
        return (
            int(text) if _is_position(text) else _instant(text, "must be a position or an RFC 3339 instant")
        )


class MovementCursor(fields.String):
    """The cursor that the page before gave as `next`: a movement's time and position."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        text: str = super()._deserialize(value, attr, data, **options)
        at, _, position = text.partition("~")
        if not _is_position(position):
            raise ValidationError("must be what the page before gave as next")
        return _instant(at, "must be what the page before gave as next"), int(position)


def movement_cursor(at: datetime, position: int) -> str:
    """Write the cursor of a movement."""
    return f"{instant_text(at)}~{position}"


def _is_position(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_POSITION_DIGITS


def _instant(text: str, problem: str) -> datetime:
    if len(text) > _MAX_CHARACTERS:
        raise ValidationError(problem)
    try:
        instant: datetime = Instant().deserialize(text)
    except ValidationError:
        raise ValidationError(problem) from None
    return instant


class _MrrRead(Read):
    since = fields.Date(data_key="from")
    until = fields.Date(data_key="to")
    known_at = KnownAt()
    preset = fields.String(validate=validate.OneOf(tuple(PRESETS)))


class MrrQuery(_MrrRead):
    """Days of the book's zone, from one up to but without another: the last twelve months unless said.

    `known_at` leaves out what was booked later; `preset` looks at it by another definition than the book's.
    """

    interval = fields.String(load_default="month", validate=validate.OneOf(INTERVALS))
    group_by = fields.String(load_default="currency", validate=validate.OneOf(["currency", "plan"]))


class MovementsQuery(_MrrRead, Paged):
    """A page of the movements of days of the book's zone, of one account or of all."""

    account = PublicId("acc")
    after = MovementCursor()
