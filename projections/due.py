"""The projection of what is due next: what the scheduler does, and when, comes from these rows alone.

One row for each thing that something happens to at a known instant: a subscription whose period ends (or that
begins, or whose trial or contract ends), a draft that is finalized, a key, a coupon or a grant of credit that
expires, a step to take about what is past due, a notice to give. A kind of its own is all that more of them
take. Beside them, which test books have a clock of their own.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.api_key import ApiKeyEvent, ApiKeyExpired, ApiKeyIssued, ApiKeyRevoked
from ledger.events.clock import ClockMoved
from ledger.events.coupon import CouponCreated, CouponEvent, CouponRetired
from ledger.events.credit import CreditGranted, CreditGrantExpired, CreditGrantVoided, GrantEvent
from ledger.events.invoice import InvoiceDrafted, InvoiceEvent, InvoiceFinalized, InvoiceVoided
from ledger.events.subscription import (
    PeriodOpened,
    SubscriptionCancelled,
    SubscriptionEvent,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
    SubscriptionStarted,
)
from projections import due_dunning, topics
from projections.base import Change, KeyedTable, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch

SUBSCRIPTION: Final = "subscription"
INVOICE: Final = "invoice"
KEY: Final = "key"
CREDIT: Final = "credit"
COUPON: Final = "coupon"
DUNNING: Final = due_dunning.DUNNING
NOTICE: Final = due_dunning.NOTICE

_HANDLED: Final = (
    topics.CLOCKS
    | topics.DUNNING
    | topics.KEYS
    | topics.COUPONS
    | topics.SUBSCRIPTIONS
    | topics.INVOICES
    | topics.CREDITS
)
_IGNORED: Final = (
    topics.BOOKS
    | topics.LOG
    | topics.PRINCIPALS
    | topics.SOURCES
    | topics.FEED
    | topics.ACCOUNTS
    | topics.USAGE
    | topics.CORRECTIONS
    | topics.PRODUCTS
    | topics.METERS
    | topics.TAX_RATES
    | topics.PLANS
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


class DueRow(msgspec.Struct, frozen=True, kw_only=True):
    """What happens next to a subject, and when; `due_at` is null while it is paused, and nothing is due.

    A row without `next_at` is over and goes at the end of its batch.
    """

    book: UUID
    kind: str
    subject: str
    account: str | None
    due_at: datetime | None
    next_at: datetime | None
    position: int


class ClockRow(msgspec.Struct, frozen=True, kw_only=True):
    """Where the clock of a test book stands, once it was set."""

    book: UUID
    now_at: datetime
    position: int


_DUE: Final = KeyedTable("due", DueRow, ("book", "kind", "subject"))
_CLOCKS: Final = KeyedTable("clocks", ClockRow, ("book",))
_DROP_OVER: Final = (
    "DELETE FROM due USING unnest(%s::uuid[], %s::text[], %s::text[]) AS touched (book, kind, subject)"
    " WHERE (due.book, due.kind, due.subject) = (touched.book, touched.kind, touched.subject)"
    " AND due.next_at IS NULL"
)


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Fold the batch's events into what is due next; what is over goes."""
    changes = changes_of(batch.others)
    changes += [_put(one) for one in due_dunning.due_next(connection, batch.others)]
    _DUE.fold(connection, changes)
    touched = sorted({key for key, _ in changes})
    if touched:
        connection.execute(_DROP_OVER, [list(column) for column in zip(*touched, strict=True)])
    _CLOCKS.fold(connection, _clock_changes(batch.others))


def changes_of(events: Iterable[Recorded]) -> list[Change[DueRow]]:
    """Give what events do to what is due."""
    changes: list[Change[DueRow]] = []
    for recorded in events:
        event, book = recorded.event, recorded.metadata.book
        if isinstance(event, SubscriptionEvent):
            key = (book, SUBSCRIPTION, event.subscription)
            changes.append((key, partial(_of_subscription, event=event, recorded=recorded)))
        elif isinstance(event, InvoiceEvent):
            key = (book, INVOICE, event.invoice)
            changes.append((key, partial(_of_invoice, event=event, recorded=recorded)))
        elif isinstance(event, ApiKeyEvent):
            key = (book, KEY, event.key)
            changes.append((key, partial(_of_key, event=event, recorded=recorded)))
        elif isinstance(event, GrantEvent):
            key = (book, CREDIT, event.grant)
            changes.append((key, partial(_of_grant, event=event, recorded=recorded)))
        elif isinstance(event, CouponEvent):
            key = (book, COUPON, event.coupon)
            changes.append((key, partial(_of_coupon, event=event, recorded=recorded)))
    return changes


