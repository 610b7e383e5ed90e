"""The edge: what a request is given, how its operation is declared, and how its answer is made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from flask import Response

from api.idempotency import Replay, Slot, StoredAnswer
from commands.context import Context, Done
from commands.streams import account_stream
from ledger.errors import Forbidden, NotFound, Unavailable
from ledger.events import Actor
from ledger.events.principal import PrincipalRegistered
from ledger.identifiers import stream_of
from ledger.values import instant_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from uuid import UUID

    from marshmallow import Schema
    from psycopg import Connection
    from psycopg.rows import DictRow

    from commands.keys import CheckedKey
    from commands.ports import Measure
    from consumers.feed_producer import FeedProducer
    from ledger.settings import Settings
    from ledger.store import Log

R = TypeVar("R")

_WAIT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.005
_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


@dataclass(frozen=True)
class Edge:
    """What every request shares: log, settings, clock, randomness, the way to Kafka if any, what was used."""

    log: Log
    settings: Settings
    clock: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    feed: FeedProducer | None = None
    measure: Measure | None = None
    _kinds: dict[str, str] = field(default_factory=dict)

    def kind_of(self, book: UUID, principal: str) -> str:
        """Say whether a principal is a person or a service, which never changes."""
        if principal not in self._kinds:
            recorded = self.log.load(book, stream_of("prn", principal))
            assert recorded, "a key's owner is there"
            assert isinstance(recorded[0].event, PrincipalRegistered), "a principal begins with it"
            self._kinds[principal] = recorded[0].event.kind
        return self._kinds[principal]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of the API, as it is routed, guarded and documented."""

    method: str
    path: str
    name: str
    summary: str
    tag: str
    handler: Callable[..., Response]
    scope: str | None = None
    book_wide: bool = True
    body: type[Schema] | None = None
    query: type[Schema] | None = None
    answer: type[Schema] | None = None
    status: int = 200
    # Other statuses that the same answer comes with.
    also: tuple[int, ...] = ()
    description: str = ""
    content: tuple[str, ...] = ("application/json",)
    refusals: tuple[int, ...] = ()


OPERATIONS: Final[list[Operation]] = []


