"""A stretch of the log, decoded once for every projection that stands before it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
import psycopg

from ledger.errors import Unavailable
from ledger.events import EVENT_CLASSES
from ledger.events.usage import UsageRecorded
from ledger.store import decode_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from ledger.codec import StoredRow
    from ledger.events import Recorded
    from ledger.store import Log

USAGE_TOPIC: Final = UsageRecorded.topic


class Usage(msgspec.Struct, gc=False):
    """What projections need of a usage event; `actor` stays JSON, since few rows ever look at it."""

    position: int
    book: UUID
    account: str
    meter: str
    quantity: Decimal
    occurred_at: datetime
    booked_at: datetime
    recorded_at: datetime
    actor: msgspec.Raw
    cause: str


class _UsageData(msgspec.Struct, gc=False):
    account: str
    meter: str
    quantity: Decimal


class _UsageState(msgspec.Struct, gc=False):
    """The stored state of a usage event without the fields that no projection reads: four times faster."""

    version: int
    occurred_at: datetime
    booked_at: datetime
    actor: msgspec.Raw
    cause: str
    data: _UsageData


@dataclass(frozen=True)
class Unread:
    """An event that cannot be decoded: it stops the projections that handle its topic, or may have to."""

    position: int
    topic: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """Events in log order after a position; `usage` and `others` are what is left of them once decoded."""

    after: int
    positions: Sequence[int]
    usage: Sequence[Usage]
    others: Sequence[Recorded]
    unread: Sequence[Unread] = ()
    passed_over: Sequence[int] = ()

    @property
    def last(self) -> int:
        """The position a projection stands at once it has applied the batch."""
        return self.positions[-1]

    def halves(self) -> tuple[Batch, Batch]:
        """Cut the batch in two, to find the one event that a projection fails on."""
        middle = len(self.positions) // 2
        cut = self.positions[middle - 1]
        return self._part(self.after, cut, self.positions[:middle]), self._part(
            cut, self.last, self.positions[middle:]
        )

    def _part(self, after: int, last: int, positions: Sequence[int]) -> Batch:
        usage = self.usage[_count(self.usage, after) : _count(self.usage, last)]
        others = self.others[_count(self.others, after) : _count(self.others, last)]
        unread = [one for one in self.unread if after < one.position <= last]
        passed_over = [position for position in self.passed_over if after < position <= last]
        return Batch(after, positions, usage, others, unread, passed_over)


def _count(events: Sequence[Any], through: int) -> int:
    return bisect_right(events, through, key=lambda event: event.position)


def decode_batch(
    log: Log,
    connection: Connection[Any],
    after: int,
    rows: Sequence[StoredRow],
    set_aside: frozenset[tuple[UUID, int]],
) -> Batch:
    """Decode rows once for all; those set aside in their own book are passed over."""
    kept = rows
    if set_aside:
        kept = [row for row in rows if (row.book, row.position) not in set_aside]
    usage, unread = _usage_of([row for row in kept if row.topic == USAGE_TOPIC])
    others, more_unread = _others_of(log, connection, [row for row in kept if row.topic != USAGE_TOPIC])
    passed_over = sorted({row.position for row in rows} - {row.position for row in kept}) if set_aside else []
    return Batch(after, [row.position for row in rows], usage, others, unread + more_unread, passed_over)


_decode_usage: Final = msgspec.json.Decoder(_UsageState).decode


def _usage_of(rows: Sequence[StoredRow]) -> tuple[list[Usage], list[Unread]]:
    usage: list[Usage] = []
    unread: list[Unread] = []
    for row in rows:
        try:
            usage.append(_read_usage(row))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one event must not stop the others
            unread.append(_unread(row, error))
    return usage, unread


def _read_usage(row: StoredRow) -> Usage:
    state = _decode_usage(row.state)
    data = state.data
    if state.version != UsageRecorded.version:
        event = decode_row(row, {}).event
        assert isinstance(event, UsageRecorded), "the topic names the class"
        data = _UsageData(event.account, event.meter, event.quantity)
    return Usage(
        row.position,
        row.book,
        data.account,
        data.meter,
        data.quantity,
        state.occurred_at,
        state.booked_at,
        row.recorded_at,
        state.actor,
        state.cause,
    )


def _others_of(
    log: Log, connection: Connection[Any], rows: Sequence[StoredRow]
) -> tuple[list[Recorded], list[Unread]]:
    """Decode all in one go, or one by one once that failed, so that only the guilty ones are left out."""
    known = [row for row in rows if row.topic in EVENT_CLASSES]
    unread = [
        Unread(row.position, row.topic, "its topic is unknown to this version of Daybook")
        for row in rows
        if row.topic not in EVENT_CLASSES
    ]
    try:
        return log.decode(connection, known), unread
    except (psycopg.Error, Unavailable):
        raise
    except Exception:  # noqa: BLE001 - found out below which of them it is
        recorded: list[Recorded] = []
        for row in known:
            try:
                recorded += log.decode(connection, [row])
            except (psycopg.Error, Unavailable):
                raise
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one event must not stop the others
                unread.append(_unread(row, error))
        return recorded, unread


def _unread(row: StoredRow, error: Exception) -> Unread:
    # Not the error's own words: they may quote the event, which may hold personal data.
    return Unread(row.position, row.topic, f"it cannot be decoded ({type(error).__name__})")
