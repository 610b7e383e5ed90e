"""Offsets on a real PostgreSQL: taken under a new epoch, claimed from where they stand exactly, or fenced."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from consumers.offsets import Claim, Claims, Fenced, Held, look_again, take
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

    from ledger.store import Log

FEED = "daybook.usage@1"
SECONDS = 20.0


def taken(log: Log, *partitions: int, owner: str = "one") -> list[Held]:
    with log.connection() as connection:
        return [take(connection, FEED, topics.USAGE, partition, owner) for partition in partitions]


def claim(held: Held, end: int, **changes: Any) -> Claim:
    parts = {
        "feed": held.feed,
        "partition": held.partition,
        "start": held.next_offset,
        "end": end,
        "epoch": held.epoch,
    }
    return Claim(**{**parts, **changes})


def committed(log: Log, *claims: Claim) -> Claims:
    """Make claims in a transaction of their own."""
    made = Claims(claims)
    with log.transaction() as cursor:
        made.before(cursor)
        made.after(cursor, [])
    return made


def standing(owner: Connection[DictRow]) -> dict[tuple[str, int], int]:
    rows = owner.execute("SELECT feed, partition, next_offset FROM daybook.feed_offsets").fetchall()
    return {(row["feed"], row["partition"]): row["next_offset"] for row in rows}


class _Undone(Exception):
    """Undoes a transaction."""


@contextmanager
def rolled_back(log: Log) -> Iterator[Cursor[DictRow]]:
    """Lend a cursor in a transaction that comes to nothing."""
    with suppress(_Undone), log.transaction() as cursor:
        yield cursor
        raise _Undone


# -- taking -------------------------------------------------------------------------------------------


def test_a_partition_begins_at_its_first_offset(ingest_log: Log, owner: Connection[DictRow]) -> None:
    assert taken(ingest_log, 0, 3) == [Held(FEED, 0, 1, 0), Held(FEED, 3, 1, 0)]
    assert standing(owner) == {(FEED, 0): 0, (FEED, 3): 0}


def test_taking_a_partition_over_raises_its_epoch_and_keeps_its_offset(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    (first,) = taken(ingest_log, 0)
    committed(ingest_log, claim(first, 7))
    assert taken(ingest_log, 0, owner="two") == [Held(FEED, 0, 2, 7)]
    # The same owner again, as after a rebalance that gave it back: what it had before is fenced too.
    assert taken(ingest_log, 0, owner="two") == [Held(FEED, 0, 3, 7)]
    (row,) = owner.execute("SELECT topic, owner FROM daybook.feed_offsets").fetchall()
    assert (row["topic"], row["owner"]) == (topics.USAGE, "two")


def test_partitions_and_feeds_stand_for_themselves(ingest_log: Log, owner: Connection[DictRow]) -> None:
    (first, _) = taken(ingest_log, 0, 1)
    with ingest_log.connection() as connection:
        # The same topic, made again.
        again = take(connection, "daybook.usage@2", topics.USAGE, 0, "one")
    committed(ingest_log, claim(first, 7))
    assert again == Held("daybook.usage@2", 0, 1, 0)
    assert standing(owner) == {(FEED, 0): 7, (FEED, 1): 0, ("daybook.usage@2", 0): 0}


# -- claiming -----------------------------------------------------------------------------------------


def test_claims_follow_one_another(ingest_log: Log, owner: Connection[DictRow]) -> None:
    (held,) = taken(ingest_log, 0)
    assert committed(ingest_log, claim(held, 5)).done
    assert committed(ingest_log, claim(held, 6, start=5)).done
    assert standing(owner) == {(FEED, 0): 6}


def test_several_partitions_are_claimed_at_once_in_any_order(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    first, second, third = taken(ingest_log, 0, 1, 2)
    committed(ingest_log, claim(third, 3), claim(first, 1), claim(second, 2))
    assert standing(owner) == {(FEED, 0): 1, (FEED, 1): 2, (FEED, 2): 3}


@pytest.mark.parametrize(
    "wrong",
    [
        {"start": 4},
        {"start": 6},
        {"start": 0},
        {"epoch": 1},
        {"epoch": 3},
        {"partition": 7},
        {"feed": "daybook.usage@2"},
    ],
    ids=str,
)
def test_a_claim_that_does_not_fit_is_fenced_and_nothing_of_it_or_beside_it_is_left(
    ingest_log: Log, owner: Connection[DictRow], wrong: dict[str, Any]
) -> None:
    for held in taken(ingest_log, 0, 1, 2):
        committed(ingest_log, claim(held, 5))
    first, second, third = taken(ingest_log, 0, 1, 2)
    before = standing(owner)
    for claims in (
        [claim(second, 9, **wrong)],
        [claim(first, 9), claim(second, 9, **wrong)],
        [claim(second, 9, **wrong), claim(third, 9), claim(first, 9)],
    ):
        made = Claims(claims)
        with pytest.raises(Fenced):
            beside(ingest_log, made)
        assert not made.done
        assert standing(owner) == before
    assert owner.execute("SELECT count(*) AS n FROM daybook.feed_stop").fetchall() == [{"n": 0}]


def beside(log: Log, claims: Claims) -> None:
    """Write something else, then claim."""
    with log.transaction() as cursor:
        cursor.execute("INSERT INTO daybook.feed_stop (stopped_at, reason) VALUES (now(), 'beside it')")
        claims.before(cursor)


def test_what_was_polled_ahead_of_a_rollback_does_not_skip_it(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    (held,) = taken(ingest_log, 0)
    with rolled_back(ingest_log) as cursor:
        Claims([claim(held, 5)]).before(cursor)
    with pytest.raises(Fenced):
        committed(ingest_log, claim(held, 9, start=5))
    assert standing(owner) == {(FEED, 0): 0}


def test_a_claim_is_made_once(ingest_log: Log) -> None:
    (held,) = taken(ingest_log, 0)
    committed(ingest_log, claim(held, 5))
    with pytest.raises(Fenced, match="taken over"):
        committed(ingest_log, claim(held, 5))


# -- looking again ------------------------------------------------------------------------------------


def test_looking_again_tells_where_it_stands_after_all(ingest_log: Log) -> None:
    (held,) = taken(ingest_log, 0)
    polled_ahead = Held(FEED, 0, held.epoch, 500)
    committed(ingest_log, claim(held, 5))
    with ingest_log.connection() as connection:
        assert look_again(connection, polled_ahead) == Held(FEED, 0, held.epoch, 5)


def test_looking_again_at_what_another_has_taken_is_fenced(ingest_log: Log) -> None:
    (held,) = taken(ingest_log, 0)
    taken(ingest_log, 0, owner="two")
    with ingest_log.connection() as connection, pytest.raises(Fenced, match="partition 0"):
        look_again(connection, held)


def test_looking_again_at_what_is_not_there_is_fenced(ingest_log: Log) -> None:
    with ingest_log.connection() as connection, pytest.raises(Fenced):
        look_again(connection, Held(FEED, 0, 1, 0))


# -- at once ------------------------------------------------------------------------------------------


class Rival:
    """Another transaction on a thread of its own, which tells what became of it."""

    def __init__(self, log: Log, claims: Claims) -> None:
        self._log = log
        self._claims = claims
        self.outcome: str | None = None
        self.process_id: int | None = None
        self.begun = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._log.transaction() as cursor:
                self.process_id = cursor.connection.info.backend_pid
                self.begun.set()
                self._claims.before(cursor)
                self._claims.after(cursor, [])
        except Fenced:
            self.outcome = "fenced"
        else:
            self.outcome = "claimed"

    def ended(self) -> str | None:
        self._thread.join(SECONDS)
        return self.outcome


def wait_until_blocked(owner: Connection[DictRow], rival: Rival) -> None:
    """Wait until a transaction waits for another."""
    assert rival.begun.wait(SECONDS)
    pause = threading.Event()
    for _ in range(int(SECONDS * 100)):
        (row,) = owner.execute(
            "SELECT cardinality(pg_blocking_pids(%s)) AS n", (rival.process_id,)
        ).fetchall()
        if row["n"]:
            return
        pause.wait(0.01)
    message = "it does not wait"
    raise AssertionError(message)


def claim_on(cursor: Cursor[DictRow], *claims: Claim) -> None:
    made = Claims(claims)
    made.before(cursor)
    made.after(cursor, [])


def test_of_two_that_claim_the_same_stretch_at_once_one_is_fenced(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    first, second = taken(ingest_log, 0, 1)
    with ingest_log.transaction() as cursor:
        claim_on(cursor, claim(first, 5), claim(second, 5))
        rival = Rival(ingest_log, Claims([claim(second, 9), claim(first, 9)]))
        wait_until_blocked(owner, rival)
    assert rival.ended() == "fenced"
    assert standing(owner) == {(FEED, 0): 5, (FEED, 1): 5}


def test_whoever_waited_for_one_that_was_rolled_back_gets_its_claim(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    (held,) = taken(ingest_log, 0)
    with rolled_back(ingest_log) as cursor:
        claim_on(cursor, claim(held, 5))
        rival = Rival(ingest_log, Claims([claim(held, 9)]))
        wait_until_blocked(owner, rival)
    assert rival.ended() == "claimed"
    assert standing(owner) == {(FEED, 0): 9}


def test_taking_over_waits_for_a_claim_that_is_under_way_and_begins_after_it(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    (held,) = taken(ingest_log, 0)
    found: list[Held] = []
    with ingest_log.transaction() as cursor:
        claim_on(cursor, claim(held, 5))
        taker = threading.Thread(target=lambda: found.extend(taken(ingest_log, 0, owner="two")), daemon=True)
        taker.start()
        taker.join(0.2)
        assert found == []
    taker.join(SECONDS)
    assert found == [Held(FEED, 0, 2, 5)]
    assert standing(owner) == {(FEED, 0): 5}


def test_of_many_that_claim_the_same_at_once_one_alone_wins(
    ingest_log: Log, owner: Connection[DictRow]
) -> None:
    held = taken(ingest_log, 0, 1, 2)
    for turn in range(10):
        start = 10 * turn
        rivals = [
            Rival(
                ingest_log,
                Claims([claim(one, start + 10, start=start) for one in (held if number % 2 else held[::-1])]),
            )
            for number in range(4)
        ]
        assert sorted(str(rival.ended()) for rival in rivals) == ["claimed", "fenced", "fenced", "fenced"]
    assert set(standing(owner).values()) == {100}
