"""A connection that dies or a server that is gone loses nothing acknowledged and leaves nothing by halves."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from api.embedded_postgres import EmbeddedPostgres
from ledger.errors import Unavailable
from ledger.store import Log
from projections.migrate import migrate
from tests.integration.log_events import (
    BOOK,
    MASTER_KEY,
    Background,
    Extras,
    append_usage,
    fact,
    used,
    wait_until,
)
from tests.postgres import Database

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

    from ledger.events import NewEvent, Recorded

END_THIS_BACKEND = "SELECT pg_terminate_backend(pg_backend_pid())"


def end_backend(cursor: Cursor[DictRow], *_: object) -> None:
    cursor.execute(END_THIS_BACKEND)


def count(owner: Connection[DictRow]) -> int:
    row = owner.execute("SELECT count(*) AS n FROM log.events").fetchone()
    assert row is not None
    return int(row["n"])


@pytest.mark.parametrize("dying", [Extras(do_before=end_backend), Extras(do_after=end_backend)])
def test_a_backend_that_dies_during_an_append_is_unavailable_and_stores_nothing(
    log: Log, ingest_log: Log, owner: Connection[DictRow], dying: Extras
) -> None:
    with pytest.raises(Unavailable, match="out of reach"):
        log.append(BOOK, [fact(), fact()], extra=dying)
    with pytest.raises(Unavailable, match="out of reach"):
        append_usage(ingest_log, [used("a"), used("b")], dying)
    assert count(owner) == 0
    assert len(log.append(BOOK, [fact(), fact()])) == 2
    assert append_usage(ingest_log, [used("a"), used("b")]).accepted == 2


def test_a_backend_that_dies_while_reading_is_unavailable(log: Log) -> None:
    with pytest.raises(Unavailable), log.reading(BOOK) as connection:
        connection.execute(END_THIS_BACKEND)
    assert log.load(BOOK, uuid4()) == []


def test_backends_killed_at_any_moment_leave_every_append_whole_and_retried_once(
    log: Log, ingest_log: Log, owner: Connection[DictRow]
) -> None:
    """Each append is tried until it is acknowledged, as a caller would; kills go on until all have been."""
    done = threading.Event()
    refused: list[str] = []
    written: list[NewEvent] = []

    def kill() -> None:
        while not done.is_set():
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename IN ('daybook_app', 'daybook_ingest')"
                " ORDER BY random() LIMIT 1"
            )
            done.wait(0.005)

    def append_until_acknowledged(number: int) -> None:
        facts = [fact() for _ in range(3)]
        usage = [used(f"{number}-{index}") for index in range(20)]
        written.extend([*facts, *usage])
        positions, accepted = None, None
        while positions is None or accepted is None:
            try:
                positions = positions or log.append(BOOK, facts)
                accepted = append_usage(ingest_log, usage)
            except Unavailable as error:
                refused.append(str(error))
        assert [each.position for new in facts for each in log_of(new)] == positions
        assert accepted.accepted + accepted.duplicates == len(usage)

    def log_of(new: NewEvent) -> list[Recorded]:
        while True:
            try:
                return log.load(BOOK, new.stream)
            except Unavailable as error:
                refused.append(str(error))

    with Background() as background:
        background.start(kill)
        try:
            for number in range(40):
                append_until_acknowledged(number)
        finally:
            done.set()
    assert refused, "no kill ever hit"
    stored = owner.execute("SELECT originator_id FROM log.events").fetchall()
    assert sorted(row["originator_id"] for row in stored) == sorted(new.stream for new in written)


def test_a_server_that_is_down_is_unavailable_and_serves_again_when_it_is_back(data_folder: Path) -> None:
    with EmbeddedPostgres(data_folder) as server:
        migrate(server.url)
        url = Database("daybook", server.url).app_url
        with closing(Log(url, MASTER_KEY)) as log:
            log._datastore.pool.timeout = 0.3  # how long a request waits for a connection
            kept = fact()
            positions = log.append(BOOK, [kept])
            server.stop()
            for _ in range(3):
                with pytest.raises(Unavailable):
                    log.append(BOOK, [fact()])
                with pytest.raises(Unavailable):
                    append_usage(log, [used("a")])
                with pytest.raises(Unavailable):
                    log.load(BOOK, kept.stream)
            server.start()
            assert recovered(log, kept) == positions
            assert log.append(BOOK, [kept]) == positions


def recovered(log: Log, kept: NewEvent) -> list[int]:
    """Read until the pool has connections again."""
    positions: list[int] = []

    def readable() -> bool:
        try:
            positions[:] = [each.position for each in log.load(BOOK, kept.stream)]
        except Unavailable:
            return False
        return True

    wait_until(readable)
    return positions


def test_an_address_where_nobody_answers_is_unavailable() -> None:
    with closing(Log("postgresql://daybook_app@127.0.0.1:1/daybook", MASTER_KEY)) as log:
        log._datastore.pool.timeout = 0.3
        with pytest.raises(Unavailable):
            log.append(BOOK, [fact()])
