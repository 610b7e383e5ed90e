"""The log as each run-time role sees it, and the service over HTTP."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ledger.store import Log
from tests.integration.http_world import NOW, http_world
from tests.integration.log_events import MASTER_KEY, connected
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection
    from psycopg.rows import DictRow

    from tests.integration.http_world import HttpWorld
    from tests.postgres import Database


@pytest.fixture
def log(database: Database) -> Iterator[Log]:
    """Open a fresh log as the role of commands and queries."""
    with closing(Log(database.app_url, MASTER_KEY, pool_size=8)) as opened:
        yield opened


@pytest.fixture
def ingest_log(database: Database) -> Iterator[Log]:
    """Open the same log as the role that appends usage of all books."""
    with closing(Log(database.ingest_url, MASTER_KEY, pool_size=8)) as opened:
        yield opened


@pytest.fixture
def owner(database: Database) -> Iterator[Connection[DictRow]]:
    """Connect as the owner, in autocommit."""
    with connected(database.owner_url) as connection:
        yield connection


@pytest.fixture
def follower(database: Database) -> Iterator[Connection[DictRow]]:
    """Connect as the role that follows the log, in autocommit."""
    with connected(database.follower_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def http_service(server_url: str, template_database: str) -> Iterator[HttpWorld]:
    """Serve one database for all tests of a module that make what they need and look at nothing else."""
    with temporary_database(server_url, template_database) as database, http_world(database) as made:
        yield made


@pytest.fixture
def world(http_service: HttpWorld) -> HttpWorld:
    """Give the module's service, with its clock set back."""
    http_service.now = NOW
    return http_service


@pytest.fixture
def fresh_world(database: Database) -> Iterator[HttpWorld]:
    """Serve one test a database in which nothing happened but the founding of two organisations."""
    with http_world(database) as made:
        yield made
