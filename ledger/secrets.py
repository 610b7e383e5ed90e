"""API key secrets: how they read, and the keyed hash under which a key is stored."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from dataclasses import dataclass
from typing import Final

from ledger.identifiers import MalformedId, stream_of

MODES: Final = ("live", "test")
MAX_PREFIX_CHARACTERS: Final = 16
_SECRET_BYTES: Final = 20
HINT_CHARACTERS: Final = 4
_MAX_KEY_CHARACTERS: Final = 128


@dataclass(frozen=True)
class PresentedKey:
    """A key as a caller presents it: which key it claims to be, in which mode, and the whole secret text."""

    key: str
    mode: str
    secret: str


def new_secret(prefix: str, mode: str, key: str, random_bytes: bytes) -> str:
    """Write a secret: prefix, mode, the suffix of the key, by which it is found, and 160 random bits."""
    assert mode in MODES, "a secret of another mode would never be read back"
    assert len(random_bytes) == _SECRET_BYTES, "a secret is made of 20 random bytes"
    random_text = b32encode(random_bytes).decode().lower()
    return f"{prefix}_{mode}_{key.removeprefix('key_')}{random_text}"


def secret_length_bytes() -> int:
    """Say how many random bytes a secret is made of."""
    return _SECRET_BYTES


def read_secret(text: str, prefix: str) -> PresentedKey | None:
    """Read the key a secret claims to be, or nothing when the text is no secret of ours."""
    if len(text) > _MAX_KEY_CHARACTERS or not text.isascii():
        return None
    for mode in MODES:
        head = f"{prefix}_{mode}_"
        if text.startswith(head):
            key = f"key_{text[len(head) : len(head) + 26]}"
            try:
                stream_of("key", key)
            except MalformedId:
                return None
            return PresentedKey(key, mode, text)
    return None


def hash_secret(secret: str, pepper: bytes) -> str:
    """Give HMAC-SHA-256(pepper, SHA-256(secret)) in hex: through a queue only the inner hash need travel."""
    return hash_digest(hashlib.sha256(secret.encode()).digest(), pepper)


def hash_digest(secret_sha256: bytes, pepper: bytes) -> str:
    """Give the same of a secret that only its SHA-256 is known of."""
    return hmac.new(pepper, secret_sha256, hashlib.sha256).hexdigest()


def secret_matches(secret: str, pepper: bytes, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash_secret(secret, pepper), expected)


def hint_of(secret: str) -> str:
    """Give the last characters of a secret, by which its owner can tell it from another."""
    return secret[-HINT_CHARACTERS:]
