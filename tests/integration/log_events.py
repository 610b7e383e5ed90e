"""What the tests of the log append: small events of known streams, books and causes."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from ledger.bulk import UsageOutcome, copy_usage, insert_copied
from ledger.events import Actor, Event, Metadata, NewEvent
from ledger.events.account import AccountRenamed
from ledger.events.journal import JournalEntryPosted, Posting
from ledger.events.plan import PlanRetired
from ledger.events.usage import UsageRecorded
from ledger.identifiers import usage_stream
from ledger.usage_row import row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg import Connection, Cursor
    from psycopg.rows import DictRow

    from ledger.store import Log

BOOK, OTHER_BOOK = UUID(int=0xB00C), UUID(int=0x07E4)
MASTER_KEY = bytes(range(32))
INSTANT = datetime(2024, 2, 29, 12, tzinfo=UTC)
DEADLINE_SECONDS = 30


def surroundings(book: UUID = BOOK, cause: str | None = None) -> Metadata:
    """Give metadata; without a cause, one that nothing else has."""
    return Metadata(
        book=book,
        occurred_at=INSTANT,
        booked_at=INSTANT,
        actor=Actor(principal="prn_1", kind="service"),
        cause=cause or f"test:{uuid4()}",
    )


def new_event(
    stream: UUID, version: int, event: Event, book: UUID = BOOK, cause: str | None = None
) -> NewEvent:
    """Place an event in a stream."""
    return NewEvent(stream=stream, stream_version=version, event=event, metadata=surroundings(book, cause))


def fact(
    stream: UUID | None = None,
    version: int = 1,
    book: UUID = BOOK,
    cause: str | None = None,
    said: str = "fact",
) -> NewEvent:
    """Make a plain event, in a stream of its own unless one is named."""
    return new_event(stream or uuid4(), version, PlanRetired(plan="plan_1", reason=said), book, cause)


def renamed(
    stream: UUID, version: int, name: str | None, account: str = "acc_1", book: UUID = BOOK
) -> NewEvent:
    """Make an event with personal data."""
    return new_event(stream, version, AccountRenamed(account=account, name=name), book)


def used(event_id: str, digest: str = "facts", book: UUID = BOOK, source: str = "svc") -> NewEvent:
    """Make a usage event; `digest` stands for its facts."""
    event = UsageRecorded(
        account="acc_1",
        meter="calls",
        quantity=Decimal(1),
        source=source,
        event_id=event_id,
        accepted_at=INSTANT,
        digest=digest,
    )
    return new_event(usage_stream(book, source, event_id), 1, event, book)


def posting(side: str, amount: int, currency: str = "EUR", functional: int | None = None) -> Posting:
    """Make one posting."""
    return Posting(
        ledger_account="receivable",
        side=side,
        amount=amount,
        currency=currency,
        functional_amount=amount if functional is None else functional,
        functional_currency="EUR",
    )


def entry(*postings: Posting) -> NewEvent:
    """Make a journal entry, balanced or not."""
    event = JournalEntryPosted(
        entry="ent_1",
        accounting_date=INSTANT.date(),
        economic_object=f"invoice:{uuid4()}",
        kind="invoice_finalized",
        rule="invoice_finalized",
        rule_version=1,
        postings=postings,
        description="",
    )
    return new_event(uuid4(), 1, event)


@dataclass
class Extras:
    """An `Extra` made of two functions, which does nothing where none is given."""

    do_before: Callable[[Cursor[DictRow]], Any] = field(default=lambda _: None)
    do_after: Callable[[Cursor[DictRow], Sequence[int]], Any] = field(default=lambda _, __: None)

    def before(self, cursor: Cursor[DictRow]) -> None:
        self.do_before(cursor)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        self.do_after(cursor, positions)


@contextmanager
def connected(url: str, book: UUID | None = None) -> Iterator[Connection[DictRow]]:
    """Connect in autocommit, bound to a book if one is named."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        if book is not None:
            connection.execute("SELECT set_config('daybook.book', %s, false)", (str(book),))
        yield connection


def append_usage(log: Log, events: Sequence[NewEvent], extra: Extras | None = None) -> UsageOutcome:
    """Append usage events through the bulk path, and with an extra what that does before and after."""
    rows = [row_of(new) for new in events]
    if extra is None:
        return log.append_usage(rows)
    with log.transaction(events[0].metadata.book if events else None) as cursor:
        extra.before(cursor)
        outcome = insert_copied(cursor, copy_usage(cursor, rows))
        extra.after(cursor, [] if outcome.position is None else [outcome.position])
        return outcome


class Background:
    """Functions running in threads; leaving waits for all and raises the first failure."""

    def __init__(self) -> None:
        self._failures: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for thread in self._threads:
            thread.join(DEADLINE_SECONDS)
            assert error is not None or not thread.is_alive(), "a thread does not end"
        if error is None and self._failures:
            raise self._failures[0]

    def start(self, work: Callable[..., Any], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(work, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _run(self, work: Callable[..., Any], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as failure:  # noqa: BLE001 - raised again where the test can see it
            self._failures.append(failure)


def wait_until(condition: Callable[[], object]) -> None:
    """Poll until something holds, or fail at the deadline."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def waits_for_the_log(owner: Connection[DictRow]) -> bool:
    """Say whether somebody stands waiting for the log's lock in this database."""
    row = owner.execute(
        "SELECT count(*) AS waiting FROM pg_locks"
        " WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    assert row is not None
    return bool(row["waiting"])
