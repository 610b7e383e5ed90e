"""Views of credit notes: what they look like from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.edge import instant, money
from ledger.streams import credit_note as credit_notes

if TYPE_CHECKING:
    from ledger.events.credit_note import CreditNoteLine
    from ledger.streams.base import Stream

_AMOUNTS: Final = ("net_total", "tax_total", "total", "applied_to_invoice", "credited_to_account")


def credit_note_view(stream: Stream[credit_notes.CreditNote], *, numbered: bool = True) -> dict[str, Any]:
    """Show a credit note whole; one that is only previewed has no number."""
    note = credit_notes.require(stream.state).issued
    return {
        "id": note.credit_note,
        "invoice": note.invoice,
        "account": note.account,
        "subscription": note.subscription,
        "billing_entity": note.billing_entity,
        "kind": note.kind,
        "reason": note.reason,
        "number": note.formatted_number if numbered else None,
        "series": note.series,
        "series_number": note.number if numbered else None,
        "issued_on": note.issued_on,
        "lines": [_line_view(line, note.currency) for line in note.lines],
        "net_total": money(note.net_total, note.currency),
        "tax_total": money(note.tax_total, note.currency),
        "total": money(note.total, note.currency),
        "applied_to_invoice": money(note.applied_to_invoice, note.currency),
        "credited_to_account": money(note.credited_to_account, note.currency),
        "restored_to_grants": money(note.restored_to_grants, note.currency),
        "policy_version": note.policy_version,
    }


def credited_view(stream: Stream[credit_notes.CreditNote]) -> dict[str, Any]:
    """Show what a credit note gives back, and where it goes."""
    note = credit_notes.require(stream.state).issued
    return {"invoice": note.invoice, **{name: money(getattr(note, name), note.currency) for name in _AMOUNTS}}


def _line_view(line: CreditNoteLine, currency: str) -> dict[str, Any]:
    return {
        "id": line.line,
        "invoice_line": line.invoice_line,
        "description": line.description,
        "net": money(line.net, currency),
        "taxes": [
            {
                "rate": tax.rate,
                "rate_version": tax.rate_version,
                "jurisdiction": tax.jurisdiction,
                "base": money(tax.base, currency),
                "amount": money(tax.amount, currency),
                "behaviour": tax.behaviour,
                "reason": tax.reason,
            }
            for tax in line.taxes
        ],
        "total": money(line.net + sum(tax.amount for tax in line.taxes), currency),
        "service_from": instant(line.service_from),
        "service_to": instant(line.service_to),
        "product": line.product,
        "exact": line.exact,
    }


def credit_note_row_view(row: dict[str, Any]) -> dict[str, Any]:
    """Show a credit note of a list."""
    currency = row["currency"]
    return {
        "id": row["credit_note"],
        "invoice": row["invoice"],
        "account": row["account"],
        "subscription": row["subscription"],
        "kind": row["kind"],
        "number": row["number"],
        "issued_on": row["issued_on"],
        **{name: money(int(row[name]), currency) for name in _AMOUNTS},
    }
