"""Read the envelope of a Stripe webhook whose signature was checked: whose it is, and what it is about."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NoReturn, cast

from ledger.values import MAX_IDENTITY_CHARACTERS, text_problem
from schemas.stripe_fields import JsonObject, child, first, identifier, instant, whole_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

# Stripe's own objects stay under a dozen levels, expanded ones included.
_MAX_NESTING: Final = 64


class StripePayloadRefused(ValueError):
    """The body is not a Stripe event; `field_path` says where, `reason` says why."""

    def __init__(self, field_path: str, reason: str) -> None:
        """Keep the place and the reason apart, so that an edge can show both."""
        super().__init__(f"{field_path}: {reason}")
        self.field_path = field_path
        self.reason = reason


@dataclass(frozen=True)
class StripeEnvelope:
    """One event of Stripe's: identity, kind, and the object as it stood when the event was made.

    `account` is the connected account, empty for our own. `facts_digest` tells whether two bodies under one
    event id say the same: it leaves out what differs from one delivery to the next.
    """

    event_id: str
    type: str
    api_version: str | None
    livemode: bool
    account: str
    created: datetime | None
    customer: str | None
    object: JsonObject
    previous_attributes: JsonObject
    facts_digest: str


def read_event(body: bytes) -> StripeEnvelope:
    """Read a webhook body, or refuse it by the path of its first wrong field."""
    event = _json_object(body)
    if event.get("object", "event") != "event":
        raise StripePayloadRefused("object", "must be event")
    kind = _identity(event.get("type"), "type")
    about = _about(event)
    previous = child(event, "data", "previous_attributes")
    return StripeEnvelope(
        event_id=_identity(event.get("id"), "id"),
        type=kind,
        api_version=whole_text(event.get("api_version"), MAX_IDENTITY_CHARACTERS),
        livemode=_livemode(event.get("livemode")),
        account="" if event.get("account") is None else _identity(event["account"], "account"),
        created=instant(event.get("created")),
        customer=_customer(kind, about),
        object=about,
        previous_attributes=cast("JsonObject", previous) if isinstance(previous, dict) else {},
        facts_digest=_digest({"type": kind, "created": event.get("created"), "data.object": about}),
    )


def _json_object(body: bytes) -> JsonObject:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise StripePayloadRefused("body", "must be UTF-8") from None
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError:
        raise StripePayloadRefused("body", "is nested too deeply") from None
    except ValueError:
        raise StripePayloadRefused("body", "must be JSON") from None
    if not isinstance(value, dict):
        raise StripePayloadRefused("body", "must be a JSON object")
    _refuse_deep_nesting(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(name)


def _refuse_deep_nesting(value: object) -> None:
    """Refuse nesting that this parser still takes in but a later writer, deeper in its stack, could not."""
    level = [value]
    for _ in range(_MAX_NESTING):
        level = [below for node in level for below in _children(node)]
        if not level:
            return
    raise StripePayloadRefused("body", "is nested too deeply")


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _identity(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise StripePayloadRefused(field, "must be text")
    problem = text_problem(value, MAX_IDENTITY_CHARACTERS)
    if problem is not None:
        raise StripePayloadRefused(field, problem)
    return value


def _livemode(value: object) -> bool:
    # It chooses the live or the test book, so there is no default that would be safe.
    if not isinstance(value, bool):
        raise StripePayloadRefused("livemode", "must be true or false")
    return value


def _about(event: JsonObject) -> JsonObject:
    if not isinstance(event.get("data"), dict):
        raise StripePayloadRefused("data", "must be an object")
    about = child(event, "data", "object")
    if not isinstance(about, dict):
        raise StripePayloadRefused("data.object", "must be an object")
    return about


def _customer(kind: str, about: JsonObject) -> str | None:
    """Return the customer that the object is or belongs to; Accounts v2 may name it by account only."""
    own_kind = about.get("object")
    if own_kind == "customer" or (own_kind is None and kind.rpartition(".")[0] == "customer"):
        return identifier(about)
    return identifier(first(about.get("customer"), about.get("customer_account")))


def _digest(facts: JsonObject) -> str:
    """Hash the canonical JSON; the form is kept in the log with each event, so it must never change."""
    # ASCII escapes make any text hashable, lone surrogates too.
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_fraction)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _fraction(value: object) -> JsonObject:
    """Write a fraction as its own digits, marked so that it never equals text."""
    return {"$decimal": str(value)}
