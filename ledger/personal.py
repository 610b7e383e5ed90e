"""Personal data: sealing a field under its subject's data key, and wrapping such keys."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.identifiers import encode_parts

if TYPE_CHECKING:
    from uuid import UUID

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


def new_data_key() -> bytes:
    """Make a random data key."""
    return AESGCM.generate_key(bit_length=KEY_BYTES * 8)


def _bound_to(stream: UUID, stream_version: int, field: str) -> bytes:
    """Bind a sealed field to its place, so that it cannot be moved to another event."""
    return encode_parts("personal-field", [stream.bytes, str(stream_version), field])


def seal(plain: str, data_key: bytes, stream: UUID, stream_version: int, field: str) -> str:
    """Encrypt a field's text with AES-256-GCM and return nonce and ciphertext in base 64."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(data_key).encrypt(nonce, plain.encode(), _bound_to(stream, stream_version, field))
    return b64encode(nonce + sealed).decode()


def unseal(sealed: str, data_key: bytes, stream: UUID, stream_version: int, field: str) -> str:
    """Decrypt what `seal` returned for the same key and place."""
    raw = b64decode(sealed)
    bound = _bound_to(stream, stream_version, field)
    return AESGCM(data_key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound).decode()


def wrap(secret: bytes, master_key: bytes, purpose: str, *context: str | bytes) -> bytes:
    """Encrypt a data key, a webhook secret or a stored answer under the master key, bound to its context."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(master_key).encrypt(nonce, secret, encode_parts(purpose, context))


def unwrap(wrapped: bytes, master_key: bytes, purpose: str, *context: str | bytes) -> bytes:
    """Decrypt what `wrap` returned for the same master key and context."""
    return AESGCM(master_key).decrypt(
        wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], encode_parts(purpose, context)
    )
