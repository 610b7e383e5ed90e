"""Events as Stripe sends them, small and with amounts that are easy to follow."""

from __future__ import annotations

from typing import Any

from tests.unit.stripe_bodies import BASIL, CHARGE, INVOICE_PAYMENT

CREATED = 1_800_000_000
PERIOD = {"start": CREATED, "end": CREATED + 30 * 86_400}


_numbers = iter(range(1, 1_000_000))


def event(kind: str, about: dict[str, Any], **envelope: object) -> dict[str, Any]:
    """Wrap an object in an event with an id of its own."""
    return {
        "id": f"evt_{next(_numbers)}",
        "object": "event",
        "type": kind,
        "livemode": False,
        "api_version": BASIL,
        "created": CREATED,
        "data": {"object": about},
        **envelope,
    }


def customer(**changes: object) -> dict[str, Any]:
    plain = {"id": "cus_1", "object": "customer", "name": "Ada", "email": "ada@example.com", "metadata": {}}
    return {**plain, **changes}


def line(**changes: object) -> dict[str, Any]:
    return {"id": "il_1", "amount": 1000, "currency": "usd", "period": PERIOD, **changes}


def invoice(*lines: dict[str, Any], **changes: object) -> dict[str, Any]:
    plain = {
        "id": "in_1",
        "object": "invoice",
        "customer": "cus_1",
        "status": "open",
        "currency": "usd",
        "total": 1000,
        "amount_due": 1000,
        "amount_paid": 0,
        "starting_balance": 0,
        "ending_balance": 0,
        "lines": {"data": list(lines or [line()]), "has_more": False},
    }
    return {**plain, **changes}


def invoice_payment(**changes: object) -> dict[str, Any]:
    return {**INVOICE_PAYMENT, **changes}


PAID = {"status": "paid", "amount_paid": 1000}


def charge(**changes: object) -> dict[str, Any]:
    return {**CHARGE, "payment_intent": "pi_1", "customer": "cus_1", **changes}
