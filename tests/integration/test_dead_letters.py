"""Dead letters in the database: kept once, whatever is in them; seen by their own book; settled once."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag

from consumers.dead_letter_reads import DeadLetter, counts, due, due_usage, find, page
from consumers.dead_letters import clean, expire_parked, insert, reopen_with, resolve, retry_later
from ledger.identifiers import public_id, stream_of
from schemas import topics
from tests.integration.feed_letters import NOW, keep, message, registered, rejected
from tests.integration.log_events import BOOK, OTHER_BOOK

if TYPE_CHECKING:
    from ledger.store import Log

LATER = NOW + timedelta(days=7)
ACCOUNT = public_id("acc", UUID(int=0xACC))


def read(log: Log, dead_letter: str) -> DeadLetter:
    with log.connection() as connection:
        found = find(connection, dead_letter)
    assert found is not None
    return found


# -- keeping ------------------------------------------------------------------------------------------


def test_a_dead_letter_holds_the_message_as_it_was(ingest_log: Log) -> None:
    bad = message(b'{"quantity": -1}', headers=(("a", b"\xff\0"), ("a", b"")), key=b"\0key", offset=2**40)
    [kept] = keep(
        ingest_log,
        rejected(message=bad, account=ACCOUNT, source="svc", event_id="1", known_position=7, code="conflict"),
    )
    letter = read(ingest_log, kept)
    assert letter.message(ingest_log) == bad
    assert letter.value_digest == hashlib.sha256(b'{"quantity": -1}').hexdigest()
    assert letter.value_bytes == len(b'{"quantity": -1}')
    assert (letter.status, letter.code, letter.book) == ("open", "conflict", BOOK)
    assert (letter.account, letter.account_stream) == (ACCOUNT, stream_of("acc", ACCOUNT))
    assert (letter.source, letter.event_id, letter.known_position) == ("svc", "1", 7)
    assert (letter.attempts, letter.rejected_at, letter.retry_at) == (1, NOW, None)


def test_a_message_without_a_value_is_kept_too(ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected(None, book=None))
    letter = read(ingest_log, kept)
    assert (letter.value(ingest_log), letter.value_bytes, letter.book) == (None, 0, None)


def test_the_value_is_wrapped_for_its_own_letter(ingest_log: Log) -> None:
    first, second = keep(ingest_log, rejected(b"ada@example.com"), rejected(b"bob@example.com"))
    letter = read(ingest_log, first)
    assert letter.wrapped_value is not None
    assert b"ada@example.com" not in letter.wrapped_value
    with pytest.raises(InvalidTag):
        ingest_log.unwrap(letter.wrapped_value, "dead-letter", second)


def test_a_place_in_the_feed_is_kept_once(ingest_log: Log) -> None:
    bad = rejected(reason="first")
    [kept] = keep(ingest_log, bad)
    keep(ingest_log, rejected(message=bad.message, reason="second"))
    assert read(ingest_log, kept).reason == "first"
    with ingest_log.connection() as connection:
        assert counts(connection) == {"open": 1, "parked": 0, "replayed": 0, "discarded": 0}


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x" * 5_000, "", "\U0010ffff", "\x1b[31m"])
def test_whatever_a_message_names_goes_into_the_table(ingest_log: Log, text: str) -> None:
    bad = message(headers=((text.replace("\ud800", ""), b"1"),))
    [kept] = keep(
        ingest_log, rejected(message=bad, account=text, source=text, event_id=text, reason=text, code=text)
    )
    letter = read(ingest_log, kept)
    assert letter.source == clean(text, 255)
    assert letter.account_stream is None
    assert [value for _, value in letter.headers] == [b"1"]


def test_many_large_messages_are_kept_in_order(ingest_log: Log) -> None:
    kept = keep(ingest_log, *[rejected(b"x" * 1_000_000) for _ in range(40)])
    with ingest_log.connection() as connection:
        newest_first = [letter.dead_letter for letter in page(connection, limit=100)]
    assert newest_first == kept[::-1]


def test_nothing_is_kept_of_nothing(ingest_log: Log) -> None:
    assert keep(ingest_log) == []


def test_what_is_rolled_back_is_not_kept(ingest_log: Log) -> None:
    bad = rejected()
    with ingest_log.connection() as connection:
        with connection.transaction(force_rollback=True):
            insert(connection.cursor(), [bad], NOW, ingest_log)
            assert find(connection, bad.message.dead_letter) is not None
        assert find(connection, bad.message.dead_letter) is None


# -- books --------------------------------------------------------------------------------------------


def test_a_book_sees_its_own_letters_and_no_others(log: Log, ingest_log: Log) -> None:
    mine, _, _ = keep(ingest_log, rejected(), rejected(book=OTHER_BOOK), rejected(book=None))
    with log.reading(BOOK) as connection:
        assert [letter.dead_letter for letter in page(connection, limit=9)] == [mine]
    with log.reading(UUID(int=1)) as connection:
        assert page(connection, limit=9) == []
        assert resolve(connection.cursor(), [mine], "discarded", "x", "y", NOW) == []
    assert read(ingest_log, mine).status == "open"


def test_the_app_keeps_letters_of_its_own_book_only(log: Log, ingest_log: Log) -> None:
    [kept] = keep(log, rejected(), book=BOOK)
    assert read(ingest_log, kept).book == BOOK
    with pytest.raises(Exception, match="row-level security"):
        keep(log, rejected(book=OTHER_BOOK), book=BOOK)
    with pytest.raises(Exception, match="row-level security"):
        keep(log, rejected(book=None), book=BOOK)


# -- pages --------------------------------------------------------------------------------------------


def test_a_page_is_newest_first_and_filtered(ingest_log: Log) -> None:
    letters = [
        rejected(code="a"),
        rejected(code="b"),
        rejected(code="a", topic=topics.ACCOUNTS),
        rejected(code="a", book=OTHER_BOOK),
        rejected(code="c", parked_until=LATER),
    ]
    ids = keep(ingest_log, *letters)
    with ingest_log.connection() as connection:

        def found(**more: object) -> list[int]:
            return [ids.index(one.dead_letter) for one in page(connection, **{"limit": 9, **more})]  # type: ignore[arg-type]

        assert found() == [4, 3, 2, 1, 0]
        assert found(limit=2) == [4, 3]
        third = page(connection, limit=3)[-1].number
        assert found(after=third) == [1, 0]
        assert found(codes=["a"]) == [3, 2, 0]
        assert found(codes=["a", "c"], book=BOOK) == [4, 2, 0]
        assert found(statuses=["parked"]) == [4]
        assert found(topic=topics.ACCOUNTS) == [2]
        assert counts(connection) == {"open": 4, "parked": 1, "replayed": 0, "discarded": 0}


# -- parked -------------------------------------------------------------------------------------------


def test_parked_commands_and_webhooks_are_due_oldest_first_once_their_time_has_come(ingest_log: Log) -> None:
    ids = keep(
        ingest_log,
        rejected(topic=topics.STRIPE, parked_until=LATER),
        rejected(topic=topics.ACCOUNTS, parked_until=LATER),
        rejected(topic=topics.USAGE, parked_until=LATER),
        rejected(topic=topics.KEYS),
    )
    with ingest_log.connection() as connection:
        assert due(connection, NOW, 9) == []
        after_a_second = NOW + timedelta(seconds=1)
        assert [one.dead_letter for one in due(connection, after_a_second, 9)] == ids[:2]
        assert [one.dead_letter for one in due(connection, after_a_second, 1)] == ids[:1]


def test_a_retry_that_fails_waits_twice_as_long_up_to_a_minute(ingest_log: Log) -> None:
    [kept] = keep(ingest_log, rejected(topic=topics.KEYS, parked_until=LATER))
    waits = []
    for _ in range(40):
        with ingest_log.connection() as connection:
            retry_later(connection.cursor(), [kept], NOW, "still not there\0")
        letter = read(ingest_log, kept)
        assert letter.retry_at is not None
        waits.append((letter.retry_at - NOW).total_seconds())
    assert waits == [2, 4, 8, 16, 32, *[60] * 35]
    assert letter.attempts == 41
    assert letter.reason == clean("still not there\0")


def test_what_waited_long_enough_is_handed_to_a_person(ingest_log: Log) -> None:
    early, late = keep(
        ingest_log, rejected(parked_until=LATER), rejected(parked_until=LATER + timedelta(seconds=1))
    )
    with ingest_log.connection() as connection:
        assert expire_parked(connection.cursor(), NOW) == 0
        assert expire_parked(connection.cursor(), LATER) == 1
    letter = read(ingest_log, early)
    assert (letter.status, letter.retry_at, letter.gives_up_at) == ("open", None, LATER)
    assert read(ingest_log, late).status == "parked"


def test_parked_usage_is_due_once_its_account_is_registered_in_its_book(log: Log, ingest_log: Log) -> None:
    here, elsewhere, nowhere = uuid4(), uuid4(), uuid4()
    ids = keep(
        ingest_log,
        *[
            rejected(account=public_id("acc", stream), parked_until=LATER)
            for stream in (here, elsewhere, nowhere, here, here)
        ],
        rejected(account="nobody", parked_until=LATER),
        rejected(account=public_id("acc", here)),
        rejected(account=public_id("acc", here), topic=topics.KEYS, parked_until=LATER),
    )
    with ingest_log.connection() as connection:
        assert due_usage(connection, 9) == []
    log.append(BOOK, [registered(here)])
    log.append(OTHER_BOOK, [registered(elsewhere, OTHER_BOOK)])
    with ingest_log.connection() as connection:
        assert [one.dead_letter for one in due_usage(connection, 9)] == [ids[0], ids[3], ids[4]]
        assert [one.dead_letter for one in due_usage(connection, 2)] == [ids[0], ids[3]]


# -- settling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["replayed", "discarded"])
def test_a_settled_letter_loses_its_value_and_keeps_its_digest(ingest_log: Log, status: str) -> None:
    open_one, parked_one, other = keep(
        ingest_log, rejected(b"secret"), rejected(topic=topics.KEYS, parked_until=LATER), rejected()
    )
    with ingest_log.connection() as connection:
        changed = resolve(connection.cursor(), [open_one, parked_one], status, "prn_1", "mended", NOW)
        assert sorted(changed) == sorted([open_one, parked_one])
        assert resolve(connection.cursor(), [open_one], "discarded", "prn_2", "again", LATER) == []
    letter = read(ingest_log, open_one)
    assert letter.resolved
    assert (letter.status, letter.resolved_by, letter.resolution) == (status, "prn_1", "mended")
    assert (letter.resolved_at, letter.wrapped_value) == (NOW, None)
    assert letter.value_digest == hashlib.sha256(b"secret").hexdigest()
    assert not read(ingest_log, other).resolved


def test_a_replay_that_failed_again_is_open_with_its_new_reason(ingest_log: Log) -> None:
    parked, done = keep(ingest_log, rejected(parked_until=LATER), rejected())
    with ingest_log.connection() as connection:
        cursor = connection.cursor()
        assert reopen_with(cursor, parked, "conflict", "other facts", 12)
        letter = read(ingest_log, parked)
        assert (letter.status, letter.code, letter.reason) == ("open", "conflict", "other facts")
        assert (letter.attempts, letter.known_position, letter.retry_at) == (2, 12, None)
        resolve(cursor, [done], "replayed", "prn_1", "", NOW)
        assert not reopen_with(cursor, done, "conflict", "too late")
    assert read(ingest_log, done).status == "replayed"
