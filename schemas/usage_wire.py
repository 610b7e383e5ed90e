"""Usage on the wire: CloudEvents 1.0 in JSON, read with msgspec, each event for itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from ledger.errors import Invalid, PayloadRefused, TooLarge
from ledger.identifiers import MalformedId, stream_of
from ledger.usage_row import UsageFact
from ledger.values import (
    EARLIEST,
    LATEST,
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_PROPERTIES,
    MAX_PROPERTY_KEY_CHARACTERS,
    MAX_QUANTITY_INTEGER_DIGITS,
    checked_quantity,
    checked_time,
    property_problem,
    text_problem,
)

SINGLE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
ENVELOPE: Final = "application/json"
CONTENT_TYPES: Final = (SINGLE, BATCH, ENVELOPE)
MAX_BATCH: Final = 10_000

Errors = dict[str, list[str]]


class CloudEvent(msgspec.Struct, frozen=True, gc=False):
    """A usage event as it is published; attributes that Daybook does not know are passed over."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    data: dict[str, Any]
    book: str | None = None


class Malformed(msgspec.Struct, frozen=True):
    """A usage event that is not, and why, by field."""

    event_id: str | None
    errors: Errors


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


def exact_number(text: str) -> Decimal:
    """Read a number as it is written; an exponent beyond what Decimal holds is beyond every limit too."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


_event: Final = msgspec.json.Decoder(CloudEvent, float_hook=exact_number)
_batch: Final = msgspec.json.Decoder(list[msgspec.Raw])
_envelope: Final = msgspec.json.Decoder(_Envelope)
# Any JSON at all: a number is not made a float, which would refuse one that is too large for it.
_lax: Final = msgspec.json.Decoder(float_hook=exact_number)
_one: Final = msgspec.json.Decoder(msgspec.Raw)
NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MALFORMED: Final = "the body is not well-formed JSON in UTF-8"


def read_batch(body: bytes, content_type: str) -> list[bytes | msgspec.Raw]:
    """Split a request body into its events' texts; only what cannot be split is refused whole."""
    try:
        events = _split(body, content_type)
    except msgspec.ValidationError as error:
        # The shape is judged as it is read: what comes after may not be JSON at all.
        require_json(body)
        message = f"body: {error}"
        raise Invalid(message, {"body": [str(error)]}) from None
    except NOT_JSON:
        raise PayloadRefused(_MALFORMED) from None
    if len(events) > MAX_BATCH:
        message = f"a batch has at most {MAX_BATCH} events"
        raise TooLarge(message)
    return events


def _split(body: bytes, content_type: str) -> list[bytes | msgspec.Raw]:
    if content_type == SINGLE:
        return [_one.decode(body)]
    return list(_batch.decode(body) if content_type == BATCH else _envelope.decode(body).events)


def require_json(body: bytes) -> None:
    """Refuse what is not JSON at all, whatever shape it was to have."""
    try:
        _lax.decode(body)
    except NOT_JSON:
        raise PayloadRefused(_MALFORMED) from None


def read_event(raw: bytes | msgspec.Raw) -> UsageFact | Malformed:
    """Read one event, or say what is wrong with it."""
    try:
        event = _event.decode(raw)
    except msgspec.ValidationError as error:
        return Malformed(_id_of(raw), explained(str(error)))
    except NOT_JSON:
        return Malformed(None, {"event": ["is not well-formed JSON in UTF-8"]})
    errors: Errors = {}
    if event.specversion != "1.0":
        errors["specversion"] = ["must be 1.0"]
    _text(event.id, MAX_IDENTITY_CHARACTERS, "id", errors)
    _text(event.source, MAX_IDENTITY_CHARACTERS, "source", errors)
    _text(event.type, MAX_METER_CHARACTERS, "type", errors)
    account_problem = _account_problem(event.subject)
    if account_problem is not None:
        errors["subject"] = [account_problem]
    occurred_at = _time(event.time, errors)
    data = event.data
    quantity = _quantity(data, errors)
    properties = _properties(data, errors) if len(data) > 1 or "quantity" not in data else {}
    if errors:
        return Malformed(event.id if "id" not in errors else None, errors)
    return UsageFact(
        event.id, event.source, event.type, event.subject, quantity, occurred_at, properties, event.book
    )


def _text(text: str, limit_characters: int, field: str, errors: Errors) -> None:
    # Nearly every text is plain, and then one look is enough.
    if text.isprintable() and text and len(text) <= limit_characters and not text.isspace():
        return
    problem = text_problem(text, limit_characters)
    if problem is not None:
        errors[field] = [problem]


@lru_cache(maxsize=65_536)
def _account_problem(subject: str) -> str | None:
    """Say what is wrong with an account's id; most events are about accounts seen before."""
    try:
        stream_of("acc", subject)
    except MalformedId as error:
        return str(error)
    return None


def _time(time: datetime, errors: Errors) -> datetime:
    if time.tzinfo is UTC and EARLIEST <= time < LATEST:
        return time
    try:
        return checked_time(time, "time")
    except Invalid as error:
        errors.update(error.errors)
        return time


def _quantity(data: dict[str, Any], errors: Errors) -> Decimal:
    value = data.get("quantity")
    if value is None:
        errors["data.quantity"] = ["is required"]
    elif (
        isinstance(value, str)
        and len(value) <= MAX_QUANTITY_INTEGER_DIGITS
        and value.isascii()
        and value.isdecimal()
    ):
        return Decimal(value)
    elif isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        errors["data.quantity"] = ["must be a decimal number, as text or as a number"]
    else:
        try:
            return checked_quantity(value, "data.quantity")
        except Invalid as error:
            errors.update(error.errors)
    return Decimal(0)


def _properties(data: dict[str, Any], errors: Errors) -> dict[str, Any]:
    properties = {name: value for name, value in data.items() if name != "quantity"}
    if len(properties) > MAX_PROPERTIES:
        errors["data"] = [f"must have at most {MAX_PROPERTIES} properties"]
        return {}
    for name, value in properties.items():
        problem = text_problem(name, MAX_PROPERTY_KEY_CHARACTERS) or property_problem(value)
        if problem is not None:
            errors[f"data.{name[:MAX_PROPERTY_KEY_CHARACTERS]}"] = [problem]
    return properties


def _id_of(raw: bytes | msgspec.Raw) -> str | None:
    try:
        event = _lax.decode(raw)
    except NOT_JSON:
        return None
    found = event.get("id") if isinstance(event, dict) else None
    return found if isinstance(found, str) and text_problem(found, MAX_IDENTITY_CHARACTERS) is None else None


def explained(message: str) -> Errors:
    """Turn "Expected `str`, got `int` - at `$.id`" into the field and the reason."""
    reason, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".") or "event"
    if reason.startswith("Object missing required field"):
        return {reason.split("`")[1]: ["is required"]}
    return {field: [reason]}
