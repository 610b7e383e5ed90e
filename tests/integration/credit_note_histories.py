"""Credit notes in histories to try projections on."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from ledger.events.credit_note import CreditNoteIssued, CreditNoteLine, CreditNoteNumberTaken
from ledger.events.invoice import CreditApplied, CreditedLine, InvoiceCredited

if TYPE_CHECKING:
    from tests.integration.histories import Writer

MARCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


def write_credit_note(writer: Writer, account: str, amount: int = 500, number: int = 1) -> int:
    """Credit part of the account's first invoice, in one transaction."""
    note = writer.id_of("cn", f"note {number}")
    names: dict[str, Any] = {"invoice": writer.id_of("inv", "first"), "account": account}
    given = CreditedLine(line="line_1", net=amount)
    settled = CreditApplied(**names, source="credit_note", reference=note, amount=amount, currency="USD")
    return writer.append(
        [
            writer.new(f"credit-note-{number}", issued(note, names, amount, number)),
            writer.new("credit-note-numbers", _taken(note, number)),
            writer.new("invoice-first", InvoiceCredited(**names, credit_note=note, lines=(given,))),
            writer.new("invoice-first", settled),
        ]
    )


def issued(note: str, names: dict[str, Any], amount: int, number: int) -> CreditNoteIssued:
    """Give a credit note of one line."""
    line = CreditNoteLine(
        line="line_2",
        invoice_line="line_1",
        sequence=1,
        description="pro",
        net=amount,
        service_from=MARCH,
        service_to=MARCH,
        revenue_account="revenue",
        product=None,
    )
    return CreditNoteIssued(
        **names,
        credit_note=note,
        billing_entity="default",
        subscription=None,
        kind="manual",
        reason="an outage",
        series="CN",
        number=number,
        formatted_number=f"CN-{number:06d}",
        issued_on=date(2026, 3, 1),
        currency="USD",
        lines=(line,),
        net_total=amount,
        tax_total=0,
        total=amount,
        applied_to_invoice=amount,
        credited_to_account=0,
        policy_version=1,
    )


def _taken(note: str, number: int) -> CreditNoteNumberTaken:
    return CreditNoteNumberTaken(billing_entity="default", series="CN", number=number, credit_note=note)
