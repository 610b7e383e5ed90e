"""The projection of the catalogue: products, meters, tax rates, coupons and billing entities in one table."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.book import BillingEntityDefined
from ledger.events.coupon import CouponCreated, CouponRedeemed, CouponRetired
from ledger.events.meter import MeterDefined, MeterRetired
from ledger.events.product import ProductDefined, ProductRetired
from ledger.events.tax_rate import TaxRateDefined, TaxRateRetired
from projections import topics
from projections.base import Change, KeyedTable, Projection
from projections.stored import stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from psycopg import Connection

    from ledger.events import Event, Recorded
    from projections.batch import Batch

_HANDLED: Final = (
    topics.PRODUCTS | topics.METERS | topics.TAX_RATES | topics.COUPONS | topics.topics(BillingEntityDefined)
)
_IGNORED: Final = (
    (topics.BOOKS - topics.topics(BillingEntityDefined))
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
    | topics.PLANS
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


class CatalogueRow(msgspec.Struct, frozen=True, kw_only=True):
    """One object: what all have in columns, what its kind has besides in `details`.

    A meter's details hold its definition, a tax rate's its versions, a coupon's its terms and how often it
    was redeemed; a product's and a billing entity's are their other fields.
    """

    book: UUID
    kind: str
    id: str
    code: str | None
    name: str
    status: str
    external_id: str | None
    metadata: dict[str, str]
    details: dict[str, Any]
    created_at: datetime
    version: int
    position: int


_TABLE: Final = KeyedTable("objects", CatalogueRow, ("book", "kind", "id"))


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into the objects they are of."""
    _TABLE.fold(connection, changes_of(batch.others))


def changes_of(events: Iterable[Recorded]) -> list[Change[CatalogueRow]]:
    """Give what events do to the rows of the catalogue."""
    changes: list[Change[CatalogueRow]] = []
    for recorded in events:
        read = _READERS.get(type(recorded.event))
        if read is not None:
            kind, identity = _identity(recorded.event)
            change = partial(_changed, read=read, kind=kind, identity=identity, recorded=recorded)
            changes.append(((recorded.metadata.book, kind, identity), change))
    return changes


def _changed(
    row: CatalogueRow | None,
    read: Callable[[CatalogueRow | None, Any], Mapping[str, Any] | None],
    kind: str,
    identity: str,
    recorded: Recorded,
) -> CatalogueRow | None:
    """Make the row that an event leaves; nothing where what began the object was passed over."""
    told = read(row, recorded.event)
    if told is None:
        return None
    begun: dict[str, Any] = {
        "code": None,
        "status": "active",
        "external_id": None,
        "metadata": {},
        "details": {},
    }
    kept = (
        {**begun, "created_at": recorded.metadata.occurred_at} if row is None else msgspec.structs.asdict(row)
    )
    now = {"version": recorded.stream_version, "position": recorded.position}
    return CatalogueRow(
        **{**kept, "book": recorded.metadata.book, "kind": kind, "id": identity, **told, **now}
    )


def _identity(event: Event) -> tuple[str, str]:
    kind = _KINDS[type(event)]
    return kind, getattr(event, kind)


# -- what each event tells of its row -----------------------------------------------------------------


def _product(_: CatalogueRow | None, event: ProductDefined) -> Mapping[str, Any]:
    return {**_described(event), "name": event.name, "details": {"product_version": event.product_version}}


def _meter(_: CatalogueRow | None, event: MeterDefined) -> Mapping[str, Any]:
    definition = event.definition
    return {
        **_described(event),
        "code": definition.code,
        "name": definition.name,
        "details": {"definition": stored(definition)},
    }


def _tax_rate(row: CatalogueRow | None, event: TaxRateDefined) -> Mapping[str, Any]:
    before = [] if row is None else row.details["versions"]
    return {**_described(event), "name": event.name, "details": {"versions": [*before, stored(event)]}}


def _coupon(_: CatalogueRow | None, event: CouponCreated) -> Mapping[str, Any]:
    return {
        **_described(event),
        "code": event.code,
        "name": event.name,
        "details": {"terms": stored(event.terms), "redemptions": 0},
    }


def _redeemed(row: CatalogueRow | None, event: CouponRedeemed) -> Mapping[str, Any] | None:
    return None if row is None else {"details": {**row.details, "redemptions": event.redemption}}


def _entity(_: CatalogueRow | None, event: BillingEntityDefined) -> Mapping[str, Any]:
    return {
        "code": event.billing_entity,
        "name": event.name,
        "metadata": dict(event.metadata),
        "details": {
            "tax_id": event.tax_id,
            "invoice_series": event.invoice_series,
            "credit_note_series": event.credit_note_series,
            "payment_terms_days": event.payment_terms_days,
        },
    }


def _retired(
    row: CatalogueRow | None, _: ProductRetired | MeterRetired | TaxRateRetired | CouponRetired
) -> Mapping[str, Any] | None:
    return None if row is None else {"status": "retired"}


def _described(event: ProductDefined | MeterDefined | TaxRateDefined | CouponCreated) -> dict[str, Any]:
    return {"external_id": event.external_id, "metadata": dict(event.metadata)}


_READERS: Final[Mapping[type[Event], Callable[[CatalogueRow | None, Any], Mapping[str, Any] | None]]] = {
    ProductDefined: _product,
    ProductRetired: _retired,
    MeterDefined: _meter,
    MeterRetired: _retired,
    TaxRateDefined: _tax_rate,
    TaxRateRetired: _retired,
    CouponCreated: _coupon,
    CouponRedeemed: _redeemed,
    CouponRetired: _retired,
    BillingEntityDefined: _entity,
}
# The kind of an event's object is also the field that holds its id.
_KINDS: Final[Mapping[type[Event], str]] = {
    event: event.topic.partition(".")[0] for event in _READERS if event is not BillingEntityDefined
} | {BillingEntityDefined: "billing_entity"}
assert {event.topic for event in _READERS} == _HANDLED, "every event that is handled is read"


QUERIES: Final = {
    "list": (
        "SELECT id, code, name, status, external_id, metadata, details, created_at, version"
        " FROM catalogue.objects WHERE kind = %(kind)s AND id > %(after)s"
        " AND (%(only)s::text IS NULL OR id = %(only)s) AND (%(status)s::text IS NULL OR status = %(status)s)"
        " ORDER BY id LIMIT %(limit)s"
    ),
    "with_external_ids": (
        "SELECT kind, id, external_id FROM catalogue.objects"
        " WHERE external_id IS NOT NULL AND status = 'active' ORDER BY kind, id"
    ),
}


def list_objects(
    connection: Connection[Any],
    kind: str,
    after: str | None,
    limit: int,
    *,
    only: str | None = None,
    status: str | None = None,
) -> list[dict[str, Any]]:
    """Give objects of a kind after one of them, by id; or only one, or those of a status."""
    parameters = {"kind": kind, "after": after or "", "limit": limit, "only": only, "status": status}
    return connection.execute(QUERIES["list"], parameters).fetchall()


def with_external_ids(connection: Connection[Any]) -> list[dict[str, Any]]:
    """Give kind, id and external id of every active object that another system or a file knows."""
    return connection.execute(QUERIES["with_external_ids"]).fetchall()


PROJECTION: Final = Projection(
    name="catalogue", handled=_HANDLED, ignored=_IGNORED, tables=("objects",), queries=QUERIES, apply=apply
)
