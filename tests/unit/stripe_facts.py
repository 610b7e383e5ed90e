"""Facts as Stripe tells them, made of what matters in a test."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from schemas.stripe_shapes import (
    InvoiceFact,
    InvoiceLineFact,
    PaymentFact,
    SubscriptionFact,
    SubscriptionItemFact,
)

if TYPE_CHECKING:
    from datetime import datetime

FREE_PRICE = ("price_1IDQm5JDPojXS6LNM31hxKzp", "prod_Ip4vqwv3EJ7Mi0")


def item(name: str, start: datetime, end: datetime, **changes: object) -> SubscriptionItemFact:
    price, product = FREE_PRICE
    plain: dict[str, Any] = {
        "price": price,
        "product": product,
        "quantity": 1,
        "unit_amount_decimal": Decimal(0),
        "currency": "USD",
        "interval": "month",
        "interval_count": 1,
    }
    return SubscriptionItemFact(item=name, period_start=start, period_end=end, **{**plain, **changes})


def subscribed(name: str, customer: str, as_of: datetime, **changes: Any) -> SubscriptionFact:
    plain: dict[str, Any] = {
        "status": "active",
        "cancel_at": None,
        "canceled_at": None,
        "ended_at": None,
        "trial_end": None,
        "paused": None,
        "metadata_account": None,
    }
    return SubscriptionFact(subscription=name, customer=customer, as_of=as_of, **{**plain, **changes})


def invoiced(name: str, customer: str, as_of: datetime, **changes: Any) -> InvoiceFact:
    plain: dict[str, Any] = {
        "subscription": None,
        "number": None,
        "currency": "USD",
        "amount_paid": 0,
        "starting_balance": 0,
        "ending_balance": 0,
        "taxes": (),
        "discount_total": 0,
        "credits_applied": 0,
        "payments": (),
        "paid_out_of_band": False,
        "off_stripe_amount": 0,
        "managed_invoice": None,
        "finalized_at": None,
        "paid_at": None,
        "voided_at": None,
        "due_at": None,
        "has_more_lines": False,
        "notice": False,
    }
    return InvoiceFact(invoice=name, customer=customer, as_of=as_of, **{**plain, **changes})


def lined(name: str, amount: int, start: datetime, end: datetime, **changes: Any) -> InvoiceLineFact:
    price, product = FREE_PRICE
    plain: dict[str, Any] = {
        "currency": "USD",
        "description": None,
        "price": price,
        "product": product,
        "quantity": "1",
        "proration": False,
        "discount_total": 0,
        "taxes": (),
    }
    return InvoiceLineFact(
        line=name, amount=amount, period_start=start, period_end=end, **{**plain, **changes}
    )


def paid(key: str, amount: int, source: str, as_of: datetime, **changes: Any) -> PaymentFact:
    plain: dict[str, Any] = {
        "payment_intent": key,
        "charge": None,
        "invoice": None,
        "customer": None,
        "currency": "USD",
        "status": "succeeded",
    }
    return PaymentFact(key=key, amount=amount, source=source, as_of=as_of, **{**plain, **changes})
