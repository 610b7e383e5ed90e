"""Events of an API key, owned by an account or by a principal; the secret itself never enters the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class _OfKey(Event):
    key: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class ApiKeyIssued(_OfKey):
    """A key was made; `secret_hash` is HMAC-SHA-256(pepper, SHA-256(secret)), `hint` the secret's end."""

    topic: ClassVar[str] = "api_key.issued"

    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    pepper_version: int
    hint: str
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ApiKeyRotated(_OfKey):
    """The key has a new secret; the old one no longer opens anything."""

    topic: ClassVar[str] = "api_key.rotated"

    secret_hash: str
    pepper_version: int
    hint: str


@dataclass(frozen=True, kw_only=True)
class ApiKeySuspended(_OfKey):
    """The key is refused until it is resumed."""

    topic: ClassVar[str] = "api_key.suspended"

    reason: str


@dataclass(frozen=True, kw_only=True)
class ApiKeyResumed(_OfKey):
    """The key opens again what it opened before."""

    topic: ClassVar[str] = "api_key.resumed"


@dataclass(frozen=True, kw_only=True)
class ApiKeyRevoked(_OfKey):
    """The key is refused for ever."""

    topic: ClassVar[str] = "api_key.revoked"

    reason: str


@dataclass(frozen=True, kw_only=True)
class ApiKeyExpired(_OfKey):
    """The key's time ran out."""

    topic: ClassVar[str] = "api_key.expired"


ApiKeyEvent = ApiKeyIssued | ApiKeyRotated | ApiKeySuspended | ApiKeyResumed | ApiKeyRevoked | ApiKeyExpired
