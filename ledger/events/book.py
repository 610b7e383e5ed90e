"""Events of a book: one isolated set of books, an organisation in live or in test mode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class BookOpened(Event):
    """A book was opened, with the calendar and the currency its reports use."""

    topic: ClassVar[str] = "book.opened"

    book: str
    organisation: str
    organisation_name: str
    mode: str
    functional_currency: str
    time_zone: str
    fiscal_year_start_month: int


@dataclass(frozen=True, kw_only=True)
class BillingPolicyAdopted(Event):
    """The book's billing conventions from here on: a preset and the axes that differ from it."""

    topic: ClassVar[str] = "book.billing_policy_adopted"

    policy_version: int
    preset: str
    overrides: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BillingEntityDefined(Event):
    """A seller that invoices are issued by, with its number series and payment terms."""

    topic: ClassVar[str] = "book.billing_entity_defined"
    version: ClassVar[int] = 2

    billing_entity: str
    name: str
    tax_id: str | None
    invoice_series: str
    credit_note_series: str
    payment_terms_days: int
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WebhookEndpointRegistered(Event):
    """A processor may deliver webhooks to this book through the endpoint, whose secret is not in the log."""

    topic: ClassVar[str] = "book.webhook_endpoint_registered"

    endpoint: str
    processor: str
    name: str
