"""Migrations: once each, in order, all or nothing, and never edited."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from projections.migrate import (
    MigrationChanged,
    MigrationMisnamed,
    MigrationOutOfOrder,
    MigrationUnknown,
    migrate,
    run_projection_migrations,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Database

MIGRATE = """
import sys
from pathlib import Path
from projections.migrate import migrate
print(migrate(sys.argv[1], Path(sys.argv[2])))
"""
PROJECTIONS = ["accounts", "keys", "sources", "billing", "balances", "usage", "timeline"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Give a directory with a plain migration and one of a projection, to which tests add."""
    write(
        tmp_path,
        "0001_first.sql",
        "CREATE TABLE public.first (x int); INSERT INTO public.first VALUES (100 % 7);",
    )
    write(
        tmp_path,
        "0002_totals.sql",
        "-- schema: totals\nCREATE TABLE total (x int);\nCREATE INDEX ON total (x);\n",
    )
    return tmp_path


def write(directory: Path, name: str, text: str) -> None:
    (directory / name).write_text(text, encoding="utf-8")


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.owner_url) as connection:
        return connection.execute(query.encode()).fetchall()


def recorded(database: Database) -> list[tuple[object, ...]]:
    return rows(database, "SELECT number, name FROM daybook.migrations ORDER BY number")


