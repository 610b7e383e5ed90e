"""The journal: entries of balanced postings, each a one-event stream so that no fact is posted twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class Posting:
    """One side of an entry: an amount of at least zero on a ledger account, with what it is about."""

    ledger_account: str
    side: str
    amount: int
    currency: str
    # In the book's functional currency; none while no exchange rate was known.
    functional_amount: int | None
    functional_currency: str
    exchange_rate: str | None = None
    account: str | None = None
    invoice: str | None = None
    line: str | None = None
    product: str | None = None
    billing_entity: str | None = None
    tax_jurisdiction: str | None = None
    source_object: str | None = None


@dataclass(frozen=True, kw_only=True)
class JournalEntryPosted(Event):
    """A balanced entry for one economic fact, under the rule and its version in force that day."""

    topic: ClassVar[str] = "journal.entry_posted"

    entry: str
    accounting_date: date
    economic_object: str
    kind: str
    rule: str
    rule_version: int
    postings: tuple[Posting, ...]
    description: str
    account: str | None = None
    reverses: str | None = None
