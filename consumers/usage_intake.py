"""Usage from messages to the log: a batch, its offsets and its dead letters in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import msgspec

from commands.dead_letters import REPLAYED, resolve
from consumers.dead_letter_reads import due_usage
from consumers.dead_letters import Rejected, insert, reopen_with, retry_later
from consumers.kafka_source import message_of
from consumers.standing import Accounts, StandingMoved
from consumers.usage_batch import Bad, UsageBatch, UsageReader, append_batch, copy_batch, insert_batch
from ledger.errors import Refusal, Unstorable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from consumers.admission import Admission
    from consumers.dead_letter_reads import DeadLetter
    from consumers.message import Message
    from consumers.usage_batch import Record, Verdict
    from ledger.settings import Settings
    from ledger.store import Extra, Log

R = TypeVar("R")

_PARKED_AT_ONCE: Final = 1_000
_LOCK: Final = (
    "SELECT dead_letter FROM daybook.dead_letters WHERE dead_letter = ANY(%s) AND status = 'parked'"
    " ORDER BY dead_letter FOR UPDATE SKIP LOCKED"
)


class Outcome(msgspec.Struct, frozen=True):
    """What became of some messages; `rejected` ones need a person, `parked` ones wait."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    parked: int = 0

    @property
    def messages(self) -> int:
        """Count them all."""
        return self.accepted + self.duplicates + self.rejected + self.parked


class StillBad(Refusal):
    """A message that is given again is bad still, or again."""

    def __init__(self, bad: Bad) -> None:
        """Refuse with the reason that was found this time."""
        super().__init__(bad.reason)
        self.code = bad.code  # type: ignore[misc] # one class for every reason that usage is refused for
        self.known_position = bad.known_position


