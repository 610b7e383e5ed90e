"""Fixtures for a real PostgreSQL: one server a session, one fresh migrated database a test.

The server is the embedded one in a temporary folder, or the one that DATABASE_URL names. Databases carry
random names, so that test processes side by side never meet.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from api.embedded_postgres import EmbeddedPostgres
from projections.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE_SETUP_LOCK = 0x6461_7962_6F6F_6B74  # roles belong to the server: one process at a time makes them


@dataclass(frozen=True)
class Database:
    """One database, and the URL of each role on it."""

    name: str
    owner_url: str

    @property
    def app_url(self) -> str:
        """The role of commands and queries: sees the book it says it works for."""
        return role_url(self.owner_url, "daybook_app")

    @property
    def ingest_url(self) -> str:
        """The role that appends usage, of all books."""
        return role_url(self.owner_url, "daybook_ingest")

    @property
    def follower_url(self) -> str:
        """The role that reads the log of all books and writes projections."""
        return role_url(self.owner_url, "daybook_follower")


def role_url(owner_url: str, role: str) -> str:
    """Return the same address for another user, with DAYBOOK_ROLE_PASSWORD as password when it is set."""
    parts = urlsplit(owner_url)
    address = parts.netloc.rpartition("@")[2]
    password = os.environ.get("DAYBOOK_ROLE_PASSWORD")
    user = role if password is None else f"{role}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{user}@{address}"))


def database_url(url: str, name: str) -> str:
    """Return the same address for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder with a short path (a socket's path is limited) and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="daybook-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def temporary_database(server_url: str, template: str = "template1") -> Iterator[Database]:
    """Make a database of a random name as a copy of a template, and drop it afterwards."""
    name = f"daybook_test_{secrets.token_hex(8)}"
    names = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {name} TEMPLATE {template}").format(**names))
    try:
        yield Database(name, database_url(server_url, name))
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Start the session's server and give the owner's URL on it."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with temporary_folder() as folder, EmbeddedPostgres(folder) as server:
        yield server.url


@pytest.fixture(scope="session")
def template_database(server_url: str) -> Iterator[str]:
    """Give the name of a migrated database that nobody is connected to, so that it can be copied."""
    with temporary_database(server_url) as template:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [ROLE_SETUP_LOCK])
            migrate(template.owner_url)
        yield template.name


@pytest.fixture
def database(server_url: str, template_database: str) -> Iterator[Database]:
    """Give one test a fresh migrated database."""
    with temporary_database(server_url, template_database) as fresh:
        yield fresh


@pytest.fixture
def empty_database(server_url: str) -> Iterator[Database]:
    """Give one test a fresh database with nothing in it."""
    with temporary_database(server_url) as fresh:
        yield fresh


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """Give one test a temporary data folder with a short path."""
    with temporary_folder() as folder:
        yield folder
