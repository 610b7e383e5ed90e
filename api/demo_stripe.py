"""Stripe as the demo plays it: customers, invoices and payments, in its words and under its signature."""

from __future__ import annotations

import hashlib
import hmac
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

_API_VERSION: Final = "2025-09-30.clover"
_ALPHABET: Final = string.ascii_letters + string.digits
_MONTH_SECONDS: Final = 31 * 24 * 3600


@dataclass(frozen=True)
class Delivery:
    """One webhook: its body, and the header that signs it for the instant it is sent at."""

    body: bytes
    signature: str


def deliver(event: dict[str, Any], secret: str, at: datetime) -> Delivery:
    """Sign an event's body with the endpoint's secret, as Stripe does."""
    body = msgspec.json.encode(event)
    sent_at = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
    return Delivery(body, f"t={sent_at},v1={digest}")


class StripeAccount:
    """A Stripe account in live mode; its ids come from the seed, its words and shapes from Stripe's API."""

    def __init__(self, random: Random) -> None:
        """Take the source of its ids."""
        self._random = random

    def new_id(self, prefix: str) -> str:
        """Make an id of an object."""
        return f"{prefix}_{''.join(self._random.choices(_ALPHABET, k=24))}"

    def event(self, kind: str, about: dict[str, Any], at: datetime) -> dict[str, Any]:
        """Wrap an object in the event that tells of it."""
        return {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": _API_VERSION,
            "created": int(at.timestamp()),
            "type": kind,
            "livemode": True,
            "pending_webhooks": 1,
            "request": {"id": self.new_id("req"), "idempotency_key": None},
            "data": {"object": about},
        }

    def customer(self, name: str, email: str, at: datetime, metadata: dict[str, str]) -> dict[str, Any]:
        """Make a customer."""
        return {
            "id": self.new_id("cus"),
            "object": "customer",
            "balance": 0,
            "created": int(at.timestamp()),
            "currency": "usd",
            "delinquent": False,
            "email": email,
            "livemode": True,
            "metadata": metadata,
            "name": name,
            "preferred_locales": ["en"],
            "tax_exempt": "none",
        }

    def subscription(self, customer: str, amount: int, at: datetime) -> dict[str, Any]:
        """Make a monthly subscription that Stripe itself bills."""
        subscription, starts_at = self.new_id("sub"), int(at.timestamp())
        price = {
            "id": self.new_id("price"),
            "object": "price",
            "currency": "usd",
            "product": self.new_id("prod"),
            "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
            "type": "recurring",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        }
        item = {
            "id": self.new_id("si"),
            "object": "subscription_item",
            "created": starts_at,
            "current_period_start": starts_at,
            "current_period_end": starts_at + _MONTH_SECONDS,
            "metadata": {},
            "price": price,
            "quantity": 1,
            "subscription": subscription,
        }
        return {
            "id": subscription,
            "object": "subscription",
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "collection_method": "charge_automatically",
            "created": starts_at,
            "currency": "usd",
            "customer": customer,
            "ended_at": None,
            "items": {"object": "list", "data": [item], "has_more": False, "total_count": 1},
            "livemode": True,
            "metadata": {},
            "start_date": starts_at,
            "status": "active",
            "trial_end": None,
        }

    def invoice(
        self,
        customer: str,
        amount: int,
        at: datetime,
        metadata: dict[str, str],
        subscription: str | None = None,
    ) -> dict[str, Any]:
        """Make an open invoice of one line: one of Stripe's own, or one that it collects for us."""
        invoice, issued_at = self.new_id("in"), int(at.timestamp())
        line = {
            "id": self.new_id("il"),
            "object": "line_item",
            "amount": amount,
            "currency": "usd",
            "description": "1 x subscription",
            "discount_amounts": [],
            "invoice": invoice,
            "period": {"start": issued_at, "end": issued_at + _MONTH_SECONDS},
            "quantity": 1,
            "taxes": [],
        }
        details: dict[str, Any] = {"subscription": subscription, "metadata": {}}
        return {
            "id": invoice,
            "object": "invoice",
            "amount_due": amount,
            "amount_paid": 0,
            "amount_remaining": amount,
            "attempted": False,
            "billing_reason": "subscription_cycle" if subscription else "manual",
            "collection_method": "charge_automatically",
            "created": issued_at,
            "currency": "usd",
            "customer": customer,
            "ending_balance": 0,
            "lines": {"object": "list", "data": [line], "has_more": False, "total_count": 1},
            "livemode": True,
            "metadata": metadata,
            "number": f"{self.new_id('N')[2:10].upper()}-0001",
            "parent": {"type": "subscription_details", "subscription_details": details}
            if subscription
            else None,
            "starting_balance": 0,
            "status": "open",
            "status_transitions": {"finalized_at": issued_at, "paid_at": None, "voided_at": None},
            "subtotal": amount,
            "total": amount,
            "total_discount_amounts": [],
            "total_taxes": [],
        }

    def payment(self, invoice: dict[str, Any], at: datetime) -> list[dict[str, Any]]:
        """Pay an invoice, and tell of that one payment four times, as Stripe does."""
        amount, customer, paid_at = invoice["amount_due"], invoice["customer"], int(at.timestamp())
        intent, charge = self.new_id("pi"), self.new_id("ch")
        common = {
            "currency": "usd",
            "customer": customer,
            "created": paid_at,
            "livemode": True,
            "metadata": {},
        }
        charged = {
            **common,
            "id": charge,
            "object": "charge",
            "amount": amount,
            "amount_captured": amount,
            "captured": True,
            "paid": True,
            "payment_intent": intent,
            "status": "succeeded",
        }
        intended = {
            **common,
            "id": intent,
            "object": "payment_intent",
            "amount": amount,
            "amount_received": amount,
            "latest_charge": charge,
            "status": "succeeded",
        }
        applied = {
            "id": self.new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": amount,
            "amount_requested": amount,
            "created": paid_at,
            "currency": "usd",
            "invoice": invoice["id"],
            "livemode": True,
            "payment": {"type": "payment_intent", "payment_intent": intent},
            "status": "paid",
        }
        paid = {
            **invoice,
            "amount_paid": amount,
            "amount_remaining": 0,
            "attempted": True,
            "status": "paid",
            "status_transitions": {**invoice["status_transitions"], "paid_at": paid_at},
        }
        return [
            self.event("charge.succeeded", charged, at),
            self.event("payment_intent.succeeded", intended, at),
            self.event("invoice_payment.paid", applied, at),
            self.event("invoice.paid", paid, at),
        ]
