"""What would happen until an instant: what is due, and what that leads to, without doing any of it.

A subscription is led through its periods by the very rules that lead it when the time comes, on what is known
now. The invoices of those later periods are not told: what they say, and whether there are any, hangs on
usage that nobody knows yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from commands.billing import load_priced
from commands.context import Unit
from commands.invoicing import load_book
from commands.streams import account_stream
from consumers.due_reads import Listed, listed
from ledger.errors import Refusal
from ledger.events.subscription import PeriodOpened, PlanChanged, SubscriptionCancelled, SubscriptionEvent
from ledger.identifiers import stream_of
from ledger.streams import account as accounts
from ledger.streams import subscribing
from ledger.streams import subscription as subscriptions
from ledger.values import instant_text
from projections import due

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import Connection
    from psycopg.rows import DictRow

    from commands.context import Context
    from ledger.streams.subscription import Subscription

NOT_TOLD: Final = (
    "Periods that begin later are told as things stand now; the invoices of those periods, and what is done"
    " about them, are not."
)
_PAGE: Final = 500
_WHAT: Final = {
    due.INVOICE: "the draft is finalized",
    due.KEY: "the key expires",
    due.CREDIT: "the grant expires",
    due.COUPON: "the coupon expires",
    due.DUNNING: "a step is taken about an invoice past due",
    due.NOTICE: "the account is told what comes",
}


@dataclass(frozen=True, order=True)
class Expected:
    """Something that would happen: due now or by then, or (`later`) only because of what comes before it.

    `refused` says why it was not done when it was tried, and `retry_at` when it is tried again.
    """

    due_at: datetime
    kind: str
    subject: str
    book: UUID
    account: str | None
    what: str
    later: bool = False
    refused: str | None = None
    retry_at: datetime | None = None


def forecast(
    connection: Connection[DictRow], base: Context, until: datetime, book: UUID | None = None
) -> Iterator[Expected]:
    """Tell in order what would happen until an instant, in one book or in all that go by the wall's clock."""
    coming: list[Expected] = []
    for row in _rows(connection, until, book):
        while coming and _place(coming[0]) < _place(row):
            yield heappop(coming)
        first, *later = _expected(base, row, until)
        yield first
        for one in later:
            heappush(coming, one)
    while coming:
        yield heappop(coming)


def _place(one: Expected | Listed) -> tuple[datetime, str, str]:
    return one.due_at, one.kind, one.subject


def _rows(connection: Connection[DictRow], until: datetime, book: UUID | None) -> Iterator[Listed]:
    page = listed(connection, until, _PAGE, book)
    while page:
        yield from page
        page = listed(connection, until, _PAGE, book, page[-1])


def _expected(base: Context, row: Listed, until: datetime) -> Iterator[Expected]:
    """Tell of what is due, and then of what follows it."""
    refused = None if row.code is None else f"{row.code}: {row.reason} (tried {row.attempts} times)"
    first = Expected(
        row.due_at,
        row.kind,
        row.subject,
        row.book,
        row.account,
        _WHAT.get(row.kind, row.kind),
        refused=refused,
        retry_at=row.retry_at,
    )
    if row.kind != due.SUBSCRIPTION:
        yield first
        return
    steps = _life(replace(base, book=row.book, now=until), row.subject, until)
    try:
        _, what = next(steps)
        yield replace(first, what=what)
        for due_at, then in steps:
            yield replace(first, due_at=due_at, what=then, later=True, refused=None, retry_at=None)
    except StopIteration:
        yield replace(first, what="nothing: it has changed just now")


def _life(context: Context, subscription: str, until: datetime) -> Iterator[tuple[datetime, str]]:
    """Lead a subscription through what is due until an instant; what refuses ends it, and is told."""
    unit = Unit(context)
    state = subscriptions.require(unit.load(subscriptions.evolve, stream_of("sub", subscription)).state)
    due_at = subscribing.due_at(state)
    while due_at is not None and due_at <= until:
        try:
            events = _advance(unit, state)
        except Refusal as refusal:
            yield due_at, f"refused: {refusal}"
            return
        yield due_at, _described(events)
        for event in events:
            state = subscriptions.evolve(state, event)
        due_at = subscribing.due_at(state)


def _advance(unit: Unit, state: Subscription) -> list[SubscriptionEvent]:
    account = accounts.require(unit.load(accounts.evolve, account_stream(state.account)).state)
    old = new = load_priced(unit, state.plan, state.price_version, state.currency)
    if state.next_plan is not None and state.next_price_version is not None:
        new = load_priced(unit, state.next_plan, state.next_price_version, state.currency)
    return subscribing.advance(state, account, old, new, load_book(unit), unit.context.now)


def _described(events: Sequence[SubscriptionEvent]) -> str:
    return ", and ".join(_told(event) for event in events)


def _told(event: SubscriptionEvent) -> str:
    match event:
        case PeriodOpened():
            kind = "trial" if event.trial else "period"
            return f"a {kind} begins that ends at {instant_text(event.ends_at)}"
        case PlanChanged():
            return f"the plan changes from {event.from_plan} to {event.to_plan}"
        case SubscriptionCancelled():
            return "the subscription ends"
        case _:
            return event.topic
