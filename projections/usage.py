"""The projection of usage totals: how much of each meter each account used on each day, in UTC.

A correction moves the total of the day of the event that it corrects.
"""

from __future__ import annotations

from datetime import UTC, date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from ledger.events.usage_correction import UsageCorrected
from projections import topics
from projections.arrays import array, exact_decimals, quoted
from projections.base import Projection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.batch import Batch, Usage

_HANDLED: Final = topics.USAGE | topics.CORRECTIONS
_IGNORED: Final = (
    topics.BOOKS
    | topics.CLOCKS
    | topics.DUNNING
    | topics.LOG
    | topics.PRINCIPALS
    | topics.SOURCES
    | topics.FEED
    | topics.ACCOUNTS
    | topics.KEYS
    | topics.CATALOGUE
    | topics.SUBSCRIPTIONS
    | topics.INVOICES
    | topics.INVOICE_NUMBERS
    | topics.CREDIT_NOTES
    | topics.CREDIT_NOTE_NUMBERS
    | topics.PAYMENTS
    | topics.CREDITS
    | topics.JOURNAL
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_CUSTOMERS
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)

# Book, account, meter, day.
_Day: TypeAlias = tuple[str, str, str, str]


class _Total(msgspec.Struct):
    quantity: Decimal
    events: int


_ADD: Final = """
INSERT INTO totals (book, account, meter, day, quantity, events)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::date[], %s::numeric[], %s::bigint[])
ON CONFLICT (book, account, meter, day) DO UPDATE SET
    quantity = totals.quantity + EXCLUDED.quantity,
    events = totals.events + EXCLUDED.events
"""


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Add the batch's usage to the totals of its days, and what its corrections change of them."""
    corrections = [one for one in batch.others if isinstance(one.event, UsageCorrected)]
    if not batch.usage and not corrections:
        return
    totals = _by_day(batch.usage)
    for recorded in corrections:
        _correct(totals, recorded)
    days = sorted(totals)  # in the order of the index, which halves its page visits
    connection.execute(
        _ADD,
        (
            array([book for book, _, _, _ in days]),
            array([quoted(account) for _, account, _, _ in days]),
            array([quoted(meter) for _, _, meter, _ in days]),
            array([day for _, _, _, day in days]),
            array([str(totals[key].quantity) for key in days]),
            array([str(totals[key].events) for key in days]),
        ),
    )


def _by_day(usage: Iterable[Usage]) -> dict[_Day, _Total]:
    totals: dict[_Day, _Total] = {}
    with exact_decimals():
        for one in usage:
            day = (one.book, one.account, one.meter, one.occurred_at[:10])
            total = totals.get(day)
            if total is None:
                totals[day] = _Total(one.quantity, 1)
            else:
                total.quantity += one.quantity
                total.events += 1
    return totals


def _correct(totals: dict[_Day, _Total], recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, UsageCorrected), "looked at by the caller"
    used_on = event.used_at.astimezone(UTC).date().isoformat()
    total = totals.setdefault(
        (str(recorded.metadata.book), event.account, event.meter, used_on), _Total(Decimal(0), 0)
    )
    with exact_decimals():
        if event.was is not None:
            total.quantity -= event.was.quantity
            total.events -= 1
        if event.becomes is not None:
            total.quantity += event.becomes.quantity
            total.events += 1


QUERIES: Final = {
    "by_day": (
        "SELECT meter, day, quantity, events FROM usage.totals"
        " WHERE account = %(account)s AND (%(meter)s::text IS NULL OR meter = %(meter)s)"
        " AND day >= %(since)s AND day < %(until)s AND (meter, day) > (%(after_meter)s, %(after_day)s)"
        " ORDER BY meter, day LIMIT %(limit)s"
    ),
    "by_meter": (
        "SELECT meter, sum(quantity) AS quantity, sum(events)::bigint AS events FROM usage.totals"
        " WHERE account = %(account)s AND (%(meter)s::text IS NULL OR meter = %(meter)s)"
        " AND day >= %(since)s AND day < %(until)s"
        " GROUP BY meter ORDER BY meter"
    ),
}


def by_day(
    connection: Connection[Any],
    account: str,
    *,
    meter: str | None = None,
    since: date = date.min,
    until: date = date.max,
    after: tuple[str, date] | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Give an account's totals by meter and day in [since, until), after a (meter, day)."""
    after_meter, after_day = after or ("", date.min)
    parameters = {"account": account, "meter": meter, "since": since, "until": until, "limit": limit}
    parameters |= {"after_meter": after_meter, "after_day": after_day}
    return connection.execute(QUERIES["by_day"], parameters).fetchall()


def by_meter(
    connection: Connection[Any],
    account: str,
    *,
    meter: str | None = None,
    since: date = date.min,
    until: date = date.max,
) -> list[dict[str, Any]]:
    """Give an account's totals by meter over the days in [since, until)."""
    parameters = {"account": account, "meter": meter, "since": since, "until": until}
    return connection.execute(QUERIES["by_meter"], parameters).fetchall()


PROJECTION: Final = Projection(
    name="usage", handled=_HANDLED, ignored=_IGNORED, tables=("totals",), queries=QUERIES, apply=apply
)
