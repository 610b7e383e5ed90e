"""Rebuild and verify: what was built live, in whatever batches, is what reading the log again gives."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.follower import Follower
from projections.rebuild import RebuildRunning, UnknownProjection, rebuild, verify
from projections.registry import PROJECTIONS
from tests.integration.catalogue_histories import change_catalogue
from tests.integration.correction_histories import correct
from tests.integration.credit_histories import change_credit
from tests.integration.histories import MASTER_KEY, NOON, Writer, write_everything

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projections.rebuild import Comparison
    from tests.postgres import Database


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


def catch_up(database: Database, batch_rows: int = 5_000) -> None:
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values(), batch_rows=batch_rows)
    with closing(follower):
        follower.catch_up()


def as_owner(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        cursor = owner.execute(statement)
        return cursor.fetchall() if cursor.description else []


def compared(found: list[Comparison]) -> dict[str, bool]:
    return {one.projection: one.equal for one in found}


def leftovers(database: Database) -> list[tuple[Any, ...]]:
    return as_owner(
        database,
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE '%\\_rebuild' OR nspname LIKE '%\\_old'"
        " UNION ALL SELECT projection FROM daybook.tracking WHERE projection LIKE '%\\_rebuild'",
    )


def test_what_was_built_live_equals_its_rebuild(database: Database, writer: Writer) -> None:
    write_everything(writer)
    catch_up(database)
    shown: list[tuple[int, int]] = []
    found = verify(
        database.owner_url,
        database.follower_url,
        MASTER_KEY,
        progress=lambda done, total: shown.append((done, total)),
    )
    assert compared(found) == dict.fromkeys(PROJECTIONS, True)
    assert all(one.rows > 0 for one in found)
    assert shown[-1][0] == shown[-1][1] == found[0].position
    assert leftovers(database) == []


def test_a_row_that_is_not_from_the_log_is_shown_and_then_gone(database: Database, writer: Writer) -> None:
    write_everything(writer)
    catch_up(database)
    as_owner(database, "UPDATE usage.totals SET quantity = 99")
    (found,) = verify(database.owner_url, database.follower_url, MASTER_KEY, ["usage"])
    assert not found.equal
    assert [(one.table, one.side) for one in found.differences] == [("totals", "live"), ("totals", "rebuilt")]
    assert ",99," in found.differences[0].row
    (rebuilt,) = rebuild(database.owner_url, database.follower_url, MASTER_KEY, ["usage"])
    assert not rebuilt.equal
    assert as_owner(database, "SELECT quantity FROM usage.totals") == [(5,)]
    assert compared(verify(database.owner_url, database.follower_url, MASTER_KEY, ["usage"])) == {
        "usage": True
    }
    assert leftovers(database) == []


def test_a_projection_that_was_rebuilt_follows_on(database: Database, writer: Writer) -> None:
    account = write_everything(writer)
    with closing(Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values())) as follower:
        follower.catch_up()
        rebuild(database.owner_url, database.follower_url, MASTER_KEY)
        writer.usage(account, NOON)
        writer.rename("ada", "Countess")
        follower.catch_up()
    found = verify(database.owner_url, database.follower_url, MASTER_KEY)
    assert compared(found) == dict.fromkeys(PROJECTIONS, True)
    assert as_owner(database, "SELECT events FROM usage.totals") == [(6,)]


def test_a_rebuild_of_what_never_followed_gives_what_it_has(database: Database, writer: Writer) -> None:
    write_everything(writer)
    found = rebuild(database.owner_url, database.follower_url, MASTER_KEY)
    assert compared(found) == dict.fromkeys(PROJECTIONS, True)
    assert {one.position for one in found} == {0}


def test_a_rebuild_beside_a_live_follower_and_writers_loses_nothing(
    database: Database, writer: Writer
) -> None:
    account = write_everything(writer)
    stop = threading.Event()
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values(), batch_rows=50)
    following = threading.Thread(target=follower.run, args=(stop,))
    written = threading.Event()

    def write() -> None:
        for minute in range(40):
            writer.usage(account, *(NOON + timedelta(minutes=minute, seconds=n) for n in range(25)))
            writer.rename("ada", f"Ada {minute}")
        written.set()

    writing = threading.Thread(target=write)
    following.start()
    writing.start()
    try:
        while not written.is_set():
            rebuild(database.owner_url, database.follower_url, MASTER_KEY)
            verify(database.owner_url, database.follower_url, MASTER_KEY)
    finally:
        writing.join()
        stop.set()
        following.join()
    catch_up(database)
    found = verify(database.owner_url, database.follower_url, MASTER_KEY)
    assert compared(found) == dict.fromkeys(PROJECTIONS, True)
    assert as_owner(database, "SELECT sum(events) FROM usage.totals") == [(1_005,)]
    assert as_owner(database, "SELECT name FROM accounts.accounts") == [("Ada 39",)]


def test_what_a_killed_rebuild_left_is_cleared_away(database: Database, writer: Writer) -> None:
    write_everything(writer)
    catch_up(database)
    as_owner(database, "CREATE SCHEMA usage_rebuild CREATE TABLE totals (junk int)")
    as_owner(database, "CREATE SCHEMA usage_old")
    as_owner(database, "INSERT INTO daybook.tracking (projection, position) VALUES ('usage_rebuild', 3)")
    assert compared(rebuild(database.owner_url, database.follower_url, MASTER_KEY, ["usage"])) == {
        "usage": True
    }
    assert leftovers(database) == []


def test_two_rebuilds_of_one_projection_do_not_meet(database: Database) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(4412027, hashtext('usage'))")
        with pytest.raises(RebuildRunning, match="usage is being rebuilt"):
            verify(database.owner_url, database.follower_url, MASTER_KEY)


def test_a_projection_that_does_not_exist_is_refused_by_name(database: Database) -> None:
    with pytest.raises(UnknownProjection, match="must be one of accounts"):
        verify(database.owner_url, database.follower_url, MASTER_KEY, ["weather"])


# -- random histories ---------------------------------------------------------------------------------

ACTIONS = st.sampled_from(
    [
        "rename",
        "email",
        "rotate",
        "suspend",
        "revoke",
        "withdraw",
        "grant",
        "change plan",
        "catalogue",
        "credit",
        "pay",
        "stripe",
        "usage",
        "burst",
        "correct",
        "other book",
    ]
)


def play(writer: Writer, other: Writer, actions: list[tuple[str, int]]) -> None:
    """Write a history: what each action does depends on a number that comes with it."""
    account = write_everything(writer)
    plans = [writer.id_of("plan", "pro"), writer.plan("team")]
    for step, (action, number) in enumerate(actions):
        match action:
            case "rename" | "email":
                (writer.rename if action == "rename" else writer.change_email)("ada", f"ada{number}@x.org")
            case "rotate" | "suspend" | "revoke":
                writer.change_key(account, "first", action)
            case "grant" | "withdraw":
                (writer.grant if action == "grant" else writer.withdraw)()
            case "change plan":
                writer.change_plan(account, plans[number % 2], plans[(number + 1) % 2])
            case "catalogue" | "credit":
                (change_catalogue if action == "catalogue" else change_credit)(writer, step, number)
            case "pay":
                writer.pay(account, 1 + number, name=f"payment {step}")
            case "stripe":
                writer.see_invoice(account, "open" if number % 2 else "paid", NOON + timedelta(hours=step))
            case "usage" | "burst" | "correct":
                use(writer, account, action, number)
            case _:
                other.usage(other.account(f"other {step}"), NOON)


def use(writer: Writer, account: str, action: str, number: int) -> None:
    """Write one usage event, or a burst of them, or correct one of the five that are there always."""
    if action == "usage":
        writer.usage(account, NOON + timedelta(minutes=number), quantity=f"{number}.25")
    elif action == "correct":
        correct(writer, 1 + number % 5, None if number % 3 == 0 else f"{number}.5")
    else:
        seconds = range(number * 40)
        writer.usage(account, *(NOON + timedelta(seconds=second % 50) for second in seconds))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    actions=st.lists(st.tuples(ACTIONS, st.integers(1, 40)), max_size=12),
    batches=st.lists(st.integers(1, 700), min_size=1, max_size=5),
)
def test_no_history_depends_on_how_it_fell_into_batches(
    database: Database, actions: list[tuple[str, int]], batches: list[int]
) -> None:
    with closing(Writer(database)) as writer, closing(Writer(database)) as other:
        play(writer, other, actions)
    for batch_rows in batches:
        follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values(), batch_rows=batch_rows)
        with closing(follower):
            follower.step()
    catch_up(database, batches[0])
    found = verify(database.owner_url, database.follower_url, MASTER_KEY)
    assert [one for one in found if not one.equal] == []
