"""The projection of balances: what the postings add up to, by account and by ledger account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.chart import DEFAULT_CHART, natural_balance
from ledger.events.journal import JournalEntryPosted
from projections import topics
from projections.base import Projection, as_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from ledger.events import Recorded
    from ledger.events.journal import Posting
    from projections.batch import Batch

_HANDLED: Final = topics.JOURNAL
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
    | topics.USAGE
    | topics.CORRECTIONS
    | topics.CATALOGUE
    | topics.SUBSCRIPTIONS
    | topics.INVOICES
    | topics.INVOICE_NUMBERS
    | topics.CREDIT_NOTES
    | topics.CREDIT_NOTE_NUMBERS
    | topics.PAYMENTS
    | topics.CREDITS
    | topics.STRIPE_DELIVERIES
    | topics.STRIPE_LINKS
    | topics.STRIPE_CUSTOMERS
    | topics.STRIPE_SUBSCRIPTIONS
    | topics.STRIPE_INVOICES
)


class _Sum(msgspec.Struct):
    """What a batch adds to one balance, in minor units."""

    book: UUID
    account: str
    ledger_account: str
    currency: str
    debits: int = 0
    credits: int = 0
    position: int = 0

    def add(self, posting: Posting, position: int) -> None:
        """Add one posting."""
        if posting.side == "debit":
            self.debits += posting.amount
        else:
            self.credits += posting.amount
        self.position = position


_ADD: Final = """
INSERT INTO {table} (book, {account}ledger_account, currency, debits, credits, position)
SELECT book, {account}ledger_account, currency, debits, credits, position
FROM json_populate_recordset(NULL::{table}, %s::json)
ON CONFLICT (book, {account}ledger_account, currency) DO UPDATE SET
    debits = {table}.debits + EXCLUDED.debits,
    credits = {table}.credits + EXCLUDED.credits,
    position = EXCLUDED.position
"""
_ADD_TO_BALANCES: Final = _ADD.format(table="balances", account="account, ")
_ADD_TO_TOTALS: Final = _ADD.format(table="totals", account="")


def apply(connection: Connection[Any], batch: Batch) -> None:
    """Add the batch's postings to the balances of their accounts and to the totals of their book."""
    entries = [recorded for recorded in batch.others if isinstance(recorded.event, JournalEntryPosted)]
    if not entries:
        return
    connection.execute(_ADD_TO_BALANCES, (as_json(_sums(entries, by_account=True)),))
    connection.execute(_ADD_TO_TOTALS, (as_json(_sums(entries, by_account=False)),))


def _sums(entries: Iterable[Recorded], *, by_account: bool) -> list[_Sum]:
    sums: dict[tuple[UUID, str, str, str], _Sum] = {}
    for recorded in entries:
        assert isinstance(recorded.event, JournalEntryPosted)
        book = recorded.metadata.book
        for posting in recorded.event.postings:
            if by_account and posting.account is None:
                continue
            account = (posting.account or "") if by_account else ""
            key = (book, account, posting.ledger_account, posting.currency)
            if key not in sums:
                sums[key] = _Sum(*key)
            sums[key].add(posting, recorded.position)
    return list(sums.values())


QUERIES: Final = {
    "of_account": (
        "SELECT ledger_account, currency, debits, credits, position FROM balances.balances"
        " WHERE account = %(account)s ORDER BY ledger_account, currency"
    ),
    "of_book": (
        "SELECT ledger_account, currency, debits, credits, position FROM balances.totals"
        " ORDER BY ledger_account, currency"
    ),
}


class Balance(msgspec.Struct, frozen=True):
    """A balance in minor units, positive on its ledger account's normal side."""

    ledger_account: str
    currency: str
    amount: int
    position: int


def of_account(connection: Connection[Any], account: str) -> list[Balance]:
    """Give the balances of one account of the connection's book, by ledger account and currency."""
    return [_balance(row) for row in connection.execute(QUERIES["of_account"], {"account": account})]


def of_book(connection: Connection[Any]) -> list[Balance]:
    """Give the balances of the connection's book, by ledger account and currency."""
    return [_balance(row) for row in connection.execute(QUERIES["of_book"])]


def of_events(account: str, events: Iterable[Recorded]) -> tuple[Balance, ...]:
    """Give what the postings in events add up to for an account."""
    entries = [recorded for recorded in events if isinstance(recorded.event, JournalEntryPosted)]
    sums = [one for one in _sums(entries, by_account=True) if one.account == account]
    return tuple(
        Balance(
            one.ledger_account,
            one.currency,
            signed(one.ledger_account, one.debits, one.credits),
            one.position,
        )
        for one in sorted(sums, key=lambda one: (one.ledger_account, one.currency))
    )


def _balance(row: dict[str, Any]) -> Balance:
    amount = signed(row["ledger_account"], int(row["debits"]), int(row["credits"]))
    return Balance(row["ledger_account"], row["currency"], amount, row["position"])


def signed(ledger_account: str, debits: int, credits: int) -> int:  # noqa: A002 - the word of the books
    """Give a balance on its normal side; a ledger account that is in no chart counts debits as positive."""
    known = DEFAULT_CHART.get(ledger_account)
    return debits - credits if known is None else natural_balance(known, debits, credits)


PROJECTION: Final = Projection(
    name="balances",
    handled=_HANDLED,
    ignored=_IGNORED,
    tables=("balances", "totals"),
    queries=QUERIES,
    apply=apply,
)
