"""Credit as it is listed, when grants fall due, and that a rebuild says the same."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from projections import credits as credits_held
from projections import due
from projections.follower import Follower
from projections.rebuild import verify
from projections.registry import PROJECTIONS
from tests.integration import credit_histories as histories
from tests.integration.histories import MASTER_KEY, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

    from tests.postgres import Database

ACCOUNT, OTHER = "acc_01h455vb4pex5vsknk084sn02q", "acc_01h455vb4pex5vsknk084sn02r"
MONTH = timedelta(days=31)


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


@pytest.fixture
def projected(database: Database, writer: Writer) -> Iterator[Callable[[], Connection[Any]]]:
    """Give a function that projects what was written, two events at a time, and lends a connection."""
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values(), batch_rows=2)
    with (
        closing(follower),
        psycopg.connect(database.app_url, autocommit=True, row_factory=dict_row) as connection,
    ):
        connection.execute("SELECT set_config('daybook.book', %s, false)", (str(writer.book),))

        def project() -> Connection[Any]:
            follower.catch_up()
            return connection

        yield project


def held(connection: Connection[Any], account: str = ACCOUNT) -> dict[str, tuple[int, int, int]]:
    """Give what an account holds by currency: its own, paid and promotional."""
    rows = credits_held.balances_of(connection, account)
    return {row["currency"]: (row["own"], row["paid"], row["promotional"]) for row in rows}


def test_balances_are_what_the_events_leave_by_kind_and_currency(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_credit(writer, ACCOUNT)
    assert held(projected()) == {"USD": (700, 400, 500)}
    histories.given_back(writer, ACCOUNT, 50)
    histories.restored(writer, ACCOUNT, "paid", 25)
    histories.drawn(writer, ACCOUNT, "promotional", 10)
    histories.credited(writer, ACCOUNT, -70)
    histories.credited(writer, ACCOUNT, 9, "EUR")
    histories.expired(writer, ACCOUNT, "paid", 425)
    assert held(projected()) == {"EUR": (9, 0, 0), "USD": (680, 0, 490)}
    assert held(projected(), OTHER) == {}


def test_grants_are_listed_the_newest_first_with_what_is_left_of_each(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_credit(writer, ACCOUNT)
    voided = histories.granted(writer, ACCOUNT, "paid", "third")
    histories.voided(writer, ACCOUNT, "third")
    histories.expired(writer, ACCOUNT, "paid", 400)
    rows = credits_held.grants_of(projected(), ACCOUNT, None, 10)
    assert [(row["grant_id"], row["status"], row["balance"]) for row in rows] == [
        (voided, "voided", 0),
        (writer.id_of("grant", "promotional"), "active", 500),
        (writer.id_of("grant", "paid"), "expired", 0),
    ]
    assert (rows[2]["plans"], rows[2]["meters"]) == ([writer.id_of("plan", "pro")], ["tokens"])
    assert (rows[0]["reference"], rows[0]["method"], rows[0]["name"]) == ("third", "bank_transfer", "Pack")
    older = credits_held.grants_of(projected(), ACCOUNT, rows[0]["created_position"], 1)
    assert [row["grant_id"] for row in older] == [rows[1]["grant_id"]]
    assert credits_held.grants_of(projected(), OTHER, None, 10) == []


def test_every_change_is_listed_with_its_sign(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_credit(writer, ACCOUNT)
    histories.given_back(writer, ACCOUNT, 50)
    histories.restored(writer, ACCOUNT, "paid", 25)
    histories.expired(writer, ACCOUNT, "paid", 425)
    last = histories.voided(writer, ACCOUNT, "promotional")
    rows = credits_held.changes_of(projected(), ACCOUNT, None, 100)
    assert [row["amount"] for row in rows] == [-500, -425, 25, 50, -300, -100, 500, 500, 1000]
    assert rows[0]["position"] == last
    assert (rows[0]["grant_id"], rows[0]["reason"]) == (writer.id_of("grant", "promotional"), "a mistake")
    assert (rows[3]["grant_id"], rows[3]["invoice"]) == (None, "inv_1")
    assert (rows[8]["reason"], rows[8]["occurred_at"] < rows[7]["occurred_at"]) == ("an outage", True)
    page = credits_held.changes_of(projected(), ACCOUNT, rows[1]["position"], 2)
    assert page == rows[2:4]


def test_a_book_lists_what_is_its_own(database: Database, projected: Callable[[], Connection[Any]]) -> None:
    with closing(Writer(database)) as other:
        histories.write_credit(other, ACCOUNT)
    connection = projected()
    assert held(connection) == {}
    assert credits_held.grants_of(connection, ACCOUNT, None, 10) == []
    assert credits_held.changes_of(connection, ACCOUNT, None, 10) == []


def test_a_grant_is_due_at_its_expiry_until_it_is_over(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    grant = histories.granted(writer, ACCOUNT, "paid")
    gone = histories.granted(writer, ACCOUNT, "promotional")
    expires_at = credits_held.grants_of(projected(), ACCOUNT, None, 10)[1]["expires_at"]
    found = due.due_until(projected(), writer.at + MONTH, 10)
    assert [(row["kind"], row["subject"], row["account"]) for row in found] == [
        ("credit", grant, ACCOUNT),
        ("credit", gone, ACCOUNT),
    ]
    assert found[0]["due_at"] == expires_at
    histories.voided(writer, ACCOUNT, "promotional")
    histories.drawn(writer, ACCOUNT, "paid", 500)
    assert [row["subject"] for row in due.due_until(projected(), writer.at + MONTH, 10)] == [grant]
    histories.expired(writer, ACCOUNT, "paid", 0)
    histories.restored(writer, ACCOUNT, "paid", 5)
    histories.expired(writer, ACCOUNT, "paid", 5)
    assert due.due_until(projected(), writer.at + MONTH, 10) == []


def test_a_rebuild_says_the_same(
    database: Database, writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_credit(writer, writer.account())
    for number in range(12):
        histories.change_credit(writer, number, number)
    projected()
    for one in verify(database.owner_url, database.follower_url, MASTER_KEY, ["credits", "due"]):
        assert (one.equal, one.rows > 0) == (True, True)
