"""The document as JSON: the figures of the invoice, each with its text in the locale beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import instant

if TYPE_CHECKING:
    from api.documents.formats import Formats
    from api.documents.model import Document, Line, Party, TaxTotal


def view_of(document: Document, formats: Formats) -> dict[str, Any]:
    """Show a document."""

    def money(amount: int) -> dict[str, Any]:
        return {
            "amount": amount,
            "currency": document.currency,
            "text": formats.money(amount, document.currency),
        }

    return {
        "invoice": document.invoice,
        "account": document.account,
        "locale": str(formats.locale).replace("_", "-"),
        "time_zone": document.time_zone,
        "status": document.status,
        "number": document.number,
        "credits_number": document.credits_number,
        "issued_on": document.issued_on,
        "due_on": document.due_on,
        "terms": document.terms,
        "period_start": instant(document.period_start),
        "period_end": instant(document.period_end),
        "seller": _party(document.seller),
        "buyer": _party(document.buyer),
        "lines": [_line(line, document, formats, money) for line in document.lines],
        "subtotal": money(document.subtotal),
        "discount_total": money(document.discount_total),
        "taxes": [_tax(tax, money) for tax in document.taxes],
        "tax_total": money(document.tax_total),
        "total": money(document.total),
        "settlements": [
            {"kind": one.kind, "reference": one.reference, "amount": money(one.amount)}
            for one in document.settlements
        ],
        "amount_paid": money(document.amount_paid),
        "amount_due": money(document.amount_due),
    }


def _party(party: Party) -> dict[str, Any]:
    return {"name": party.name, "email": party.email, "tax_id": party.tax_id}


def _line(line: Line, document: Document, formats: Formats, money: Any) -> dict[str, Any]:
    return {
        "position": line.position,
        "id": line.line,
        "kind": line.kind,
        "description": line.description,
        "quantity": f"{line.quantity:f}",
        "unit_amount": None if line.unit_amount is None else f"{line.unit_amount:f}",
        "amount": money(line.amount),
        "discounts": [
            {"coupon": one.coupon, "name": one.name, "amount": money(one.amount)} for one in line.discounts
        ],
        "exclusive_tax": money(line.exclusive_tax),
        "inclusive_tax": money(line.inclusive_tax),
        "total": money(line.total),
        "service_from": instant(line.service_from),
        "service_to": instant(line.service_to),
        "service_period": formats.period(line.service_from, line.service_to, document.time_zone),
        "adjusts_line": line.adjusts_line,
    }


def _tax(tax: TaxTotal, money: Any) -> dict[str, Any]:
    return {
        "rate": tax.rate,
        "rate_version": tax.rate_version,
        "name": tax.name,
        "percent": None if tax.percent is None else f"{tax.percent:f}",
        "jurisdiction": tax.jurisdiction,
        "behaviour": tax.behaviour,
        "reason": tax.reason,
        "base": money(tax.base),
        "amount": money(tax.amount),
    }
