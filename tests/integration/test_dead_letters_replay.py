"""Replaying and discarding dead letters: settled with the events, once, and in their own book."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from commands.context import Context
from commands.dead_letters import Letter, discard_dead_letter
from consumers.dead_letter_reads import DeadLetter, find
from consumers.replaying import Replayer, replay
from ledger.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from ledger.events import Actor
from ledger.events.feed import DeadLetterDiscarded
from ledger.identifiers import INSTALLATION_BOOK, derive
from ledger.settings import Settings
from ledger.stamps import HEADER, Stamp, read_stamp, sign_stamp
from schemas import topics
from tests.integration.feed_letters import NOW, keep, message, rejected
from tests.integration.log_events import BOOK, OTHER_BOOK, Background, Extras, connected, fact, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from psycopg import Connection
    from psycopg.rows import DictRow

    from consumers.message import Message
    from ledger.store import Extra, Log

KEY = b"s" * 32
LATER = NOW + timedelta(days=7)


def read(log: Log, dead_letter: str, book: UUID = BOOK) -> DeadLetter:
    with log.reading(book) as connection:
        found = find(connection, dead_letter)
    assert found is not None
    return found


@dataclass
class Consumer:
    """Stands for what applies a message: appends one event in a book, or refuses."""

    log: Log
    book: UUID = BOOK
    refusal: Exception | None = None
    seen: list[Message] = field(default_factory=list)

    def __call__(self, applied: Message, extra: Extra) -> None:
        self.seen.append(applied)
        if self.refusal is not None:
            raise self.refusal
        self.log.append(self.book, [fact(book=self.book, cause=applied.dead_letter)], extra=extra)


def replayer(log: Log, apply: Callable[[Message, Extra], None], **more: Any) -> Replayer:
    return Replayer(**{"log": log, "apply": apply, "key": KEY, "by": "prn_1", "now": LATER, **more})


# -- replaying ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parked_until", [None, LATER])
def test_a_replayed_letter_is_settled_with_the_events_it_led_to(
    log: Log, ingest_log: Log, parked_until: datetime | None
) -> None:
    bad = rejected(b"value", parked_until=parked_until)
    [kept] = keep(ingest_log, bad)
    consumer = Consumer(log)
    done = replay(replayer(log, consumer, book=BOOK), read(log, kept))
    assert (done.status, done.reason, done.position) == ("replayed", None, 1)
    assert consumer.seen == [bad.message]
    letter = read(log, kept)
    assert (letter.status, letter.resolved_by, letter.resolved_at) == ("replayed", "prn_1", LATER)
    assert letter.resolution == "replayed as it came"
    assert letter.wrapped_value is None
    assert log.head() == 1


def test_a_letter_is_replayed_once_however_often_it_is_asked(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected())
    consumer = Consumer(log)
    before = read(log, kept)
    replay(replayer(log, consumer, book=BOOK), before)
    assert replay(replayer(log, consumer, book=BOOK), before).status == "replayed"
    assert replay(replayer(log, consumer, book=BOOK), read(log, kept)).status == "replayed"
    assert log.head() == 1


def test_a_corrected_value_is_applied_in_its_place(log: Log, ingest_log: Log) -> None:
    bad = rejected(b"wrong")
    [kept] = keep(ingest_log, bad)
    consumer = Consumer(log)
    replay(replayer(log, consumer, book=BOOK), read(log, kept), b"right")
    assert [one.value for one in consumer.seen] == [b"right"]
    assert consumer.seen[0].dead_letter == kept
    assert read(log, kept).resolution == "replayed with a corrected value"


def test_a_correction_stays_under_the_edges_stamp(log: Log, ingest_log: Log) -> None:
    stamp = Stamp(accepted_at=NOW, book=BOOK, actor=Actor(principal="prn_9", kind="service"), cause="http:1")
    signed = sign_stamp(stamp, topics.USAGE, b"wrong", KEY)
    [kept] = keep(ingest_log, rejected(message=message(b"wrong", headers=(("a", b"1"), (HEADER, signed)))))
    consumer = Consumer(log)
    replay(replayer(log, consumer, book=BOOK), read(log, kept), b"right")
    [applied] = consumer.seen
    header = applied.header(HEADER)
    assert header is not None
    assert read_stamp(header, topics.USAGE, b"right", KEY) == stamp
    assert applied.header("a") == b"1"


def test_a_correction_gives_nobody_a_stamp_that_was_not_ours(log: Log, ingest_log: Log) -> None:
    forged = message(b"wrong", headers=((HEADER, b"x" * 40),))
    [kept] = keep(ingest_log, rejected(message=forged))
    consumer = Consumer(log)
    replay(replayer(log, consumer, book=BOOK), read(log, kept), b"right")
    assert consumer.seen[0].headers == forged.headers


def test_what_is_still_bad_stays_open_with_its_new_reason(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected(b"value"))
    refusal = Conflict("other facts")
    refusal.known_position = 5  # type: ignore[attr-defined]
    done = replay(replayer(log, Consumer(log, refusal=refusal), book=BOOK), read(log, kept))
    assert (done.status, done.code, done.reason) == ("open", "conflict", "other facts")
    letter = read(log, kept)
    assert (letter.code, letter.reason, letter.attempts, letter.known_position) == (
        "conflict",
        "other facts",
        2,
        5,
    )
    assert letter.value(log) == b"value"


def test_what_still_waits_for_the_same_goes_on_waiting(log: Log, ingest_log: Log) -> None:
    early, odd = keep(ingest_log, *[rejected(code="not_found", parked_until=LATER) for _ in range(2)])
    not_there = Consumer(log, refusal=NotFound("there is no such account"))
    assert replay(replayer(log, not_there, book=BOOK), read(log, early)).status == "parked"
    assert read(log, early).retry_at == LATER + timedelta(seconds=2)
    malformed = Consumer(log, refusal=Invalid("quantity: is no number"))
    assert replay(replayer(log, malformed, book=BOOK), read(log, odd)).status == "open"


def test_a_correction_that_is_refused_leaves_what_is_kept_as_bad_as_it_was(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected(b"value", code="conflict", parked_until=LATER))
    malformed = Consumer(log, refusal=Invalid("quantity: is no number"))
    done = replay(replayer(log, malformed, book=BOOK), read(log, kept), b"worse")
    assert (done.status, done.code, done.reason) == ("parked", "invalid", "quantity: is no number")
    letter = read(log, kept)
    assert (letter.status, letter.code, letter.attempts) == ("parked", "conflict", 2)
    assert letter.value(log) == b"value"


def test_a_part_out_of_reach_changes_nothing(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected())
    before = read(log, kept)
    with pytest.raises(Unavailable):
        replay(replayer(log, Consumer(log, refusal=Unavailable("no database")), book=BOOK), before)
    assert read(log, kept) == before


def test_a_discarded_letter_is_not_replayed_nor_a_replayed_one_discarded(log: Log, ingest_log: Log) -> None:
    discarded, replayed = keep(ingest_log, rejected(), rejected())
    stale = read(log, discarded)
    discard(log, stale)
    for letter in (stale, read(log, discarded)):
        done = replay(replayer(log, Consumer(log), book=BOOK), letter)
        assert (done.status, done.code) == ("discarded", "dead_letter_settled")
    stale = read(log, replayed)
    replay(replayer(log, Consumer(log), book=BOOK), stale)
    with pytest.raises(Conflict, match="replayed"):
        discard(log, stale)
    assert read(log, replayed).status == "replayed"
    assert events_of(log, replayed) == []
    assert log.head() == 2


def test_a_correction_writes_into_no_other_book(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected())
    for role in (log, ingest_log):
        done = replay(replayer(role, Consumer(role, OTHER_BOOK), book=BOOK), read(log, kept), b"{}")
        assert (done.status, done.code) == ("open", Forbidden.code)
    assert log.head() == 0


@pytest.mark.parametrize("book", [None, OTHER_BOOK])
def test_the_installation_replays_into_the_book_that_it_corrects(
    log: Log, ingest_log: Log, book: UUID | None
) -> None:
    """The app's role does not see a letter whose book is wrong or unknown; it is settled all the same."""
    [kept] = keep(ingest_log, rejected(book=book))
    with ingest_log.connection() as connection:
        letter = find(connection, kept)
    assert letter is not None
    assert replay(replayer(ingest_log, Consumer(log)), letter, b"{}").status == "replayed"
    with ingest_log.connection() as connection:
        after = find(connection, kept)
    assert after is not None
    assert (after.status, after.wrapped_value) == ("replayed", None)


