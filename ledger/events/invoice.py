"""Events of an invoice: lines say what was sold and why; settlements stand beside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
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
class LineUsage:
    """The usage behind a line: which meter and charge, which of its groups, how many events and how much.

    The events are those of [service_from, service_to) at the line's positions.
    """

    meter: str
    charge: str
    events: int
    quantity: Decimal
    group: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LineRating:
    """How a line's amount came about: the exact amount as a fraction, the rounding, the tier if any."""

    formula: str
    exact: str
    rounding: str
    unit_amount: str | None = None
    tier: int | None = None


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
    usage: LineUsage | None = None
    rating: LineRating | None = None


@dataclass(frozen=True, kw_only=True)
class _OfInvoice(Event):
    invoice: str
    account: str


@dataclass(frozen=True, kw_only=True)
class InvoiceDrafted(_OfInvoice):
    """An invoice was assembled; it can still be drafted again until it is finalized.

    `due_at` is the instant it bills; it takes late usage in until `finalizes_at`. Usage of stretches that
    ended before `late_since` was not looked at again.
    """

    topic: ClassVar[str] = "invoice.drafted"
    version: ClassVar[int] = 2

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
    policy_version: int | None = None
    due_at: datetime | None = None
    late_since: datetime | None = None
    finalizes_at: datetime | None = None
    # How long it may be paid; none means the seller's usual terms.
    due_days: int | None = None


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
class CreditApplied(_OfInvoice):
    """Credit settles part of the invoice: the account's own, a prepaid grant's, or a credit note's.

    `reference` names the grant or the credit note; a negative amount gives back what was applied before.
    """

    topic: ClassVar[str] = "invoice.credit_applied"

    source: str
    reference: str | None
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class CreditedLine:
    """What a credit note gives back of a line: before tax, and of each of its taxes, in the line's order."""

    line: str
    net: int
    taxes: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InvoiceCredited(_OfInvoice):
    """A credit note gives back part or all of the invoice, which stays as it was issued."""

    topic: ClassVar[str] = "invoice.credited"

    credit_note: str
    lines: tuple[CreditedLine, ...]
    credited_to_account: int = 0


@dataclass(frozen=True, kw_only=True)
class InvoiceMarkedUncollectible(_OfInvoice):
    """What the invoice still asks for is not expected any more; it may be paid all the same."""

    topic: ClassVar[str] = "invoice.marked_uncollectible"

    reason: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class DunningStepTaken(_OfInvoice):
    """A step was taken because the invoice is past due: a reminder, another try to collect, and so on."""

    topic: ClassVar[str] = "invoice.dunning_step_taken"

    step: int
    action: str
    due_at: datetime
    outcome: str


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


InvoiceEvent = (
    InvoiceDrafted
    | InvoiceFinalized
    | PaymentApplied
    | CreditApplied
    | InvoiceCredited
    | DunningStepTaken
    | InvoiceMarkedUncollectible
    | InvoiceVoided
)
