"""A batch of usage messages: read and admitted without the database, then judged and appended by it.

Reading is the consumer's hot path: it makes the rows that are copied and next to nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import UUID

import msgspec

from consumers.admission import NotAdmitted
from consumers.standing import StandingMoved
from ledger.bulk import Copied, copy_usage, insert_copied
from ledger.errors import DaybookError
from ledger.usage_row import UsageFact, UsageRow, usage_row
from projections.applier import UNREACHABLE, describe
from schemas.usage_wire import Malformed, read_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from consumers.admission import Admission
    from consumers.standing import Accounts, Standing
    from ledger.bulk import UsageConflict
    from ledger.settings import Settings

# A usage event has at most 50 short properties; what is larger is not one.
MAX_USAGE_BYTES: Final = 64 * 1024
SCOPE: Final = "usage:write"
UNKNOWN_ACCOUNT: Final = "unknown_account"


class Record(Protocol):
    """A message as a Kafka client gives it; the timestamp is the broker's, in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Bad(msgspec.Struct, frozen=True):
    """A message that is not appended, why, and what it told as far as it could be read.

    `waits` says that it may become good by itself, once its account is registered.
    """

    record: Any
    code: str
    reason: str
    book: UUID | None = None
    fact: UsageFact | None = None
    event_id: str | None = None
    known_position: int | None = None
    waits: bool = False


class UsageBatch:
    """Messages of usage, in order: their rows, beside each the record it came from and what that told."""

    def __init__(self, grants_version: int) -> None:
        """Begin with nothing."""
        # What it was admitted by: the grants as they stood when it was read.
        self.grants_version = grants_version
        self.rows: list[UsageRow] = []
        self.facts: list[UsageFact] = []
        self.records: list[Record] = []
        self.bad: list[Bad] = []

    def only(self, indexes: Iterable[int]) -> UsageBatch:
        """Give a batch of some of the rows."""
        batch = UsageBatch(self.grants_version)
        for index in indexes:
            batch.rows.append(self.rows[index])
            batch.facts.append(self.facts[index])
            batch.records.append(self.records[index])
        return batch

    def without(self, indexes: AbstractSet[int], code: str, reason: str) -> UsageBatch:
        """Give the batch with some of its rows made bad."""
        batch = self.only(index for index in range(len(self.rows)) if index not in indexes)
        batch.bad = list(self.bad)
        for index in sorted(indexes):
            book, fact = UUID(bytes=self.rows[index].book), self.facts[index]
            batch.bad.append(Bad(self.records[index], code, reason, book, fact))
        return batch


class Verdict(msgspec.Struct, frozen=True):
    """What became of a batch: how many were new, how many known, and what is bad about the others."""

    accepted: int
    duplicates: int
    bad: Sequence[Bad]


class _Moment(msgspec.Struct, frozen=True):
    """A time at which messages were taken, and how far from it usage may lie."""

    at: datetime
    earliest: datetime
    latest: datetime


class UsageReader:
    """Reads usage messages into batches."""

    def __init__(self, admission: Admission, settings: Settings) -> None:
        """Take what admits messages, and the limits on their times."""
        self._admission = admission
        self._past = timedelta(seconds=settings.usage_max_past_seconds)
        self._future = timedelta(seconds=settings.usage_max_future_seconds)

    def read(self, records: Iterable[Record], now: datetime) -> UsageBatch:
        """Read messages, in order; `now` is when they are booked."""
        batch = UsageBatch(self._admission.grants_version)
        moment, moment_ms = self._moment(datetime.fromtimestamp(0, UTC)), 0
        for record in records:
            if record.timestamp != moment_ms:
                moment_ms = record.timestamp
                moment = self._moment(datetime.fromtimestamp(moment_ms / 1000, UTC))
            try:
                self._read(batch, record, moment, now)
            except NotAdmitted as refusal:
                batch.bad.append(Bad(record, refusal.code, str(refusal)))
            except (DaybookError, *UNREACHABLE):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, one message must not stop the others
                batch.bad.append(Bad(record, "internal", describe(error)))
        return batch

    def _moment(self, at: datetime) -> _Moment:
        return _Moment(at, at - self._past, at + self._future)

    def _read(self, batch: UsageBatch, record: Record, moment: _Moment, now: datetime) -> None:
        value = record.value
        if value is None or len(value) > MAX_USAGE_BYTES:
            batch.bad.append(_of_no_size(record))
            return
        fact = read_event(value)
        if isinstance(fact, Malformed):
            batch.bad.append(_malformed(record, fact))
            return
        admission = self._admission
        stamp = admission.stamp(record.headers, record.topic, value) if record.headers else None
        if stamp is None:
            granted = admission.granted(fact.book, fact.source, SCOPE, record.timestamp, moment.at)
            book, actor = granted.book, granted.actor
            cause = f"kafka:{record.topic}/{record.partition}/{record.offset}"
        else:
            book, actor, cause = stamp.book, stamp.actor, stamp.cause
            moment = self._moment(stamp.accepted_at)
            now = moment.at if stamp.book_time else now
        if not moment.earliest <= fact.occurred_at <= moment.latest:
            batch.bad.append(_out_of_bounds(record, book, fact, moment))
            return
        batch.rows.append(usage_row(fact, book, actor, cause, moment.at, now))
        batch.facts.append(fact)
        batch.records.append(record)


