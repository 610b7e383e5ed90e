"""The log's epochs: raised by the owner once a restored log is about to give out positions again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from commands.context import Context, Done, Unit, execute
from ledger.errors import Conflict
from ledger.events.feed import LogEpochRaised
from ledger.identifiers import derive
from ledger.values import MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from ledger.store import Extra, Log

# A whole number that PostgreSQL's integer and CloudEvents' have room for.
MAX_EPOCH: Final = 2_147_483_647
_EPOCHS: Final = "SELECT epoch, began_at, reason FROM daybook.log_epochs ORDER BY epoch"
_RAISE: Final = "INSERT INTO daybook.log_epochs (epoch, began_at, reason) VALUES (%s, %s, %s)"


@dataclass(frozen=True)
class LogEpoch:
    """One life of the log."""

    epoch: int
    began_at: datetime
    reason: str


@dataclass(frozen=True)
class _Raising:
    """The row that begins the epoch, in the transaction of the event that says so."""

    row: tuple[Any, ...]

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Write the row; a second one of the same number is a conflict."""
        cursor.execute(_RAISE, self.row)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Write nothing more."""


def log_epochs(log: Log) -> list[LogEpoch]:
    """Read all epochs, the present one last."""
    with log.connection() as connection:
        return [LogEpoch(**row) for row in connection.execute(_EPOCHS)]


def raise_epoch(context: Context, reason: str, to: int | None = None) -> Done[LogEpochRaised]:
    """Begin the next epoch, or one further on; one that is not higher than the present one is refused.

    The context's log is the owner's, and its book the installation's own.
    """
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")

    def decide(unit: Unit) -> LogEpochRaised:
        present = log_epochs(context.log)[-1].epoch
        event = LogEpochRaised(epoch=present + 1 if to is None else to, reason=reason)
        if not present < event.epoch <= MAX_EPOCH:
            raise Conflict(f"the log is in epoch {present} already")
        unit.add_first(derive("log-epoch", str(event.epoch)), event)
        return event

    def rows(event: LogEpochRaised) -> Extra:
        return _Raising((event.epoch, context.now, event.reason))

    return execute(replace(context, extra_for=rows), decide)
