"""Commands on API keys: issue, rotate, suspend, resume, revoke, expire; and checking a presented one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands.chosen import execute_chosen
from commands.context import Done, Unit, execute
from commands.principals import require_principal
from commands.streams import account_stream, new_id, stream_or_not_found
from ledger.errors import Unauthenticated
from ledger.identifiers import stream_of
from ledger.secrets import (
    hash_digest,
    hash_secret,
    hint_of,
    new_secret,
    read_secret,
    secret_length_bytes,
    secret_matches,
)
from ledger.streams import account as accounts
from ledger.streams import api_key as keys
from ledger.streams.base import Stream, fold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.events.api_key import ApiKeyEvent
    from ledger.settings import Settings
    from ledger.store import Log
    from ledger.streams.api_key import ApiKey


@dataclass(frozen=True)
class IssuedKey:
    """A key and, this once, its secret."""

    stream: Stream[ApiKey]
    secret: str


@dataclass(frozen=True)
class PreparedKey:
    """A key as its sender made it: its id, the SHA-256 of its secret, and the secret's last characters."""

    key: str
    secret_sha256: bytes
    hint: str


@dataclass(frozen=True)
class CheckedKey:
    """A key that was presented: whose it is, in which book, and all the scopes it holds."""

    book: UUID
    key: ApiKey
    mode: str
    scopes: frozenset[str]


def issue_key(
    context: Context,
    mode: str,
    owner: str,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> Done[IssuedKey]:
    """Issue a key to an open account or to a principal of the book."""
    key = new_id(context, "key")
    secret, kept = _make_secret(context, mode, key)
    events = keys.issue(key, owner, name, scopes, kept, expires_at, context.now)
    return execute(context, lambda unit: IssuedKey(_add_issued(unit, key, owner, events), secret))


def issue_prepared_key(
    context: Context,
    prepared: PreparedKey,
    owner: str,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> Done[Stream[ApiKey]]:
    """Issue a key whose id and secret its sender made, and whose secret nobody here ever sees."""
    key, kept = prepared.key, _keep(context, prepared)
    events = keys.issue(key, owner, name, scopes, kept, expires_at, context.now)
    return execute_chosen(context, "key", key, lambda unit: _add_issued(unit, key, owner, events))


def _add_issued(unit: Unit, key: str, owner: str, events: list[ApiKeyEvent]) -> Stream[ApiKey]:
    _require_owner(unit, owner)
    return unit.add(stream_of("key", key), Stream(), keys.evolve, events)


def _require_owner(unit: Unit, owner: str) -> None:
    """Refuse unless the owner is there, and keep it as it is until the key is appended."""
    if owner.startswith("acc_"):
        loaded = unit.load(accounts.evolve, account_stream(owner))
        accounts.require_open(loaded.state)
        unit.guard(account_stream(owner), loaded.version)
        return
    require_principal(unit.context.log, unit.context.book, owner)


def rotate_key(context: Context, mode: str, key: str) -> Done[IssuedKey]:
    """Give a key a new secret, shown this once."""
    secret, kept = _make_secret(context, mode, key)
    stream = stream_or_not_found("key", key)

    def decide(unit: Unit) -> IssuedKey:
        loaded = unit.load(keys.evolve, stream)
        events = keys.rotate(loaded.state, kept, context.now)
        return IssuedKey(unit.add(stream, loaded, keys.evolve, events), secret)

    return execute(context, decide)


def rotate_prepared_key(context: Context, prepared: PreparedKey) -> Done[Stream[ApiKey]]:
    """Give a key a new secret that its sender made."""
    kept = _keep(context, prepared)
    return _change(context, prepared.key, lambda state: keys.rotate(state, kept, context.now))


def suspend_key(context: Context, key: str, reason: str) -> Done[Stream[ApiKey]]:
    """Refuse a key until it is resumed."""
    return _change(context, key, lambda state: keys.suspend(state, reason, context.now))


def resume_key(context: Context, key: str) -> Done[Stream[ApiKey]]:
    """Let a suspended key open again."""
    return _change(context, key, lambda state: keys.resume(state, context.now))


def revoke_key(context: Context, key: str, reason: str) -> Done[Stream[ApiKey]]:
    """Refuse a key for ever."""
    return _change(context, key, lambda state: keys.revoke(state, reason))


def expire_key(context: Context, key: str) -> Done[Stream[ApiKey]]:
    """Record that a key's time ran out."""
    return _change(context, key, lambda state: keys.expire(state, context.now))


def _change(
    context: Context, key: str, decide_events: Callable[[ApiKey | None], list[ApiKeyEvent]]
) -> Done[Stream[ApiKey]]:
    stream = stream_or_not_found("key", key)

    def decide(unit: Unit) -> Stream[ApiKey]:
        loaded = unit.load(keys.evolve, stream)
        return unit.add(stream, loaded, keys.evolve, decide_events(loaded.state))

    return execute(context, decide)


def _make_secret(context: Context, mode: str, key: str) -> tuple[str, keys.Secret]:
    settings = context.settings
    version = settings.current_pepper_version()
    secret = new_secret(settings.key_prefix, mode, key, context.random_bytes(secret_length_bytes()))
    return secret, keys.Secret(hash_secret(secret, settings.pepper(version)), version, hint_of(secret))


def _keep(context: Context, prepared: PreparedKey) -> keys.Secret:
    version = context.settings.current_pepper_version()
    kept = hash_digest(prepared.secret_sha256, context.settings.pepper(version))
    return keys.Secret(kept, version, prepared.hint)


def check_key(log: Log, settings: Settings, text: str, now: datetime) -> CheckedKey:
    """Find the key of a secret and see that it opens, straight from the log: a revocation holds at once."""
    return require_open(find_key(log, settings, text), now)


def find_key(log: Log, settings: Settings, text: str) -> CheckedKey:
    """Find the key of a secret, in whatever book it is, whether it opens or not."""
    presented = read_secret(text, settings.key_prefix)
    if presented is None:
        raise _refused()
    recorded = log.find_key(stream_of("key", presented.key))
    state = fold(keys.evolve, recorded).state
    if state is None or not secret_matches(text, settings.pepper(state.pepper_version), state.secret_hash):
        raise _refused()
    return CheckedKey(recorded[0].metadata.book, state, presented.mode, keys.granted(state))


def require_open(found: CheckedKey, now: datetime) -> CheckedKey:
    """Give the key, or refuse: it does not open at this time of its book."""
    status = keys.status_at(found.key, now)
    if status != "active":
        message = f"the key is {status}"
        raise Unauthenticated(message)
    return found


def _refused() -> Unauthenticated:
    # One message for unknown and wrong: a caller learns nothing about keys that are not its own.
    return Unauthenticated("the key is unknown")
