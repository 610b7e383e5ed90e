"""Identities: public TypeIDs, and stream ids derived from outside facts over a frozen encoding."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from typing import TYPE_CHECKING, Final
from uuid import UUID

from ledger.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

# Permanent: every derived identity in every log depends on these sixteen bytes.
NAMESPACE: Final = UUID("6f0c5b1e-9d0a-5c6e-8f5d-1db7b00c0001")

_STANDARD: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_TO_CROCKFORD: Final = bytes.maketrans(_STANDARD.encode(), _CROCKFORD.encode())
_TO_BASE32HEX: Final = str.maketrans(_CROCKFORD, "0123456789abcdefghijklmnopqrstuv")
_CROCKFORD_SET: Final = frozenset(_CROCKFORD)
_SUFFIX_LENGTH: Final = 26


class MalformedId(Invalid):
    """The text is not a public id of the kind expected."""

    code = "malformed_id"


def encode_parts(purpose: str, parts: Iterable[str | bytes]) -> bytes:
    """Encode a purpose and its parts so that no two lists of parts share an encoding.

    Every part is preceded by its length in bytes (4 bytes, big endian): plain joining would make
    "svc/a" + "1" and "svc/" + "a1" the same identity.
    """
    fields = [purpose.encode()]
    fields += [part if isinstance(part, bytes) else part.encode() for part in parts]
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def derive(purpose: str, *parts: str | bytes) -> UUID:
    """Give the version 5 UUID of an outside fact; the same fact has the same identity for ever."""
    digest = hashlib.sha1(NAMESPACE.bytes + encode_parts(purpose, parts), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)


# No organisation's: what the installation itself decides is written in a book of its own.
INSTALLATION_BOOK: Final = derive("installation-book")


def digest_parts(purpose: str, *parts: str | bytes) -> str:
    """Give the SHA-256, in hex, of a purpose and its parts under the same encoding as identities."""
    return hashlib.sha256(encode_parts(purpose, parts)).hexdigest()


def public_id(prefix: str, identity: UUID) -> str:
    """Write a UUID as a TypeID: the prefix, an underscore and 26 characters of Crockford's base 32."""
    padded = b32encode(b"\0\0\0\0" + identity.bytes)[-_SUFFIX_LENGTH:]
    return f"{prefix}_{padded.translate(_TO_CROCKFORD).decode()}"


def stream_of(prefix: str, text: str) -> UUID:
    """Read the UUID back from a public id, which must carry the prefix expected."""
    head, _, suffix = text.rpartition("_")
    if head != prefix or len(suffix) != _SUFFIX_LENGTH or not _CROCKFORD_SET.issuperset(suffix):
        message = f"{text[:64]!r} is not an id of the form {prefix}_…"
        raise MalformedId(message)
    value = int(suffix.translate(_TO_BASE32HEX), 32)
    if value >> 128:
        message = f"{text!r} is beyond 128 bits"
        raise MalformedId(message)
    return UUID(int=value)


def derived_id(prefix: str, purpose: str, *parts: str | bytes) -> str:
    """Give the public id of an outside fact."""
    return public_id(prefix, derive(purpose, *parts))


def usage_stream(book: UUID, source: str, event_id: str) -> UUID:
    """Give the stream of one usage event: its book, its source and the id that source gave it."""
    return derive("usage", book.bytes, source, event_id)


def usage_correction_stream(book: UUID, source: str, event_id: str) -> UUID:
    """Give the stream of the corrections of one usage event."""
    return derive("usage-correction", book.bytes, source, event_id)


def source_stream(book: UUID, source: str) -> UUID:
    """Give the stream of the grants of a source in a book."""
    return derive("source", book.bytes, source)


def journal_entry_id(book: UUID, economic_object: str, kind: str) -> str:
    """Give the id of the one journal entry that may exist for an economic object and a kind of fact."""
    return derived_id("ent", "journal-entry", book.bytes, economic_object, kind)
