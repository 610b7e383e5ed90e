"""The credit notes of the projection of billing: what they come to, and where it went."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger.events.credit_note import CreditNoteIssued

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

    from ledger.events import Recorded
    from projections.base import Change

_COLUMNS: Final = (
    "credit_note, invoice, account, subscription, kind, number, issued_on, currency, net_total, tax_total,"
    " total, applied_to_invoice, credited_to_account, position"
)
QUERIES: Final = {
    "credit_notes_of_account": (
        f"SELECT {_COLUMNS} FROM billing.credit_notes"  # noqa: S608 - constant
        " WHERE account = %(account)s AND position < %(before)s ORDER BY position DESC LIMIT %(limit)s"
    ),
    "credit_notes_of_invoice": (
        f"SELECT {_COLUMNS} FROM billing.credit_notes"  # noqa: S608 - constant
        " WHERE invoice = %(invoice)s AND position < %(before)s ORDER BY position DESC LIMIT %(limit)s"
    ),
}


class CreditNoteRow(msgspec.Struct, frozen=True, kw_only=True):
    """One credit note; amounts are in minor units."""

    book: UUID
    credit_note: str
    invoice: str
    account: str
    subscription: str | None
    kind: str
    number: str
    issued_on: date
    currency: str
    net_total: int
    tax_total: int
    total: int
    applied_to_invoice: int
    credited_to_account: int
    position: int


def changes_of(events: Iterable[Recorded]) -> list[Change[CreditNoteRow]]:
    """Give what events do to the rows of credit notes: each is issued once and stays as it is."""
    return [
        (
            (recorded.metadata.book, recorded.event.credit_note),
            partial(_issued, event=recorded.event, recorded=recorded),
        )
        for recorded in events
        if isinstance(recorded.event, CreditNoteIssued)
    ]


def _issued(row: CreditNoteRow | None, event: CreditNoteIssued, recorded: Recorded) -> CreditNoteRow:
    del row
    return CreditNoteRow(
        book=recorded.metadata.book,
        credit_note=event.credit_note,
        invoice=event.invoice,
        account=event.account,
        subscription=event.subscription,
        kind=event.kind,
        number=event.formatted_number,
        issued_on=event.issued_on,
        currency=event.currency,
        net_total=event.net_total,
        tax_total=event.tax_total,
        total=event.total,
        applied_to_invoice=event.applied_to_invoice,
        credited_to_account=event.credited_to_account,
        position=recorded.position,
    )


def of_account(connection: Connection[Any], account: str, before: int, limit: int) -> list[dict[str, Any]]:
    """Give an account's credit notes, newest first, issued before a position."""
    parameters = {"account": account, "before": before, "limit": limit}
    return connection.execute(QUERIES["credit_notes_of_account"], parameters).fetchall()


def of_invoice(connection: Connection[Any], invoice: str, before: int, limit: int) -> list[dict[str, Any]]:
    """Give the credit notes of an invoice, newest first, issued before a position."""
    parameters = {"invoice": invoice, "before": before, "limit": limit}
    return connection.execute(QUERIES["credit_notes_of_invoice"], parameters).fetchall()
