"""When dunning and notices are due: what is known of invoices and subscriptions, read by the policy in force.

They are tables of the projection of what is due. A policy that is adopted moves every row of its book, so
what it is worked out from is kept here: the invoices that something is left of, and what subscriptions come
to.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

import msgspec

from ledger.events.dunning import DunningPolicyAdopted, DunningStep
from ledger.events.invoice import InvoiceEvent
from ledger.events.subscription import SubscriptionEvent
from ledger.notices import Coming, coming, due_notice
from ledger.past_due import PastDue, due_steps, past_due
from ledger.streams.dunning import Dunning
from projections.base import Change, KeyedTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection

    from ledger.events import Recorded

DUNNING: Final = "dunning"
NOTICE: Final = "notice"
TABLES: Final = ("dunning_policies", "past_due", "renewals")


class DueNext(NamedTuple):
    """When something is due next, or that nothing is."""

    book: UUID
    kind: str
    subject: str
    account: str
    due_at: datetime | None
    position: int


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a book's dunning policy."""

    book: UUID
    policy_version: int
    in_force_from: datetime
    time_zone: str
    steps: tuple[DunningStep, ...]
    renewal_days_before: int | None
    trial_end_days_before: int | None
    position: int


class PastDueRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that something is left of, or that keeps keys suspended: a `PastDue` in columns."""

    book: UUID
    invoice: str
    account: str
    issued_on: date
    due_on: date
    booked_at: datetime
    owed: int
    suspended: bool
    settled_at: datetime | None
    last_at: datetime | None
    last_actions: tuple[str, ...]
    is_over: bool
    position: int


class RenewalRow(msgspec.Struct, frozen=True, kw_only=True):
    """What comes at the end of a subscription's period: a `Coming` in columns."""

    book: UUID
    subscription: str
    account: str
    zone: str
    contract_ends_at: datetime | None
    starts_at: datetime | None
    ends_at: datetime | None
    trial: bool
    booked_at: datetime | None
    paused: bool
    ending: bool
    told_of: datetime | None
    position: int


_POLICIES: Final = KeyedTable("dunning_policies", PolicyRow, ("book", "policy_version"))
_PAST_DUE: Final = KeyedTable("past_due", PastDueRow, ("book", "invoice"))
_RENEWALS: Final = KeyedTable("renewals", RenewalRow, ("book", "subscription"))
_PAST_DUE_FIELDS: Final = tuple(one.name for one in fields(PastDue))
_COMING_FIELDS: Final = tuple(one.name for one in fields(Coming))

_KNOWN_POLICIES: Final = (
    "SELECT * FROM dunning_policies WHERE book = ANY(%s::uuid[]) ORDER BY book, policy_version"
)
_WANTED: Final = (
    "SELECT kept.* FROM {table} AS kept WHERE kept.book = ANY(%s::uuid[])"
    " UNION SELECT kept.* FROM {table} AS kept"
    " JOIN unnest(%s::uuid[], %s::text[]) AS touched (book, subject)"
    " ON kept.book = touched.book AND kept.{subject} = touched.subject"
)
_DROP_OVER: Final = (
    "DELETE FROM past_due USING unnest(%s::uuid[], %s::text[]) AS touched (book, invoice)"
    " WHERE (past_due.book, past_due.invoice) = (touched.book, touched.invoice) AND past_due.is_over"
)


def due_next(connection: Connection[Any], events: Sequence[Recorded]) -> list[DueNext]:
    """Fold a batch's events, and say of everything they touch when it is due next."""
    policies = [one for one in events if isinstance(one.event, DunningPolicyAdopted)]
    _POLICIES.fold(connection, [_adopted(one) for one in policies])
    invoices = _invoice_changes(events)
    _PAST_DUE.fold(connection, invoices)
    subscriptions = _subscription_changes(events)
    _RENEWALS.fold(connection, subscriptions)
    adopted = sorted({one.metadata.book for one in policies})
    touched_invoices = sorted({(book, invoice) for (book, invoice), _ in invoices})
    touched = sorted({(book, subscription) for (book, subscription), _ in subscriptions})
    known = _known_policies(connection, {book for book, _ in (*touched_invoices, *touched)} | set(adopted))
    found = []
    if known:
        found = [
            *_dunning(connection, known, adopted, touched_invoices),
            *_notices(connection, known, adopted, touched),
        ]
    if touched_invoices:
        connection.execute(_DROP_OVER, _columns(touched_invoices))
    return found


def _columns(keys: Sequence[tuple[UUID, str]]) -> list[list[Any]]:
    return [[book for book, _ in keys], [subject for _, subject in keys]]


