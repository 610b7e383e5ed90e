"""Positions rise in commit order and times never fall, so a follower that reads on misses nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from ledger.store import follow
from tests.integration.log_events import (
    BOOK,
    DEADLINE_SECONDS,
    OTHER_BOOK,
    Background,
    Extras,
    append_usage,
    fact,
    used,
    wait_until,
    waits_for_the_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from psycopg import Connection
    from psycopg.rows import DictRow

    from ledger.codec import StoredRow
    from ledger.store import Log

WRITERS = 4
ROUNDS = 25


def follow_until(
    follower: Connection[DictRow], ended: threading.Event, batch_size: int = 37
) -> list[StoredRow]:
    """Poll as a projection does, each time from the last position seen, until the writers have ended."""
    seen: list[StoredRow] = []
    while True:
        last_round = ended.is_set()
        rows = follow(follower, seen[-1].position if seen else 0, batch_size)
        seen.extend(rows)
        if last_round and not rows:
            return seen


def write(log: Log, ingest_log: Log, written: list[UUID]) -> None:
    """Append by both ways, in transactions of several sizes."""
    for number in range(ROUNDS):
        facts = [fact(book=book) for book in [BOOK] * (1 + number % 3)]
        log.append(BOOK, facts)
        other = [fact(book=OTHER_BOOK)]
        log.append(OTHER_BOOK, other)
        usage = [used(str(uuid4()), book=book) for book in (BOOK, OTHER_BOOK) * (1 + number % 20)]
        append_usage(ingest_log, usage)
        written.extend(new.stream for new in [*facts, *other, *usage])


def test_a_follower_sees_every_event_of_four_writers_exactly_once(
    log: Log, ingest_log: Log, follower: Connection[DictRow]
) -> None:
    written: list[UUID] = []
    seen: list[StoredRow] = []
    ended = threading.Event()
    with Background() as background:
        reading = background.start(lambda: seen.extend(follow_until(follower, ended)))
        with Background() as writers:
            for _ in range(WRITERS):
                writers.start(write, log, ingest_log, written)
        ended.set()
        reading.join(DEADLINE_SECONDS)
    assert len(seen) == len(written)
    assert {row.stream for row in seen} == set(written)
    assert strictly_rising(row.position for row in seen)
    assert never_falling(row.recorded_at for row in seen)


def strictly_rising(positions: Iterable[int]) -> bool:
    return all(first < second for first, second in pairwise(positions))


def never_falling(instants: Iterable[datetime]) -> bool:
    return all(first <= second for first, second in pairwise(instants))


@pytest.mark.parametrize("bulk", [False, True])
def test_a_position_is_given_out_only_after_all_before_it_are_visible(
    log: Log, ingest_log: Log, owner: Connection[DictRow], follower: Connection[DictRow], *, bulk: bool
) -> None:
    """While one append has its positions and has not committed, another waits and a follower sees neither."""
    positions: list[int] = []

    def second() -> None:
        positions.extend(log.append(BOOK, [fact()]))

    with Background() as background:

        def hold(_: object, given: object) -> None:
            assert given
            background.start(second)
            wait_until(lambda: waits_for_the_log(owner))
            assert (positions, follow(follower, 0, 10)) == ([], [])

        if bulk:
            append_usage(ingest_log, [used("a")], Extras(do_after=hold))
        else:
            log.append(BOOK, [fact()], extra=Extras(do_after=hold))
    rows = follow(follower, 0, 10)
    assert len(rows) == 2
    assert [rows[1].position] == positions


def test_what_rolls_back_leaves_a_gap_and_nothing_else(log: Log, follower: Connection[DictRow]) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    (first,) = log.append(BOOK, [fact()])
    with pytest.raises(ZeroDivisionError):
        log.append(BOOK, [fact(), fact()], extra=Extras(do_after=fail))
    (second,) = log.append(BOOK, [fact()])
    assert second > first + 1
    assert [row.position for row in follow(follower, 0, 10)] == [first, second]


def test_following_stops_at_its_limit_or_at_the_position_it_is_told(
    log: Log, follower: Connection[DictRow]
) -> None:
    positions = log.append(BOOK, [fact() for _ in range(6)])
    assert [row.position for row in follow(follower, positions[0], 3)] == positions[1:4]
    assert [row.position for row in follow(follower, positions[0], 9, through=positions[2])] == positions[1:3]
    assert follow(follower, positions[-1], 9) == []


def test_the_head_is_a_position_at_or_beyond_the_last_event(log: Log) -> None:
    assert log.head() == 0
    positions = log.append(BOOK, [fact(), fact()])
    assert log.head() >= positions[-1]


@pytest.mark.parametrize("bulk", [False, True])
def test_the_time_of_record_never_falls_though_the_wall_clock_did(
    log: Log, owner: Connection[DictRow], follower: Connection[DictRow], *, bulk: bool
) -> None:
    log.append(BOOK, [fact()])
    ahead = datetime.now(UTC) + timedelta(hours=1)
    owner.execute("UPDATE log.clock SET recorded_at = %s", (ahead,))
    for number in range(3):
        if bulk:
            append_usage(log, [used(str(number))])
        else:
            log.append(BOOK, [fact()])
    times = [row.recorded_at for row in follow(follower, 0, 10)]
    assert times[0] < ahead
    assert times[1:] == [ahead] * 3


def test_the_time_of_record_is_the_wall_clocks_when_that_is_not_behind(log: Log) -> None:
    before = datetime.now(UTC)
    new = fact()
    log.append(BOOK, [new])
    (recorded,) = log.load(BOOK, new.stream)
    assert before <= recorded.recorded_at <= datetime.now(UTC)


def test_the_time_of_record_is_taken_when_the_log_is_and_not_when_the_work_began(
    log: Log, follower: Connection[DictRow]
) -> None:
    inner = Extras(do_before=lambda _: log.append(BOOK, [fact(book=BOOK, said="first")]))
    log.append(BOOK, [fact(said="second")], extra=inner)
    rows = follow(follower, 0, 10)
    assert [b"first" in row.state for row in rows] == [True, False]
    assert rows[0].recorded_at < rows[1].recorded_at
