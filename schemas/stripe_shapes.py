"""Read Stripe events of the API versions 2020-03-02 to 2026-10-28.endive into one set of facts; never raises.

The object of an event is read as a snapshot of its state, whichever event brought it: so a lost or late event
costs time, not truth. Adding a kind of event is one line in EVENT_KINDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ledger.values import MAX_EMAIL_CHARACTERS, MAX_IDENTITY_CHARACTERS, MAX_NAME_CHARACTERS
from schemas.stripe_envelope import StripeEnvelope, StripePayloadRefused, read_event
from schemas.stripe_facts import (
    CustomerFact,
    Fact,
    InvoiceFact,
    InvoiceLineFact,
    PaymentFact,
    SubscriptionFact,
    SubscriptionItemFact,
    TaxFact,
    UnreadableFact,
)
from schemas.stripe_fields import (
    JsonObject,
    Unreadable,
    child,
    count,
    currency,
    decimal,
    first,
    has_more,
    identifier,
    instant,
    required_identifier,
    rows,
    whole_text,
    words,
)
from schemas.stripe_invoices import read_invoice
from schemas.stripe_payments import (
    read_charge,
    read_checkout,
    read_invoice_payment,
    read_invoice_payments,
    read_payment_intent,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

__all__ = [
    "EVENT_KINDS",
    "CustomerFact",
    "EventKind",
    "Fact",
    "InvoiceFact",
    "InvoiceLineFact",
    "PaymentFact",
    "StripeEnvelope",
    "StripePayloadRefused",
    "SubscriptionFact",
    "SubscriptionItemFact",
    "TaxFact",
    "UnreadableFact",
    "read_event",
    "read_facts",
]


def read_facts(envelope: StripeEnvelope) -> tuple[Fact, ...]:
    """Read what an event tells; nothing for kinds Daybook takes no notice of."""
    kind = EVENT_KINDS.get(envelope.type.rpartition(".")[0])
    if kind is None:
        return ()
    object_id = identifier(envelope.object) or ""
    found = envelope.object.get("object", kind.object_name)
    if found != kind.object_name:
        return (UnreadableFact(object_id, f"object: must be {kind.object_name}"),)
    try:
        return kind.read(envelope)
    except Unreadable as problem:
        return (UnreadableFact(object_id, str(problem)),)


def _read_invoice(envelope: StripeEnvelope) -> tuple[Fact, ...]:
    return (read_invoice(envelope), *read_invoice_payments(envelope))


def _read_customer(envelope: StripeEnvelope) -> tuple[Fact, ...]:
    customer = envelope.object
    fact = CustomerFact(
        customer=required_identifier(customer.get("id"), "id"),
        name=words(customer.get("name"), MAX_NAME_CHARACTERS),
        email=whole_text(customer.get("email"), MAX_EMAIL_CHARACTERS),
        deleted=envelope.type == "customer.deleted" or customer.get("deleted") is True,
        metadata_account=identifier(child(customer, "metadata", "daybook_account")),
        as_of=envelope.created,
    )
    return (fact,)


def _read_subscription(envelope: StripeEnvelope) -> tuple[Fact, ...]:
    subscription = envelope.object
    listed = rows(subscription.get("items"), "items")
    items = tuple(_item(item, subscription) for item in listed)
    fact = SubscriptionFact(
        subscription=required_identifier(subscription.get("id"), "id"),
        customer=envelope.customer,
        status=_subscription_status(envelope),
        items=items,
        cancel_at=instant(subscription.get("cancel_at")) or _end_of_last_period(subscription, items),
        canceled_at=instant(subscription.get("canceled_at")),
        ended_at=instant(subscription.get("ended_at")),
        trial_end=instant(subscription.get("trial_end")),
        paused=_paused(subscription),
        metadata_account=identifier(child(subscription, "metadata", "daybook_account")),
        as_of=envelope.created,
        has_more_items=has_more(subscription.get("items"), len(items)),
    )
    return (fact,)


def _subscription_status(envelope: StripeEnvelope) -> str:
    status = whole_text(envelope.object.get("status"), MAX_IDENTITY_CHARACTERS)
    if status is not None:
        return status
    if envelope.type == "customer.subscription.deleted":
        return "canceled"
    raise Unreadable("status", "must be text")


def _end_of_last_period(subscription: JsonObject, items: tuple[SubscriptionItemFact, ...]) -> datetime | None:
    """Return when a subscription ends that was cancelled for the end of its period and states no date."""
    if subscription.get("cancel_at_period_end") is not True:
        return None
    return max((item.period_end for item in items if item.period_end is not None), default=None)


def _item(item: JsonObject, subscription: JsonObject) -> SubscriptionItemFact:
    price, plan = item.get("price"), item.get("plan")
    return SubscriptionItemFact(
        item=required_identifier(item.get("id"), "items.id"),
        price=identifier(first(price, plan)),
        product=identifier(first(child(price, "product"), child(plan, "product"))),
        quantity=count(item.get("quantity")),
        unit_amount_decimal=_unit_amount(price, plan),
        currency=currency(
            first(child(price, "currency"), child(plan, "currency"), subscription.get("currency"))
        ),
        interval=whole_text(
            first(child(price, "recurring", "interval"), child(plan, "interval")), MAX_IDENTITY_CHARACTERS
        ),
        interval_count=count(
            first(child(price, "recurring", "interval_count"), child(plan, "interval_count"))
        ),
        period_start=_period_bound(item, subscription, "current_period_start"),
        period_end=_period_bound(item, subscription, "current_period_end"),
    )


def _unit_amount(price: object, plan: object) -> Decimal | None:
    return decimal(
        first(
            child(price, "unit_amount_decimal"),
            child(price, "unit_amount"),
            child(plan, "amount_decimal"),
            child(plan, "amount"),
        )
    )


def _period_bound(item: JsonObject, subscription: JsonObject, name: str) -> datetime | None:
    # Periods moved from the subscription to its items; payloads of 2025 carry both.
    return instant(first(item.get(name), subscription.get(name)))


def _paused(subscription: JsonObject) -> str | None:
    """Name the pause that holds: Stripe's reason, `collection:<behavior>`, or `paused` without a reason."""
    reason = whole_text(
        child(subscription, "status_details", "paused", "subscription", "type"), MAX_IDENTITY_CHARACTERS
    )
    if reason is not None:
        return reason
    if subscription.get("status") == "paused":
        return "paused"
    if isinstance(subscription.get("pause_collection"), dict):
        behavior = whole_text(child(subscription, "pause_collection", "behavior"), MAX_IDENTITY_CHARACTERS)
        return f"collection:{behavior or 'unknown'}"
    return None


class EventKind(NamedTuple):
    """The object that a kind of event carries, and what reads it."""

    object_name: str
    read: Callable[[StripeEnvelope], tuple[Fact, ...]]


# By the event's type without its last word. A kind that is not here (charge.dispute, refund, payout, price,
# payment_method ...) tells Daybook nothing yet: its event is kept, and has no effect.
EVENT_KINDS: Final[dict[str, EventKind]] = {
    "charge": EventKind("charge", read_charge),
    "checkout.session": EventKind("checkout.session", read_checkout),
    "customer": EventKind("customer", _read_customer),
    "customer.subscription": EventKind("subscription", _read_subscription),
    "invoice": EventKind("invoice", _read_invoice),
    "invoice_payment": EventKind("invoice_payment", read_invoice_payment),
    "payment_intent": EventKind("payment_intent", read_payment_intent),
}
