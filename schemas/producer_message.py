"""The message a publishing service sends: checked as the consumer will read it, written once."""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec
from kafka.partitioner import murmur2

from ledger.errors import Invalid
from ledger.identifiers import stream_of
from ledger.values import (
    BEYOND_QUANTITIES,
    MAX_IDENTITY_CHARACTERS,
    MAX_METER_CHARACTERS,
    MAX_PROPERTIES,
    MAX_PROPERTY_KEY_CHARACTERS,
    checked_quantity,
    checked_text,
    checked_time,
    property_problem,
    quantity_text,
    text_problem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

Property = str | int | Decimal | bool | None

_NO_FLOAT: Final = "must be an int, a Decimal or text: a float is not the number it shows"
# Services know many accounts and few meters; what was once found good is not looked at again.
_KNOWN_ACCOUNTS: Final = 65_536
_KNOWN_NAMES: Final = 4_096
_ID_BYTES: Final = 16
_IDS_AT_ONCE: Final = 256


class Message(msgspec.Struct, frozen=True, gc=False):
    """One usage event, ready to be sent as often as it takes: every attempt has these bytes."""

    value: bytes
    key: bytes
    place: int
    recorded_at_seconds: float

    @property
    def size_bytes(self) -> int:
        """What it weighs in the buffer and on the wire."""
        return len(self.value) + len(self.key)


class _CloudEvent(msgspec.Struct, gc=False):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    book: str
    data: dict[str, Property]


_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class EventIds:
    """Ids of 128 random bits: made in blocks, since one at a time costs as much as all the rest."""

    def __init__(self) -> None:
        """Have none yet."""
        self._ready: list[str] = []

    def new(self) -> str:
        """Give an id that nobody was given."""
        try:
            return self._ready.pop()
        except IndexError:
            digits, width = os.urandom(_ID_BYTES * _IDS_AT_ONCE).hex(), 2 * _ID_BYTES
            self._ready += [digits[at : at + width] for at in range(width, len(digits), width)]
            return digits[:width]


class Letterhead:
    """What every message of one producer says: whose it is, and in which book."""

    def __init__(self, source: str, book: str) -> None:
        """Keep them, once they are found good."""
        self.source = checked_text(source, MAX_IDENTITY_CHARACTERS, "source")
        stream_of("book", book)
        self.book = book

    def cloud_event(
        self,
        event_id: str,
        account: str,
        meter: str,
        quantity: str | int | Decimal,
        time: datetime,
        properties: Mapping[str, Property],
    ) -> bytes:
        """Write an event as the consumer reads it, or refuse what the consumer would refuse."""
        data: dict[str, Property] = {"quantity": _checked_quantity(quantity)}
        if properties:
            _check_properties(properties)
            data.update(properties)
        return _encode(
            _CloudEvent(
                "1.0",
                _checked_id(event_id),
                self.source,
                _checked_meter(meter),
                account,
                _checked_time(time),
                self.book,
                data,
            )
        )


@lru_cache(_KNOWN_ACCOUNTS)
def key_of(account: str) -> tuple[bytes, int]:
    """Give an account's key, and the number that Kafka's own clients choose its partition by.

    The library's own hash, in Python, is half of the cost of sending; an account's never changes.
    """
    stream_of("acc", _text(account, "account"))
    key = account.encode()
    return key, murmur2(key) & 0x7FFFFFFF


@lru_cache(_KNOWN_NAMES)
def _checked_meter(meter: str) -> str:
    return checked_text(_text(meter, "meter"), MAX_METER_CHARACTERS, "meter")


def _text(value: object, field: str) -> str:
    """Give a text that a caller without a type checker may have mistaken."""
    if not isinstance(value, str):
        raise _refuse(field, "must be text")
    return value


@lru_cache(_KNOWN_NAMES)
def _name_problem(name: str) -> str | None:
    return text_problem(name, MAX_PROPERTY_KEY_CHARACTERS)


def _checked_id(event_id: str) -> str:
    text = _text(event_id, "event_id")
    # Nearly every text is plain, and then one look is enough; an empty one is printable too.
    if 0 < len(text) <= MAX_IDENTITY_CHARACTERS and text.isprintable() and not text.isspace():
        return text
    return checked_text(text, MAX_IDENTITY_CHARACTERS, "event_id")


def _checked_quantity(quantity: object) -> str:
    if type(quantity) is int and 0 <= quantity < BEYOND_QUANTITIES:
        return str(quantity)
    if isinstance(quantity, bool) or not isinstance(quantity, str | int | Decimal):
        raise _refuse("quantity", _NO_FLOAT)
    return quantity_text(checked_quantity(quantity))


def _checked_time(time: object) -> datetime:
    if not isinstance(time, datetime):
        raise _refuse("time", "must be a datetime that carries a UTC offset")
    return checked_time(time)


def _check_properties(properties: Mapping[str, Property]) -> None:
    if len(properties) > MAX_PROPERTIES:
        raise _refuse("data", f"must have at most {MAX_PROPERTIES} properties")
    for name, value in properties.items():
        problem = _name_problem(name) or _value_problem(value)
        if problem is not None:
            raise _refuse(f"data.{name[:MAX_PROPERTY_KEY_CHARACTERS]}", problem)


def _value_problem(value: object) -> str | None:
    # Once written it would be a number like any other: this is the last place that can tell.
    return _NO_FLOAT if isinstance(value, float) else property_problem(value)


def _refuse(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason}", {field: [reason]})
