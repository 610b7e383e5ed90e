"""Acme Inc., an organisation founded on a real database, and logs where the worst happens at the worst time."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from commands.accounts import register_account
from commands.bootstrap import Founded, Founding, found_organisation
from commands.context import Context
from commands.keys import check_key
from commands.plans import create_plan
from commands.subscriptions import subscribe
from ledger.errors import Unavailable
from ledger.events import Actor
from ledger.settings import Settings
from ledger.store import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ledger.store import Extra
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice
    from ledger.streams.subscription import Subscription
    from tests.postgres import Database

NOON = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)
MASTER_KEY = b"k" * 32


@dataclass(frozen=True)
class Acme:
    """An organisation, its log, and a context to work in each of its books."""

    log: Log
    settings: Settings
    founded: Founded
    live: Context
    test: Context


@contextmanager
def opened_log(url: str, pool_size: int = 4) -> Iterator[Log]:
    """Open a log and close it afterwards."""
    log = Log(url, MASTER_KEY, pool_size=pool_size)
    try:
        yield log
    finally:
        log.close()


@contextmanager
def acme_on(database: Database, pool_size: int = 4) -> Iterator[Acme]:
    """Found Acme on a database."""
    settings = Settings(app_url=database.app_url, master_key=MASTER_KEY, peppers=((1, b"p" * 32),))
    with opened_log(database.app_url, pool_size) as log:
        founded = found_organisation(log, settings, Founding(name="Acme Inc."), NOON, os.urandom)
        live, test = (context_of(log, settings, secret) for secret in (founded.live_key, founded.test_key))
        yield Acme(log, settings, founded, live, test)


def context_of(log: Log, settings: Settings, secret: str) -> Context:
    """Give the context of whoever presents a key."""
    checked = check_key(log, settings, secret, NOON)
    actor = Actor(principal=checked.key.owner, kind="person", key=checked.key.key)
    return Context(log, settings, checked.book, actor, "request", NOON, os.urandom)


def at(context: Context, now: datetime, cause: str | None = None) -> Context:
    """Give the context at another time, and for another request if one is named."""
    return replace(context, now=now, cause=cause or context.cause)


def an_account(context: Context, name: str = "Ada", currency: str | None = None) -> str:
    """Register an account and give its id."""
    registered = register_account(context, name, f"{name.lower()}@example.com", currency)
    return str(known(registered.result).account)


def a_plan(context: Context, amount: int = 2900, name: str = "Pro", interval: str = "month") -> str:
    """Create a plan and give its id."""
    return str(known(create_plan(context, name, "USD", interval, amount).result).plan)


def a_subscription(context: Context, amount: int = 2900) -> tuple[Subscription, Invoice]:
    """Subscribe a new account to a new plan and give the subscription and its first invoice."""
    billed = subscribe(context, an_account(context), a_plan(context, amount)).result
    assert billed.invoice is not None
    return known(billed.subscription), known(billed.invoice)


def known(stream: Stream[Any]) -> Any:  # noqa: ANN401 - the state of whatever stream
    """Give the state of a stream that has events."""
    assert stream.state is not None, "the stream is empty"
    return stream.state


def counting_bytes(first: int = 1) -> Callable[[int], bytes]:
    """Make ids and secrets that a test can make again."""
    numbers = count(first)
    return lambda length: next(numbers).to_bytes(length, "big")


class InterruptedLog:
    """A log where something else happens, once, between a command's reading and its appending."""

    def __init__(self, log: Log, meanwhile: Callable[[], object]) -> None:
        self._log = log
        self._meanwhile: Callable[[], object] | None = meanwhile
        self.appends = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the log has
        return getattr(self._log, name)

    def append(self, *arguments: Any, **named: Any) -> list[int]:  # noqa: ANN401 - the log's own
        """Let the other thing happen before the first append."""
        self.appends += 1
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self._log.append(*arguments, **named)


class LosingLog:
    """A log whose first answer is lost: what was appended is there, but the caller does not learn of it."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.positions: list[int] | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the log has
        return getattr(self._log, name)

    def append(self, *arguments: Any, **named: Any) -> list[int]:  # noqa: ANN401 - the log's own
        """Append, and lose the first answer."""
        positions = self._log.append(*arguments, **named)
        if self.positions is None:
            self.positions = positions
            message = "the connection was lost"
            raise Unavailable(message)
        return positions


def interrupted(context: Context, meanwhile: Callable[[], object]) -> tuple[Context, InterruptedLog]:
    """Give the context on a log where something happens in between."""
    log = InterruptedLog(context.log, meanwhile)
    return replace(context, log=cast("Log", log)), log


@dataclass(frozen=True)
class WrittenRow:
    """An `Extra` that notes what it was given, as the row of an idempotent answer would be."""

    noted: list[str]

    def before(self, cursor: object) -> None:  # noqa: ARG002 - Extra's shape
        """Claim."""
        self.noted.append("claimed")

    def after(self, cursor: object, positions: object) -> None:  # noqa: ARG002 - Extra's shape
        """Write."""
        self.noted.append(f"written {positions}")


def noting(noted: list[str]) -> Callable[[Any], Extra | None]:
    """Give what makes a noting row for any result."""
    return lambda _: WrittenRow(noted)
