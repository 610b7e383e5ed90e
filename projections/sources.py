"""The projection of sources: who may write into the book straight from Kafka, and on whose behalf."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.source import SourceEvent, SourceGranted, SourceWithdrawn
from projections import topics
from projections.base import Change, KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch

_HANDLED: Final = topics.SOURCES
_IGNORED: Final = (
    topics.BOOKS
    | topics.CLOCKS
    | topics.DUNNING
    | topics.LOG
    | topics.PRINCIPALS
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
    | topics.CREDITS
    | topics.JOURNAL
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_CUSTOMERS
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)


class SourceRow(msgspec.Struct, frozen=True):
    """One source, with the grant it was given last."""

    book: UUID
    source: str
    principal: str
    principal_kind: str
    scopes: tuple[str, ...]
    status: str
    granted_at: datetime
    withdrawn_at: datetime | None
    version: int
    position: int


_TABLE: Final = KeyedTable("sources", SourceRow, ("book", "source"))


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into the sources they are of."""
    _TABLE.fold(connection, changes_of(batch.others))


def changes_of(events: Iterable[Recorded]) -> list[Change[SourceRow]]:
    """Give what events do to the rows of sources."""
    return [
        (
            (recorded.metadata.book, recorded.event.source),
            partial(_changed, event=recorded.event, recorded=recorded),
        )
        for recorded in events
        if isinstance(recorded.event, SourceEvent)
    ]


def _changed(row: SourceRow | None, event: SourceEvent, recorded: Recorded) -> SourceRow | None:
    if isinstance(event, SourceGranted):
        return _granted(event, recorded)
    if row is None:
        return None
    return _withdrawn(row, event, recorded)


def _granted(event: SourceGranted, recorded: Recorded) -> SourceRow:
    return SourceRow(
        book=recorded.metadata.book,
        source=event.source,
        principal=event.principal,
        principal_kind=event.principal_kind,
        scopes=event.scopes,
        status="granted",
        granted_at=event.granted_at,
        withdrawn_at=None,
        version=recorded.stream_version,
        position=recorded.position,
    )


def _withdrawn(row: SourceRow, event: SourceWithdrawn, recorded: Recorded) -> SourceRow:
    return msgspec.structs.replace(
        row,
        status="withdrawn",
        withdrawn_at=event.withdrawn_at,
        version=recorded.stream_version,
        position=recorded.position,
    )


QUERIES: Final = {
    "list": (
        "SELECT source, principal, principal_kind, scopes, status, granted_at, withdrawn_at, version"
        " FROM sources.sources WHERE source > %(after)s ORDER BY source LIMIT %(limit)s"
    ),
}


def list_sources(connection: Connection[Any], after: str | None, limit: int) -> list[dict[str, Any]]:
    """Give sources of the connection's book after one of them, by name."""
    return connection.execute(QUERIES["list"], {"after": after or "", "limit": limit}).fetchall()


PROJECTION: Final = Projection(
    name="sources", handled=_HANDLED, ignored=_IGNORED, tables=("sources",), queries=QUERIES, apply=apply
)
