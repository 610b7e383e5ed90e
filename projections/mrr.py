"""The projection of MRR: how subscriptions stood from instant to instant, and what price versions ask for.

It does not know what counts as revenue: definitions are applied when it is read (`projections.mrr_queries`).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.plan import PlanCreated, PlanRepriced
from ledger.events.stripe import StripeSubscriptionObserved
from ledger.events.subscription import SubscriptionEvent
from ledger.events.tax_rate import TaxRateDefined
from ledger.mrr_values import RecurringAmount
from projections import mrr_invoices as invoices
from projections import topics
from projections.base import KeyedTable, Projection, as_json
from projections.mrr_queries import QUERIES
from projections.mrr_rows import StandingRow, SubscriptionRow
from projections.mrr_subscriptions import changed, owing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.base import Change
    from projections.batch import Batch
    from projections.mrr_invoices import Dues

_HANDLED: Final = (
    topics.PLANS | topics.TAX_RATES | topics.SUBSCRIPTIONS | topics.INVOICES | topics.STRIPE_SUBSCRIPTIONS
)
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
    | topics.PRODUCTS
    | topics.METERS
    | topics.COUPONS
    | topics.INVOICE_NUMBERS
    | topics.CREDIT_NOTES
    | topics.CREDIT_NOTE_NUMBERS
    | topics.PAYMENTS
    | topics.CREDITS
    | topics.JOURNAL
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_CUSTOMERS
    | topics.STRIPE_INVOICES
)


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a price version asks for an interval."""

    book: UUID
    plan: str
    price_version: int
    interval: str
    fees: tuple[RecurringAmount, ...]
    position: int


class TaxRateRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a tax rate: how much of it, in per cent, lies within prices."""

    book: UUID
    tax_rate: str
    tax_rate_version: int
    percent_within: Decimal
    effective_at: datetime
    position: int


_INVOICES: Final = KeyedTable("invoices", invoices.InvoiceRow, ("book", "invoice"))
_SUBSCRIPTIONS: Final = KeyedTable("subscriptions", SubscriptionRow, ("book", "subscription"))


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Keep the batch's prices, and fold its events into how the subscriptions they are of stand."""
    _insert(connection, "prices", PriceRow, prices_of(batch.others))
    _insert(connection, "tax_rates", TaxRateRow, tax_rates_of(batch.others))
    # Each change runs once, in log order, and as it does adds to the dues or to the standings.
    dues: list[Dues] = []
    _INVOICES.fold(connection, invoices.changes_of(batch.others, dues))
    standings: list[StandingRow] = []
    _SUBSCRIPTIONS.fold(connection, changes_of(batch.others, dues, standings))
    _insert(connection, "standings", StandingRow, standings)


def _insert(
    connection: Connection[Any], table: str, row: type[msgspec.Struct], rows: Sequence[msgspec.Struct]
) -> None:
    if not rows:
        return
    columns = ", ".join(field.name for field in msgspec.structs.fields(row))
    connection.execute(
        f"INSERT INTO {table} ({columns}) SELECT {columns}"  # noqa: S608 - our own names, not input
        f" FROM json_populate_recordset(NULL::{table}, %s::json)",
        (as_json(rows),),
    )


def prices_of(events: Iterable[Recorded]) -> list[PriceRow]:
    """Give the price versions that events bring."""
    return [
        PriceRow(
            book=recorded.metadata.book,
            plan=recorded.event.plan,
            price_version=recorded.event.price_version,
            interval=recorded.event.terms.interval,
            fees=_fees(recorded.event),
            position=recorded.position,
        )
        for recorded in events
        if isinstance(recorded.event, PlanCreated | PlanRepriced)
    ]


def _fees(event: PlanCreated | PlanRepriced) -> tuple[RecurringAmount, ...]:
    return tuple(
        RecurringAmount(
            amounts=fee.amounts, per_seat=fee.per_seat, tax_rates=fee.tax_rates or event.terms.tax_rates
        )
        for fee in event.terms.fees
    )


def tax_rates_of(events: Iterable[Recorded]) -> list[TaxRateRow]:
    """Give the versions of tax rates that events bring."""
    return [
        TaxRateRow(
            book=recorded.metadata.book,
            tax_rate=recorded.event.tax_rate,
            tax_rate_version=recorded.event.tax_rate_version,
            percent_within=recorded.event.percent if recorded.event.behaviour == "inclusive" else Decimal(0),
            effective_at=recorded.event.effective_at,
            position=recorded.position,
        )
        for recorded in events
        if isinstance(recorded.event, TaxRateDefined)
    ]


def changes_of(
    events: Iterable[Recorded], dues: Iterable[Dues], standings: list[StandingRow]
) -> list[Change[SubscriptionRow]]:
    """Give what events and dues do to subscriptions; as they are carried out, they add to the standings."""
    found: list[tuple[int, Change[SubscriptionRow]]] = []
    for recorded in events:
        event, book = recorded.event, recorded.metadata.book
        if isinstance(event, SubscriptionEvent):
            subscription = event.subscription
        elif isinstance(event, StripeSubscriptionObserved):
            subscription = event.stripe_subscription
        else:
            continue
        change = partial(changed, recorded=recorded, standings=standings)
        found.append((recorded.position, ((book, subscription), change)))
    for one in dues:
        key = (one.recorded.metadata.book, one.subscription)
        found.append((one.recorded.position, (key, partial(owing, dues=one, standings=standings))))
    return [change for _, change in sorted(found, key=itemgetter(0))]


PROJECTION: Final = Projection(
    name="mrr",
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("prices", "tax_rates", "invoices", "subscriptions", "standings"),
    queries=QUERIES,
    apply=apply,
)
