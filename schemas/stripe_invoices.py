"""Read invoices: every old and new place of a field, one small accessor a row of the shape table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledger.values import MAX_IDENTITY_CHARACTERS, MAX_REASON_CHARACTERS, quantity_text
from schemas.stripe_facts import InvoiceFact, InvoiceLineFact, TaxFact
from schemas.stripe_fields import (
    JsonObject,
    Unreadable,
    child,
    currency,
    decimal,
    first,
    has_more,
    identifier,
    instant,
    minor_units,
    optional_minor_units,
    required_currency,
    required_identifier,
    rows,
    sum_of,
    whole_text,
    words,
)

if TYPE_CHECKING:
    from schemas.stripe_envelope import StripeEnvelope

# These announce an invoice; the events beside them (created, finalized, paid ...) carry its life.
NOTICE_TYPES: Final = frozenset(
    {"invoice.upcoming", "invoice.will_be_due", "invoice.overdue", "invoice.sent"}
)

# From this version an invoice no longer carries its payment, and amount_paid holds off-Stripe money too.
_BASIL: Final = "2025-03-31"


def read_invoice(envelope: StripeEnvelope) -> InvoiceFact:
    """Read an invoice object of any version."""
    invoice = envelope.object
    notice = envelope.type in NOTICE_TYPES or identifier(invoice) is None
    lines = rows(invoice.get("lines"), "lines")
    code = required_currency(invoice.get("currency"), "currency")
    return InvoiceFact(
        invoice=_invoice_id(envelope),
        customer=envelope.customer,
        subscription=_subscription(invoice),
        status=_status(envelope),
        number=whole_text(invoice.get("number"), MAX_IDENTITY_CHARACTERS),
        currency=code,
        total=minor_units(invoice.get("total"), "total"),
        subtotal=optional_minor_units(invoice.get("subtotal"), "subtotal"),
        amount_due=optional_minor_units(invoice.get("amount_due"), "amount_due"),
        amount_paid=amount_paid(invoice),
        starting_balance=optional_minor_units(invoice.get("starting_balance"), "starting_balance") or 0,
        ending_balance=optional_minor_units(invoice.get("ending_balance"), "ending_balance"),
        taxes=_invoice_taxes(invoice),
        lines=tuple(_line(line, code) for line in lines),
        discount_total=_discount_total(invoice, "total_discount_amounts", "total_pretax_credit_amounts"),
        credits_applied=_credits_applied(invoice, "total_pretax_credit_amounts"),
        payments=_payment_references(invoice),
        paid_out_of_band=invoice.get("paid_out_of_band") is True,
        off_stripe_amount=off_stripe_amount(envelope),
        managed_invoice=identifier(child(invoice, "metadata", "daybook_invoice")),
        finalized_at=instant(child(invoice, "status_transitions", "finalized_at")),
        paid_at=instant(child(invoice, "status_transitions", "paid_at")),
        voided_at=instant(child(invoice, "status_transitions", "voided_at")),
        due_at=instant(invoice.get("due_date")),
        has_more_lines=has_more(invoice.get("lines"), len(lines)),
        as_of=envelope.created,
        notice=notice,
        metadata_account=_metadata_account(invoice),
    )


def before_basil(envelope: StripeEnvelope) -> bool:
    """Tell whether an invoice event is of the shape that carried its own payment."""
    if envelope.api_version is not None:
        return envelope.api_version < _BASIL
    # Some recorded bodies name no version; `paid` left the invoice together with its payment.
    return "paid" in envelope.object


def amount_paid(invoice: JsonObject) -> int:
    """Return what has been paid: legacy payloads leave off-Stripe money out, newer ones count it in."""
    return optional_minor_units(invoice.get("amount_paid"), "amount_paid") or 0


def off_stripe_amount(envelope: StripeEnvelope) -> int | None:
    """Return the part paid outside Stripe, or None where the payload cannot say."""
    invoice = envelope.object
    stated = optional_minor_units(invoice.get("amount_paid_off_stripe"), "amount_paid_off_stripe")
    if stated is not None:
        return stated
    if invoice.get("paid_out_of_band") is True:
        # Before basil amount_paid stays 0 then: the whole amount due was paid elsewhere.
        return amount_paid(invoice) or optional_minor_units(invoice.get("amount_due"), "amount_due")
    if before_basil(envelope) or invoice.get("paid_out_of_band") is False or amount_paid(invoice) == 0:
        return 0
    return _off_stripe_payments(invoice)


def _off_stripe_payments(invoice: JsonObject) -> int | None:
    payments = rows(invoice.get("payments"), "payments")
    # Webhooks leave the list out: then nothing says how much of it was paid elsewhere.
    if invoice.get("payments") is None or has_more(invoice["payments"], len(payments)):
        return None
    return sum(
        minor_units(payment.get("amount_paid"), "payments.amount_paid")
        for payment in payments
        if payment.get("status") == "paid" and is_off_stripe(payment)
    )


def is_off_stripe(invoice_payment: JsonObject) -> bool:
    """Tell whether an invoice payment records money that moved elsewhere: a payment_record, or a new kind."""
    kind = child(invoice_payment, "payment", "type")
    return kind is not None and kind not in ("payment_intent", "charge")


def _invoice_id(envelope: StripeEnvelope) -> str:
    """Return the id; only the preview of an invoice that does not exist yet has none."""
    if "id" not in envelope.object or envelope.object["id"] is None:
        return ""
    return required_identifier(envelope.object["id"], "id")


def _status(envelope: StripeEnvelope) -> str:
    # The object of a deletion is a copy of the draft, and some versions leave its status as it was.
    if envelope.type == "invoice.deleted":
        return "deleted"
    status = whole_text(envelope.object.get("status"), MAX_IDENTITY_CHARACTERS)
    if status is None:
        raise Unreadable("status", "must be text")
    return status


def _subscription(invoice: JsonObject) -> str | None:
    return identifier(
        first(child(invoice, "parent", "subscription_details", "subscription"), invoice.get("subscription"))
    )


def _metadata_account(invoice: JsonObject) -> str | None:
    """Return our account id from the invoice's metadata, or from its copy of the subscription's."""
    return identifier(
        first(
            child(invoice, "metadata", "daybook_account"),
            child(invoice, "parent", "subscription_details", "metadata", "daybook_account"),
            child(invoice, "subscription_details", "metadata", "daybook_account"),
        )
    )


def _invoice_taxes(invoice: JsonObject) -> tuple[TaxFact, ...]:
    taxes = _taxes(invoice, "total_taxes", "total_tax_amounts")
    sum_only = optional_minor_units(invoice.get("tax"), "tax")
    if taxes or not sum_only:
        return taxes
    return (TaxFact(amount=sum_only, inclusive=False, rate=None),)


def _taxes(node: JsonObject, new: str, old: str) -> tuple[TaxFact, ...]:
    # Payloads may carry both lists with the same taxes: read one, never both.
    name = new if rows(node.get(new), new) else old
    return tuple(_tax(tax, name) for tax in rows(node.get(name), name))


def _tax(tax: JsonObject, field: str) -> TaxFact:
    return TaxFact(
        amount=minor_units(tax.get("amount"), f"{field}.amount"),
        inclusive=tax.get("tax_behavior") == "inclusive" or tax.get("inclusive") is True,
        rate=identifier(first(child(tax, "tax_rate_details", "tax_rate"), tax.get("tax_rate"))),
    )


def _discount_total(node: JsonObject, amounts: str, credits_: str) -> int:
    # Newer payloads repeat each discount among the pre-tax credits: read one list, never both.
    if node.get(amounts) is not None:
        return sum_of(rows(node[amounts], amounts), amounts)
    return sum_of(_pretax_credits(node, credits_, "discount"), credits_)


def _credits_applied(node: JsonObject, credits_: str) -> int:
    return sum_of(_pretax_credits(node, credits_, "credit_balance_transaction"), credits_)


def _pretax_credits(node: JsonObject, credits_: str, kind: str) -> tuple[JsonObject, ...]:
    return tuple(credit for credit in rows(node.get(credits_), credits_) if credit.get("type") == kind)


def _payment_references(invoice: JsonObject) -> tuple[str, ...]:
    """Return the ids of payment intents and charges named anywhere on the invoice, each once."""
    places = [invoice.get("payment_intent"), invoice.get("charge")]
    for payment in rows(invoice.get("payments"), "payments"):
        places += [child(payment, "payment", "payment_intent"), child(payment, "payment", "charge")]
    return tuple(dict.fromkeys(found for place in places if (found := identifier(place)) is not None))


def _line(line: JsonObject, invoice_currency: str) -> InvoiceLineFact:
    parent = _line_parent(line)
    return InvoiceLineFact(
        line=identifier(line.get("id")),
        amount=minor_units(line.get("amount"), "lines.amount"),
        currency=currency(line.get("currency")) or invoice_currency,
        description=words(line.get("description"), MAX_REASON_CHARACTERS),
        price=_line_price(line),
        product=_line_product(line),
        quantity=_line_quantity(line),
        period_start=instant(child(line, "period", "start")),
        period_end=instant(child(line, "period", "end")),
        proration=first(parent.get("proration"), line.get("proration")) is True,
        discount_total=_discount_total(line, "discount_amounts", "pretax_credit_amounts"),
        taxes=_taxes(line, "taxes", "tax_amounts"),
        credits_applied=_credits_applied(line, "pretax_credit_amounts"),
        subscription_item=identifier(first(parent.get("subscription_item"), line.get("subscription_item"))),
    )


def _line_parent(line: JsonObject) -> JsonObject:
    """Return the details that a newer line keeps under its parent, of the kind that its parent names."""
    kind = child(line, "parent", "type")
    details = child(line, "parent", kind) if isinstance(kind, str) else None
    return details if isinstance(details, dict) else {}


def _line_price(line: JsonObject) -> str | None:
    return identifier(
        first(child(line, "pricing", "price_details", "price"), line.get("price"), line.get("plan"))
    )


def _line_product(line: JsonObject) -> str | None:
    return identifier(
        first(
            child(line, "pricing", "price_details", "product"),
            child(line, "pricing", "price_details", "price", "product"),
            child(line, "price", "product"),
            child(line, "plan", "product"),
        )
    )


def _line_quantity(line: JsonObject) -> str | None:
    # quantity is cut to a whole number where quantity_decimal is not.
    quantity = decimal(first(line.get("quantity_decimal"), line.get("quantity")))
    return None if quantity is None else quantity_text(quantity)
