"""What commits together with a message's events, and knowing whether it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from ledger.store import Extra, Log


@dataclass
class Watched:
    """An `Extra` that notes whether it was written: a command that appends nothing may skip it."""

    extra: Extra
    written: bool = False

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim what is claimed; a try before this one was rolled back."""
        self.written = False
        self.extra.before(cursor)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Write what is written, and note it."""
        self.extra.after(cursor, positions)
        self.written = True

    def write_unless_written(self, log: Log, book: UUID) -> None:
        """Commit it alone, when the command had nothing to commit it with."""
        if not self.written:
            log.append(book, [], extra=self)
