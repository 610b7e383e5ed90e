"""A PostgreSQL of its own for each benchmark: the embedded one, migrated, in a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.embedded_postgres import EmbeddedPostgres
from bench.made_up import ACCOUNTS, BATCH_EVENTS, BOOK, usage_batches
from bench.progress import counted
from ledger.settings import role_url
from ledger.store import Log
from ledger.usage_row import row_of
from projections.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

MASTER_KEY = b"k" * 32


@dataclass(frozen=True)
class Database:
    """A migrated database, and the URL of each run-time role on it."""

    owner_url: str

    def url(self, role: str) -> str:
        """Give the URL of a run-time role: `app`, `ingest` or `follower`."""
        url = role_url(self.owner_url, f"daybook_{role}", "")
        assert url is not None, "an owner's URL gives a role's"
        return url

    @contextmanager
    def log(self, role: str) -> Iterator[Log]:
        """Lend the log as a run-time role sees it."""
        log = Log(self.url(role), MASTER_KEY)
        try:
            yield log
        finally:
            log.close()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder with a short path (a socket's path is limited) and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="daybook-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def fresh_database() -> Iterator[Database]:
    """Start the embedded PostgreSQL in a temporary folder and migrate it."""
    with temporary_folder() as folder, EmbeddedPostgres(folder) as server:
        migrate(server.url)
        yield Database(server.url)


def fill(database: Database, events: int, *, book: UUID = BOOK, accounts: Sequence[str] = ACCOUNTS) -> None:
    """Append usage events before anything is measured."""
    with database.log("ingest") as log:
        batches = usage_batches(events, book=book, accounts=accounts)
        for _ in counted("appending", range(0, events, BATCH_EVENTS), BATCH_EVENTS):
            log.append_usage([row_of(new) for new in next(batches)])
