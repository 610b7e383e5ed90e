"""How much of what came lately was bad: above a share something is wrong, and reading on would bury it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

from ledger.errors import DaybookError

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from psycopg import Connection
    from psycopg.rows import DictRow

# Of how many messages the share is taken, and how many it takes to speak of one.
WINDOW_MESSAGES: Final = 1_000
FEWEST_MESSAGES: Final = 100

_STOP: Final = (
    "INSERT INTO daybook.feed_stop (stopped_at, reason) VALUES (%s, %s) ON CONFLICT (only_row) DO NOTHING"
)
_FIND: Final = "SELECT stopped_at, reason FROM daybook.feed_stop"
_GO_ON: Final = "DELETE FROM daybook.feed_stop"


class TooMuchBad(DaybookError):
    """Consumption is stopped because too many of the last messages could not be applied."""

    code: ClassVar[str] = "too_much_bad"


class BadShare:
    """Counts the last messages, a batch at a time."""

    def __init__(self, most: Decimal) -> None:
        """Take the share that may be bad, from 0 to 1; 1 never stops."""
        self._most = most
        self._batches: deque[tuple[int, int]] = deque()
        self._messages = 0
        self._bad = 0

    def add(self, messages: int, bad: int) -> None:
        """Add a batch, and forget what is more than a thousand messages ago."""
        self._batches.append((messages, bad))
        self._messages += messages
        self._bad += bad
        while self._messages - self._batches[0][0] >= WINDOW_MESSAGES:
            gone, gone_bad = self._batches.popleft()
            self._messages -= gone
            self._bad -= gone_bad

    @property
    def exceeded(self) -> str | None:
        """Say how much is bad when it is too much."""
        if self._messages < FEWEST_MESSAGES or self._bad <= self._most * self._messages:
            return None
        return f"{self._bad} of the last {self._messages} messages were bad"


def stop_consumption(connection: Connection[DictRow], now: datetime, reason: str) -> None:
    """Have every consumer that starts refuse, until a person has it go on."""
    connection.execute(_STOP, (now, reason))


def refuse_while_stopped(connection: Connection[DictRow]) -> None:
    """Refuse to start while consumption is stopped."""
    row = connection.execute(_FIND).fetchone()
    if row is not None:
        raise TooMuchBad(
            f"consumption was stopped at {row['stopped_at'].isoformat()}: {row['reason']};"
            " see `daybook dead-letters list`, then start with --resume"
        )


def go_on(connection: Connection[DictRow]) -> None:
    """Let consumption go on."""
    connection.execute(_GO_ON)
