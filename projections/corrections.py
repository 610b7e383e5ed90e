"""The projection of corrected usage: which events were corrected, and what each said before and since.

Measuring reads it together with the timeline, whose runs stay as they were recorded.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from psycopg.rows import tuple_row

from ledger.events.usage_correction import UsageCorrected
from ledger.measuring import MeasuredEvent
from ledger.usage_corrections import CorrectedUse, Correction
from projections import topics
from projections.base import KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection

    from ledger.events import Recorded
    from ledger.events.usage_correction import UsageFacts
    from projections.batch import Batch
    from projections.measured_queries import Window

_HANDLED: Final = topics.CORRECTIONS
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


class CorrectionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One correction; no quantity means that the event was void before it, or is void since."""

    book: UUID
    position: int
    account: str
    meter: str
    used_at: datetime
    original: int
    was_quantity: Decimal | None
    was_properties: str | None
    was_digest: str | None
    quantity: Decimal | None
    properties: str | None
    digest: str | None


_TABLE: Final = KeyedTable("corrections", CorrectionRow, ("book", "position"))
# As the log writes them, so that they read as those of an event that was never corrected.
_written: Final = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode
_read: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Write a row for each correction."""
    rows = [
        row_of(recorded, recorded.event)
        for recorded in batch.others
        if isinstance(recorded.event, UsageCorrected)
    ]
    _TABLE.fold(connection, [((row.book, row.position), partial(_kept, row=row)) for row in rows])


def _kept(_: CorrectionRow | None, row: CorrectionRow) -> CorrectionRow:
    return row


def row_of(recorded: Recorded, event: UsageCorrected) -> CorrectionRow:
    """Give the row of a correction."""
    was_quantity, was_properties, was_digest = _columns(event.was)
    quantity, properties, digest = _columns(event.becomes)
    return CorrectionRow(
        book=recorded.metadata.book,
        position=recorded.position,
        account=event.account,
        meter=event.meter,
        used_at=event.used_at,
        original=event.original_position,
        was_quantity=was_quantity,
        was_properties=was_properties,
        was_digest=was_digest,
        quantity=quantity,
        properties=properties,
        digest=digest,
    )


def _columns(facts: UsageFacts | None) -> tuple[Decimal | None, str | None, str | None]:
    if facts is None:
        return None, None, None
    return facts.quantity, _written(facts.properties).decode(), facts.digest


# By windows that are given, which are joined: not one of the queries that a book alone bounds.
_WITHIN: Final = (
    "SELECT ask.number, position, original, used_at, was_quantity, was_properties, was_digest,"
    " quantity, properties, digest"
    " FROM unnest(%(accounts)s::text[], %(event_types)s::text[], %(starts)s::timestamptz[],"
    " %(ends)s::timestamptz[], %(after)s::bigint[], %(through)s::bigint[])"
    " WITH ORDINALITY AS ask (account, event_type, starts, ends, after, through, number)"
    " JOIN corrections.corrections AS made ON made.account = ask.account AND made.meter = ask.event_type"
    " AND made.used_at >= ask.starts AND made.used_at < ask.ends"
    " AND made.position > ask.after AND made.position <= ask.through"
    " ORDER BY ask.number, position"
)
QUERIES: Final = {
    "of_accounts": (
        "SELECT account, meter, used_at, position FROM corrections.corrections"
        " WHERE account = ANY(%(accounts)s) AND position <= %(through)s"
    ),
}


def within(connection: Connection[Any], windows: Sequence[Window]) -> list[list[Correction]]:
    """Give the corrections in each window, in the order of the log."""
    parameters = {
        "accounts": [one.account for one in windows],
        "event_types": [one.event_type for one in windows],
        "starts": [one.starts for one in windows],
        "ends": [one.ends for one in windows],
        "after": [one.after for one in windows],
        "through": [one.through for one in windows],
    }
    found: list[list[Correction]] = [[] for _ in windows]
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        for number, position, original, used_at, *facts in cursor.execute(_WITHIN, parameters):
            was, becomes = (_facts(columns, (original, used_at)) for columns in (facts[:3], facts[3:]))
            found[number - 1].append(Correction(position, original, used_at, was, becomes))
    return found


def of_accounts(
    connection: Connection[Any], accounts: Iterable[str], through: int
) -> dict[str, list[CorrectedUse]]:
    """Give where the usage of accounts was corrected, at positions up to one."""
    found: dict[str, list[CorrectedUse]] = {}
    with connection.cursor(binary=True, row_factory=tuple_row) as cursor:
        rows = cursor.execute(QUERIES["of_accounts"], {"accounts": list(accounts), "through": through})
        for account, meter, used_at, position in rows:
            found.setdefault(account, []).append(CorrectedUse(meter, used_at, position))
    return found


def _facts(columns: Sequence[Any], row: tuple[int, datetime]) -> MeasuredEvent | None:
    """Give an event with the facts in three columns, as measuring takes it; none where it is void."""
    quantity, properties, digest = columns
    return None if quantity is None else MeasuredEvent(*row, quantity, _read(properties), digest)


PROJECTION: Final = Projection(
    name="corrections",
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("corrections",),
    queries=QUERIES,
    apply=apply,
)
