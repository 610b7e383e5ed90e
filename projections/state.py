"""An account as it was at a position of the log, or as it was known at an instant.

Its events are found by its timeline and folded just as the live projections fold them, so that what is shown
of the past is what was shown in the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ledger.events.payment import PaymentReceived
from ledger.events.usage import UsageRecorded
from ledger.events.usage_correction import UsageCorrected
from projections import accounts, balances, billing_invoices, billing_subscriptions, keys, timeline_queries
from projections.arrays import exact_decimals
from projections.base import fold_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from ledger.events import Recorded
    from ledger.store import Log
    from projections.accounts import AccountRow
    from projections.balances import Balance
    from projections.billing_invoices import InvoiceRow
    from projections.billing_subscriptions import SubscriptionRow
    from projections.keys import KeyRow


@dataclass(frozen=True)
class MeterTotal:
    """How much of a meter was used, in how many events."""

    meter: str
    quantity: Decimal
    events: int


@dataclass(frozen=True)
class AccountState:
    """An account and all that belongs to it; `position` is that of its last event, usage apart."""

    position: int
    account: AccountRow
    keys: tuple[KeyRow, ...]
    subscriptions: tuple[SubscriptionRow, ...]
    invoices: tuple[InvoiceRow, ...]
    payments: tuple[PaymentReceived, ...]
    balances: tuple[Balance, ...]
    usage: tuple[MeterTotal, ...]


def account_state(log: Log, book: UUID, account: str, at: int | datetime) -> AccountState | None:
    """Give the account as of a position, or as known at an instant of `booked_at`; none before it was."""
    with log.reading(book) as connection:
        positions = timeline_queries.positions(connection, account, at)
        whole = timeline_queries.usage_whole(connection, account, at)
        straddling = timeline_queries.usage_straddling(connection, account, at)
    events = _known(log.at_positions(book, positions), at)
    row = fold_rows({}, accounts.changes_of(events)).get((book, account))
    if row is None:
        return None
    return AccountState(
        position=events[-1].position,
        account=row,
        keys=tuple(fold_rows({}, keys.changes_of(events)).values()),
        subscriptions=tuple(fold_rows({}, billing_subscriptions.changes_of(events)).values()),
        invoices=_invoices(events),
        payments=_payments(events),
        balances=balances.of_events(account, events),
        usage=_usage(whole, log.at_positions(book, straddling), at, _corrections(log, book, events, at)),
    )


def _invoices(events: Iterable[Recorded]) -> tuple[InvoiceRow, ...]:
    rows = fold_rows({}, billing_invoices.changes_of(events)).values()
    return tuple(row for row in rows if row.managed_invoice is None)


def _payments(events: Iterable[Recorded]) -> tuple[PaymentReceived, ...]:
    """Give each payment as it was last stated."""
    payments = {one.event.payment: one.event for one in events if isinstance(one.event, PaymentReceived)}
    return tuple(payments.values())


def _known(events: Iterable[Recorded], at: int | datetime) -> list[Recorded]:
    """Cut each stream at its first event that was booked later: clocks may disagree on the order of two."""
    if isinstance(at, int):
        return list(events)
    cut: set[UUID] = set()
    kept = []
    for recorded in events:
        if recorded.metadata.booked_at > at:
            cut.add(recorded.stream)
        if recorded.stream not in cut:
            kept.append(recorded)
    return kept


def _corrections(
    log: Log, book: UUID, events: Iterable[Recorded], at: int | datetime
) -> list[UsageCorrected]:
    """Give the corrections of usage that is counted: clocks may disagree on which of the two came first."""
    corrections = [one.event for one in events if isinstance(one.event, UsageCorrected)]
    if isinstance(at, int) or not corrections:
        return corrections
    originals = log.at_positions(book, {one.original_position for one in corrections})
    known = {one.position for one in originals if one.metadata.booked_at <= at}
    return [one for one in corrections if one.original_position in known]


def _usage(
    whole: Iterable[dict[str, Any]],
    straddling: Iterable[Recorded],
    at: int | datetime,
    corrections: Iterable[UsageCorrected],
) -> tuple[MeterTotal, ...]:
    """Add the events of straddled runs, up to the cut, to the runs that lie before it, and correct that."""
    totals = {row["meter"]: (row["quantity"], row["events"]) for row in whole}
    with exact_decimals():
        for event in _before(straddling, at):
            _add(totals, event.meter, event.quantity, 1)
        for correction in corrections:
            if correction.was is not None:
                _add(totals, correction.meter, -correction.was.quantity, -1)
            if correction.becomes is not None:
                _add(totals, correction.meter, correction.becomes.quantity, 1)
    return tuple(MeterTotal(meter, *totals[meter]) for meter in sorted(totals))


def _add(totals: dict[str, tuple[Decimal, int]], meter: str, quantity: Decimal, events: int) -> None:
    known_quantity, known_events = totals.get(meter, (Decimal(0), 0))
    totals[meter] = (known_quantity + quantity, known_events + events)


def _before(recorded: Iterable[Recorded], at: int | datetime) -> Sequence[UsageRecorded]:
    return [
        one.event
        for one in recorded
        if isinstance(one.event, UsageRecorded)
        and (one.position <= at if isinstance(at, int) else one.metadata.booked_at <= at)
    ]
