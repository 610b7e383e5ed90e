"""One way into the log: all or nothing, at the versions that were expected, and once for a cause."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from psycopg import sql

from ledger.errors import NotFound, VersionConflict
from ledger.store import Guard, bind_book, listen
from tests.integration.log_events import (
    BOOK,
    INSTANT,
    OTHER_BOOK,
    Background,
    Extras,
    fact,
    wait_until,
    waits_for_the_log,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

    from ledger.store import Log

STREAM, GUARDED = UUID(int=0x57), UUID(int=0x60)


def versions(log: Log, stream: UUID, book: UUID = BOOK) -> list[int]:
    return [recorded.stream_version for recorded in log.load(book, stream)]


def head(owner: Connection[DictRow]) -> int | None:
    row = owner.execute("SELECT max(notification_id) AS head FROM log.events").fetchone()
    assert row is not None
    last: int | None = row["head"]
    return last


def test_what_was_appended_is_loaded_with_all_that_surrounds_it(log: Log) -> None:
    events = [fact(STREAM, 1), fact(STREAM, 2), fact(uuid4(), 1)]
    positions = log.append(BOOK, events)
    assert positions == sorted(set(positions))
    loaded = log.load(BOOK, STREAM)
    assert [(each.position, each.stream_version) for each in loaded] == [(positions[0], 1), (positions[1], 2)]
    assert [each.event for each in loaded] == [new.event for new in events[:2]]
    assert [each.metadata for each in loaded] == [new.metadata for new in events[:2]]
    assert loaded[0].recorded_at == loaded[1].recorded_at > INSTANT
    assert loaded[0].recorded_at.utcoffset() == INSTANT.utcoffset()


def test_a_stream_nobody_wrote_is_empty(log: Log) -> None:
    assert log.load(BOOK, STREAM) == []
    assert log.load_streams(BOOK, [STREAM, GUARDED]) == {}


def test_several_streams_and_positions_are_read_at_once(log: Log) -> None:
    positions = log.append(BOOK, [fact(STREAM, 1), fact(GUARDED, 1), fact(STREAM, 2)])
    assert {stream: len(found) for stream, found in log.load_streams(BOOK, [STREAM, GUARDED]).items()} == {
        STREAM: 2,
        GUARDED: 1,
    }
    asked = [positions[2], positions[0], positions[2] + 1_000]
    assert [each.position for each in log.at_positions(BOOK, asked)] == [positions[0], positions[2]]


def test_appending_nothing_does_nothing(log: Log) -> None:
    assert log.append(BOOK, []) == []


def test_a_version_that_is_taken_is_refused_and_nothing_of_the_append_is_kept(log: Log) -> None:
    log.append(BOOK, [fact(STREAM, 1)])
    other = uuid4()
    with pytest.raises(VersionConflict):
        log.append(BOOK, [fact(other, 1), fact(STREAM, 1)])
    assert versions(log, STREAM) == [1]
    assert versions(log, other) == []


def test_of_writers_racing_for_one_version_exactly_one_wins(log: Log) -> None:
    won: list[str] = []
    lost: list[str] = []

    def write(name: str) -> None:
        try:
            log.append(BOOK, [fact(STREAM, 1, said=name)])
            won.append(name)
        except VersionConflict:
            lost.append(name)

    with Background() as background:
        for name in "abcdef":
            background.start(write, name)
    assert (len(won), len(lost)) == (1, 5)
    assert [getattr(each.event, "reason", None) for each in log.load(BOOK, STREAM)] == won


def test_the_same_cause_again_gives_the_positions_it_already_has(
    log: Log, owner: Connection[DictRow]
) -> None:
    events = [fact(STREAM, 1, cause="cmd:1"), fact(STREAM, 2, cause="cmd:1"), fact(GUARDED, 1, cause="cmd:1")]
    positions = log.append(BOOK, events)
    assert log.append(BOOK, events) == positions
    assert head(owner) == positions[-1]


def test_another_cause_at_the_same_version_is_a_conflict(log: Log) -> None:
    log.append(BOOK, [fact(STREAM, 1, cause="cmd:1")])
    with pytest.raises(VersionConflict):
        log.append(BOOK, [fact(STREAM, 1, cause="cmd:2")])


def test_a_cause_of_which_only_a_part_is_stored_is_a_conflict(log: Log) -> None:
    log.append(BOOK, [fact(STREAM, 1, cause="cmd:1")])
    with pytest.raises(VersionConflict):
        log.append(BOOK, [fact(STREAM, 1, cause="cmd:1"), fact(STREAM, 2, cause="cmd:1")])
    assert versions(log, STREAM) == [1]


def test_the_same_cause_is_recognised_though_its_guard_has_moved_since(log: Log) -> None:
    log.append(BOOK, [fact(GUARDED, 1)])
    again = [fact(STREAM, 1, cause="cmd:1")]
    positions = log.append(BOOK, again, guards=[Guard(GUARDED, 1)])
    log.append(BOOK, [fact(GUARDED, 2)])
    assert log.append(BOOK, again, guards=[Guard(GUARDED, 1)]) == positions


def test_events_of_two_books_are_never_one_append(log: Log) -> None:
    with pytest.raises(AssertionError, match="one book"):
        log.append(BOOK, [fact(), fact(book=OTHER_BOOK)])


# -- guards ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_guard_that_does_not_hold_refuses_the_append(log: Log, version: int) -> None:
    log.append(BOOK, [fact(GUARDED, 1), fact(GUARDED, 2)])
    with pytest.raises(VersionConflict, match="moved"):
        log.append(BOOK, [fact(STREAM, 1)], guards=[Guard(GUARDED, version)])
    assert versions(log, STREAM) == []


def test_a_guard_that_holds_lets_the_append_pass(log: Log) -> None:
    log.append(BOOK, [fact(GUARDED, 1), fact(GUARDED, 2)])
    log.append(BOOK, [fact(STREAM, 1)], guards=[Guard(GUARDED, 2), Guard(uuid4(), 0)])
    assert versions(log, STREAM) == [1]


def test_a_guard_that_moves_after_the_decision_is_seen(log: Log) -> None:
    log.append(BOOK, [fact(GUARDED, 1)])
    move = Extras(do_before=lambda _: log.append(BOOK, [fact(GUARDED, 2)]))
    with pytest.raises(VersionConflict, match="moved"):
        log.append(BOOK, [fact(STREAM, 1)], guards=[Guard(GUARDED, 1)], extra=move)
    assert versions(log, STREAM) == []


def test_a_guard_cannot_move_between_its_check_and_the_commit(log: Log, owner: Connection[DictRow]) -> None:
    log.append(BOOK, [fact(GUARDED, 1)])
    moved: list[int] = []

    with Background() as background:

        def move_meanwhile(_: Cursor[DictRow], __: Sequence[int]) -> None:
            background.start(lambda: moved.extend(log.append(BOOK, [fact(GUARDED, 2)])))
            wait_until(lambda: waits_for_the_log(owner))
            assert moved == []

        guarded = log.append(
            BOOK, [fact(STREAM, 1)], guards=[Guard(GUARDED, 1)], extra=Extras(do_after=move_meanwhile)
        )
    assert guarded < moved


def test_no_append_passes_a_guard_that_another_thread_moved(log: Log) -> None:
    appended: list[tuple[int, int]] = []

    def move() -> None:
        for _ in range(15):
            version = len(log.load(BOOK, GUARDED))
            try:
                log.append(BOOK, [fact(GUARDED, version + 1)])
            except VersionConflict:
                continue

    def append_guarded() -> None:
        for _ in range(15):
            version = len(log.load(BOOK, GUARDED))
            try:
                (position,) = log.append(BOOK, [fact()], guards=[Guard(GUARDED, version)])
            except VersionConflict:
                continue
            appended.append((position, version))

    with Background() as background:
        for _ in range(2):
            background.start(move)
            background.start(append_guarded)
    moves = log.load(BOOK, GUARDED)
    assert appended
    for position, version in appended:
        assert sum(each.position < position for each in moves) == version


# -- what commits with the events -----------------------------------------------------------------------


def remember(log: Log, positions: list[int]) -> Extras:
    """Claim an idempotency key before the events, and write their positions into it after them."""

    def claim(cursor: Cursor[DictRow]) -> None:
        cursor.execute(
            "INSERT INTO daybook.idempotent_answers VALUES (%s, 'key', 'once', '', NULL, now())", (BOOK,)
        )
        assert versions(log, STREAM) == []

    def answer(cursor: Cursor[DictRow], given: Sequence[int]) -> None:
        positions.extend(given)
        cursor.execute("UPDATE daybook.idempotent_answers SET request_digest = %s", (str(list(given)),))

    return Extras(claim, answer)


def answers(owner: Connection[DictRow]) -> list[str]:
    return [row["request_digest"] for row in owner.execute("SELECT * FROM daybook.idempotent_answers")]


def test_what_goes_with_the_events_commits_with_them(log: Log, owner: Connection[DictRow]) -> None:
    seen: list[int] = []
    positions = log.append(BOOK, [fact(STREAM, 1)], extra=remember(log, seen))
    assert seen == positions
    assert answers(owner) == [str(positions)]


def test_what_goes_with_the_events_is_undone_when_they_are_refused(
    log: Log, owner: Connection[DictRow]
) -> None:
    taken = uuid4()
    log.append(BOOK, [fact(taken, 1)])
    with pytest.raises(VersionConflict):
        log.append(BOOK, [fact(taken, 1)], extra=remember(log, []))
    with pytest.raises(VersionConflict):
        log.append(BOOK, [fact()], guards=[Guard(taken, 0)], extra=remember(log, []))
    assert answers(owner) == []


def test_the_events_are_undone_when_what_goes_with_them_fails(log: Log, owner: Connection[DictRow]) -> None:
    def fail(_: Cursor[DictRow], __: Sequence[int]) -> None:
        raise NotFound

    before = head(owner)
    with pytest.raises(NotFound):
        log.append(BOOK, [fact(STREAM, 1)], extra=Extras(do_after=fail))
    assert versions(log, STREAM) == []
    assert head(owner) == before


def test_what_goes_with_no_events_commits_and_its_failure_is_not_taken_for_success(
    log: Log, owner: Connection[DictRow]
) -> None:
    assert log.append(BOOK, [], extra=remember(log, [])) == []
    assert answers(owner) == ["[]"]
    with pytest.raises(VersionConflict):
        log.append(BOOK, [], extra=remember(log, []))


# -- waking and binding ---------------------------------------------------------------------------------


def test_an_append_wakes_who_listens(log: Log, follower: Connection[DictRow]) -> None:
    listen(follower)
    log.append(BOOK, [fact()])
    assert [notice.channel for notice in follower.notifies(timeout=10, stop_after=1)] == ["events"]


def test_a_connection_never_stays_bound_to_a_book_whose_binding_was_rolled_back(log: Log) -> None:
    log.append(BOOK, [fact(STREAM, 1)])
    with log.reading(BOOK) as connection:
        with connection.transaction(force_rollback=True):
            bind_book(connection, OTHER_BOOK)
        bind_book(connection, OTHER_BOOK)
        assert connection.execute("SELECT * FROM log.events").fetchall() == []


def test_a_database_that_asks_for_repeatable_reads_does_not_weaken_the_guards(
    log: Log, owner: Connection[DictRow]
) -> None:
    alter = sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'")
    owner.execute(alter.format(sql.Identifier(owner.info.dbname)))
    test_a_guard_that_moves_after_the_decision_is_seen(log)
