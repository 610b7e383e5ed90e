"""Events of the Stripe intake: the raw delivery, and what Stripe's objects were seen to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class StripeEventReceived(Event):
    """Stripe told us something, kept as it came; `digest` stands for the facts a redelivery must share."""

    topic: ClassVar[str] = "stripe.event_received"
    personal: ClassVar[tuple[str, ...]] = ("body",)

    endpoint: str
    stripe_account: str
    event_id: str
    type: str
    api_version: str | None
    livemode: bool
    customer: str | None
    digest: str
    # True when another delivery with the same id told other facts: kept and processed, never dropped.
    variant: bool
    body: str

    def subject(self) -> str:
        """Name whose data key seals the body: the Stripe customer, or this delivery while none is known."""
        if self.customer:
            return f"stripe-customer:{self.stripe_account}:{self.customer}"
        return f"stripe-event:{self.stripe_account}:{self.event_id}"


@dataclass(frozen=True, kw_only=True)
class StripeCustomerLinked(Event):
    """A Stripe customer is billed as this account; from here its data key belongs to the account's person."""

    topic: ClassVar[str] = "stripe.customer_linked"

    customer: str
    account: str
    data_subject: str


@dataclass(frozen=True, kw_only=True)
class StripeCustomerObserved(Event):
    """What Stripe said of a customer at an instant of its own; older sightings never undo newer ones."""

    topic: ClassVar[str] = "stripe.customer_observed"
    personal: ClassVar[tuple[str, ...]] = ("name", "email")

    customer: str
    account: str
    name: str | None
    email: str | None
    deleted: bool
    observed_at: datetime
    stripe_event: str

    def subject(self) -> str:
        """Name whose data key seals the personal fields: the account."""
        return f"account:{self.account}"


@dataclass(frozen=True, kw_only=True)
class StripeSubscriptionItem:
    """One item of a Stripe subscription; `unit_amount` is a decimal text in minor units."""

    item: str
    price: str | None
    product: str | None
    quantity: int | None
    unit_amount: str | None
    currency: str | None
    interval: str | None
    interval_count: int | None
    period_start: datetime | None
    period_end: datetime | None


@dataclass(frozen=True, kw_only=True)
class StripeSubscriptionObserved(Event):
    """What Stripe said of a subscription at an instant of its own."""

    topic: ClassVar[str] = "stripe.subscription_observed"

    stripe_subscription: str
    account: str
    status: str
    items: tuple[StripeSubscriptionItem, ...]
    cancels_at: datetime | None
    ended_at: datetime | None
    observed_at: datetime
    stripe_event: str


@dataclass(frozen=True, kw_only=True)
class StripeInvoiceObserved(Event):
    """What Stripe said of an invoice at an instant of its own; amounts are minor units of `currency`."""

    topic: ClassVar[str] = "stripe.invoice_observed"

    stripe_invoice: str
    account: str
    stripe_subscription: str | None
    status: str
    number: str | None
    currency: str
    subtotal: int
    tax_total: int
    total: int
    amount_paid: int
    due_at: datetime | None
    managed_invoice: str | None
    observed_at: datetime
    stripe_event: str


@dataclass(frozen=True, kw_only=True)
class StripeEventNotApplied(Event):
    """A delivery was understood but could not take effect; the reason is shown to support."""

    topic: ClassVar[str] = "stripe.event_not_applied"

    event_position: int
    event_id: str
    reason: str


StripeCustomerEvent = StripeCustomerLinked | StripeCustomerObserved