def operation(
    method: str, path: str, **details: Any
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Declare a handler as an operation: what is served is declared, and what is declared is documented."""

    def declare(handler: Callable[..., Response]) -> Callable[..., Response]:
        summary = (handler.__doc__ or "").strip().splitlines()[0].rstrip(".")
        OPERATIONS.append(
            Operation(
                method=method,
                path=path,
                name=handler.__name__,
                summary=summary,
                tag=details.pop("tag", handler.__module__.rpartition(".")[2]),
                handler=handler,
                **details,
            )
        )
        return handler

    return declare


@dataclass(frozen=True)
class Call:
    """One authenticated request: whose key, with what body and query, at what time."""

    edge: Edge
    checked: CheckedKey
    now: datetime
    cause: str
    body: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    slot: Slot | None = None
    if_match: int | None = None

    @property
    def log(self) -> Log:
        """The log."""
        return self.edge.log

    @property
    def book(self) -> UUID:
        """The key's book."""
        return self.checked.book

    @property
    def own_account(self) -> str | None:
        """The account an account's key belongs to; none for an operator's key, which sees the whole book."""
        owner = self.checked.key.owner
        return owner if owner.startswith("acc_") else None

    def require_account(self, account: str | None) -> str:
        """Give the account, or refuse as if it were not there: an account's key sees its own only."""
        if account is None or self.own_account not in (None, account):
            message = "there is no such account"
            raise NotFound(message)
        account_stream(account)
        return account

    def require_scope(self, scope: str) -> None:
        """Refuse a key that lacks a scope."""
        if scope not in self.checked.scopes:
            message = f"this needs a key with the scope {scope}"
            raise Forbidden(message)

    def context(self) -> Context:
        """Give what commands are given."""
        edge = self.edge
        owner = self.checked.key.owner
        kind = "account" if self.own_account else edge.kind_of(self.book, owner)
        actor = Actor(principal=owner, kind=kind, key=self.checked.key.key)
        return Context(
            edge.log,
            edge.settings,
            self.book,
            actor,
            self.cause,
            self.now,
            edge.random_bytes,
            measure=edge.measure,
        )

    def write(
        self, command: Callable[[Context], Done[R]], view: Callable[[R], Any], status: int = 200
    ) -> Response:
        """Run a command and answer with a view of its result, stored with it under an idempotency key."""
        context = self.context()
        if self.slot is not None:
            slot = self.slot
            context = replace(
                context, extra_for=lambda result: StoredAnswer(slot, status, _encode(view(result)))
            )
        done = command(context)
        return answer(view(done.result), status, done.position)

    def reading(self) -> AbstractContextManager[Connection[DictRow]]:
        """Lend a connection bound to the key's book."""
        return self.log.reading(self.book)

    def wait_for(self, connection: Connection[Any], *projections: str) -> None:
        """Wait until projections have read as far as the caller asks with `at_least`."""
        wanted = self.query.get("at_least")
        if wanted is not None:
            _wait(connection, wanted, projections)

    def wait_for_all(self, connection: Connection[Any], *projections: str) -> None:
        """Wait until projections have read all there is: for what must be as it is now."""
        _wait(connection, max(self.log.head(), self.query.get("at_least") or 0), projections)


def _wait(connection: Connection[Any], wanted: int, projections: Sequence[str]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    reached = _position_of(connection, projections)
    if reached < wanted:
        wanted = _last_of_book(connection, reached, wanted)
    while _position_of(connection, projections) < wanted:
        if time.monotonic() > deadline:
            message = f"the projections have not reached position {wanted} yet"
            raise Unavailable(message)
        # Asked again: the projection is another process's, and tells nobody that it has moved.
        time.sleep(_POLL_SECONDS)


def _last_of_book(connection: Connection[Any], after: int, through: int) -> int:
    """Give the last event of the book in (after, through], or `after`: other books need not be waited for.

    Nor need a position that nothing stands at, which no projection would ever reach.
    """
    row = connection.execute(
        "SELECT max(notification_id) AS position FROM log.events"
        " WHERE notification_id > %s AND notification_id <= %s",
        (after, through),
    ).fetchone()
    assert row is not None, "an aggregate gives one row"
    return after if row["position"] is None else int(row["position"])


def _position_of(connection: Connection[Any], projections: Sequence[str]) -> int:
    rows = connection.execute(
        "SELECT projection, position, failure FROM daybook.tracking WHERE projection = ANY(%s)",
        (list(projections),),
    ).fetchall()
    stopped = [row["projection"] for row in rows if row["failure"] is not None]
    if stopped:
        message = f"the projection {stopped[0]} has stopped"
        raise Unavailable(message)
    return min(row["position"] for row in rows) if len(rows) == len(projections) else 0


def answer(body: Any, status: int = 200, position: int | None = None) -> Response:
    """Answer with JSON, and with the position a write reached."""
    response = Response(_encode(body), status, content_type="application/json")
    if position is not None:
        response.headers["Daybook-Position"] = str(position)
    return response


def replayed(replay: Replay) -> Response:
    """Answer again what was answered before."""
    stored = replay.answer
    response = Response(stored.body, stored.status, content_type="application/json")
    if stored.position is not None:
        response.headers["Daybook-Position"] = str(stored.position)
    response.headers["Idempotent-Replayed"] = "true"
    return response


def page(rows: list[Any], limit: int, cursor: Callable[[Any], Any]) -> tuple[list[Any], str | None]:
    """Cut the row that was read to see whether there is more, and give the next page's cursor."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], str(cursor(rows[limit - 1]))


def money(amount: int, currency: str) -> dict[str, Any]:
    """Write an amount of minor units."""
    return {"amount": amount, "currency": currency}


def instant(value: datetime | None) -> str | None:
    """Write an instant."""
    return None if value is None else instant_text(value)
