"""Row-level security holds by itself: a query that forgets its WHERE still shows one book only."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from projections.follower import Follower
from projections.rebuild import rebuild
from projections.registry import PROJECTIONS
from tests.integration.credit_histories import credited
from tests.integration.histories import MASTER_KEY, NOON, Writer, write_everything

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

LAST = (1 << 63) - 1
# Whatever a query may ask for, so that nothing but the policies keeps rows out.
EVERYTHING: dict[str, Any] = {
    "after": 0,
    "before": LAST,
    "limit": 10_000,
    "types": None,
    "with_usage": True,
    "since": None,
    "until": None,
    "position": LAST,
    "known_at": None,
    "through": LAST,
    "meter": None,
    "after_meter": "",
    "after_day": date(2000, 1, 1),
}
QUERIES = [(name, query) for name, projection in PROJECTIONS.items() for query in projection.queries]
TABLES = [(name, table) for name, projection in PROJECTIONS.items() for table in projection.tables]


@pytest.fixture(params=["live", "rebuilt"])
def books(database: Database, request: pytest.FixtureRequest) -> Iterator[tuple[UUID, UUID]]:
    """Fill two books, with ids that tell them apart in any column, and rebuild all in one of two cases."""
    with closing(Writer(database, UUID(int=1))) as one, closing(Writer(database, UUID(int=2))) as two:
        for writer in (one, two):
            account = write_everything(writer)
            credited(writer, account, writer.book.int)
            writer.usage(account, NOON, meter=f"meter of {writer.book}")
        with closing(Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values())) as follower:
            follower.catch_up()
        if request.param == "rebuilt":
            rebuild(database.owner_url, database.follower_url, MASTER_KEY)
        yield one.book, two.book


def without_where(query: str) -> str:
    """Take every condition out of a query: each WHERE up to what ends it, at its own level of parentheses."""
    kept, rest = "", query
    while (start := re.search(r"\bWHERE\b", rest)) is not None:
        kept += rest[: start.start()]
        rest = rest[_end_of_condition(rest, start.end()) :]
    return kept + rest


def _end_of_condition(query: str, start: int) -> int:
    depth = 0
    for token in re.finditer(r"\(|\)|\bORDER BY\b|\bGROUP BY\b|\bLIMIT\b", query[start:]):
        if token.group() == "(":
            depth += 1
        elif token.group() == ")":
            if depth == 0:
                return start + token.start()
            depth -= 1
        elif depth == 0:
            return start + token.start()
    return len(query)


def rows(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query, EVERYTHING).fetchall()


def bind(connection: psycopg.Connection[Any], book: UUID | None) -> None:
    connection.execute("SELECT set_config('daybook.book', %s, false)", ("" if book is None else str(book),))


def test_taking_out_conditions_leaves_the_rest() -> None:
    query = "SELECT a FROM (SELECT a FROM t WHERE (a = (b)) AND c ORDER BY a LIMIT 1) AS x WHERE a > 1"
    assert without_where(query) == "SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 1) AS x "


def test_no_query_shows_another_book(database: Database, books: tuple[UUID, UUID]) -> None:
    one, two = books
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        for name, query in QUERIES:
            stripped = without_where(PROJECTIONS[name].queries[query])
            assert "WHERE" not in stripped
            bind(connection, one)
            ours = rows(connection, stripped)
            bind(connection, two)
            theirs = rows(connection, stripped)
            assert ours, f"{name}.{query} shows nothing, which proves nothing"
            assert len(ours) == len(theirs)
            assert ours != theirs, f"{name}.{query} shows the same to both"
            assert _ids(ours).isdisjoint(_ids(theirs)), f"{name}.{query} mixes books"
            bind(connection, None)
            assert rows(connection, stripped) == [], f"{name}.{query} shows rows without a book"


def _ids(found: list[tuple[Any, ...]]) -> set[str]:
    """Give what in rows belongs to one book alone: ids, positions apart, and what is named after it."""
    text = " ".join(str(value) for row in found for value in row)
    return set(
        re.findall(r"(?:acc|key|plan|sub|inv|pay)_[0-9a-z]{26}|(?:meter|gateway) of [0-9a-f-]{36}", text)
    )


def test_no_table_shows_another_book(database: Database, books: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        for schema, table in TABLES:
            for book in books:
                bind(connection, book)
                assert set(rows(connection, f"SELECT book FROM {schema}.{table}")) == {(book,)}  # noqa: S608
            bind(connection, None)
            assert rows(connection, f"SELECT book FROM {schema}.{table}") == []  # noqa: S608


def test_the_role_of_queries_writes_to_no_projection(database: Database, books: tuple[UUID, UUID]) -> None:
    with psycopg.connect(database.app_url, autocommit=True) as connection:
        bind(connection, books[0])
        for schema, table in TABLES:
            for statement in (f"DELETE FROM {schema}.{table}", f"UPDATE {schema}.{table} SET book = book"):  # noqa: S608
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)


def test_every_table_of_a_projection_is_known_to_it(database: Database, books: tuple[UUID, UUID]) -> None:
    assert books
    with psycopg.connect(database.owner_url) as connection:
        found = connection.execute(
            "SELECT nspname, relname, relrowsecurity AND relforcerowsecurity FROM pg_class"
            " JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relkind = 'r' AND nspname = ANY(%s)",
            (list(PROJECTIONS),),
        ).fetchall()
    assert sorted(found) == sorted((schema, table, True) for schema, table in TABLES)
