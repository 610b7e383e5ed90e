"""The projection of API keys: whose they are and what they may do; never a secret, nor its hash."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.api_key import (
    ApiKeyEvent,
    ApiKeyExpired,
    ApiKeyIssued,
    ApiKeyResumed,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeySuspended,
)
from projections import topics
from projections.base import Change, KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch

_HANDLED: Final = topics.KEYS
_IGNORED: Final = (
    topics.BOOKS
    | topics.CLOCKS
    | topics.DUNNING
    | topics.LOG
    | topics.PRINCIPALS
    | topics.SOURCES
    | topics.FEED
    | topics.ACCOUNTS
    | topics.USAGE
    | topics.CORRECTIONS
    | topics.CATALOGUE
    | topics.SUBSCRIPTIONS
    | topics.INVOICES
    | topics.INVOICE_NUMBERS
    | topics.CREDIT_NOTES
    | topics.CREDIT_NOTE_NUMBERS
    | topics.PAYMENTS
    | topics.CREDITS
    | topics.JOURNAL
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_CUSTOMERS
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)


class KeyRow(msgspec.Struct, frozen=True):
    """One key of an account or a principal."""

    book: UUID
    key: str
    owner: str
    name: str
    scopes: tuple[str, ...]
    status: str
    hint: str
    issued_at: datetime
    expires_at: datetime | None
    version: int
    position: int


_TABLE: Final = KeyedTable("keys", KeyRow, ("book", "key"))


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into the keys they are of."""
    _TABLE.fold(connection, changes_of(batch.others))


def changes_of(events: Iterable[Recorded]) -> list[Change[KeyRow]]:
    """Give what events do to the rows of keys."""
    return [
        (
            (recorded.metadata.book, recorded.event.key),
            partial(_changed, event=recorded.event, recorded=recorded),
        )
        for recorded in events
        if isinstance(recorded.event, ApiKeyEvent)
    ]


def _changed(row: KeyRow | None, event: ApiKeyEvent, recorded: Recorded) -> KeyRow | None:
    if isinstance(event, ApiKeyIssued):
        return _issued(event, recorded)
    if row is None:
        return None
    return msgspec.structs.replace(
        row, **_changes(event), version=recorded.stream_version, position=recorded.position
    )


def _changes(event: ApiKeyEvent) -> dict[str, str]:
    match event:
        case ApiKeyRotated():
            return {"hint": event.hint}
        case ApiKeySuspended():
            return {"status": "suspended"}
        case ApiKeyResumed():
            return {"status": "active"}
        case ApiKeyRevoked():
            return {"status": "revoked"}
        case ApiKeyExpired():
            return {"status": "expired"}
        case _:
            raise AssertionError(event.topic)


def _issued(event: ApiKeyIssued, recorded: Recorded) -> KeyRow:
    return KeyRow(
        book=recorded.metadata.book,
        key=event.key,
        owner=event.owner,
        name=event.name,
        scopes=event.scopes,
        status="active",
        hint=event.hint,
        issued_at=recorded.metadata.occurred_at,
        expires_at=event.expires_at,
        version=recorded.stream_version,
        position=recorded.position,
    )


_COLUMNS: Final = "key, owner, name, scopes, status, hint, issued_at, expires_at, version, position"
QUERIES: Final = {
    "find": f"SELECT {_COLUMNS} FROM keys.keys WHERE key = %(key)s",  # noqa: S608 - constant
    "of_owner": (
        f"SELECT {_COLUMNS} FROM keys.keys WHERE owner = %(owner)s AND key > %(after)s"  # noqa: S608 - constant
        " ORDER BY key LIMIT %(limit)s"
    ),
}


def find(connection: Connection[Any], key: str) -> dict[str, Any] | None:
    """Give one key of the connection's book; an expiry that nobody recorded yet is for the reader to see."""
    row: dict[str, Any] | None = connection.execute(QUERIES["find"], {"key": key}).fetchone()
    return row


def of_owner(connection: Connection[Any], owner: str, after: str | None, limit: int) -> list[dict[str, Any]]:
    """Give the keys of an account or a principal after one of them, by id."""
    parameters = {"owner": owner, "after": after or "", "limit": limit}
    return connection.execute(QUERIES["of_owner"], parameters).fetchall()


PROJECTION: Final = Projection(
    name="keys", handled=_HANDLED, ignored=_IGNORED, tables=("keys",), queries=QUERIES, apply=apply
)
