"""The demo's month as it reads afterwards: from the projections and the log, as the run-time role."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from api.demo_world import MONTH
from ledger.chart import DEFAULT_CHART
from projections.balances import signed
from projections.timeline_queries import page

if TYPE_CHECKING:
    from psycopg import Connection

    from api.demo_world import World

_TOP_ACCOUNTS: Final = 10
_OLDEST_ROWS: Final = 12
_NEWEST_ROWS: Final = 6


class TopAccount(msgspec.Struct, frozen=True):
    """One of the accounts that called most."""

    account: str
    name: str
    plan: str | None
    events: int
    api_calls: str
    tokens: str
    storage_gb_hours: str


class InvoiceSum(msgspec.Struct, frozen=True):
    """The month's invoices of one status, in minor units."""

    managed_by: str
    status: str
    currency: str
    invoices: int
    total: int
    paid: int


class LedgerBalance(msgspec.Struct, frozen=True):
    """One ledger account of the book, in minor units; the balance is on its normal side."""

    ledger_account: str
    category: str
    currency: str
    debits: int
    credits: int
    balance: int


class TimelineRow(msgspec.Struct, frozen=True):
    """One row of a timeline: where it is in the log, when it happened, and what it says."""

    position: int
    occurred_at: datetime
    type: str
    sentence: str


class TopicCount(msgspec.Struct, frozen=True):
    """How many events of a topic there are, and where they are in the log."""

    topic: str
    events: int
    first_position: int
    last_position: int


class Month(msgspec.Struct, frozen=True):
    """Everything the demo shows; the same for the same seed."""

    organisation: str
    book: str
    happened: dict[str, int]
    top_accounts: list[TopAccount]
    invoices: list[InvoiceSum]
    balances: list[LedgerBalance]
    account: str
    account_name: str
    timeline_oldest: list[TimelineRow]
    timeline_newest: list[TimelineRow]
    topics: list[TopicCount]
    head: int

    @property
    def balanced(self) -> bool:
        """Whether debits equal credits in every currency."""
        sums: dict[str, int] = {}
        for row in self.balances:
            sums[row.currency] = sums.get(row.currency, 0) + row.debits - row.credits
        return not any(sums.values())


_TOP: Final = """
SELECT used.account, coalesce(account.name, '') AS name,
    (SELECT plan.name FROM billing.subscriptions AS subscription JOIN billing.plans AS plan USING (plan)
        WHERE subscription.account = used.account ORDER BY created_position DESC LIMIT 1) AS plan,
    used.events, used.api_calls, used.tokens, used.storage_gb_hours
FROM (
    SELECT account, sum(events)::bigint AS events,
        trim_scale(coalesce(sum(quantity) FILTER (WHERE meter = 'api_calls'), 0))::text AS api_calls,
        trim_scale(coalesce(sum(quantity) FILTER (WHERE meter = 'tokens'), 0))::text AS tokens,
        trim_scale(coalesce(sum(quantity) FILTER (WHERE meter = 'storage_gb_hours'), 0))::text
            AS storage_gb_hours
    FROM usage.totals WHERE day >= %(month)s
    GROUP BY account ORDER BY events DESC, account LIMIT %(limit)s
) AS used
JOIN accounts.accounts AS account USING (account)
ORDER BY used.events DESC, used.account
"""
_INVOICES: Final = """
SELECT managed_by, status, currency, count(*) AS invoices, sum(total)::bigint AS total,
    sum(amount_paid)::bigint AS paid
FROM billing.invoices
WHERE coalesce(issued_on, (observed_at AT TIME ZONE 'UTC')::date) >= %(month)s AND managed_invoice IS NULL
GROUP BY managed_by, status, currency ORDER BY managed_by, status, currency
"""
_BALANCES: Final = """
SELECT ledger_account, currency, debits::bigint AS debits, credits::bigint AS credits
FROM balances.totals ORDER BY ledger_account, currency
"""
_TOPICS: Final = """
SELECT topic, count(*) AS events, min(notification_id) AS first_position,
    max(notification_id) AS last_position
FROM log.events GROUP BY topic ORDER BY events DESC, topic
"""


def read_month(world: World) -> Month:
    """Read the month back, in the live book alone: row-level security sees to that."""
    with world.log.reading(world.book) as connection:
        account = world.featured or (world.customers[0].account if world.customers else "")
        names = {customer.account: customer.name for customer in world.customers}
        return Month(
            organisation=world.founded.organisation,
            book=world.founded.live_book,
            happened=dict(sorted(world.counts.items())),
            top_accounts=_rows(connection, _TOP, TopAccount),
            invoices=_rows(connection, _INVOICES, InvoiceSum),
            balances=[_balance(row) for row in connection.execute(_BALANCES)],
            account=account,
            account_name=names.get(account, ""),
            timeline_oldest=_timeline(connection, account, _OLDEST_ROWS, newest_first=False),
            timeline_newest=_timeline(connection, account, _NEWEST_ROWS, newest_first=True),
            topics=_rows(connection, _TOPICS, TopicCount),
            head=world.log.head(),
        )


def _rows(connection: Connection[Any], query: str, shape: type[Any]) -> list[Any]:
    parameters = {"month": MONTH.date(), "limit": _TOP_ACCOUNTS}
    return [msgspec.convert(row, shape) for row in connection.execute(query.encode(), parameters)]


def _balance(row: dict[str, Any]) -> LedgerBalance:
    known = DEFAULT_CHART.get(row["ledger_account"])
    return LedgerBalance(
        ledger_account=row["ledger_account"],
        category=known.category if known else "",
        currency=row["currency"],
        debits=row["debits"],
        credits=row["credits"],
        balance=signed(row["ledger_account"], row["debits"], row["credits"]),
    )


def _timeline(
    connection: Connection[Any], account: str, limit: int, *, newest_first: bool
) -> list[TimelineRow]:
    rows = page(connection, account, limit=limit, newest_first=newest_first).rows
    decoded = [msgspec.json.decode(row, type=TimelineRow) for row in rows]
    return sorted(decoded, key=lambda row: row.position)
