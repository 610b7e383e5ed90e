"""The follower: applies the log exactly once to every projection, whatever stops in between."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from ledger.events import EVENT_CLASSES
from ledger.events.account import AccountRenamed
from projections.applier import SetAsideTooLate, TrackingMoved
from projections.follower import Follower, ProjectionStopped
from projections.rebuild import rebuild, verify
from projections.registry import PROJECTIONS
from tests.integration.histories import MASTER_KEY, NOON, Writer, write_everything

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projections.base import Projection
    from projections.batch import Batch
    from tests.postgres import Database

WAIT_SECONDS = 20.0


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


def follower_of(
    database: Database,
    *projections: Projection,
    **options: Any,
) -> Follower:
    return Follower(database.follower_url, MASTER_KEY, projections or PROJECTIONS.values(), **options)


def tracking_of(database: Database, name: str) -> dict[str, Any]:
    with psycopg.connect(database.owner_url, row_factory=dict_row) as connection:
        query = "SELECT * FROM daybook.tracking WHERE projection = %s"
        row = connection.execute(query, (name,)).fetchone()
    assert row is not None
    return row


def rows_of(database: Database, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.follower_url) as connection:
        return connection.execute(query).fetchall()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def failing(projection: Projection, fails: Callable[[Batch], bool]) -> Projection:
    def apply(connection: psycopg.Connection[Any], batch: Batch) -> None:
        projection.apply(connection, batch)
        if fails(batch):
            raise ValueError("secret@example.com")

    return replace(projection, apply=apply)


def renamed_to(name: str) -> Callable[[Batch], bool]:
    def holds(batch: Batch) -> bool:
        return any(isinstance(one.event, AccountRenamed) and one.event.name == name for one in batch.others)

    return holds


# -- topics -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROJECTIONS)
def test_every_projection_decides_for_every_topic(name: str) -> None:
    projection = PROJECTIONS[name]
    assert projection.handled | projection.ignored == EVENT_CLASSES.keys()
    assert not projection.handled & projection.ignored


def test_a_projection_that_forgets_a_topic_cannot_be_made() -> None:
    usage = PROJECTIONS["usage"]
    with pytest.raises(AssertionError, match=r"neither handles nor ignores \['account.closed'\]"):
        replace(usage, ignored=usage.ignored - {"account.closed"})
    with pytest.raises(AssertionError, match="both handles and ignores"):
        replace(usage, ignored=usage.ignored | usage.handled)


# -- following ----------------------------------------------------------------------------------------


def test_every_projection_reaches_the_last_event(database: Database, writer: Writer) -> None:
    write_everything(writer)
    with closing(follower_of(database, batch_rows=3)) as follower:
        shown: list[tuple[int, int]] = []
        follower.catch_up(progress=lambda done, total: shown.append((done, total)))
        positions = follower.positions()
    assert len(set(positions.values())) == 1
    assert positions.keys() == PROJECTIONS.keys()
    assert shown[-1] == (positions["usage"], positions["usage"])
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)


def test_a_follower_that_has_read_all_reads_nothing(database: Database, writer: Writer) -> None:
    write_everything(writer)
    with closing(follower_of(database)) as follower:
        assert follower.step() > 0
        assert follower.step() == 0


def test_catching_up_ends_at_the_position_asked_for(database: Database, writer: Writer) -> None:
    writer.account()
    middle = writer.rename("ada", "Ada L.")
    writer.rename("ada", "Countess")
    with closing(follower_of(database)) as follower:
        follower.catch_up(middle)
        assert set(follower.positions().values()) == {middle}
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Ada L.",)]


def test_a_projection_that_begins_later_joins_the_others(database: Database, writer: Writer) -> None:
    writer.account()
    with closing(follower_of(database, PROJECTIONS["accounts"])) as follower:
        follower.catch_up()
    writer.usage(writer.id_of("acc", "ada"), NOON)
    with closing(follower_of(database, batch_rows=1)) as follower:
        follower.catch_up()
        assert len(set(follower.positions().values())) == 1
    assert rows_of(database, "SELECT count(*) FROM accounts.accounts") == [(1,)]


def test_an_append_wakes_the_follower(database: Database, writer: Writer) -> None:
    stop = threading.Event()
    follower = follower_of(database)
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()
    try:
        writer.account()
        until(lambda: rows_of(database, "SELECT name FROM accounts.accounts") == [("Ada",)])
    finally:
        stop.set()
        thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def test_a_follower_survives_the_loss_of_its_connections(database: Database, writer: Writer) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=follower_of(database).run, args=(stop,))
    thread.start()
    try:
        writer.account()
        until(lambda: rows_of(database, "SELECT name FROM accounts.accounts") == [("Ada",)])
        with psycopg.connect(database.owner_url) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'daybook_follower' AND datname = current_database()"
            )
        writer.rename("ada", "Countess")
        until(lambda: rows_of(database, "SELECT name FROM accounts.accounts") == [("Countess",)])
    finally:
        stop.set()
        thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def test_a_follower_stops_when_another_moves_its_tracking(database: Database, writer: Writer) -> None:
    first, second = writer.account(), writer.rename("ada", "Countess")
    assert first
    accounts = PROJECTIONS["accounts"]

    def interrupted(connection: psycopg.Connection[Any], batch: Batch) -> None:
        accounts.apply(connection, batch)
        connection.execute(
            "UPDATE daybook.tracking SET position = %s WHERE projection = 'accounts'", (second,)
        )

    with (
        closing(follower_of(database, replace(accounts, apply=interrupted), batch_rows=1)) as follower,
        pytest.raises(TrackingMoved, match="another follower has moved it"),
    ):
        follower.step()
    assert tracking_of(database, "accounts")["position"] == 0
    assert rows_of(database, "SELECT name FROM accounts.accounts") == []


# -- failing ------------------------------------------------------------------------------------------


def test_a_projection_that_fails_stops_at_the_event_and_the_others_go_on(
    database: Database, writer: Writer
) -> None:
    writer.account()
    before = writer.rename("ada", "Good")
    bad = writer.rename("ada", "Bad")
    last = writer.rename("ada", "Better")
    broken = failing(PROJECTIONS["accounts"], renamed_to("Bad"))
    with closing(follower_of(database, broken, PROJECTIONS["timeline"])) as follower:
        with pytest.raises(ProjectionStopped, match=f"accounts stopped at position {bad}: ValueError"):
            follower.catch_up()
        assert follower.positions() == {"accounts": before, "timeline": last}
    tracking = tracking_of(database, "accounts")
    assert tracking["failed_position"] == bad
    assert "secret" not in tracking["failure"]
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Good",)]


def test_a_projection_that_is_repaired_goes_on_from_where_it_stopped(
    database: Database, writer: Writer
) -> None:
    writer.account()
    writer.rename("ada", "Bad")
    last = writer.rename("ada", "Better")
    broken = [True]
    clock = [0.0]
    projection = failing(PROJECTIONS["accounts"], lambda batch: broken[0] and renamed_to("Bad")(batch))
    with closing(follower_of(database, projection, clock=lambda: clock[0])) as follower:
        follower.step()
        broken[0] = False
        assert follower.step() == 0, "it waits before it tries again"
        clock[0] += 60
        assert follower.step() == 2
        assert follower.positions() == {"accounts": last}
    tracking = tracking_of(database, "accounts")
    assert (tracking["failed_position"], tracking["failure"]) == (None, None)
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Better",)]


def test_an_event_of_an_unknown_topic_stops_every_projection(database: Database, writer: Writer) -> None:
    position = writer.account()
    with psycopg.connect(database.app_url) as connection:
        connection.execute("SELECT set_config('daybook.book', %s, true)", (str(writer.book),))
        connection.execute(
            "INSERT INTO log.events (originator_id, originator_version, topic, state)"
            " VALUES (%s, 1, 'weather.changed', '{}')",
            (uuid4(),),
        )
    assert position
    with (
        closing(follower_of(database)) as follower,
        pytest.raises(ProjectionStopped, match="unknown to this version"),
    ):
        follower.catch_up()


def test_an_event_that_cannot_be_decoded_stops_only_those_that_handle_it(
    database: Database, writer: Writer
) -> None:
    writer.account()
    bad = _append_unreadable(database, writer, "account.renamed")
    with closing(follower_of(database)) as follower:
        with pytest.raises(ProjectionStopped, match=r"account.renamed.*cannot be decoded"):
            follower.catch_up()
        positions = follower.positions()
    assert {name for name, position in positions.items() if position < bad} == {"accounts", "timeline"}


def _append_unreadable(database: Database, writer: Writer, topic: str) -> int:
    with psycopg.connect(database.app_url) as connection:
        connection.execute("SELECT set_config('daybook.book', %s, true)", (str(writer.book),))
        row = connection.execute(
            "INSERT INTO log.events (originator_id, originator_version, topic, state)"
            " VALUES (%s, 1, %s, '{}') RETURNING notification_id",
            (uuid4(), topic),
        ).fetchone()
    assert row is not None
    position: int = row[0]
    return position


# -- setting aside ------------------------------------------------------------------------------------


def test_an_event_set_aside_is_passed_over_live_and_in_every_rebuild(
    database: Database, writer: Writer
) -> None:
    account = writer.account()
    bad = _append_unreadable(database, writer, "account.renamed")
    writer.usage(account, NOON)
    clock = [0.0]
    with closing(follower_of(database, clock=lambda: clock[0])) as follower:
        follower.step()
        writer.set_aside(bad)
        last = writer.rename("ada", "Countess")
        clock[0] += 60
        follower.catch_up()
        assert set(follower.positions().values()) == {last}
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Countess",)]
    assert all(one.equal for one in verify(database.owner_url, database.follower_url, MASTER_KEY))
    assert all(one.equal for one in rebuild(database.owner_url, database.follower_url, MASTER_KEY))
    writer.rename("ada", "Ada again")
    with closing(follower_of(database)) as follower:
        follower.catch_up()
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Ada again",)]


def test_a_projection_that_had_applied_an_event_set_aside_stops_until_it_is_rebuilt(
    database: Database, writer: Writer
) -> None:
    writer.account()
    regretted = writer.rename("ada", "Regretted")
    with closing(follower_of(database)) as follower:
        follower.catch_up()
        writer.set_aside(regretted)
        with pytest.raises(ProjectionStopped) as stopped:
            follower.catch_up()
    assert str(stopped.value).count(SetAsideTooLate.__name__) == 2, "accounts and timeline had applied it"
    names = ["accounts", "timeline"]
    found = rebuild(database.owner_url, database.follower_url, MASTER_KEY, names)
    assert [one.equal for one in found] == [False, False]
    with closing(follower_of(database)) as follower:
        follower.catch_up()
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Ada",)]


def test_nobody_sets_aside_another_books_event(database: Database, writer: Writer) -> None:
    writer.account()
    position = writer.rename("ada", "Countess")
    with closing(Writer(database)) as stranger, closing(follower_of(database)) as follower:
        stranger.set_aside(position)
        follower.catch_up()
        stranger.set_aside(position + 1)
        follower.catch_up()
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Countess",)]


def test_an_event_far_back_in_a_batch_can_be_set_aside_by_one_in_it(
    database: Database, writer: Writer
) -> None:
    writer.account()
    writer.set_aside(writer.rename("ada", "Never"))
    writer.at += timedelta(days=1)
    with closing(follower_of(database)) as follower:
        follower.catch_up()
    assert rows_of(database, "SELECT name FROM accounts.accounts") == [("Ada",)]
