"""What Stripe's events tell, in one shape for every API version: minor units, UTC instants, plain ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal


@dataclass(frozen=True)
class CustomerFact:
    """A customer as Stripe knew it at `as_of`; `metadata_account` is our account id, if we wrote it there."""

    customer: str
    name: str | None
    email: str | None
    deleted: bool
    metadata_account: str | None
    as_of: datetime | None


@dataclass(frozen=True)
class SubscriptionItemFact:
    """One price of a subscription; `unit_amount_decimal` is in minor units and may have a fraction."""

    item: str
    price: str | None
    product: str | None
    quantity: int | None
    unit_amount_decimal: Decimal | None
    currency: str | None
    interval: str | None
    interval_count: int | None
    period_start: datetime | None
    period_end: datetime | None


@dataclass(frozen=True)
class SubscriptionFact:
    """A subscription as it stood at `as_of`; `paused` names which of Stripe's three pauses holds."""

    subscription: str
    customer: str | None
    status: str
    items: tuple[SubscriptionItemFact, ...]
    cancel_at: datetime | None
    canceled_at: datetime | None
    ended_at: datetime | None
    trial_end: datetime | None
    paused: str | None
    metadata_account: str | None
    as_of: datetime | None
    has_more_items: bool = False


@dataclass(frozen=True)
class TaxFact:
    """One tax amount; an inclusive one is already inside the line amounts."""

    amount: int
    inclusive: bool
    rate: str | None


@dataclass(frozen=True)
class InvoiceLineFact:
    """One line; `amount` is before discounts, `quantity` is canonical decimal text."""

    line: str | None
    amount: int
    currency: str
    description: str | None
    price: str | None
    product: str | None
    quantity: str | None
    period_start: datetime | None
    period_end: datetime | None
    proration: bool
    discount_total: int
    taxes: tuple[TaxFact, ...]
    credits_applied: int = 0
    subscription_item: str | None = None


@dataclass(frozen=True)
class InvoiceFact:
    """An invoice as it stood at `as_of`; a `notice` only announces one and must have no effect.

    `invoice` is empty on a notice of an invoice that does not exist yet, and never elsewhere.
    `off_stripe_amount` is the part of the payment that never passed through Stripe, and None where the
    payload cannot say. `has_more_lines` says that `lines` is a first page.
    """

    invoice: str
    customer: str | None
    subscription: str | None
    status: str
    number: str | None
    currency: str
    total: int
    subtotal: int | None
    amount_due: int | None
    amount_paid: int
    starting_balance: int
    ending_balance: int | None
    taxes: tuple[TaxFact, ...]
    lines: tuple[InvoiceLineFact, ...]
    discount_total: int
    credits_applied: int
    payments: tuple[str, ...]
    paid_out_of_band: bool
    off_stripe_amount: int | None
    managed_invoice: str | None
    finalized_at: datetime | None
    paid_at: datetime | None
    voided_at: datetime | None
    due_at: datetime | None
    has_more_lines: bool
    as_of: datetime | None
    notice: bool
    metadata_account: str | None = None


@dataclass(frozen=True)
class PaymentFact:
    """Money that moves, or tries to, inside Stripe; all events that tell of one payment share its `key`.

    Only the status `succeeded` says that money moved; any other describes an attempt and undoes nothing,
    because a failed attempt and the success after it share their key. With the source `invoice_payment`,
    `amount` is the part applied to that invoice: one payment may be split over several invoices.
    """

    key: str
    payment_intent: str | None
    charge: str | None
    invoice: str | None
    customer: str | None
    amount: int
    currency: str
    status: str
    source: str
    as_of: datetime | None


@dataclass(frozen=True)
class UnreadableFact:
    """An object that should have told a fact but cannot be read; `reason` starts with the field's path."""

    object_id: str
    reason: str


Fact: TypeAlias = CustomerFact | SubscriptionFact | InvoiceFact | PaymentFact | UnreadableFact
