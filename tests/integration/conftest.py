"""The log as each run-time role sees it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ledger.store import Log
from tests.integration.log_events import MASTER_KEY, connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection
    from psycopg.rows import DictRow

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