def tables(database: Database, schema: str) -> list[tuple[object, ...]]:
    return rows(database, f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' ORDER BY 1")  # noqa: S608


def test_migrations_are_applied_once_and_in_order(empty_database: Database, directory: Path) -> None:
    assert migrate(empty_database.owner_url, directory) == ["0001_first", "0002_totals"]
    assert migrate(empty_database.owner_url, directory) == []
    write(directory, "0003_third.sql", "ALTER TABLE public.first ADD y int")
    assert migrate(empty_database.owner_url, directory) == ["0003_third"]
    assert recorded(empty_database) == [(1, "0001_first"), (2, "0002_totals"), (3, "0003_third")]
    assert rows(empty_database, "SELECT x FROM public.first") == [(2,)]


def test_a_projections_tables_are_made_in_its_own_schema(empty_database: Database, directory: Path) -> None:
    write(directory, "0003_plain.sql", "CREATE TABLE plain (x int)")
    migrate(empty_database.owner_url, directory)
    assert tables(empty_database, "totals") == [("total",)]
    assert tables(empty_database, "public") == [("first",), ("plain",)]


def test_an_edited_migration_is_refused_and_nothing_new_is_applied(
    empty_database: Database, directory: Path
) -> None:
    migrate(empty_database.owner_url, directory)
    write(directory, "0001_first.sql", "CREATE TABLE public.first (x bigint);")
    write(directory, "0003_third.sql", "CREATE TABLE public.third (x int)")
    with pytest.raises(MigrationChanged, match="0001_first"):
        migrate(empty_database.owner_url, directory)
    assert tables(empty_database, "public") == [("first",)]


def test_a_renamed_migration_is_refused(empty_database: Database, directory: Path) -> None:
    migrate(empty_database.owner_url, directory)
    (directory / "0001_first.sql").rename(directory / "0001_other.sql")
    with pytest.raises(MigrationChanged, match="applied as 0001_first"):
        migrate(empty_database.owner_url, directory)


def test_a_database_newer_than_the_code_is_refused(empty_database: Database, directory: Path) -> None:
    write(directory, "0003_future.sql", "CREATE TABLE public.future (x int)")
    migrate(empty_database.owner_url, directory)
    (directory / "0003_future.sql").unlink()
    with pytest.raises(MigrationUnknown, match="0003_future"):
        migrate(empty_database.owner_url, directory)


def test_a_new_migration_below_an_applied_one_is_refused(empty_database: Database, directory: Path) -> None:
    write(directory, "0004_late.sql", "SELECT 1")
    migrate(empty_database.owner_url, directory)
    write(directory, "0003_between.sql", "SELECT 1")
    with pytest.raises(MigrationOutOfOrder, match="0003_between"):
        migrate(empty_database.owner_url, directory)


def test_a_failing_migration_leaves_nothing_and_keeps_those_before_it(
    empty_database: Database, directory: Path
) -> None:
    write(directory, "0003_half.sql", "CREATE TABLE public.half (x int); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_database.owner_url, directory)
    assert tables(empty_database, "public") == [("first",)]
    assert recorded(empty_database) == [(1, "0001_first"), (2, "0002_totals")]
    write(directory, "0003_half.sql", "CREATE TABLE public.half (x int);")
    assert migrate(empty_database.owner_url, directory) == ["0003_half"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1_short.sql", "SELECT 1"),
        ("0003_Upper.sql", "SELECT 1"),
        ("0002_same_number.sql", "SELECT 1"),
        ("0003_schema.sql", "-- schema totals\nSELECT 1"),
        ("0003_schema.sql", "-- Schema: totals\nSELECT 1"),
        ("0003_schema.sql", "-- schema: to.tals\nSELECT 1"),
    ],
)
def test_a_misnamed_migration_is_refused(
    empty_database: Database, directory: Path, name: str, text: str
) -> None:
    write(directory, name, text)
    with pytest.raises(MigrationMisnamed):
        migrate(empty_database.owner_url, directory)


def test_a_missing_directory_is_not_taken_for_an_empty_one(empty_database: Database, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        migrate(empty_database.owner_url, tmp_path / "absent")


def test_processes_migrating_at_once_apply_each_migration_once(
    empty_database: Database, directory: Path
) -> None:
    write(directory, "0003_slow.sql", "CREATE TABLE public.slow (x int); SELECT pg_sleep(0.3);")
    command = [sys.executable, "-c", MIGRATE, empty_database.owner_url, str(directory)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs == ["['0001_first', '0002_totals', '0003_slow']", "[]", "[]"]


def test_a_process_killed_while_migrating_leaves_the_lock_and_no_half(
    empty_database: Database, directory: Path
) -> None:
    write(directory, "0003_slow.sql", "CREATE TABLE public.slow (x int); SELECT pg_sleep(1);")
    command = [sys.executable, "-c", MIGRATE, empty_database.owner_url, str(directory)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        psycopg.connect(empty_database.owner_url, autocommit=True) as connection,
    ):
        while not connection.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%sleep(1)%' "
            "AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"
        ).fetchall():
            assert process.poll() is None
        process.kill()
    assert migrate(empty_database.owner_url, directory) == ["0003_slow"]


def test_a_projections_files_run_again_in_a_shadow_schema(empty_database: Database, directory: Path) -> None:
    migrate(empty_database.owner_url, directory)
    write(directory, "0003_totals_more.sql", "-- schema: totals\nALTER TABLE total ADD y int;")
    migrate(empty_database.owner_url, directory)
    with psycopg.connect(empty_database.owner_url) as connection:
        ran = run_projection_migrations(connection, "totals", "totals_rebuild", directory)
        assert ran == ["0002_totals", "0003_totals_more"]
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
        connection.execute("INSERT INTO totals_rebuild.total (x, y) VALUES (1, 2)")
    assert rows(empty_database, "SELECT x, y FROM totals_rebuild.total") == [(1, 2)]
    assert rows(empty_database, "SELECT x, y FROM totals.total") == []
    assert len(recorded(empty_database)) == 3


def test_a_shadow_schema_vanishes_with_the_callers_rollback(
    empty_database: Database, directory: Path
) -> None:
    with psycopg.connect(empty_database.owner_url) as connection, connection.transaction(force_rollback=True):
        run_projection_migrations(connection, "totals", "totals_rebuild", directory)
        assert connection.execute("SHOW search_path").fetchone() == ('"$user", public',)
    assert tables(empty_database, "totals_rebuild") == []


def test_the_projects_own_migrations_are_applied_and_the_run_time_roles_can_connect(
    database: Database,
) -> None:
    assert migrate(database.owner_url) == []
    for url, role in [
        (database.app_url, "daybook_app"),
        (database.ingest_url, "daybook_ingest"),
        (database.follower_url, "daybook_follower"),
    ]:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)


def test_the_shadow_of_every_projection_has_the_same_tables(database: Database) -> None:
    with psycopg.connect(database.owner_url) as connection:
        found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", [PROJECTIONS])
        for (projection,) in found.fetchall():
            run_projection_migrations(connection, projection, f"{projection}_rebuild")
        connection.commit()
    for projection in PROJECTIONS:
        assert tables(database, f"{projection}_rebuild") == tables(database, projection)
