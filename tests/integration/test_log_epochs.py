"""The log's epochs: raised by the owner alone, one after another, and told in the log."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from commands.context import Context
from commands.epochs import log_epochs, raise_epoch
from ledger.errors import Conflict
from ledger.events import Actor
from ledger.events.feed import LogEpochRaised
from ledger.identifiers import INSTALLATION_BOOK
from ledger.settings import Settings
from ledger.store import Log
from projections.migrate import migrate
from tests.integration.log_events import MASTER_KEY, connected
from tests.postgres import ROLE_SETUP_LOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
OPERATOR = Actor(principal="operator", kind="system")


@pytest.fixture
def owners_log(database: Database) -> Iterator[Log]:
    with closing(Log(database.owner_url, MASTER_KEY)) as opened:
        yield opened


def context_of(log: Log) -> Context:
    return Context(log, Settings(), INSTALLATION_BOOK, OPERATOR, "test", NOW, lambda _: b"")


def test_an_installation_begins_in_its_first_epoch(owners_log: Log) -> None:
    assert [(one.epoch, one.reason) for one in log_epochs(owners_log)] == [(1, "installed")]


def test_a_raised_epoch_is_told_in_the_log(owners_log: Log) -> None:
    done = raise_epoch(context_of(owners_log), "restored last night's backup")
    assert done.result == LogEpochRaised(epoch=2, reason="restored last night's backup")
    assert [(one.epoch, one.began_at) for one in log_epochs(owners_log)][-1] == (2, NOW)
    assert done.position is not None
    (recorded,) = owners_log.at_positions(INSTALLATION_BOOK, [done.position])
    assert recorded.event == done.result


def test_an_epoch_may_be_raised_further_than_by_one_but_never_lowered(owners_log: Log) -> None:
    assert raise_epoch(context_of(owners_log), "restored twice", 5).result.epoch == 5
    for epoch in (5, 4):
        with pytest.raises(Conflict, match="in epoch 5 already"):
            raise_epoch(context_of(owners_log), "again", epoch)
    assert raise_epoch(context_of(owners_log), "restored again").result.epoch == 6


def test_the_run_time_roles_cannot_raise_it(database: Database, log: Log) -> None:
    for url in (database.app_url, database.ingest_url, database.follower_url):
        with connected(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO daybook.log_epochs (epoch, reason) VALUES (9, 'me')")
    with pytest.raises(Exception, match="permission denied for table log_epochs"):
        raise_epoch(context_of(log), "me")


@pytest.fixture
def plain_owner_url(empty_database: Database) -> Iterator[str]:
    """Migrate a database whose owner is no superuser, so that row-level security binds it too."""
    name = f"plain_{empty_database.name[-12:]}"
    role = sql.Identifier(name)
    with connected(empty_database.owner_url) as superuser:
        superuser.execute(sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER CREATEROLE NOBYPASSRLS").format(role))
        try:
            database = sql.Identifier(empty_database.name)
            superuser.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, role))
            parts = urlsplit(empty_database.owner_url)
            address = parts.netloc.rpartition("@")[2]
            url = urlunsplit(parts._replace(netloc=f"{name}@{address}"))
            superuser.execute("SELECT pg_advisory_lock(%s)", [ROLE_SETUP_LOCK])
            migrate(url)
            yield url
        finally:
            superuser.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role))
            superuser.execute(sql.SQL("DROP OWNED BY {}").format(role))
            superuser.execute(sql.SQL("DROP ROLE {}").format(role))


def test_an_owner_who_is_no_superuser_raises_it_too(plain_owner_url: str) -> None:
    with closing(Log(plain_owner_url, MASTER_KEY)) as log:
        done = raise_epoch(context_of(log), "restored")
        assert done.position is not None
        assert log.at_positions(INSTALLATION_BOOK, [done.position])[0].event == done.result
