"""The projection of timelines: each account's life, one row an event, with its usage folded into runs.

`entries` hold the JSON that is served, ready made. Runs are of one account, meter and hour and of at most
1,000 events in log order; `run_positions` tells which events a run is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from projections import topics
from projections.base import Projection
from projections.sentences import sentence
from projections.timeline_queries import QUERIES
from projections.timeline_runs import apply_usage, prepare_usage

if TYPE_CHECKING:
    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch
    from projections.sentences import AnyAccountEvent

_NAME: Final = "timeline"
_ENTRIES: Final = (
    topics.ACCOUNTS
    | topics.KEYS
    | topics.CORRECTIONS
    | topics.SUBSCRIPTIONS
    | topics.INVOICES
    | topics.CREDIT_NOTES
    | topics.PAYMENTS
    | topics.CREDITS
    | topics.JOURNAL
    | topics.STRIPE_CUSTOMERS
    | topics.STRIPE_LINKS
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)
_HANDLED: Final = _ENTRIES | topics.USAGE
# A raw delivery does not say whose account it is about; what it was seen to mean is on the timeline.
_IGNORED: Final = (
    topics.BOOKS
    | topics.CLOCKS
    | topics.DUNNING
    | topics.LOG
    | topics.PRINCIPALS
    | topics.SOURCES
    | topics.FEED
    | topics.CATALOGUE
    | topics.INVOICE_NUMBERS
    | topics.CREDIT_NOTE_NUMBERS
    | topics.STRIPE_DELIVERIES
)

_INSERT: Final = """
INSERT INTO entries (book, account, position, topic, occurred_at, booked_at, recorded_at, body)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::bigint[], %s::text[], %s::timestamptz[], %s::timestamptz[],
    %s::timestamptz[], %s::text[])
"""


class _Body(msgspec.Struct):
    """One row of a timeline as it is served."""

    position: int
    type: str
    occurred_at: Any
    booked_at: Any
    recorded_at: Any
    actor: Any
    cause: str
    stream: str
    sentence: str


_encode: Final = msgspec.json.Encoder().encode


def prepare(batch: Batch) -> None:
    """Group the batch's usage while the batch before it is being written."""
    batch.prepared[_NAME] = prepare_usage(batch.usage)


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Write an entry for each account an event concerns, and fold usage into runs."""
    entries = [
        (account, recorded)
        for recorded in batch.others
        if recorded.event.topic in _ENTRIES
        for account in concerned(recorded)
    ]
    if entries:
        _insert_entries(connection, entries)
    if batch.usage:
        apply_usage(connection, batch.prepared.get(_NAME) or prepare_usage(batch.usage))


def concerned(recorded: Recorded) -> list[str]:
    """Name the accounts an event concerns, each once."""
    event: Any = recorded.event
    if event.topic in topics.KEYS:
        return [event.owner] if event.owner.startswith("acc_") else []
    if event.topic in topics.JOURNAL:
        accounts = {posting.account for posting in event.postings} | {event.account}
        return sorted(account for account in accounts if account is not None)
    return [] if event.account is None else [event.account]


def _insert_entries(connection: Connection[Any], entries: list[tuple[str, Recorded]]) -> None:
    events = [recorded for _, recorded in entries]
    connection.execute(
        _INSERT,
        (
            [recorded.metadata.book for recorded in events],
            [account for account, _ in entries],
            [recorded.position for recorded in events],
            [recorded.event.topic for recorded in events],
            [recorded.metadata.occurred_at for recorded in events],
            [recorded.metadata.booked_at for recorded in events],
            [recorded.recorded_at for recorded in events],
            [_body(recorded) for recorded in events],
        ),
    )


def _body(recorded: Recorded) -> str:
    metadata = recorded.metadata
    body = _Body(
        position=recorded.position,
        type=recorded.event.topic,
        occurred_at=metadata.occurred_at,
        booked_at=metadata.booked_at,
        recorded_at=recorded.recorded_at,
        actor=metadata.actor,
        cause=metadata.cause,
        stream=str(recorded.stream),
        sentence=sentence(cast("AnyAccountEvent", recorded.event)),
    )
    return _encode(body).decode()


PROJECTION: Final = Projection(
    name=_NAME,
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("entries", "runs", "run_positions"),
    queries=QUERIES,
    apply=apply,
    prepare=prepare,
)
