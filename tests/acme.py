"""Acme Inc., an organisation founded on a real database, and logs where things go wrong at the worst time."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

from commands.accounts import register_account
from commands.bootstrap import Founded, Founding, found_organisation
from commands.context import Context
from commands.keys import check_key
from commands.plans import create_plan
from commands.subscriptions import subscribe
from ledger.codec import StoredRow
from ledger.errors import Refusal, Unavailable
from ledger.events import Actor
from ledger.events.journal import JournalEntryPosted
from ledger.settings import Settings
from ledger.store import Log, decode_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ledger.events import Event
    from ledger.store import Extra
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice
    from ledger.streams.subscription import Subscription
    from tests.postgres import Database

T = TypeVar("T")

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


def known(stream: Stream[Any] | None) -> Any:
    """Give the state of a stream that has events."""
    assert stream is not None, "there is no stream"
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, *arguments: Any, **named: Any) -> list[int]:
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, *arguments: Any, **named: Any) -> list[int]:
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


def events_of(acme: Acme, context: Context | None = None) -> list[Event]:
    """Read every event of a book that holds no personal data, in log order."""
    book = (context or acme.live).book
    query = (
        "SELECT notification_id, originator_id, originator_version, topic, state, book, recorded_at"
        " FROM log.events ORDER BY notification_id"
    )
    with acme.log.reading(book) as connection:
        rows = [StoredRow(*row.values()) for row in connection.execute(query)]
    return [decode_row(row, {}).event for row in rows]


def balances(acme: Acme, context: Context | None = None) -> dict[str, int]:
    """Give what the journal leaves on each ledger account: positive for a debit, zero ones left out."""
    sums: Counter[str] = Counter()
    for event in events_of(acme, context):
        for one in event.postings if isinstance(event, JournalEntryPosted) else ():
            sums[one.ledger_account] += one.amount if one.side == "debit" else -one.amount
    return {code: amount for code, amount in sums.items() if amount}


def entries(acme: Acme) -> list[JournalEntryPosted]:
    """Give the journal of the live book."""
    return [event for event in events_of(acme) if isinstance(event, JournalEntryPosted)]


def at_once(command: Callable[[T], Any], arguments: Sequence[T], threads: int = 8) -> list[Any]:
    """Do the same for every argument, eight at a time, and give each answer, or the refusal."""

    def answer(argument: T) -> Any:
        try:
            return command(argument)
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(answer, arguments))
