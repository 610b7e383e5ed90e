"""The projection of credit: what accounts hold of it, their prepaid grants, and what changed either."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.credit import (
    AccountCredited,
    AccountCreditGivenBack,
    CreditEvent,
    CreditGranted,
    CreditGrantExpired,
    CreditGrantVoided,
    CreditRestored,
    GrantEvent,
)
from projections import topics
from projections.base import Change, KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch

_HANDLED: Final = topics.CREDITS
_IGNORED: Final = (
    topics.BOOKS
    | topics.CLOCKS
    | topics.DUNNING
    | topics.LOG
    | topics.PRINCIPALS
    | topics.SOURCES
    | topics.FEED
    | topics.ACCOUNTS
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
    | topics.JOURNAL
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_CUSTOMERS
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)


class BalanceRow(msgspec.Struct, frozen=True):
    """What an account holds in a currency: its own credit, and what is left of its grants, by kind."""

    book: UUID
    account: str
    currency: str
    own: int
    paid: int
    promotional: int
    position: int


class GrantRow(msgspec.Struct, frozen=True, kw_only=True):
    """One grant; no plans or meters means that it is for all of them."""

    book: UUID
    grant_id: str
    account: str
    currency: str
    kind: str
    method: str | None
    name: str | None
    reference: str | None
    amount: int
    balance: int
    priority: int
    plans: tuple[str, ...]
    meters: tuple[str, ...]
    granted_at: datetime
    expires_at: datetime | None
    status: str
    created_position: int
    position: int


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a balance, up or, where it is negative, down."""

    book: UUID
    position: int
    account: str
    type: str
    currency: str
    amount: int
    grant_id: str | None
    invoice: str | None
    credit: str | None
    reference: str | None
    reason: str | None
    occurred_at: datetime


