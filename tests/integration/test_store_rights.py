"""The log is written once and never touched; a run-time role sees and writes what is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from psycopg.errors import InsufficientPrivilege

from ledger.events.api_key import ApiKeyIssued, ApiKeyRevoked
from ledger.store import follow
from tests.integration.log_events import (
    BOOK,
    OTHER_BOOK,
    append_usage,
    connected,
    fact,
    new_event,
    renamed,
    used,
)

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import DictRow

    from ledger.store import Log
    from tests.postgres import Database

STREAM = UUID(int=0x57)
INSERT = (
    b"INSERT INTO log.events (originator_id, originator_version, topic, state, book)"
    b" VALUES (%s, 1, 'topic', '{}', %s)"
)

CHANGES = {
    "update": b"UPDATE log.events SET topic = 'changed'",
    "update nothing new": b"UPDATE log.events SET topic = topic",
    "delete": b"DELETE FROM log.events",
    "truncate": b"TRUNCATE log.events",
}
# Beyond the changes: what would undo the rules, or get round them.
FORBIDDEN = CHANGES | {
    "update one partition": b"UPDATE log.events_00 SET topic = 'changed'",
    "delete from one partition": b"DELETE FROM log.events_00",
    "truncate one partition": b"TRUNCATE log.events_00",
    "read one partition": b"SELECT * FROM log.events_00",
    "write one partition": b"INSERT INTO log.events_00 SELECT * FROM log.events",
    "choose a position": b"INSERT INTO log.events"
    b" (originator_id, originator_version, topic, state, notification_id)"
    b" VALUES (gen_random_uuid(), 1, 't', '{}', 1)",
    "choose a time of record": b"INSERT INTO log.events"
    b" (originator_id, originator_version, topic, state, recorded_at)"
    b" VALUES (gen_random_uuid(), 1, 't', '{}', '2000-01-01')",
    "turn positions back": b"SELECT setval('log.position', 1)",
    "read the clock": b"SELECT * FROM log.clock",
    "turn the clock back": b"UPDATE log.clock SET recorded_at = '2000-01-01'",
    "drop the trigger": b"DROP TRIGGER refuse_change ON log.events",
    "disable the triggers": b"ALTER TABLE log.events DISABLE TRIGGER ALL",
    "pretend to replicate": b"SET session_replication_role = replica",
    "disable row-level security": b"ALTER TABLE log.events DISABLE ROW LEVEL SECURITY",
    "write a policy": b"CREATE POLICY everything ON log.events USING (true)",
    "replace the lock": b"CREATE OR REPLACE FUNCTION log.take_lock() RETURNS void LANGUAGE sql AS ''",
    "copy in": b"COPY log.events FROM STDIN",
    "make a table beside it": b"CREATE TABLE log.other (x int)",
    "drop it": b"DROP TABLE log.events",
    "become the owner": b"SET ROLE pg_database_owner",
}
ROLES = ["app", "ingest", "follower"]


def url_of(database: Database, role: str) -> str:
    url: str = getattr(database, f"{role}_url")
    return url


def all_rows(owner: Connection[DictRow]) -> list[DictRow]:
    """Read the whole log as it is stored; the owner of the tests' server is a superuser and sees it all."""
    return owner.execute("SELECT * FROM log.events ORDER BY notification_id").fetchall()


def visible(connection: Connection[DictRow]) -> set[UUID]:
    return {row["originator_id"] for row in connection.execute("SELECT originator_id FROM log.events")}


def refusal(connection: Connection[DictRow], attempt: bytes) -> str:
    """Try something that no right allows, and say how it was refused."""
    with pytest.raises(InsufficientPrivilege) as refused:
        connection.execute(attempt)
    return str(refused.value)


@pytest.mark.parametrize("role", ROLES)
def test_a_run_time_role_can_neither_change_the_log_nor_undo_its_rules(
    log: Log, owner: Connection[DictRow], database: Database, role: str
) -> None:
    log.append(BOOK, [fact(UUID(int=number)) for number in range(20)])
    before = all_rows(owner)
    with connected(url_of(database, role), BOOK) as connection:
        for name, attempt in FORBIDDEN.items():
            assert refusal(connection, attempt), name
            assert all_rows(owner) == before, name


@pytest.mark.parametrize("table", [b"log.events", b"log.events_00", b"log.events_15"])
def test_not_even_a_superuser_changes_what_is_recorded(
    log: Log, owner: Connection[DictRow], table: bytes
) -> None:
    log.append(BOOK, [fact(UUID(int=number)) for number in range(100)])
    before = all_rows(owner)
    is_superuser = owner.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert is_superuser == {"rolsuper": True}
    for attempt in CHANGES.values():
        assert "immutable" in refusal(owner, attempt.replace(b"log.events", table))
        assert all_rows(owner) == before


def test_a_role_without_a_book_sees_and_writes_nothing(log: Log, database: Database) -> None:
    log.append(BOOK, [fact(STREAM)])
    with connected(database.app_url) as connection:
        assert visible(connection) == set()
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            connection.execute(INSERT, (uuid4(), BOOK))


