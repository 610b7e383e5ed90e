"""What the edge takes: one schema a request body, and one a query."""

from __future__ import annotations

from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from ledger.errors import Invalid
from ledger.periods import local_date
from ledger.streams.api_key import SCOPES
from ledger.streams.source import SCOPES as SOURCE_SCOPES
from ledger.values import (
    EARLIEST,
    MAX_EMAIL_CHARACTERS,
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
)
from schemas.fields import Instant, PublicId, Strict, Text, strict_integer

MAX_PAGE: Final = 500
DEFAULT_PAGE: Final = 50
# As much as the consumer takes.
MAX_MESSAGE_CHARACTERS: Final = 256 * 1024
_MAX_POSITION: Final = (1 << 63) - 1
_MAX_AMOUNT: Final = 10**18 - 1
# Python's `$` would let a line feed behind the letters pass.
_CURRENCY: Final = (
    validate.Length(equal=3, error="must be three capital letters"),
    validate.Regexp("^[A-Z]{3}$", error="must be three capital letters"),
)
# What a new key of an account's may do unless somebody says otherwise.
DEFAULT_KEY_SCOPES: Final = ("usage:write",)


def _currency(**options: Any) -> fields.String:
    return fields.String(validate=_CURRENCY, **options)


def _known_zone(name: str) -> None:
    try:
        local_date(EARLIEST, name)
    except Invalid as error:
        raise ValidationError(str(error).partition(": ")[2] or str(error)) from None


class NewAccount(Strict):
    """A new account."""

    name = Text(MAX_NAME_CHARACTERS, required=True)
    email = Text(MAX_EMAIL_CHARACTERS, allow_none=True, load_default=None)
    currency = _currency(allow_none=True, load_default=None)
    time_zone = Text(64, load_default="UTC", validate=_known_zone)


class AccountChange(Strict):
    """What to change of an account; `version` is the one the caller saw."""

    name = Text(MAX_NAME_CHARACTERS)
    email = Text(MAX_EMAIL_CHARACTERS, allow_none=True)
    version = strict_integer(validate=validate.Range(min=1))


class Reason(Strict):
    """Why."""

    reason = Text(MAX_REASON_CHARACTERS, load_default="asked for by an operator")


class Replay(Strict):
    """A message to be applied again, with another value if one is given."""

    value = Text(MAX_MESSAGE_CHARACTERS, allow_none=True, load_default=None)


class Discard(Strict):
    """Why a message is given up."""

    reason = Text(MAX_REASON_CHARACTERS, required=True)


class NewKey(Strict):
    """A new API key."""

    name = Text(MAX_NAME_CHARACTERS, load_default="API key")
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SCOPES)),
        load_default=None,
        validate=validate.Length(min=1, max=4),
    )
    expires_at = Instant(allow_none=True, load_default=None)


class KeyChange(Strict):
    """Suspend or resume a key."""

    status = fields.String(required=True, validate=validate.OneOf(["active", "suspended"]))
    reason = Text(MAX_REASON_CHARACTERS, load_default="asked for by an operator")


class NewPrincipal(Strict):
    """A person or a service that will work with the book."""

    kind = fields.String(required=True, validate=validate.OneOf(["person", "service"]))
    name = Text(MAX_NAME_CHARACTERS, required=True)


class NewSource(Strict):
    """A source that may write straight to Kafka, as done by a principal: the caller's own unless named."""

    source = Text(MAX_IDENTITY_CHARACTERS, required=True)
    principal = PublicId("prn", load_default=None)
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SOURCE_SCOPES)),
        load_default=None,
        validate=validate.Length(min=1, max=len(SOURCE_SCOPES)),
    )


class SourceWithdrawal(Reason):
    """The source whose messages the book takes no more, and why."""

    source = Text(MAX_IDENTITY_CHARACTERS, required=True)


class NewPayment(Strict):
    """A payment of an invoice; a reference makes sure that it is recorded once."""

    amount = strict_integer(required=True, validate=validate.Range(min=1, max=_MAX_AMOUNT))
    currency = _currency(required=True)
    method = Text(40, load_default="bank_transfer")
    reference = Text(MAX_IDENTITY_CHARACTERS, allow_none=True, load_default=None)
    received_at = Instant(allow_none=True, load_default=None)


class _QueryInteger(fields.Integer):
    """A whole number in a query: decimal digits and nothing else, so that all read the same number."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> int:
        if not (isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20):  # noqa: PLR2004 - 64 bits
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **options)


def _position() -> fields.Integer:
    return _QueryInteger(validate=validate.Range(min=0, max=_MAX_POSITION))


class Read(Strict):
    """A read of a projection; it waits until that position is in it."""

    at_least = _position()


class Paged(Read):
    """A page of a list; `after` is the cursor that the page before gave as `next`."""

    limit = _QueryInteger(load_default=DEFAULT_PAGE, validate=validate.Range(min=1, max=MAX_PAGE))


class AccountsPaged(Paged):
    """A page of accounts."""

    after = PublicId("acc")


class KeysPaged(Paged):
    """A page of keys."""

    after = PublicId("key")


class SourcesPaged(Paged):
    """A page of sources; `after` is the cursor that the page before gave as `next`: a source."""

    after = Text(MAX_IDENTITY_CHARACTERS)


class PositionPaged(Read):
    """A page of a list in log order; `after` is the cursor that the page before gave as `next`."""

    limit = _QueryInteger(load_default=DEFAULT_PAGE, validate=validate.Range(min=1, max=MAX_PAGE))
    after = _position()


class UsageQuery(Read):
    """Days, in UTC, from one up to but without another; and one meter, or all."""

    since = fields.Date(data_key="from")
    until = fields.Date(data_key="to")
    meter = Text(MAX_METER_CHARACTERS)


class TimelineQuery(PositionPaged):
    """A page of a timeline; `type` takes topics, separated by commas."""

    order = fields.String(load_default="newest", validate=validate.OneOf(["newest", "oldest"]))
    type = Text(1_000)
    since = Instant()
    until = Instant()


def _position_or_instant(value: str) -> None:
    if value.isdecimal():
        if not value.isascii() or int(value[:20]) > _MAX_POSITION:
            raise ValidationError("must be a position or an RFC 3339 instant")
        return
    Instant().deserialize(value)


class StateQuery(Read):
    """The position or the instant to look at; without it, now."""

    at = Text(40, validate=_position_or_instant)


class DeadLettersPaged(Strict):
    """A page of dead letters; `after` is the cursor that the page before gave as `next`: a number."""

    limit = _QueryInteger(load_default=DEFAULT_PAGE, validate=validate.Range(min=1, max=MAX_PAGE))
    after = _position()
    status = fields.String(validate=validate.OneOf(["open", "parked", "replayed", "discarded"]))
    code = Text(100)
    topic = Text(MAX_IDENTITY_CHARACTERS)