_BALANCES: Final = KeyedTable("balances", BalanceRow, ("book", "account", "currency"))
_GRANTS: Final = KeyedTable("grants", GrantRow, ("book", "grant_id"))
_CHANGES: Final = KeyedTable("changes", ChangeRow, ("book", "position"))
# What a grant's balance counts towards is known by its row, so grants are folded first.
_KINDS: Final = "SELECT book, grant_id, kind FROM grants WHERE grant_id = ANY(%s)"


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into balances, grants and the list of changes."""
    recorded = [one for one in batch.others if isinstance(one.event, CreditEvent)]
    if not recorded:
        return
    _GRANTS.fold(connection, _grant_changes(recorded))
    kinds = _kinds_of(connection, recorded)
    _BALANCES.fold(connection, _balance_changes(recorded, kinds))
    _CHANGES.fold(connection, [_noted(one) for one in recorded])


def _kinds_of(connection: Connection[Any], recorded: Sequence[Recorded]) -> dict[tuple[UUID, str], str]:
    named = sorted({one.event.grant for one in recorded if isinstance(one.event, GrantEvent)})
    if not named:
        return {}
    rows = connection.execute(_KINDS, (named,))
    return {(row["book"], row["grant_id"]): row["kind"] for row in rows}


def signed(event: CreditEvent) -> int:
    """Say what an event does to a balance."""
    raises = isinstance(event, AccountCredited | AccountCreditGivenBack | CreditGranted | CreditRestored)
    return event.amount if raises else -event.amount


# -- balances ---------------------------------------------------------------------------------------------


def _balance_changes(
    recorded: Sequence[Recorded], kinds: dict[tuple[UUID, str], str]
) -> list[Change[BalanceRow]]:
    changes: list[Change[BalanceRow]] = []
    for one in recorded:
        event, book = one.event, one.metadata.book
        assert isinstance(event, CreditEvent)
        column = kinds.get((book, event.grant)) if isinstance(event, GrantEvent) else "own"
        # None where the grant itself was passed over.
        if column is not None:
            key = (book, event.account, event.currency)
            changes.append((key, partial(_moved, key=key, column=column, event=event, recorded=one)))
    return changes


def _moved(
    row: BalanceRow | None,
    key: tuple[UUID, str, str],
    column: str,
    event: CreditEvent,
    recorded: Recorded,
) -> BalanceRow:
    before = row or BalanceRow(*key, 0, 0, 0, 0)
    moved = {column: getattr(before, column) + signed(event), "position": recorded.position}
    return msgspec.structs.replace(before, **moved)


# -- grants -----------------------------------------------------------------------------------------------


def _grant_changes(recorded: Sequence[Recorded]) -> list[Change[GrantRow]]:
    return [
        ((one.metadata.book, one.event.grant), partial(_granted, event=one.event, recorded=one))
        for one in recorded
        if isinstance(one.event, GrantEvent)
    ]


def _granted(row: GrantRow | None, event: GrantEvent, recorded: Recorded) -> GrantRow | None:
    if isinstance(event, CreditGranted):
        return _new(event, recorded)
    if row is None:
        return None
    status = row.status
    if isinstance(event, CreditGrantExpired):
        status = "expired"
    elif isinstance(event, CreditGrantVoided):
        status = "voided"
    return msgspec.structs.replace(
        row, balance=row.balance + signed(event), status=status, position=recorded.position
    )


def _new(event: CreditGranted, recorded: Recorded) -> GrantRow:
    return GrantRow(
        book=recorded.metadata.book,
        grant_id=event.grant,
        account=event.account,
        currency=event.currency,
        kind=event.kind,
        method=event.method,
        name=event.name,
        reference=event.reference,
        amount=event.amount,
        balance=event.amount,
        priority=event.priority,
        plans=event.scope.plans,
        meters=event.scope.meters,
        granted_at=event.granted_at,
        expires_at=event.expires_at,
        status="active",
        created_position=recorded.position,
        position=recorded.position,
    )


# -- changes ----------------------------------------------------------------------------------------------


def _noted(recorded: Recorded) -> Change[ChangeRow]:
    event: Any = recorded.event
    row = ChangeRow(
        book=recorded.metadata.book,
        position=recorded.position,
        account=event.account,
        type=event.topic,
        currency=event.currency,
        amount=signed(event),
        grant_id=getattr(event, "grant", None),
        invoice=getattr(event, "invoice", None),
        credit=getattr(event, "credit", None),
        reference=getattr(event, "reference", None),
        reason=getattr(event, "reason", None),
        occurred_at=recorded.metadata.occurred_at,
    )
    return (row.book, row.position), lambda _: row


_CHANGE_COLUMNS: Final = (
    "position, type, currency, amount, grant_id, invoice, credit, reference, reason, occurred_at"
)
_GRANT_COLUMNS: Final = (
    "grant_id, account, currency, kind, method, name, reference, amount, balance, priority, plans, meters,"
    " granted_at, expires_at, status, created_position"
)
QUERIES: Final = {
    "balances_of": (
        "SELECT currency, own, paid, promotional FROM credits.balances"
        " WHERE account = %(account)s ORDER BY currency"
    ),
    "changes_of": (
        f"SELECT {_CHANGE_COLUMNS} FROM credits.changes"  # noqa: S608 - constant
        " WHERE account = %(account)s AND position < %(before)s ORDER BY position DESC LIMIT %(limit)s"
    ),
    "grants_of": (
        f"SELECT {_GRANT_COLUMNS} FROM credits.grants"  # noqa: S608 - constant
        " WHERE account = %(account)s AND created_position < %(before)s"
        " ORDER BY created_position DESC LIMIT %(limit)s"
    ),
}
_END: Final = (1 << 63) - 1


def balances_of(connection: Connection[Any], account: str) -> list[dict[str, Any]]:
    """Give what an account holds, by currency."""
    return connection.execute(QUERIES["balances_of"], {"account": account}).fetchall()


def changes_of(
    connection: Connection[Any], account: str, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Page what changed an account's credit, the newest first."""
    parameters = {"account": account, "before": _END if before is None else before, "limit": limit}
    return connection.execute(QUERIES["changes_of"], parameters).fetchall()


def grants_of(
    connection: Connection[Any], account: str, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Page an account's grants, the newest first."""
    parameters = {"account": account, "before": _END if before is None else before, "limit": limit}
    return connection.execute(QUERIES["grants_of"], parameters).fetchall()


PROJECTION: Final = Projection(
    name="credits",
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("balances", "grants", "changes"),
    queries=QUERIES,
    apply=apply,
)
