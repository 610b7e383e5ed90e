"""Stamps: what the HTTP edge knew of a message as it took it, signed, so that nobody else can claim it.

A stamp travels in a header beside the message; its MAC covers the stamp, the topic and the message's bytes.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from ledger.events import Actor
from ledger.identifiers import encode_parts

HEADER: Final = "daybook-stamp"
_MAC_BYTES: Final = 32
_MAX_STAMP_BYTES: Final = 4_096


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """When the edge took a message, for which book, from whom, and in which request."""

    accepted_at: datetime
    book: UUID
    actor: Actor
    cause: str
    # The webhook endpoint a delivery of Stripe's came through.
    endpoint: str | None = None
    # A test book may have a time of its own: what it takes is booked at `accepted_at`, not when it is read.
    book_time: bool = False


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Stamp).decode


def stamp_key(master_key: bytes) -> bytes:
    """Derive the key that stamps are signed with."""
    return hmac.digest(master_key, b"daybook feed stamps 1", "sha256")


def sign_stamp(stamp: Stamp, topic: str, value: bytes, key: bytes) -> bytes:
    """Give the header's value for a message: the MAC, and the stamp in JSON."""
    text = _encode(stamp)
    return _mac(text, topic, value, key) + text


def read_stamp(header: bytes, topic: str, value: bytes, key: bytes) -> Stamp | None:
    """Read a stamp back, or nothing when it is not one of ours or not of this message."""
    mac, text = header[:_MAC_BYTES], header[_MAC_BYTES:]
    if len(text) > _MAX_STAMP_BYTES or not hmac.compare_digest(mac, _mac(text, topic, value, key)):
        return None
    return _decode(text)


def _mac(text: bytes, topic: str, value: bytes, key: bytes) -> bytes:
    signed = encode_parts("feed-stamp", [text, topic, hashlib.sha256(value).digest()])
    return hmac.digest(key, signed, "sha256")
