"""Invoices to make documents of: of any currency, with taxes, discounts and corrections, in any state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from babel import Locale

from api.documents.formats import Formats
from api.documents.model import Catalogue, document_of
from api.documents.shown import shown
from ledger.events.invoice import (
    DiscountShare,
    InvoiceDrafted,
    InvoiceFinalized,
    InvoiceLine,
    LineRating,
    LineTax,
)
from ledger.events.tax_rate import TaxRateDefined
from ledger.identifiers import public_id
from ledger.streams.account import Account
from ledger.streams.billing_entity import BillingEntity
from ledger.streams.book import Book
from ledger.streams.invoice import Invoice, Settlement, totals_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.documents.model import Document
    from api.documents.shown import Shown


def id_of(prefix: str, number: int = 1) -> str:
    """Give the public id of a small number."""
    return public_id(prefix, UUID(int=number))


NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC)
FORGOTTEN = "[forgotten]"
ACCOUNT = Account(
    account=id_of("acc"),
    name="Ada Lovelace",
    email="ada@example.com",
    currency=None,
    time_zone="UTC",
    status="open",
    origin=None,
)
BOOK = Book(
    book=id_of("book"),
    organisation=id_of("org"),
    organisation_name="Acme Inc.",
    mode="live",
    functional_currency="USD",
    time_zone="UTC",
    billing_entities={"default": BillingEntity("default", "Acme Inc.", "DE123456789", "INV", 14)},
)
VAT, REDUCED, COUPON = id_of("tax", 101), id_of("tax", 102), id_of("cpn", 103)


def tax_rate(rate: str, version: int, percent: str, name: str = "VAT") -> TaxRateDefined:
    """Define a version of a tax rate."""
    return TaxRateDefined(
        tax_rate=rate,
        tax_rate_version=version,
        name=name,
        jurisdiction="DE",
        percent=Decimal(percent),
        behaviour="exclusive",
        effective_at=NEW_YEAR,
    )


CATALOGUE = Catalogue(
    tax_rates={(VAT, 1): tax_rate(VAT, 1, "19"), (REDUCED, 1): tax_rate(REDUCED, 1, "7")},
    coupons={COUPON: "Welcome"},
)


def tax(amount: int, base: int, behaviour: str = "exclusive", rate: str = VAT, **more: Any) -> LineTax:
    """Give a tax on a line."""
    terms = {"rate_version": 1, "jurisdiction": "DE", "reason": "standard", **more}
    return LineTax(rate=rate, base=base, amount=amount, behaviour=behaviour, **terms)


def discount(amount: int) -> DiscountShare:
    """Give a coupon's share on a line."""
    return DiscountShare(coupon=COUPON, amount=amount)


def line(amount: int, number: int = 1, unit_amount: str | None = None, **more: Any) -> InvoiceLine:
    """Give a line item over January 2027."""
    plain = InvoiceLine(
        line=id_of("line", number),
        subscription_item=None,
        period=None,
        kind="fee",
        sequence=number,
        description="Pro",
        quantity="1",
        amount=amount,
        service_from=NEW_YEAR,
        service_to=FEBRUARY,
        usage_after_position=None,
        usage_through_position=None,
        plan=None,
        price_version=1,
        policy_version=1,
        performance_obligation="subscription",
        recognition_rule="straight_line",
        revenue_account="revenue",
        product=None,
    )
    if unit_amount is not None:
        rated = LineRating(formula="", exact=str(amount), rounding="half_up", unit_amount=unit_amount)
        plain = replace(plain, rating=rated)
    return replace(plain, **more)


# A fee with a coupon, usage in two tiers, another tax rate, no tax but a reason, and corrections.
RICH_LINES = (
    line(2900, 1, discounts=(discount(300),), taxes=(tax(494, 2600),)),
    line(5000, 2, "0.5", description="API calls, first 10,000", quantity="10000", taxes=(tax(950, 5000),)),
    line(1234, 3, "0.3", description="API calls above", quantity="4114.5", taxes=(tax(234, 1234),)),
    line(
        1000,
        4,
        "1000",
        description="Handbook",
        service_from=None,
        service_to=None,
        taxes=(tax(70, 1000, rate=REDUCED),),
    ),
    line(
        10_000,
        5,
        description="Consulting",
        taxes=(tax(0, 10_000, jurisdiction="AT", reason="Reverse charge"),),
    ),
    line(-1450, 6, description="Unused time on Starter", adjusts_line=id_of("line", 1)),
    line(-120, 7, description="Late usage", adjusts_line=id_of("line", 999)),
)


def draft(*lines: InvoiceLine, currency: str = "USD") -> Invoice:
    """Give a draft."""
    return Invoice(
        InvoiceDrafted(
            invoice=id_of("inv"),
            account=ACCOUNT.account,
            billing_entity="default",
            payer=ACCOUNT.account,
            subscription=None,
            kind="recurring",
            currency=currency,
            period_start=NEW_YEAR,
            period_end=FEBRUARY,
            lines=lines,
            computed_at_position=1,
            managed_by="daybook",
        )
    )


def issued(*lines: InvoiceLine, currency: str = "USD", paid: Iterable[int] = (), **header: Any) -> Invoice:
    """Give a finalized invoice, with what was paid of it."""
    state = draft(*lines, currency=currency)
    totals = totals_of(lines)
    fields: dict[str, Any] = {
        "series": "INV",
        "number": 7,
        "formatted_number": "INV-000007",
        "issued_on": date(2027, 2, 1),
        "due_on": date(2027, 2, 15),
        "terms": "net 14",
        "seller_name": "Acme Inc.",
        "seller_tax_id": "DE123456789",
        "buyer_name": "Ada at the time",
        "buyer_email": "ada@then.example",
        "buyer_tax_id": "GB999",
        **header,
    }
    finalized = InvoiceFinalized(
        invoice=state.draft.invoice,
        account=state.draft.account,
        billing_entity="default",
        currency=currency,
        subtotal=totals.subtotal,
        discount_total=totals.discount_total,
        tax_total=totals.tax_total,
        total=totals.total,
        **fields,
    )
    settlements = tuple(Settlement(id_of("pay", number), amount) for number, amount in enumerate(paid, 1))
    return replace(state, header=finalized, settlements=settlements)


def made_void(invoice: Invoice) -> Invoice:
    """Take an invoice back."""
    return replace(invoice, void_reason="a mistake of ours")


def document(invoice: Invoice, time_zone: str = "UTC") -> Document:
    """Make the document of an invoice."""
    return document_of(invoice, replace(ACCOUNT, time_zone=time_zone), BOOK, CATALOGUE)


def formats(locale: str = "en") -> Formats:
    """Give the formats of a locale."""
    return Formats(Locale.parse(locale))


def written(invoice: Invoice, locale: str = "en", time_zone: str = "UTC") -> Shown:
    """Write the document of an invoice out in a locale."""
    return shown(document(invoice, time_zone), formats(locale))
