"""Events of a credit note: what of an invoice is given back, line by line, with its tax; issued once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar

from ledger.events.base import Event
from ledger.events.invoice import LineTax


@dataclass(frozen=True, kw_only=True)
class CreditNoteLine:
    """How much of an invoice's line is given back: before tax and net of discounts, and of each of its taxes.

    `exact` is the amount before it was rounded, as a fraction; none where all that remained is given back.
    """

    line: str
    invoice_line: str
    sequence: int
    description: str
    net: int
    service_from: datetime | None
    service_to: datetime | None
    revenue_account: str
    product: str | None
    taxes: tuple[LineTax, ...] = ()
    exact: str | None = None


@dataclass(frozen=True, kw_only=True)
class CreditNoteIssued(Event):
    """A credit note was issued under its number; it settles what its invoice still asked for.

    What goes beyond that is credited to the account, as far as payments and the account's own credit settled
    the invoice; the rest takes the place of what prepaid grants settled, which goes back to them, and is in
    `applied_to_invoice` too. `kind` says what brought it about.
    """

    topic: ClassVar[str] = "credit_note.issued"

    credit_note: str
    invoice: str
    account: str
    billing_entity: str
    subscription: str | None
    kind: str
    reason: str
    series: str
    number: int
    formatted_number: str
    issued_on: date
    currency: str
    lines: tuple[CreditNoteLine, ...]
    net_total: int
    tax_total: int
    total: int
    applied_to_invoice: int
    credited_to_account: int
    policy_version: int
    restored_to_grants: int = 0


@dataclass(frozen=True, kw_only=True)
class CreditNoteNumberTaken(Event):
    """The next number of a series went to a credit note: the stream's version is the number, so no gaps."""

    topic: ClassVar[str] = "credit_note_series.number_taken"

    billing_entity: str
    series: str
    number: int
    credit_note: str


CreditNoteEvent = CreditNoteIssued
