"""Small Stripe payloads for tests, and the way to the recorded ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas.stripe_shapes import (
    Fact,
    InvoiceFact,
    InvoiceLineFact,
    PaymentFact,
    StripeEnvelope,
    SubscriptionFact,
    read_event,
    read_facts,
)

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "stripe"
BASIL = "2025-03-31.basil"
LEGACY = "2024-06-20"


def parsed(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


EVENT_FILES = tuple(
    str(path.relative_to(RECORDINGS))
    for path in sorted(RECORDINGS.glob("*/*.json"))
    if parsed(path).get("object") == "event"
)


def recorded(name: str) -> dict[str, Any]:
    if not RECORDINGS.is_dir():
        pytest.skip("the recorded Stripe payloads are not on this machine")
    return parsed(RECORDINGS / name)


def event(kind: str, about: dict[str, Any], **envelope: object) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "livemode": False,
        "created": 1_700_000_000,
        "data": {"object": about},
        **envelope,
    }


def envelope_of(content: object) -> StripeEnvelope:
    return read_event(json.dumps(content).encode())


def facts_of(content: object) -> tuple[Fact, ...]:
    return read_facts(envelope_of(content))


def only(kind: type[Any], content: object) -> Any:
    (found,) = [fact for fact in facts_of(content) if isinstance(fact, kind)]
    return found


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def invoice(**changes: object) -> dict[str, Any]:
    plain = {
        "id": "in_1",
        "object": "invoice",
        "customer": "cus_1",
        "status": "paid",
        "currency": "usd",
        "total": 1000,
        "amount_due": 1000,
        "amount_paid": 1000,
        "lines": {"data": [{"id": "il_1", "amount": 1000, "currency": "usd"}], "has_more": False},
    }
    return {**plain, **changes}


def line(**changes: object) -> InvoiceLineFact:
    lines = {"data": [{"id": "il_1", "amount": 1000, "currency": "usd", **changes}]}
    fact: InvoiceFact = only(InvoiceFact, event("invoice.created", invoice(lines=lines)))
    return fact.lines[0]


def subscription(**changes: object) -> SubscriptionFact:
    item = {"id": "si_1", "price": {"id": "price_1"}, "current_period_end": 1_700_086_400}
    plain = {"id": "sub_1", "object": "subscription", "status": "active", "items": {"data": [item]}}
    fact: SubscriptionFact = only(
        SubscriptionFact, event("customer.subscription.updated", {**plain, **changes})
    )
    return fact


def payments(kind: str, about: dict[str, Any], **envelope: object) -> list[PaymentFact]:
    return [fact for fact in facts_of(event(kind, about, **envelope)) if isinstance(fact, PaymentFact)]


PI, CH = "pi_1", "ch_1"
MONEY = {"currency": "usd", "amount": 1000}
CHARGE = {"id": CH, "object": "charge", "status": "succeeded", "captured": True, **MONEY}
INTENT = {"id": PI, "object": "payment_intent", "status": "succeeded", "amount_received": 1000, **MONEY}
INVOICE_PAYMENT = {
    "id": "inpay_1",
    "object": "invoice_payment",
    "status": "paid",
    "amount_paid": 1000,
    "currency": "usd",
    "invoice": "in_1",
    "payment": {"type": "payment_intent", "payment_intent": PI},
}
SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "payment_intent": PI,
    "payment_status": "paid",
    "amount_total": 1000,
    "currency": "usd",
}
