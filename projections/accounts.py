"""The projection of accounts: who is billed, as they stand."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.account import (
    AccountClosed,
    AccountEmailChanged,
    AccountEvent,
    AccountRegistered,
    AccountRenamed,
)
from projections import topics
from projections.base import Change, KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch

_HANDLED: Final = topics.ACCOUNTS
_IGNORED: Final = (
    topics.BOOKS
    | topics.CLOCKS
    | topics.DUNNING
    | topics.LOG
    | topics.PRINCIPALS
    | topics.SOURCES
    | topics.FEED
    | topics.KEYS
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


class AccountRow(msgspec.Struct, frozen=True):
    """One account."""

    book: UUID
    account: str
    name: str | None
    email: str | None
    currency: str | None
    time_zone: str
    status: str
    origin: str | None
    registered_at: datetime
    closed_at: datetime | None
    version: int
    position: int


_TABLE: Final = KeyedTable("accounts", AccountRow, ("book", "account"))


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into the accounts they are of."""
    _TABLE.fold(connection, changes_of(batch.others))


def changes_of(events: Iterable[Recorded]) -> list[Change[AccountRow]]:
    """Give what events do to the rows of accounts."""
    return [
        (
            (recorded.metadata.book, recorded.event.account),
            partial(_changed, event=recorded.event, recorded=recorded),
        )
        for recorded in events
        if isinstance(recorded.event, AccountEvent)
    ]


def _changed(row: AccountRow | None, event: AccountEvent, recorded: Recorded) -> AccountRow | None:
    if isinstance(event, AccountRegistered):
        return _registered(event, recorded)
    if row is None:
        return None
    return msgspec.structs.replace(
        row, **_changes(event), version=recorded.stream_version, position=recorded.position
    )


def _changes(event: AccountEvent) -> dict[str, Any]:
    match event:
        case AccountRenamed():
            return {"name": event.name}
        case AccountEmailChanged():
            return {"email": event.email}
        case AccountClosed():
            return {"status": "closed", "closed_at": event.closed_at}
        case _:
            raise AssertionError(event)


def _registered(event: AccountRegistered, recorded: Recorded) -> AccountRow:
    return AccountRow(
        book=recorded.metadata.book,
        account=event.account,
        name=event.name,
        email=event.email,
        currency=event.currency,
        time_zone=event.time_zone,
        status="open",
        origin=event.origin,
        registered_at=recorded.metadata.occurred_at,
        closed_at=None,
        version=recorded.stream_version,
        position=recorded.position,
    )


_COLUMNS: Final = (
    "account, name, email, currency, time_zone, status, origin, registered_at, closed_at, version, position"
)
QUERIES: Final = {
    "find": f"SELECT {_COLUMNS} FROM accounts.accounts WHERE account = %(account)s",  # noqa: S608 - constant
    "list": (
        f"SELECT {_COLUMNS} FROM accounts.accounts WHERE account > %(after)s"  # noqa: S608 - constant
        " ORDER BY account LIMIT %(limit)s"
    ),
}


def find(connection: Connection[Any], account: str) -> dict[str, Any] | None:
    """Give one account of the connection's book."""
    row: dict[str, Any] | None = connection.execute(QUERIES["find"], {"account": account}).fetchone()
    return row


def list_accounts(connection: Connection[Any], after: str | None, limit: int) -> list[dict[str, Any]]:
    """Give accounts of the connection's book after one of them, by id."""
    return connection.execute(QUERIES["list"], {"after": after or "", "limit": limit}).fetchall()


PROJECTION: Final = Projection(
    name="accounts",
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("accounts",),
    queries=QUERIES,
    apply=apply,
)
