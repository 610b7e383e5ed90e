"""Events of an invoice: lines say what was sold and why; settlements stand beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class LineTax:
    """A tax on a line: its rate's version, where it is owed, on what base, how much, and why."""

    rate: str
    rate_version: int
    jurisdiction: str
    base: int
    amount: int
    behaviour: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DiscountShare:
    """The part of a discount that falls on a line, in minor units."""

    coupon: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    """One line item; its identity is the subscription item, the period, the kind and a sequence."""

    line: str
    subscription_item: str | None
    period: str | None
    kind: str
    sequence: int
    description: str
    quantity: str
    amount: int
    service_from: datetime | None
    service_to: datetime | None
    usage_after_position: int | None
    usage_through_position: int | None
    plan: str | None
    price_version: int | None
    policy_version: int
    performance_obligation: str
    recognition_rule: str
    revenue_account: str
    product: str | None
    taxes: tuple[LineTax, ...] = ()
    discounts: tuple[DiscountShare, ...] = ()
    adjusts_line: str | None = None


@dataclass(frozen=True, kw_only=True)
class _OfInvoice(Event):
    invoice: str
    account: str


@dataclass(frozen=True, kw_only=True)
class InvoiceDrafted(_OfInvoice):
    """An invoice was assembled; it can still be drafted again until it is finalized."""

    topic: ClassVar[str] = "invoice.drafted"

    billing_entity: str
    payer: str
    subscription: str | None
    kind: str
    currency: str
    period_start: datetime | None
    period_end: datetime | None
    lines: tuple[InvoiceLine, ...]
    computed_at_position: int
    managed_by: str


@dataclass(frozen=True, kw_only=True)
class InvoiceFinalized(_OfInvoice):
    """The invoice has its number and dates and is never edited again; its buyer is under a key of its own."""

    topic: ClassVar[str] = "invoice.finalized"
    personal: ClassVar[tuple[str, ...]] = ("buyer_name", "buyer_email", "buyer_tax_id")

    billing_entity: str
    series: str
    number: int
    formatted_number: str
    issued_on: date
    due_on: date
    terms: str
    currency: str
    subtotal: int
    discount_total: int
    tax_total: int
    total: int
    seller_name: str
    seller_tax_id: str | None
    buyer_name: str | None
    buyer_email: str | None
    buyer_tax_id: str | None

    def subject(self) -> str:
        """Name whose data key seals the buyer snapshot: the document, kept for as long as the law says."""
        return f"document:{self.invoice}"


@dataclass(frozen=True, kw_only=True)
class PaymentApplied(_OfInvoice):
    """Part or all of a payment settles the invoice; a settlement, never a line."""

    topic: ClassVar[str] = "invoice.payment_applied"

    payment: str
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class InvoiceVoided(_OfInvoice):
    """The invoice is taken back whole; its number stays used."""

    topic: ClassVar[str] = "invoice.voided"

    reason: str


@dataclass(frozen=True, kw_only=True)
class InvoiceNumberTaken(Event):
    """The next number of a series went to an invoice: the stream's version is the number, so no gaps."""

    topic: ClassVar[str] = "invoice_series.number_taken"

    billing_entity: str
    series: str
    number: int
    invoice: str


InvoiceEvent = InvoiceDrafted | InvoiceFinalized | PaymentApplied | InvoiceVoided