def _of_no_size(record: Record) -> Bad:
    if record.value is None:
        return Bad(record, "no_value", "the message has no value")
    return Bad(record, "too_large", f"a usage event has at most {MAX_USAGE_BYTES} bytes")


def _malformed(record: Record, malformed: Malformed) -> Bad:
    code = "payload_refused" if "event" in malformed.errors else "invalid"
    reason = "; ".join(f"{field}: {', '.join(why)}" for field, why in malformed.errors.items())
    return Bad(record, code, reason, event_id=malformed.event_id)


def _out_of_bounds(record: Record, book: UUID, fact: UsageFact, moment: _Moment) -> Bad:
    reason = f"time: must lie from {moment.earliest.isoformat()} to {moment.latest.isoformat()}"
    return Bad(record, "invalid", reason, book, fact)


class Judged(msgspec.Struct, frozen=True):
    """A batch whose good rows are copied: which of its rows they are, and what is bad about the others."""

    batch: UsageBatch
    accounts: AbstractSet[str]
    good: Sequence[int]
    bad: Sequence[Bad]
    copied: Copied


def copy_batch(
    cursor: Cursor[DictRow], batch: UsageBatch, accounts: Accounts, admission: Admission
) -> Judged:
    """Judge a batch's accounts and copy what is good: all that can be done before it is the batch's turn."""
    about = {fact.account for fact in batch.facts}
    standing = accounts.look_up(cursor, about)
    _require_current(batch, admission)
    good, bad = _split(batch, standing)
    rows = batch.rows if len(good) == len(batch.rows) else [batch.rows[index] for index in good]
    return Judged(batch, about, good, bad, copy_usage(cursor, rows))


def insert_batch(
    cursor: Cursor[DictRow], judged: Judged, accounts: Accounts, admission: Admission
) -> Verdict:
    """Insert a batch that was judged and copied in this transaction.

    Raises StandingMoved when what it was judged by changed meanwhile: the batch is then read again.
    """

    def look_again(locked: Cursor[DictRow]) -> None:
        accounts.look_again(locked, judged.accounts)
        _require_current(judged.batch, admission)

    outcome = insert_copied(cursor, judged.copied, look_again)
    if outcome.accepted:
        accounts.appended(outcome.position)
    conflicts = [_conflict(judged, conflict) for conflict in outcome.conflicts]
    bad = [*judged.batch.bad, *judged.bad, *conflicts]
    return Verdict(outcome.accepted, outcome.duplicates, bad)


def append_batch(
    cursor: Cursor[DictRow], batch: UsageBatch, accounts: Accounts, admission: Admission
) -> Verdict:
    """Judge a batch and append it, in the caller's transaction."""
    return insert_batch(cursor, copy_batch(cursor, batch, accounts, admission), accounts, admission)


def _conflict(judged: Judged, conflict: UsageConflict) -> Bad:
    batch, index = judged.batch, judged.good[conflict.index]
    reason = f"the event is known with other facts, at position {conflict.position}"
    book, fact = UUID(bytes=batch.rows[index].book), batch.facts[index]
    return Bad(batch.records[index], "conflict", reason, book, fact, known_position=conflict.position)


def _require_current(batch: UsageBatch, admission: Admission) -> None:
    """Refuse when a grant changed since the batch was read: not all of it may be admitted any more."""
    if batch.grants_version != admission.grants_version:
        message = "a source was granted or withdrawn while the batch was judged"
        raise StandingMoved(message)


def _split(batch: UsageBatch, known: Mapping[str, Standing]) -> tuple[Sequence[int], list[Bad]]:
    """Give the indexes of what may be billed to its account, and what is bad about the rest."""
    refused = [
        index
        for index, (row, fact) in enumerate(zip(batch.rows, batch.facts, strict=True))
        if (standing := known.get(fact.account)) is None
        or standing.book != row.book
        or (standing.closed_at is not None and fact.occurred_at >= standing.closed_at)
    ]
    if not refused:
        return range(len(batch.rows)), []
    without = set(refused)
    good = [index for index in range(len(batch.rows)) if index not in without]
    return good, [_refused(batch, index, known) for index in refused]


def _refused(batch: UsageBatch, index: int, known: Mapping[str, Standing]) -> Bad:
    fact, book = batch.facts[index], UUID(bytes=batch.rows[index].book)
    standing = known.get(fact.account)
    if standing is not None and standing.book == book.bytes:
        reason = f"account {fact.account} was closed before this happened"
        return Bad(batch.records[index], "account_closed", reason, book, fact)
    # Another book's account is not told apart from none: it waits in vain, and then a person is asked.
    reason = f"there is no account {fact.account} in this book yet"
    return Bad(batch.records[index], UNKNOWN_ACCOUNT, reason, book, fact, waits=True)