def _of_subscription(row: DueRow | None, event: SubscriptionEvent, recorded: Recorded) -> DueRow | None:
    due_at: datetime | None
    next_at = None if row is None else row.next_at
    match event:
        case SubscriptionStarted():
            # Who was billed elsewhere until later begins here only then.
            due_at = next_at = max(event.starts_at, event.billed_through or event.starts_at)
        case PeriodOpened():
            due_at = next_at = event.ends_at
        case SubscriptionPaused():
            due_at = None
        case SubscriptionResumed():
            next_at = event.period_ends_at or next_at
            # The time of a pause that outlasted its period is not billed.
            due_at = None if next_at is None else max(next_at, event.resumed_at)
        case SubscriptionCancelled():
            due_at = next_at = None
        case SubscriptionReactivated():
            due_at = next_at = event.reactivated_at
        case _:
            return row
    return _row(recorded, SUBSCRIPTION, event.subscription, event.account, due_at, next_at)


def _of_invoice(row: DueRow | None, event: InvoiceEvent, recorded: Recorded) -> DueRow | None:
    due_at: datetime | None
    match event:
        case InvoiceDrafted():
            due_at = event.finalizes_at if event.managed_by == "daybook" else None
        case InvoiceFinalized() | InvoiceVoided():
            due_at = None
        case _:
            return row
    if row is None and due_at is None:
        return None
    return _row(recorded, INVOICE, event.invoice, event.account, due_at, due_at)


def _of_key(row: DueRow | None, event: ApiKeyEvent, recorded: Recorded) -> DueRow | None:
    match event:
        case ApiKeyIssued():
            due_at = event.expires_at
        case ApiKeyRevoked() | ApiKeyExpired():
            due_at = None
        case _:
            return row
    if row is None and due_at is None:
        return None
    account = event.owner if event.owner.startswith("acc_") else None
    return _row(recorded, KEY, event.key, account, due_at, due_at)


def _of_grant(row: DueRow | None, event: GrantEvent, recorded: Recorded) -> DueRow | None:
    due_at: datetime | None
    match event:
        case CreditGranted():
            due_at = event.expires_at
        case CreditGrantExpired() | CreditGrantVoided():
            due_at = None
        case _:
            return row
    if row is None and due_at is None:
        return None
    return _row(recorded, CREDIT, event.grant, event.account, due_at, due_at)


def _of_coupon(row: DueRow | None, event: CouponEvent, recorded: Recorded) -> DueRow | None:
    match event:
        case CouponCreated():
            due_at = event.terms.redeem_by
        case CouponRetired():
            due_at = None
        case _:
            return row
    if row is None and due_at is None:
        return None
    return _row(recorded, COUPON, event.coupon, None, due_at, due_at)


def _put(one: due_dunning.DueNext) -> Change[DueRow]:
    """Put a row as it is worked out, whatever it was; where nothing is due, it goes if it is there."""
    made = DueRow(
        book=one.book,
        kind=one.kind,
        subject=one.subject,
        account=one.account,
        due_at=one.due_at,
        next_at=one.due_at,
        position=one.position,
    )

    def put(row: DueRow | None) -> DueRow | None:
        return None if row is None and one.due_at is None else made

    return (one.book, one.kind, one.subject), put


def _row(
    recorded: Recorded,
    kind: str,
    subject: str,
    account: str | None,
    due_at: datetime | None,
    next_at: datetime | None,
) -> DueRow:
    return DueRow(
        book=recorded.metadata.book,
        kind=kind,
        subject=subject,
        account=account,
        due_at=due_at,
        next_at=next_at,
        position=recorded.position,
    )


def _clock_changes(events: Iterable[Recorded]) -> list[Change[ClockRow]]:
    return [
        ((one.metadata.book,), partial(_moved, event=one.event, recorded=one))
        for one in events
        if isinstance(one.event, ClockMoved)
    ]


def _moved(row: ClockRow | None, event: ClockMoved, recorded: Recorded) -> ClockRow:
    del row
    return ClockRow(book=recorded.metadata.book, now_at=event.to_at, position=recorded.position)


QUERIES: Final = {
    "until": (
        "SELECT book, kind, subject, account, due_at, position FROM due.due"
        " WHERE due_at <= %(until)s AND (kind, subject, due_at) NOT IN"
        " (SELECT * FROM unnest(%(but_kinds)s::text[], %(but_subjects)s::text[], %(but_due)s::timestamptz[]))"
        " ORDER BY due_at, kind, subject LIMIT %(limit)s"
    ),
}


def due_until(
    connection: Connection[Any],
    until: datetime,
    limit: int,
    but: Sequence[tuple[str, str, datetime]] = (),
) -> list[dict[str, Any]]:
    """Give what is due at or before an instant in the connection's book, the earliest first, but for some."""
    parameters = {
        "until": until,
        "limit": limit,
        "but_kinds": [kind for kind, _, _ in but],
        "but_subjects": [subject for _, subject, _ in but],
        "but_due": [due_at for _, _, due_at in but],
    }
    return connection.execute(QUERIES["until"], parameters).fetchall()


PROJECTION: Final = Projection(
    name="due",
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("due", "clocks", *due_dunning.TABLES),
    queries=QUERIES,
    apply=apply,
)
