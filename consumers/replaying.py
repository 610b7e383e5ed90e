"""Replaying dead letters: a message, as it came or corrected, is given to the consumer again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import structs

from commands.dead_letters import REPLAYED, AlreadySettled, Settling, resolve
from consumers.dead_letter_reads import find
from consumers.dead_letters import PARKED, count_attempt, reopen_with, retry_later
from ledger.errors import NotFound, Refusal, Unstorable, VersionConflict
from ledger.stamps import HEADER, read_stamp, sign_stamp

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from consumers.dead_letter_reads import DeadLetter
    from consumers.message import Message
    from ledger.errors import DaybookError
    from ledger.store import Extra, Log

AS_IT_CAME: Final = "replayed as it came"
CORRECTED: Final = "replayed with a corrected value"


class Applier(Protocol):
    """What applies one message, in one transaction with the extra.

    A Refusal, or Unstorable, says why it is still bad; of a known identity with other facts it may carry
    `known_position`.
    """

    def __call__(self, message: Message, extra: Extra, /) -> object:
        """Apply it."""


@dataclass(frozen=True, kw_only=True)
class Replayer:
    """Who replays, with what, and when; with a book, nothing is done in another one.

    `log` sees the letters; `key` is what the edge's stamps are signed with.
    """

    log: Log
    apply: Applier
    key: bytes
    by: str
    now: datetime
    book: UUID | None = None


@dataclass(frozen=True)
class Replay:
    """What became of a replay: the letter's status now, and why if it is not replayed."""

    dead_letter: str
    status: str
    code: str | None = None
    reason: str | None = None
    position: int | None = None


def replay(replayer: Replayer, letter: DeadLetter, value: bytes | None = None) -> Replay:
    """Apply a dead letter's message, or with `value` a corrected one, and say what became of it.

    One that was replayed before, or discarded, stays so.
    """
    if letter.resolved:
        return _settled(letter)
    message = letter.message(replayer.log)
    if value is not None:
        message = corrected(message, value, replayer.key)
    settling = Settling(
        dead_letter=letter.dead_letter,
        status=REPLAYED,
        by=replayer.by,
        resolution=AS_IT_CAME if value is None else CORRECTED,
        now=replayer.now,
        book=replayer.book,
        elsewhere=replayer.book is None,
    )
    try:
        replayer.apply(message, settling)
    except AlreadySettled:
        return _settled(_again(replayer, letter))
    except (Refusal, Unstorable) as refusal:
        return _refused(replayer, letter, refusal, is_correction=value is not None)
    return _applied(replayer, settling)


def corrected(message: Message, value: bytes, key: bytes) -> Message:
    """Give the message with another value under the stamp it had: when and from whom it came stays so."""
    stamped = message.header(HEADER)
    stamp = None if stamped is None else read_stamp(stamped, message.topic, message.value or b"", key)
    headers = message.headers
    if stamp is not None:
        headers = tuple(pair for pair in headers if pair[0] != HEADER)
        headers += ((HEADER, sign_stamp(stamp, message.topic, value, key)),)
    return structs.replace(message, value=value, headers=headers)


def _applied(replayer: Replayer, settling: Settling) -> Replay:
    if not settling.held:
        # Applied in a book that cannot see the letter. A crash before this leaves it open; applied again, its
        # identity makes it a duplicate.
        with replayer.log.connection() as connection:
            resolve(
                connection.cursor(),
                [settling.dead_letter],
                REPLAYED,
                settling.by,
                settling.resolution,
                settling.now,
            )
    return Replay(settling.dead_letter, REPLAYED, position=settling.position)


def _refused(replayer: Replayer, letter: DeadLetter, refusal: DaybookError, *, is_correction: bool) -> Replay:
    """Note why it is still bad; what waits for something that is still not there goes on waiting."""
    reason = str(refusal)
    with replayer.log.connection() as connection, connection.transaction():
        cursor = connection.cursor()
        book = "" if replayer.book is None else str(replayer.book)
        cursor.execute("SELECT set_config('daybook.book', %s, true)", (book,))
        if is_correction:
            count_attempt(cursor, letter.dead_letter)
        elif letter.status == PARKED and _waits(refusal, letter):
            retry_later(cursor, [letter.dead_letter], replayer.now, reason, refusal.code)
        else:
            known = getattr(refusal, "known_position", None)
            reopen_with(cursor, letter.dead_letter, refusal.code, reason, known)
    now = _again(replayer, letter)
    return _settled(now) if now.resolved else Replay(letter.dead_letter, now.status, refusal.code, reason)


def _waits(refusal: DaybookError, letter: DeadLetter) -> bool:
    return refusal.code == letter.code or isinstance(refusal, NotFound | VersionConflict)


def _settled(letter: DeadLetter) -> Replay:
    if letter.status == REPLAYED:
        return Replay(letter.dead_letter, REPLAYED)
    reason = f"the dead letter was {letter.status} already"
    return Replay(letter.dead_letter, letter.status, AlreadySettled.code, reason)


def _again(replayer: Replayer, letter: DeadLetter) -> DeadLetter:
    book = replayer.book
    reading = replayer.log.connection() if book is None else replayer.log.reading(book)
    with reading as connection:
        found = find(connection, letter.dead_letter)
    assert found is not None, "letters are never deleted"
    return found