def _known_policies(connection: Connection[Any], books: Iterable[UUID]) -> dict[UUID, tuple[Dunning, int]]:
    """Give what each book that has any goes by, and the position of the last version."""
    found = connection.execute(_KNOWN_POLICIES, (sorted(books),)).fetchall()
    rows = [msgspec.convert(row, PolicyRow) for row in found]
    known: dict[UUID, tuple[Dunning, int]] = {}
    for row in rows:
        before = known.get(row.book, (Dunning(), 0))[0]
        version = DunningPolicyAdopted(
            policy_version=row.policy_version,
            in_force_from=row.in_force_from,
            time_zone=row.time_zone,
            steps=row.steps,
            renewal_days_before=row.renewal_days_before,
            trial_end_days_before=row.trial_end_days_before,
        )
        known[row.book] = (Dunning((*before.versions, version)), row.position)
    return known


def _wanted(
    connection: Connection[Any],
    table: str,
    subject: str,
    known: dict[UUID, tuple[Dunning, int]],
    adopted: Sequence[UUID],
    touched: Sequence[tuple[UUID, str]],
) -> list[dict[str, Any]]:
    """Read the rows that were touched, and all of the books whose policy was."""
    in_known = [(book, one) for book, one in touched if book in known]
    query = _WANTED.format(table=table, subject=subject)  # our own names, not input
    return connection.execute(query, [list(adopted), *_columns(in_known)]).fetchall()


def _dunning(
    connection: Connection[Any],
    known: dict[UUID, tuple[Dunning, int]],
    adopted: Sequence[UUID],
    touched: Sequence[tuple[UUID, str]],
) -> Iterable[DueNext]:
    for found in _wanted(connection, "past_due", "invoice", known, adopted, touched):
        row = msgspec.convert(found, PastDueRow)
        dunning, position = known[row.book]
        steps = due_steps(dunning, _past_due(row))
        due_at = steps[0].due_at if steps else None
        yield DueNext(row.book, DUNNING, row.invoice, row.account, due_at, max(position, row.position))


def _notices(
    connection: Connection[Any],
    known: dict[UUID, tuple[Dunning, int]],
    adopted: Sequence[UUID],
    touched: Sequence[tuple[UUID, str]],
) -> Iterable[DueNext]:
    for found in _wanted(connection, "renewals", "subscription", known, adopted, touched):
        row = msgspec.convert(found, RenewalRow)
        dunning, position = known[row.book]
        notice = due_notice(dunning, _coming(row))
        due_at = None if notice is None else notice.due_at
        yield DueNext(row.book, NOTICE, row.subscription, row.account, due_at, max(position, row.position))


def _adopted(recorded: Recorded) -> Change[PolicyRow]:
    event = recorded.event
    assert isinstance(event, DunningPolicyAdopted), "only these are asked for"
    row = PolicyRow(
        book=recorded.metadata.book,
        policy_version=event.policy_version,
        in_force_from=event.in_force_from,
        time_zone=event.time_zone,
        steps=event.steps,
        renewal_days_before=event.renewal_days_before,
        trial_end_days_before=event.trial_end_days_before,
        position=recorded.position,
    )

    def put(before: PolicyRow | None) -> PolicyRow:
        del before
        return row

    return (row.book, row.policy_version), put


def _invoice_changes(events: Iterable[Recorded]) -> list[Change[PastDueRow]]:
    return [
        ((one.metadata.book, one.event.invoice), partial(_owed, event=one.event, recorded=one))
        for one in events
        if isinstance(one.event, InvoiceEvent)
    ]


def _owed(row: PastDueRow | None, event: InvoiceEvent, recorded: Recorded) -> PastDueRow | None:
    state = past_due(None if row is None else _past_due(row), event, recorded.metadata.booked_at)
    if state is None:
        return None
    return PastDueRow(
        book=recorded.metadata.book,
        invoice=event.invoice,
        account=event.account,
        **{name: getattr(state, name) for name in _PAST_DUE_FIELDS},
        position=recorded.position,
    )


def _past_due(row: PastDueRow) -> PastDue:
    return PastDue(**{name: getattr(row, name) for name in _PAST_DUE_FIELDS})


def _subscription_changes(events: Iterable[Recorded]) -> list[Change[RenewalRow]]:
    return [
        ((one.metadata.book, one.event.subscription), partial(_renews, event=one.event, recorded=one))
        for one in events
        if isinstance(one.event, SubscriptionEvent)
    ]


def _renews(row: RenewalRow | None, event: SubscriptionEvent, recorded: Recorded) -> RenewalRow | None:
    before = None if row is None else _coming(row)
    state = coming(before, event, recorded.metadata.booked_at)
    if state is None or state == before:
        return row
    return RenewalRow(
        book=recorded.metadata.book,
        subscription=event.subscription,
        account=event.account,
        **{name: getattr(state, name) for name in _COMING_FIELDS},
        position=recorded.position,
    )


def _coming(row: RenewalRow) -> Coming:
    return Coming(**{name: getattr(row, name) for name in _COMING_FIELDS})
