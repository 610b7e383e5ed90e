"""The projection of accounts: who is billed, as they stand."""

from __future__ import annotations

from datetime import UTC, datetime
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
from ledger.events.stripe import StripeCustomerObserved
from projections import topics
from projections.base import Change, KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch

_HANDLED: Final = topics.ACCOUNTS | topics.STRIPE_CUSTOMERS
_IGNORED: Final = (
    topics.BOOKS
    | topics.LOG
    | topics.PRINCIPALS
    | topics.KEYS
    | topics.USAGE
    | topics.PLANS
    | topics.SUBSCRIPTIONS
    | topics.INVOICES
    | topics.INVOICE_NUMBERS
    | topics.PAYMENTS
    | topics.JOURNAL
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


class AccountRow(msgspec.Struct, frozen=True):
    """One account; `name_at` and `email_at` are the instants that name and e-mail address were last set."""

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
    name_at: datetime
    email_at: datetime
    version: int
    position: int


_TABLE: Final = KeyedTable("accounts", AccountRow, ("book", "account"))


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into the accounts they are of."""
    _TABLE.fold(connection, changes_of(batch.others))


def changes_of(events: Iterable[Recorded]) -> list[Change[AccountRow]]:
    """Give what events do to the rows of accounts."""
    return [
        ((recorded.metadata.book, recorded.event.account), partial(_changed, recorded=recorded))
        for recorded in events
        if isinstance(recorded.event, AccountEvent | StripeCustomerObserved)
    ]


def _changed(row: AccountRow | None, recorded: Recorded) -> AccountRow | None:
    event, at = recorded.event, recorded.metadata.occurred_at
    if isinstance(event, AccountRegistered):
        return _registered(event, recorded)
    if row is None:
        return None
    if isinstance(event, StripeCustomerObserved):
        return _observed(row, event, recorded.position)
    changes: dict[str, Any] = {}
    if isinstance(event, AccountRenamed):
        changes = {"name": event.name, "name_at": max(at, row.name_at)}
    elif isinstance(event, AccountEmailChanged):
        changes = {"email": event.email, "email_at": max(at, row.email_at)}
    elif isinstance(event, AccountClosed):
        changes = {"status": "closed", "closed_at": event.closed_at}
    return msgspec.structs.replace(
        row, **changes, version=recorded.stream_version, position=recorded.position
    )


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
        # What it was registered with may be what Stripe said first, not last: any sighting beats it.
        name_at=_NEVER,
        email_at=_NEVER,
        version=recorded.stream_version,
        position=recorded.position,
    )


def _observed(row: AccountRow, event: StripeCustomerObserved, position: int) -> AccountRow:
    """Take over what Stripe said if it is news: the newest instant wins, whatever the order of arrival."""
    changes: dict[str, Any] = {}
    for field, seen in (("name", event.name), ("email", event.email)):
        known_at: datetime = getattr(row, f"{field}_at")
        # Of two sightings of one instant the greater text wins: a rule that knows no order of arrival.
        if seen is not None and (event.observed_at, seen) > (known_at, getattr(row, field) or ""):
            changes |= {field: seen, f"{field}_at": event.observed_at}
    return msgspec.structs.replace(row, **changes, position=position) if changes else row


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
