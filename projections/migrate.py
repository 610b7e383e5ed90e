"""Numbered SQL migrations, each applied once and never edited afterwards.

A file is `migrations/NNNN_name.sql`. If its first line is `-- schema: NAME`, it belongs to that projection:
it names its tables without a schema, so that a rebuild can run the very same files in a shadow schema.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psycopg
from psycopg import sql

from ledger.errors import DaybookError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection

MIGRATIONS_DIRECTORY = Path(__file__).parent / "migrations"
OLDEST_POSTGRES = 15
LOCK_KEY = int.from_bytes(hashlib.sha256(b"daybook.migrations").digest()[:8], "big", signed=True)

_FILE_NAME = re.compile(r"(?P<number>[0-9]{4})_[a-z0-9_]+\.sql", re.ASCII)
_SCHEMA_LINE = re.compile(r"-- schema: (?P<schema>[a-z][a-z0-9_]*)\s*", re.ASCII)

_CREATE_RECORD = """
CREATE SCHEMA IF NOT EXISTS daybook;
CREATE TABLE IF NOT EXISTS daybook.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class MigrationRefused(DaybookError):
    """The migrations cannot be applied; the database is as it was."""

    code: ClassVar[str] = "migration_refused"


class MigrationMisnamed(MigrationRefused):
    """A migration's file name, number or first line breaks the rules."""

    code: ClassVar[str] = "migration_misnamed"


class MigrationChanged(MigrationRefused):
    """A migration was edited after it had been applied."""

    code: ClassVar[str] = "migration_changed"


class MigrationUnknown(MigrationRefused):
    """The database has a migration that this code does not have."""

    code: ClassVar[str] = "migration_unknown"


class MigrationOutOfOrder(MigrationRefused):
    """A migration is new, but its number is lower than one already applied."""

    code: ClassVar[str] = "migration_out_of_order"


class PostgresTooOld(MigrationRefused):
    """The server is older than what the migrations are written for."""

    code: ClassVar[str] = "postgres_too_old"


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str
    sha256: str
    schema: str | None  # the projection it belongs to


def read_migrations(directory: Path = MIGRATIONS_DIRECTORY) -> tuple[Migration, ...]:
    """Return the migrations of a directory in the order of their numbers."""
    paths = (path for path in directory.iterdir() if path.suffix == ".sql")
    migrations = sorted(map(_read, paths), key=lambda each: each.number)
    for first, second in itertools.pairwise(migrations):
        if first.number == second.number:
            raise MigrationMisnamed(f"{first.name} and {second.name} have the same number.")
    return tuple(migrations)


def migrate(url: str, directory: Path = MIGRATIONS_DIRECTORY) -> list[str]:
    """Apply what is missing, in order, and return its names; a second process waits and finds it done."""
    migrations = read_migrations(directory)
    with psycopg.connect(url, autocommit=True, application_name="daybook migrate") as connection:
        _check_server(connection)
        # A session's lock, because each migration commits alone; closing the connection gives it back.
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        connection.execute(_CREATE_RECORD)
        missing = _missing(migrations, _applied(connection))
        for migration in missing:
            _apply(connection, migration)
    return [migration.name for migration in missing]


def run_projection_migrations(
    connection: Connection, projection: str, schema: str, directory: Path = MIGRATIONS_DIRECTORY
) -> list[str]:
    """Run one projection's files in another schema, unrecorded, and return their names.

    All or nothing: inside the caller's transaction when there is one, else in one of its own.
    """
    migrations = [each for each in read_migrations(directory) if each.schema == projection]
    with connection.transaction():
        path = connection.execute("SELECT current_setting('search_path')").fetchone()
        for migration in migrations:
            _run(connection, migration, schema)
        # Where the caller's transaction goes on, it goes on with its own search_path.
        connection.execute("SELECT set_config('search_path', %s, true)", path)
    return [migration.name for migration in migrations]


def _read(path: Path) -> Migration:
    """Read one file, or refuse its name or its first line."""
    name = _FILE_NAME.fullmatch(path.name)
    if name is None:
        raise MigrationMisnamed(f"{path.name} is not called NNNN_name.sql (lower case, digits, underscores).")
    content = path.read_bytes()
    text = content.decode("utf-8")
    first_line = text.partition("\n")[0]
    schema = _SCHEMA_LINE.fullmatch(first_line)
    if schema is None and re.match(r"--\s*schema\b", first_line, re.IGNORECASE):
        raise MigrationMisnamed(f"{path.name}: the first line should read exactly `-- schema: NAME`.")
    return Migration(
        number=int(name["number"]),
        name=path.stem,
        text=text,
        sha256=hashlib.sha256(content).hexdigest(),
        schema=None if schema is None else schema["schema"],
    )


def _check_server(connection: Connection) -> None:
    """Refuse a server older than the migrations are written for, before anything is done."""
    major_version = connection.info.server_version // 10_000
    if major_version < OLDEST_POSTGRES:
        raise PostgresTooOld(
            f"PostgreSQL {major_version} is too old: Daybook needs {OLDEST_POSTGRES} or newer."
        )


def _applied(connection: Connection) -> dict[int, tuple[str, str]]:
    """Return name and sha256 of what the database says was applied, by number."""
    rows = connection.execute("SELECT number, name, sha256 FROM daybook.migrations")
    return {number: (name, sha256) for number, name, sha256 in rows}


def _missing(migrations: Sequence[Migration], applied: Mapping[int, tuple[str, str]]) -> list[Migration]:
    """Return what is still to be applied, or refuse when files and database tell different histories."""
    unknown = sorted(applied.keys() - {each.number for each in migrations})
    if unknown:
        name, _ = applied[unknown[-1]]
        raise MigrationUnknown(
            f"The database has {name}, which this Daybook does not know: run a newer Daybook."
        )
    for each in migrations:
        name, sha256 = applied.get(each.number, (each.name, each.sha256))
        if (name, sha256) != (each.name, each.sha256):
            raise MigrationChanged(
                f"{each.name} differs from what was applied as {name}: a migration is never edited once "
                "applied. Restore it, and put the change in a new one."
            )
    missing = [each for each in migrations if each.number not in applied]
    if missing and applied and missing[0].number < max(applied):
        raise MigrationOutOfOrder(
            f"{missing[0].name} is new, but {max(applied):04} was applied already: give it a higher number."
        )
    return missing


def _apply(connection: Connection, migration: Migration) -> None:
    """Run one migration and record it, both or neither."""
    with connection.transaction():
        _run(connection, migration, migration.schema)
        connection.execute(
            "INSERT INTO daybook.migrations (number, name, sha256) VALUES (%s, %s, %s)",
            [migration.number, migration.name, migration.sha256],
        )


def _run(connection: Connection, migration: Migration, schema: str | None) -> None:
    """Run one file's statements, in a schema when it has one."""
    if schema is not None:
        place = sql.Identifier(schema)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(place))
        connection.execute(sql.SQL("SET LOCAL search_path = {}").format(place))
    # Bytes and no parameters: several statements at once, and a percent sign means itself.
    connection.execute(migration.text.encode())
