"""JSON Schemas of the messages that come in, made from what reads them, for producers to check against.

They say what can be said of a message alone: what a schema refuses is refused, but not the other way round.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from ledger.values import (
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_PROPERTIES,
    MAX_PROPERTY_KEY_CHARACTERS,
    MAX_PROPERTY_VALUE_CHARACTERS,
)
from schemas.message_types import MESSAGE_TYPES, STRIPE_WEBHOOK, USAGE_EVENT, MessageType
from schemas.validation import schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BASE32: Final = "[0-9a-hjkmnp-tv-z]"
_MAX_NUMBER: Final = 10**18
_MAX_QUANTITY_CHARACTERS: Final = 48
_IDENTITY: Final = {"type": "string", "minLength": 1, "maxLength": MAX_IDENTITY_CHARACTERS}

Described = dict[str, Any]


def file_name(kind: MessageType) -> str:
    """Name the file of a message type's schema."""
    return f"{kind.name}.schema.json"


def schema_files() -> Mapping[str, str]:
    """Write every message type's schema, by file name."""
    return {file_name(kind): json.dumps(schema_for(kind), indent=2) + "\n" for kind in MESSAGE_TYPES}


@cache
def schema_for(kind: MessageType) -> Described:
    """Describe a whole message, envelope and data."""
    about = {
        "$schema": _DIALECT,
        "$id": f"urn:daybook:message:{kind.name}",
        "title": kind.name,
        "description": kind.summary,
    }
    if kind is STRIPE_WEBHOOK:
        return about | _webhook()
    return about | (_usage() if kind is USAGE_EVENT else _command(kind))


def _public_id(prefix: str) -> Described:
    return {"type": "string", "pattern": f"^{prefix}_[0-7]{_BASE32}{{25}}$"}


def _envelope(required: list[str], own: Described) -> Described:
    """Describe a CloudEvent; attributes that Daybook does not know are passed over."""
    properties = {
        "specversion": {"const": "1.0"},
        "id": {**_IDENTITY, "description": "with `source`, the message's identity: sent again, it is a copy"},
        "source": {**_IDENTITY, "description": "who publishes, as granted in the book"},
        "book": {**_public_id("book"), "description": "the book it is for"},
        **own,
    }
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "book", *required],
        "properties": properties,
    }


def _command(kind: MessageType) -> Described:
    assert kind.data is not None, "a command has data"
    data = _converter().schema2jsonschema(schema_of(kind.data))
    required = ["data"] if data.get("required") else []
    subject: Described = {"type": "null"}
    if kind.subject is not None:
        subject = _public_id(kind.subject)
        required.insert(0, "subject")
    time = {"type": ["string", "null"], "format": "date-time"}
    own = {"type": {"const": kind.name}, "subject": subject, "time": time, "data": data}
    return _envelope(required, own)


@cache
def _converter() -> Any:
    plugin = MarshmallowPlugin()
    # OpenAPI 3.1 is the first whose schemas are JSON Schema's own: null is a type, not an attribute.
    APISpec(title="", version="", openapi_version="3.1.0", plugins=[plugin])
    return plugin.converter


def _usage() -> Described:
    own = {
        "type": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_METER_CHARACTERS,
            "description": "the meter",
        },
        "subject": {**_public_id("acc"), "description": "the account"},
        "time": {"type": "string", "format": "date-time", "description": "when it was used"},
        "data": {
            "type": "object",
            "required": ["quantity"],
            "properties": {"quantity": _quantity()},
            "additionalProperties": _property(),
            "propertyNames": {"minLength": 1, "maxLength": MAX_PROPERTY_KEY_CHARACTERS},
            "maxProperties": MAX_PROPERTIES + 1,
        },
    }
    return _envelope(["subject", "time", "data"], own)


def _quantity() -> Described:
    number = r"^\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
    return {
        "description": "a decimal number of at most 18 integer and 12 fraction digits, best as text",
        "type": ["string", "number"],
        "maxLength": _MAX_QUANTITY_CHARACTERS,
        "pattern": number,
        "minimum": 0,
        "exclusiveMaximum": _MAX_NUMBER,
    }


def _property() -> Described:
    return {
        "type": ["string", "number", "boolean", "null"],
        "maxLength": MAX_PROPERTY_VALUE_CHARACTERS,
        "exclusiveMinimum": -_MAX_NUMBER,
        "exclusiveMaximum": _MAX_NUMBER,
    }


def _webhook() -> Described:
    """Describe what Daybook wants of Stripe's event; the rest is as Stripe says."""
    return {
        "type": "object",
        "required": ["id", "type", "livemode", "data"],
        "properties": {
            "object": {"const": "event"},
            "id": _IDENTITY,
            "type": _IDENTITY,
            "livemode": {"type": "boolean"},
            "account": {**_IDENTITY, "type": ["string", "null"]},
            "data": {
                "type": "object",
                "required": ["object"],
                "properties": {"object": {"type": "object"}},
            },
        },
    }