def test_a_role_bound_to_a_book_sees_that_book_only(log: Log, database: Database) -> None:
    log.append(BOOK, [fact(STREAM)])
    other = fact(book=OTHER_BOOK)
    log.append(OTHER_BOOK, [other])
    with connected(database.app_url, BOOK) as connection:
        assert visible(connection) == {STREAM}
    with connected(database.app_url, OTHER_BOOK) as connection:
        assert visible(connection) == {other.stream}
    assert log.load(OTHER_BOOK, STREAM) == []
    assert log.load(BOOK, other.stream) == []
    (position,) = (each.position for each in log.load(BOOK, STREAM))
    assert log.at_positions(OTHER_BOOK, [position]) == []
    assert log.has_position(BOOK, position)
    assert not log.has_position(OTHER_BOOK, position)


def test_a_role_bound_to_a_book_writes_into_that_book_only(log: Log, database: Database) -> None:
    with connected(database.app_url, BOOK) as connection:
        connection.execute(INSERT, (STREAM, BOOK))
        with pytest.raises(InsufficientPrivilege, match="row-level security"):
            connection.execute(INSERT, (uuid4(), OTHER_BOOK))
        assert visible(connection) == {STREAM}
    assert log.version_of(OTHER_BOOK, STREAM) == 0


def test_reading_one_book_after_another_on_one_connection_never_mixes_them(log: Log) -> None:
    streams = {book: [uuid4(), uuid4()] for book in (BOOK, OTHER_BOOK)}
    for book, of_book in streams.items():
        log.append(book, [fact(stream, book=book) for stream in of_book])
    every = [stream for of_book in streams.values() for stream in of_book]
    for book in (BOOK, OTHER_BOOK, OTHER_BOOK, BOOK):
        assert log.load_streams(book, every).keys() == set(streams[book])
        append_usage(log, [used(str(uuid4()), book=OTHER_BOOK)])


@pytest.mark.parametrize("role", ["ingest", "follower"])
def test_the_roles_of_intake_and_projections_see_every_book(log: Log, database: Database, role: str) -> None:
    log.append(BOOK, [fact(STREAM)])
    other = fact(book=OTHER_BOOK)
    log.append(OTHER_BOOK, [other])
    with connected(url_of(database, role)) as connection:
        assert visible(connection) == {STREAM, other.stream}
        assert [row.book for row in follow(connection, 0, 10)] == [BOOK, OTHER_BOOK]


def test_the_follower_appends_nothing(follower: Connection[DictRow]) -> None:
    with pytest.raises(InsufficientPrivilege):
        follower.execute(INSERT, (STREAM, BOOK))


def test_data_keys_are_their_books_own_and_intake_sees_none(log: Log, database: Database) -> None:
    log.append(BOOK, [renamed(STREAM, 1, "Zoë")])
    with connected(database.app_url, OTHER_BOOK) as connection:
        assert connection.execute("SELECT * FROM daybook.data_keys").fetchall() == []
    for url in (database.app_url, database.follower_url, database.ingest_url):
        with connected(url, BOOK) as connection, pytest.raises(InsufficientPrivilege):
            connection.execute("UPDATE daybook.data_keys SET wrapped = ''")
    with connected(database.ingest_url) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute("SELECT * FROM daybook.data_keys")


def test_a_key_is_found_before_its_book_is_known_and_nothing_else_is(log: Log, database: Database) -> None:
    issued = ApiKeyIssued(
        key="key_1", owner="acc_1", name="", scopes=(), secret_hash="", pepper_version=1, hint=""
    )
    revoked = ApiKeyRevoked(key="key_1", owner="acc_1", reason="lost")
    other = uuid4()
    log.append(
        OTHER_BOOK, [new_event(STREAM, 1, issued, OTHER_BOOK), new_event(STREAM, 2, revoked, OTHER_BOOK)]
    )
    log.append(BOOK, [fact(other)])
    found = log.find_key(STREAM)
    assert [each.event for each in found] == [issued, revoked]
    assert {each.metadata.book for each in found} == {OTHER_BOOK}
    assert log.find_key(other) == []
    for url in (database.ingest_url, database.follower_url):
        with connected(url) as connection, pytest.raises(InsufficientPrivilege):
            connection.execute("SELECT * FROM log.find_key(%s)", (STREAM,))


@pytest.mark.parametrize("role", ROLES)
def test_a_run_time_role_is_no_superuser_owns_nothing_and_bypasses_nothing(
    database: Database, role: str
) -> None:
    with connected(url_of(database, role)) as connection:
        powers = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert powers is not None
        assert set(powers.values()) == {False}
        owned = "SELECT relname FROM pg_class WHERE relowner = current_user::regrole"
        assert connection.execute(owned).fetchall() == []
        assert refusal(connection, b"CREATE TABLE public.mine (x int)")