def test_events_that_are_rolled_back_leave_the_letter_open(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected(b"value"))

    def fails_late(_: Message, extra: Extra) -> None:
        def after(cursor: Any, positions: Any) -> None:
            extra.after(cursor, positions)
            raise ZeroDivisionError

        log.append(BOOK, [fact()], extra=Extras(extra.before, after))

    with pytest.raises(ZeroDivisionError):
        replay(replayer(log, fails_late, book=BOOK), read(log, kept))
    assert read(log, kept).value(log) == b"value"


def test_a_letter_that_is_held_keeps_nobody_else_from_the_log(
    log: Log, ingest_log: Log, owner: Connection[DictRow]
) -> None:
    """Whoever settles it waits for its row before the log is locked, not after."""
    [kept] = keep(ingest_log, rejected())
    letter = read(log, kept)
    with Background() as background, owner.transaction():
        owner.execute("SELECT 1 FROM daybook.dead_letters WHERE dead_letter = %s FOR UPDATE", (kept,))
        background.start(replay, replayer(log, Consumer(log), book=BOOK), letter)
        wait_until(
            lambda: owner.execute(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()"
            ).fetchone()
        )
        log.append(BOOK, [fact()])
        assert log.head() == 1
    assert read(log, kept).status == "replayed"


# -- discarding ---------------------------------------------------------------------------------------


