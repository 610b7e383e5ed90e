"""Read payments: four kinds of events (and old invoices) tell of one payment, under one key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledger.values import MAX_IDENTITY_CHARACTERS
from schemas.stripe_facts import PaymentFact
from schemas.stripe_fields import (
    JsonObject,
    Unreadable,
    child,
    first,
    identifier,
    minor_units,
    optional_minor_units,
    required_currency,
    required_identifier,
    rows,
    whole_text,
)
from schemas.stripe_invoices import amount_paid, before_basil, is_off_stripe, off_stripe_amount

if TYPE_CHECKING:
    from schemas.stripe_envelope import StripeEnvelope

SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
PENDING: Final = "pending"
CANCELED: Final = "canceled"

_INVOICE_PAID_TYPES: Final = frozenset({"invoice.paid", "invoice.payment_succeeded"})
_INVOICE_PAYMENT_STATUSES: Final = {"paid": SUCCEEDED, "open": PENDING}
_CHECKOUT_STATUSES: Final = {"paid": SUCCEEDED, "unpaid": PENDING}


def read_charge(envelope: StripeEnvelope) -> tuple[PaymentFact, ...]:
    """Read a charge of any event about it; refunds and disputes are objects of their own."""
    charge = envelope.object
    own_id = required_identifier(charge.get("id"), "id")
    intent = identifier(charge.get("payment_intent"))
    status = _charge_status(envelope)
    authorized = minor_units(charge.get("amount"), "amount")
    captured = optional_minor_units(charge.get("amount_captured"), "amount_captured")
    fact = PaymentFact(
        key=intent or own_id,
        payment_intent=intent,
        charge=own_id,
        invoice=identifier(charge.get("invoice")),
        customer=envelope.customer,
        amount=_money_moved(captured if status == SUCCEEDED and captured is not None else authorized),
        currency=required_currency(charge.get("currency"), "currency"),
        status=status,
        source="charge",
        as_of=envelope.created,
    )
    return (fact,)


def _charge_status(envelope: StripeEnvelope) -> str:
    status = _status(envelope.object)
    if envelope.type == "charge.expired":
        return CANCELED
    # An authorization says "succeeded" too, before any money has moved; payment intents call it this.
    if status == SUCCEEDED and envelope.object.get("captured") is False:
        return "requires_capture"
    return status


def read_payment_intent(envelope: StripeEnvelope) -> tuple[PaymentFact, ...]:
    """Read a payment intent; its charge stood in a list once, and stands in `latest_charge` now."""
    intent = envelope.object
    own_id = required_identifier(intent.get("id"), "id")
    status = _intent_status(envelope)
    asked = minor_units(intent.get("amount"), "amount")
    received = optional_minor_units(intent.get("amount_received"), "amount_received")
    fact = PaymentFact(
        key=own_id,
        payment_intent=own_id,
        charge=_latest_charge(intent),
        invoice=identifier(intent.get("invoice")),
        customer=envelope.customer,
        amount=_money_moved(received if status == SUCCEEDED and received is not None else asked),
        currency=required_currency(intent.get("currency"), "currency"),
        status=status,
        source="payment_intent",
        as_of=envelope.created,
    )
    return (fact,)


def _intent_status(envelope: StripeEnvelope) -> str:
    # The object's own status decides whether money moved; the event's name tells a failed attempt from none.
    status = _status(envelope.object)
    if status == SUCCEEDED:
        return status
    if envelope.type == "payment_intent.payment_failed":
        return FAILED
    return PENDING if status == "processing" else status


def _latest_charge(intent: JsonObject) -> str | None:
    charges = rows(intent.get("charges"), "charges")
    listed = charges[0] if charges else None
    return identifier(
        first(intent.get("latest_charge"), listed, child(intent, "last_payment_error", "charge"))
    )


def read_invoice_payment(envelope: StripeEnvelope) -> tuple[PaymentFact, ...]:
    """Read an invoice payment, the link from a payment to its invoice since basil."""
    return _invoice_payment(envelope, envelope.object, identifier(envelope.object.get("invoice")))


def read_checkout(envelope: StripeEnvelope) -> tuple[PaymentFact, ...]:
    """Read a checkout session that took a payment; one for a subscription leaves that to its invoice."""
    session = envelope.object
    required_identifier(session.get("id"), "id")
    intent = identifier(session.get("payment_intent"))
    status = session.get("payment_status")
    # Without the payment intent no key would agree with the other events about the same money.
    if intent is None or status == "no_payment_required":
        return ()
    fact = PaymentFact(
        key=intent,
        payment_intent=intent,
        charge=None,
        invoice=identifier(session.get("invoice")),
        customer=envelope.customer,
        amount=_money_moved(minor_units(session.get("amount_total"), "amount_total")),
        currency=required_currency(session.get("currency"), "currency"),
        status=_checkout_status(envelope),
        source="checkout",
        as_of=envelope.created,
    )
    return (fact,)


def _checkout_status(envelope: StripeEnvelope) -> str:
    status = _status(envelope.object, "payment_status")
    if status == "unpaid" and envelope.type == "checkout.session.async_payment_failed":
        return FAILED
    if status == "unpaid" and envelope.type == "checkout.session.expired":
        return CANCELED
    return _CHECKOUT_STATUSES.get(status, status)


def read_invoice_payments(envelope: StripeEnvelope) -> tuple[PaymentFact, ...]:
    """Read the payments that a paid invoice itself tells of: in old payloads all, since basil seldom any."""
    if envelope.type not in _INVOICE_PAID_TYPES or identifier(envelope.object) is None:
        return ()
    listed = rows(envelope.object.get("payments"), "payments")
    if listed:
        return tuple(
            fact
            for payment in listed
            if payment.get("status") == "paid"
            for fact in _invoice_payment(envelope, payment, identifier(envelope.object))
        )
    return _payment_on_invoice(envelope)


def _payment_on_invoice(envelope: StripeEnvelope) -> tuple[PaymentFact, ...]:
    invoice = envelope.object
    own_id = required_identifier(invoice.get("id"), "id")
    intent, charge = _intent_and_charge(invoice)
    amount = _amount_through_stripe(envelope)
    if amount <= 0 or (intent is None and charge is None and not before_basil(envelope)):
        return ()
    fact = PaymentFact(
        key=intent or charge or f"invoice:{own_id}",
        payment_intent=intent,
        charge=charge,
        invoice=own_id,
        customer=envelope.customer,
        amount=amount,
        currency=required_currency(invoice.get("currency"), "currency"),
        status=SUCCEEDED,
        source="invoice",
        as_of=envelope.created,
    )
    return (fact,)


def _amount_through_stripe(envelope: StripeEnvelope) -> int:
    # An invoice that was paid elsewhere goes on naming its canceled payment intent: that proves nothing.
    if envelope.object.get("paid_out_of_band") is True:
        return 0
    if before_basil(envelope):
        return amount_paid(envelope.object)
    return amount_paid(envelope.object) - (off_stripe_amount(envelope) or 0)


def _invoice_payment(
    envelope: StripeEnvelope, payment: JsonObject, invoice: str | None
) -> tuple[PaymentFact, ...]:
    required_identifier(payment.get("id"), "id")
    if is_off_stripe(payment):
        return ()
    intent, charge = _intent_and_charge(payment.get("payment"))
    if intent is None and charge is None:
        raise Unreadable("payment", "must name a payment intent or a charge")
    raw_status = _status(payment)
    amount_field = "amount_paid" if raw_status == "paid" else "amount_requested"
    fact = PaymentFact(
        key=intent or charge or "",
        payment_intent=intent,
        charge=charge,
        invoice=invoice,
        customer=envelope.customer,
        amount=_money_moved(minor_units(payment.get(amount_field), amount_field)),
        currency=required_currency(payment.get("currency"), "currency"),
        status=_INVOICE_PAYMENT_STATUSES.get(raw_status, raw_status),
        source="invoice_payment",
        as_of=envelope.created,
    )
    return (fact,)


def _intent_and_charge(node: object) -> tuple[str | None, str | None]:
    """Return both references; either may be expanded, and each expanded one names the other."""
    intent, charge = child(node, "payment_intent"), child(node, "charge")
    return (
        identifier(first(intent, child(charge, "payment_intent"))),
        identifier(first(charge, child(intent, "latest_charge"))),
    )


def _status(node: JsonObject, field: str = "status") -> str:
    status = whole_text(node.get(field), MAX_IDENTITY_CHARACTERS)
    if status is None:
        raise Unreadable(field, "must be text")
    return status


def _money_moved(amount: int) -> int:
    if amount < 0:
        raise Unreadable("amount", "must not be negative")
    return amount
