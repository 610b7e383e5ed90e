"""Leading: one at a time, looked at before each thing, and lost at once with the connection it hangs on."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from consumers.leader import Leader, LeadershipLost, lock_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres import Database

KEY = lock_key("tests", "a thing")
WAIT_SECONDS = 20.0


@contextmanager
def leader_of(database: Database, key: int = KEY) -> Iterator[Leader]:
    leader = Leader(database.follower_url, key, "daybook test leader")
    try:
        yield leader
    finally:
        leader.resign()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        # Asked again: what a server process does tells nobody here.
        time.sleep(0.02)


def end_connection(database: Database) -> None:
    """End the leader's connection on the server, as a restart of it would."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'daybook test leader'"
        )
        assert connection.execute(query).fetchall() == [(True,)]


def test_the_first_leads_and_the_second_does_not(database: Database) -> None:
    with leader_of(database) as first, leader_of(database) as second:
        assert first.take()
        assert not second.take()
        assert (first.leads, second.leads) == (True, False)
        first.require()
        with pytest.raises(LeadershipLost):
            second.require()


def test_who_leads_already_leads_still(database: Database) -> None:
    with leader_of(database) as leader:
        assert leader.take()
        assert leader.take()
        leader.resign()
        # Taken twice it would have to be given back twice.
        with leader_of(database) as other:
            assert other.take()


def test_different_things_have_leaders_of_their_own(database: Database) -> None:
    with leader_of(database) as one, leader_of(database, lock_key("tests", "another")) as other:
        assert one.take()
        assert other.take()
        one.require()
        other.require()


def test_who_resigns_is_followed_by_who_asks_next(database: Database) -> None:
    with leader_of(database) as first, leader_of(database) as second:
        assert first.take()
        assert not second.take()
        first.resign()
        assert second.take()
        with pytest.raises(LeadershipLost):
            first.require()


def test_leadership_is_lost_with_the_connection_and_another_takes_it(database: Database) -> None:
    with leader_of(database) as first, leader_of(database) as second:
        assert first.take()
        end_connection(database)
        until(second.take)
        with pytest.raises(LeadershipLost):
            first.require()
        assert not first.leads
        assert not first.take()


def test_who_lost_the_connection_does_not_lead_even_if_nobody_else_does(database: Database) -> None:
    with leader_of(database) as leader:
        assert leader.take()
        end_connection(database)
        # Not silently again on a new connection: what was begun as leader has ended.
        assert not leader.take()
        assert leader.take()


def test_a_lock_that_was_let_go_of_on_the_very_connection_is_missed(database: Database) -> None:
    with leader_of(database) as leader:
        assert leader.take()
        assert leader._connection is not None
        leader._connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(LeadershipLost):
            leader.require()


def test_a_connection_to_another_server_process_is_not_the_one_it_was_taken_on(database: Database) -> None:
    with leader_of(database) as leader, leader_of(database) as other:
        assert leader.take()
        # As behind a pooler that hands out another one: it may even hold the lock.
        taken, leader._connection = leader._connection, None
        assert taken is not None
        with closing(taken):
            taken.execute("SELECT pg_advisory_unlock_all()")
            assert leader._connected().execute("SELECT pg_try_advisory_lock(%s)", (KEY,)).fetchone() == (
                True,
            )
            with pytest.raises(LeadershipLost):
                leader.require()
        assert other.take()


def test_of_many_that_ask_at_once_one_leads(database: Database) -> None:
    leaders = [Leader(database.follower_url, KEY, "daybook test leader") for _ in range(8)]
    start = threading.Barrier(len(leaders))

    def ask(leader: Leader) -> None:
        start.wait()
        leader.take()

    threads = [threading.Thread(target=ask, args=(leader,)) for leader in leaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert sum(leader.leads for leader in leaders) == 1
    finally:
        for leader in leaders:
            leader.resign()


def test_keys_of_locks_are_of_64_bits_and_differ(database: Database) -> None:
    assert lock_key("a", "b") != lock_key("ab")
    assert -(1 << 63) <= lock_key("scheduler") < 1 << 63
    # Halves with the highest bit set are listed as they are.
    for key in (-1, (1 << 63) - 1, -(1 << 63), 0xFFFF_FFFF):
        with leader_of(database, key) as leader:
            assert leader.take()
            leader.require()


def test_a_database_out_of_reach_is_said_and_nobody_leads() -> None:
    leader = Leader("postgresql://nobody@127.0.0.1:1/none", KEY, "daybook test leader")
    with pytest.raises(psycopg.OperationalError):
        leader.take()
    assert not leader.leads
