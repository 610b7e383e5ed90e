"""The world of the demo: its clock, its randomness, and what is going to happen when."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final

from commands.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from commands.bootstrap import Founded
    from ledger.events import Actor
    from ledger.settings import Settings
    from ledger.store import Log

# A service that is a month old: those who came in December renew in January, the month that is shown.
BEGIN: Final = datetime(2026, 12, 1, tzinfo=UTC)
MONTH: Final = datetime(2027, 1, 1, tzinfo=UTC)
END: Final = datetime(2027, 2, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Size:
    """How large the demo is, and the seed that all of it comes from."""

    accounts: int
    events: int
    seed: int


@dataclass
class Customer:
    """A customer as its own story knows it."""

    account: str
    name: str
    email: str
    pays_by: str
    weight: float
    keys: list[str] = field(default_factory=list)
    subscription: str | None = None
    plan: int = 0
    closed: bool = False
    stripe_customer: str | None = None


@dataclass
class World:
    """Everything the stories share."""

    log: Log
    settings: Settings
    founded: Founded
    book: UUID
    size: Size
    operator: Actor
    gateway: Actor
    plans: list[str] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    now: datetime = BEGIN
    featured: str | None = None  # the account whose life is shown
    _queue: list[tuple[datetime, int, Callable[[datetime], None]]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        """Give each part of the story randomness of its own."""
        self._ids = Random(f"ids {self.size.seed}")  # noqa: S311 - made-up data that must come out the same

    def random(self, name: str) -> Random:
        """Give a source of randomness for one part of the story."""
        return Random(f"{name} {self.size.seed}")  # noqa: S311 - made-up data that must come out the same

    def context(self, now: datetime, actor: Actor | None = None) -> Context:
        """Give the context of one command: our clock, our ids."""
        cause = f"demo:{next(self._numbers)}"
        return Context(
            self.log, self.settings, self.book, actor or self.operator, cause, now, self._ids.randbytes
        )

    def plan_for(self, at: datetime, action: Callable[[datetime], None]) -> None:
        """Let something happen at an instant; beyond the end nothing does."""
        if at < END:
            heapq.heappush(self._queue, (at, next(self._numbers), action))

    def play(self, report: Callable[[datetime], None]) -> None:
        """Let everything happen in the order of its time."""
        while self._queue:
            self.now, _, action = heapq.heappop(self._queue)
            action(self.now)
            report(self.now)


def soon(random: Random, at: datetime, least: timedelta, most: timedelta) -> datetime:
    """Give an instant, in whole seconds, between two distances after another."""
    return at + timedelta(seconds=random.randint(int(least.total_seconds()), int(most.total_seconds())))
