"""What dunning asks about an account, read from projections once they have read all that is in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consumers.read_models import wait_until_read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from ledger.store import Log

_MODELS: Final = ("due", "keys")
_WAIT_SECONDS: Final = 10.0
# Row-level security shows one book.
_KEYS: Final = "SELECT key FROM keys.keys WHERE owner = %s ORDER BY key"
_OTHERS: Final = (
    "SELECT EXISTS (SELECT FROM due.past_due WHERE account = %s AND invoice <> %s"
    " AND suspended AND settled_at IS NULL AND NOT is_over) AS hold"
)


class DunningReads:
    """Reads of one log, book by book."""

    def __init__(self, log: Log) -> None:
        """Take the log, whose database has the projections too."""
        self._log = log

    def keys_of(self, book: UUID, account: str) -> Sequence[str]:
        """Give the account's keys, whatever their status."""
        with self._log.reading(book) as connection:
            wait_until_read(connection, _WAIT_SECONDS, _MODELS)
            return [row["key"] for row in connection.execute(_KEYS, (account,))]

    def others_hold(self, book: UUID, account: str, invoice: str) -> bool:
        """Say whether another invoice past due keeps the account's keys suspended."""
        with self._log.reading(book) as connection:
            wait_until_read(connection, _WAIT_SECONDS, _MODELS)
            row = connection.execute(_OTHERS, (account, invoice)).fetchone()
        assert row is not None, "the query gives one row"
        return bool(row["hold"])
