"""One usage event as the row that the bulk path copies: identity, digest of its facts, state; the hot path.

A row is made once an event, so it is made without the objects around an event: what it says is what
`codec.encode` would write, and a test holds the two together. The structs are not tracked by the collector:
none of them can be part of a cycle.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ledger.codec import OutgoingState, encode, encode_state
from ledger.events.usage import UsageRecorded
from ledger.identifiers import NAMESPACE, encode_parts
from ledger.values import quantity_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from ledger.events import Actor, NewEvent

_length: Final[Callable[[int], bytes]] = struct.Struct("!I").pack
_canonical: Final = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode
_FACTS: Final = encode_parts("usage-facts", [])
_NO_PROPERTIES: Final = _length(2) + b"{}"
_sha256: Final = hashlib.sha256


class UsageRow(msgspec.Struct, frozen=True, gc=False):
    """A usage event ready to be copied: stream and book as 16 bytes each, its state, its facts' digest."""

    stream: bytes
    state: bytes
    book: bytes
    digest: str


class UsageFact(msgspec.Struct, frozen=True, gc=False):
    """What a source tells of a usage event, within the value domain."""

    event_id: str
    source: str
    meter: str
    account: str
    quantity: Decimal
    occurred_at: datetime
    properties: dict[str, Any]
    # The public id of the book it names, if it names one.
    book: str | None = None


class _Data(msgspec.Struct, frozen=True, gc=False):
    """The fields of UsageRecorded, in their order."""

    account: str
    meter: str
    quantity: Decimal
    source: str
    event_id: str
    accepted_at: datetime
    digest: str
    properties: dict[str, Any]


assert _Data.__struct_fields__ == tuple(one.name for one in fields(UsageRecorded)), "they are written alike"


def facts_digest(fact: UsageFact) -> str:
    """Give the digest of the facts a duplicate shares: account, meter, quantity, properties, not the time."""
    account, meter = fact.account.encode(), fact.meter.encode()
    quantity = quantity_text(fact.quantity).encode()
    if fact.properties:
        properties = _canonical(fact.properties)
        last = _length(len(properties)) + properties
    else:
        last = _NO_PROPERTIES
    return _sha256(
        b"".join(
            (
                _FACTS,
                _length(len(account)),
                account,
                _length(len(meter)),
                meter,
                _length(len(quantity)),
                quantity,
                last,
            )
        )
    ).hexdigest()


@lru_cache(maxsize=4096)
def _identities_of(book: bytes, source: str) -> hashlib._Hash:
    """Begin the hash of every identity of a source in a book; it is copied, never moved."""
    begun = NAMESPACE.bytes + encode_parts("usage", [book, source])
    return hashlib.sha1(begun, usedforsecurity=False)


def usage_identity(book: bytes, source: str, event_id: str) -> bytes:
    """Give the 16 bytes of `usage_stream`, without making a UUID of them."""
    identity = _identities_of(book, source).copy()
    part = event_id.encode()
    identity.update(_length(len(part)) + part)
    digest = bytearray(identity.digest()[:16])
    # Version 5 and the variant of RFC 9562.
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


def usage_row(
    fact: UsageFact, book: UUID, actor: Actor, cause: str, accepted_at: datetime, booked_at: datetime
) -> UsageRow:
    """Make the row of a usage event of a book: who sent it and why, when it was taken and booked."""
    digest = facts_digest(fact)
    data = _Data(
        fact.account,
        fact.meter,
        fact.quantity,
        fact.source,
        fact.event_id,
        accepted_at,
        digest,
        fact.properties,
    )
    state = encode_state(
        OutgoingState(UsageRecorded.version, fact.occurred_at, booked_at, actor, cause, data)
    )
    book_bytes = book.bytes
    return UsageRow(usage_identity(book_bytes, fact.source, fact.event_id), state, book_bytes, digest)


def row_of(new: NewEvent) -> UsageRow:
    """Make the row of an event that there is as an object already."""
    # The table would take anything, and store under the topic of usage what no projection could read.
    assert isinstance(new.event, UsageRecorded), "the bulk path takes usage events"
    state = encode(new.event, new.metadata, new.stream, 1, {})
    return UsageRow(new.stream.bytes, state, new.metadata.book.bytes, new.event.digest)
