"""The rows of subscriptions in the projection of MRR."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from ledger.mrr_values import Part, Reduction, Status

if TYPE_CHECKING:
    from ledger.events import Recorded


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """An invoice that is past due or was given up, and the position it was finalized at."""

    invoice: str
    finalized: int
    status: Status


class SubscriptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription as its last event left it.

    `effective_at`, `caused_by` and `topic` are of the event that its present standing goes back to.
    `paid_through` is the end of a period that is paid for, and of one that ended while it was paid for;
    `reduced_through` says by coupon through when invoices took it off; `overdue` which ones are not paid.
    """

    book: UUID
    subscription: str
    account: str
    currency: str | None
    first_item: str | None
    status: Status
    effective_at: datetime
    caused_by: int
    topic: str
    parts: tuple[Part, ...] = ()
    reductions: tuple[Reduction, ...] = ()
    reduced_through: dict[str, datetime] = {}
    overdue: tuple[Overdue, ...] = ()
    paid_through: datetime | None = None
    position: int

    @property
    def standing(self) -> Status:
        """The status that revenue depends on: what is active may not be paid for."""
        if self.status != "active" or not self.overdue:
            return self.status
        return "unpaid" if any(one.status == "unpaid" for one in self.overdue) else "past_due"


class StandingRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription stands from an instant on: the fields of `Standing`, the book, and when booked."""

    book: UUID
    booked_at: datetime
    position: int
    subscription: str
    account: str
    currency: str | None
    effective_at: datetime
    caused_by: int
    topic: str
    status: Status
    parts: tuple[Part, ...]
    reductions: tuple[Reduction, ...]
    paid_through: datetime | None


def standing_of(row: SubscriptionRow) -> tuple[Any, ...]:
    """Give what of a row revenue depends on: through when an ended one was paid, but not a running one."""
    paid_through = row.paid_through if row.status == "ended" else None
    return row.currency, row.standing, row.parts, row.reductions, paid_through


def standing_row(row: SubscriptionRow, recorded: Recorded) -> StandingRow:
    """Write down how a subscription stands since an event."""
    return StandingRow(
        book=row.book,
        booked_at=recorded.metadata.booked_at,
        position=recorded.position,
        subscription=row.subscription,
        account=row.account,
        currency=row.currency,
        effective_at=row.effective_at,
        caused_by=row.caused_by,
        topic=row.topic,
        status=row.standing,
        parts=row.parts,
        reductions=row.reductions,
        paid_through=row.paid_through if row.status == "ended" else None,
    )
