"""An API key: who may call, with which scopes, until when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.errors import Invalid, KeyNotActive, NotFound
from ledger.events.api_key import (
    ApiKeyEvent,
    ApiKeyExpired,
    ApiKeyIssued,
    ApiKeyResumed,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeySuspended,
)
from ledger.streams.base import begins_with
from ledger.values import MAX_NAME_CHARACTERS, MAX_REASON_CHARACTERS, checked_text, checked_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

SCOPES: Final = ("read", "usage:write", "write", "admin")
# What an account's own key may be given: it never sees more than its account.
ACCOUNT_SCOPES: Final = ("read", "usage:write")
# A wider scope holds the narrower ones.
_IMPLIED: Final[dict[str, frozenset[str]]] = {
    "read": frozenset({"read"}),
    "usage:write": frozenset({"usage:write"}),
    "write": frozenset({"write", "read", "usage:write"}),
    "admin": frozenset({"admin", "write", "read", "usage:write"}),
}


@dataclass(frozen=True)
class ApiKey:
    """A key as it stands; the secret itself is nowhere."""

    key: str
    owner: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    pepper_version: int
    hint: str
    status: str
    expires_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Secret:
    """What the log keeps of a secret."""

    secret_hash: str
    pepper_version: int
    hint: str


def issue(
    key: str,
    owner: str,
    name: str,
    scopes: Sequence[str],
    secret: Secret,
    expires_at: datetime | None,
    now: datetime,
) -> list[ApiKeyEvent]:
    """Issue a key to an account or a principal."""
    checked_text(name, MAX_NAME_CHARACTERS, "name")
    allowed = ACCOUNT_SCOPES if owner.startswith("acc_") else SCOPES
    unknown = sorted(set(scopes) - set(allowed))
    if unknown or not scopes:
        reason = f"must be one or more of {', '.join(allowed)}"
        message = f"scopes: {reason}"
        raise Invalid(message, {"scopes": [reason]})
    ends_at = None if expires_at is None else checked_time(expires_at, "expires_at")
    if ends_at is not None and ends_at <= now:
        message = "expires_at must lie in the future"
        raise Invalid(message, {"expires_at": ["must lie in the future"]})
    return [
        ApiKeyIssued(
            key=key,
            owner=owner,
            name=name,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            secret_hash=secret.secret_hash,
            pepper_version=secret.pepper_version,
            hint=secret.hint,
            expires_at=ends_at,
        )
    ]


def rotate(state: ApiKey | None, secret: Secret, now: datetime) -> list[ApiKeyEvent]:
    """Give the key a new secret; the old one stops at once."""
    key = _require_usable(state, now)
    return [
        ApiKeyRotated(
            key=key.key,
            owner=key.owner,
            secret_hash=secret.secret_hash,
            pepper_version=secret.pepper_version,
            hint=secret.hint,
        )
    ]


def suspend(state: ApiKey | None, reason: str, now: datetime) -> list[ApiKeyEvent]:
    """Refuse the key until it is resumed; suspending it twice changes nothing."""
    key = _require_usable(state, now)
    if key.status == "suspended":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [ApiKeySuspended(key=key.key, owner=key.owner, reason=reason)]


def resume(state: ApiKey | None, now: datetime) -> list[ApiKeyEvent]:
    """Let a suspended key open again what it opened before."""
    key = _require_usable(state, now)
    return [ApiKeyResumed(key=key.key, owner=key.owner)] if key.status == "suspended" else []


def revoke(state: ApiKey | None, reason: str) -> list[ApiKeyEvent]:
    """Refuse the key for ever; revoking it twice changes nothing."""
    key = require(state)
    if key.status == "revoked":
        return []
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [ApiKeyRevoked(key=key.key, owner=key.owner, reason=reason)]


def expire(state: ApiKey | None, now: datetime) -> list[ApiKeyEvent]:
    """Record that the key's time ran out; a key that has not, or was ended before, makes no event."""
    key = require(state)
    if key.status not in ("active", "suspended") or key.expires_at is None or key.expires_at > now:
        return []
    return [ApiKeyExpired(key=key.key, owner=key.owner)]


def require(state: ApiKey | None) -> ApiKey:
    """Give the key, or refuse: there is none in this book."""
    if state is None:
        message = "there is no such key"
        raise NotFound(message)
    return state


def status_at(key: ApiKey, now: datetime) -> str:
    """Say the key's status at an instant: an expiry holds from its instant on, recorded or not."""
    if key.status in ("active", "suspended") and key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return key.status


def granted(key: ApiKey) -> frozenset[str]:
    """Give every scope the key holds, with those that a wider one implies."""
    return frozenset().union(*(_IMPLIED[scope] for scope in key.scopes))


def _require_usable(state: ApiKey | None, now: datetime) -> ApiKey:
    key = require(state)
    status = status_at(key, now)
    if status not in ("active", "suspended"):
        message = f"key {key.key} is {status}"
        raise KeyNotActive(message)
    return key


@begins_with(ApiKeyIssued)
def evolve(state: ApiKey | None, event: ApiKeyEvent) -> ApiKey:
    """Apply one event."""
    match event:
        case ApiKeyIssued():
            return ApiKey(
                key=event.key,
                owner=event.owner,
                name=event.name,
                scopes=event.scopes,
                secret_hash=event.secret_hash,
                pepper_version=event.pepper_version,
                hint=event.hint,
                status="active",
                expires_at=event.expires_at,
            )
        case ApiKeyRotated():
            return replace(
                _known(state),
                secret_hash=event.secret_hash,
                pepper_version=event.pepper_version,
                hint=event.hint,
            )
        case ApiKeySuspended():
            return replace(_known(state), status="suspended", reason=event.reason)
        case ApiKeyResumed():
            return replace(_known(state), status="active", reason=None)
        case ApiKeyRevoked():
            return replace(_known(state), status="revoked", reason=event.reason)
        case ApiKeyExpired():
            return replace(_known(state), status="expired")
        case _:
            assert_never(event)


def _known(state: ApiKey | None) -> ApiKey:
    assert state is not None, "a stream begins with its first event"
    return state