class _Again(msgspec.Struct, frozen=True):
    """A message that was kept, as a record to be read again."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class UsageIntake:
    """Appends usage under the role that may write every book's."""

    def __init__(
        self, log: Log, admission: Admission, settings: Settings, clock: Callable[[], datetime]
    ) -> None:
        """Take the log as the ingest role sees it."""
        self._log = log
        self._admission = admission
        self._clock = clock
        self._parked_for = timedelta(seconds=settings.feed.parked_seconds)
        self._reader = UsageReader(admission, settings)
        self._accounts = Accounts(admission.forget_grants)

    def read(self, records: Sequence[Record]) -> UsageBatch:
        """Read messages ahead of their turn; nothing of the database is needed but grants not seen before."""
        return self._reader.read(records, self._clock())

    def append(
        self,
        batch: UsageBatch,
        records: Sequence[Record],
        feeds: Mapping[str, str],
        claims: Extra,
        wait_for_turn: Callable[[], None],
    ) -> Outcome:
        """Append a batch that was read from these records, keep what is bad, and claim the offsets.

        What needs no lock is done ahead of the batch's turn, while the batch before it is still appended.
        """
        while True:
            try:
                return self._append(batch, feeds, claims, wait_for_turn)
            except StandingMoved:
                batch = self.read(records)
            except Unstorable:
                batch = self._without_unstorable(records)

    def _append(
        self, batch: UsageBatch, feeds: Mapping[str, str], claims: Extra, wait_for_turn: Callable[[], None]
    ) -> Outcome:
        with self._log.transaction() as cursor:
            judged = copy_batch(cursor, batch, self._accounts, self._admission)
            wait_for_turn()
            claims.before(cursor)
            verdict = insert_batch(cursor, judged, self._accounts, self._admission)
            self._keep(cursor, verdict.bad, feeds)
            claims.after(cursor, [])
        return outcome_of(verdict)

    def _keep(self, cursor: Cursor[DictRow], bad: Sequence[Bad], feeds: Mapping[str, str]) -> None:
        if bad:
            now = self._clock()
            rejected = [
                rejected_of(one, message_of(feeds[one.record.topic], one.record), now + self._parked_for)
                for one in bad
            ]
            insert(cursor, rejected, now, self._log)

    def _without_unstorable(self, records: Sequence[Record]) -> UsageBatch:
        """Read a batch again without the rows that PostgreSQL cannot hold; the limits should prevent them."""
        batch = self.read(records)
        unstorable = self._unstorable(batch, range(len(batch.rows)))
        return batch.without(unstorable, "internal", "PostgreSQL cannot hold what this event says")

    def _unstorable(self, batch: UsageBatch, indexes: Sequence[int]) -> set[int]:
        """Find such rows by halves, each tried in a transaction that is undone."""
        try:
            with self._log.transaction() as cursor:
                append_batch(cursor, batch.only(indexes), self._accounts, self._admission)
                _undo()
        except _Undone:
            return set()
        except StandingMoved:
            return self._unstorable(batch, indexes)
        except Unstorable:
            middle = len(indexes) // 2
            if not middle:
                return set(indexes)
            return self._unstorable(batch, indexes[:middle]) | self._unstorable(batch, indexes[middle:])

    # -- messages that were kept ----------------------------------------------------------------------

    def append_again(self, message: Message, extra: Extra) -> None:
        """Append one message that was kept, with what goes with it, or refuse it once more."""
        _until_it_stands(lambda: self._append_again(_again(message), extra))

    def _append_again(self, record: Record, extra: Extra) -> None:
        batch = self.read([record])
        with self._log.transaction() as cursor:
            extra.before(cursor)
            verdict = append_batch(cursor, batch, self._accounts, self._admission)
            if verdict.bad:
                raise StillBad(verdict.bad[0])
            extra.after(cursor, [])

    def retry_parked(self) -> int:
        """Append parked usage whose account is registered by now; give how many messages were looked at."""
        return _until_it_stands(self._retry_parked)

    def _retry_parked(self) -> int:
        with self._log.transaction() as cursor:
            letters = _locked(cursor, due_usage(cursor, _PARKED_AT_ONCE))
            if letters:
                self._retry(cursor, letters)
            return len(letters)

    def _retry(self, cursor: Cursor[DictRow], letters: Sequence[DeadLetter]) -> None:
        now = self._clock()
        records = [_again(letter.message(self._log)) for letter in letters]
        waiting = {id(record): letter.dead_letter for record, letter in zip(records, letters, strict=True)}
        verdict = append_batch(cursor, self._reader.read(records, now), self._accounts, self._admission)
        for bad in verdict.bad:
            letter = waiting.pop(id(bad.record))
            if bad.waits:
                retry_later(cursor, [letter], now, bad.reason)
            else:
                reopen_with(cursor, letter, bad.code, bad.reason, bad.known_position)
        resolve(cursor, list(waiting.values()), REPLAYED, "daybook", "its account was registered", now)


def _until_it_stands(work: Callable[[], R]) -> R:
    """Do work again, from its reading on, while what it is judged by changes under it."""
    while True:
        with suppress(StandingMoved):
            return work()


def _locked(cursor: Cursor[DictRow], letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Lock what nobody else is at: rows before the log, as everywhere."""
    cursor.execute(_LOCK, ([letter.dead_letter for letter in letters],))
    ours = {row["dead_letter"] for row in cursor.fetchall()}
    return [letter for letter in letters if letter.dead_letter in ours]


class _Undone(Exception):
    """Undoes a trial."""


def _undo() -> NoReturn:
    raise _Undone


def outcome_of(verdict: Verdict) -> Outcome:
    """Count what a verdict says."""
    parked = sum(1 for one in verdict.bad if one.waits)
    return Outcome(verdict.accepted, verdict.duplicates, len(verdict.bad) - parked, parked)


def rejected_of(bad: Bad, message: Message, parked_until: datetime) -> Rejected:
    """Make the dead letter of a message, with what it seems to be about."""
    fact = bad.fact
    return Rejected(
        message=message,
        code=bad.code,
        reason=bad.reason,
        book=bad.book,
        account=None if fact is None else fact.account,
        source=None if fact is None else fact.source,
        event_id=bad.event_id if fact is None else fact.event_id,
        known_position=bad.known_position,
        parked_until=parked_until if bad.waits else None,
    )


def _again(message: Message) -> Any:  # noqa: ANN401 - reads like a client's record
    return _Again(
        message.topic,
        message.partition,
        message.offset,
        round(message.timestamp.timestamp() * 1000),
        message.value,
        message.headers,
    )