def discard(log: Log, letter: DeadLetter, reason: str = "a test's", **more: Any) -> int | None:
    actor = Actor(principal="prn_1", kind="person")
    book = letter.book or INSTALLATION_BOOK
    context = Context(log, Settings(), book, actor, "test", datetime.now(UTC), os.urandom, **more)
    told = Letter(
        dead_letter=letter.dead_letter,
        source_topic=letter.topic,
        partition=letter.partition,
        offset=letter.record_offset,
        value_digest=letter.value_digest,
        code=letter.code,
    )
    return discard_dead_letter(context, told, reason).position


def events_of(log: Log, dead_letter: str, book: UUID = BOOK) -> list[Any]:
    return [one.event for one in log.load(book, derive("dead-letter-discarded", dead_letter))]


def test_discarding_is_an_event_with_its_reason_and_erases_the_value(log: Log, ingest_log: Log) -> None:
    bad = rejected(b"secret", code="invalid")
    [kept] = keep(ingest_log, bad)
    assert discard(log, read(log, kept), "sent by mistake") == 1
    letter = read(log, kept)
    assert events_of(log, kept) == [
        DeadLetterDiscarded(
            dead_letter=kept,
            source_topic=topics.USAGE,
            partition=0,
            offset=bad.message.offset,
            value_digest=letter.value_digest,
            code="invalid",
            reason="sent by mistake",
        )
    ]
    assert (letter.status, letter.resolved_by, letter.resolution) == ("discarded", "prn_1", "sent by mistake")
    assert letter.wrapped_value is None


def test_discarding_twice_is_once(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected())
    letter = read(log, kept)
    discard(log, letter, "first")
    discard(log, letter, "second")
    assert [event.reason for event in events_of(log, kept)] == ["first"]
    assert read(log, kept).resolution == "first"


def test_two_who_discard_at_the_same_moment_both_succeed(log: Log, ingest_log: Log) -> None:
    for _ in range(10):
        [kept] = keep(ingest_log, rejected())
        letter = read(log, kept)
        with Background() as background:
            for reason in ("one", "other"):
                background.start(discard, log, letter, reason)
        assert len(events_of(log, kept)) == 1


@pytest.mark.parametrize("reason", ["", "  ", "a\0b", "x" * 1_001])
def test_a_reason_is_required(log: Log, ingest_log: Log, reason: str) -> None:
    [kept] = keep(ingest_log, rejected())
    with pytest.raises(Invalid):
        discard(log, read(log, kept), reason)
    assert read(log, kept).status == "open"


def test_a_message_of_no_known_book_is_discarded_in_the_installations_own(log: Log, ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected(book=None))
    with ingest_log.connection() as connection:
        letter = find(connection, kept)
    assert letter is not None
    discard(ingest_log, letter)
    assert len(events_of(ingest_log, kept, INSTALLATION_BOOK)) == 1
    assert events_of(log, kept) == []


def test_a_letter_that_is_not_there_is_not_discarded(
    log: Log, ingest_log: Log, owner: Connection[DictRow]
) -> None:
    [kept] = keep(ingest_log, rejected())
    letter = read(log, kept)
    owner.execute("DELETE FROM daybook.dead_letters")
    with pytest.raises(NotFound):
        discard(log, letter)
    assert events_of(log, kept) == []


def test_what_the_command_commits_with_commits_with_the_discarding(
    log: Log, ingest_log: Log, database: Any
) -> None:
    [kept] = keep(ingest_log, rejected())
    seen: list[int] = []
    extras = Extras(do_after=lambda _, positions: seen.extend(positions))
    discard(log, read(log, kept), extra_for=lambda _: extras)
    assert seen == [1]
    with connected(database.app_url, BOOK) as connection:
        letter = find(connection, kept)
    assert letter is not None
    assert letter.resolved
