"""The figures of an invoice document, from the folded invoice, its account and its book; no text yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING

from ledger.streams.invoice import totals_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from ledger.events.invoice import InvoiceLine, LineTax
    from ledger.events.tax_rate import TaxRateDefined
    from ledger.streams import invoice as invoices
    from ledger.streams.account import Account
    from ledger.streams.book import Book


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What lines name by id only: the versions of tax rates, and what coupons are called."""

    tax_rates: Mapping[tuple[str, int], TaxRateDefined] = field(default_factory=dict)
    coupons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Party:
    """The seller or the buyer."""

    name: str | None
    email: str | None = None
    tax_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Discount:
    """What a coupon takes off a line, in minor units; positive is in the buyer's favour."""

    coupon: str
    name: str
    amount: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line item; amounts are in minor units, before discounts and before taxes that are added.

    `adjusts_position` is where the line it adjusts stands, if that is on the same invoice.
    """

    position: int
    line: str
    kind: str
    description: str
    quantity: Decimal
    unit_amount: Decimal | None
    amount: int
    discounts: tuple[Discount, ...]
    exclusive_tax: int
    inclusive_tax: int
    service_from: datetime | None
    service_to: datetime | None
    adjusts_line: str | None
    adjusts_position: int | None

    @property
    def discount(self) -> int:
        """What is taken off the line, in minor units."""
        return sum(discount.amount for discount in self.discounts)

    @property
    def total(self) -> int:
        """What the line adds to the invoice's total, in minor units."""
        return self.amount - self.discount + self.exclusive_tax


@dataclass(frozen=True, kw_only=True)
class TaxTotal:
    """What one version of a tax rate comes to over all lines, in minor units.

    Name and percentage are there when the rate is known; `behaviour` is exclusive or inclusive.
    """

    rate: str
    rate_version: int
    jurisdiction: str
    behaviour: str
    reason: str
    name: str
    percent: Decimal | None
    base: int
    amount: int


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What settles the invoice beside its lines, in minor units; positive lowers what is due.

    The account's own credit has no reference.
    """

    kind: str
    reference: str | None
    amount: int


@dataclass(frozen=True, kw_only=True)
class Document:
    """An invoice as it is shown to whoever pays it; or a credit note, which names the one it gives back."""

    invoice: str
    account: str
    status: str
    number: str | None
    currency: str
    time_zone: str
    issued_on: date | None
    due_on: date | None
    terms: str | None
    period_start: datetime | None
    period_end: datetime | None
    seller: Party
    buyer: Party
    lines: tuple[Line, ...]
    subtotal: int
    discount_total: int
    taxes: tuple[TaxTotal, ...]
    tax_total: int
    total: int
    settlements: tuple[Settled, ...]
    amount_paid: int
    amount_due: int
    credits_number: str | None = None

    @property
    def is_credit_note(self) -> bool:
        """Whether it gives an invoice back."""
        return self.credits_number is not None


def document_of(
    invoice: invoices.Invoice, account: Account, book: Book, catalogue: Catalogue | None = None
) -> Document:
    """Make the document of an invoice; until it is finalized, buyer and seller are as they stand now."""
    known = catalogue or Catalogue()
    draft, header = invoice.draft, invoice.header
    totals = totals_of(draft.lines)
    seller, buyer = _parties(invoice, account, book)
    return Document(
        invoice=draft.invoice,
        account=draft.account,
        status=invoice.status,
        number=header.formatted_number if header else None,
        currency=draft.currency,
        time_zone=account.time_zone,
        issued_on=header.issued_on if header else None,
        due_on=header.due_on if header else None,
        terms=header.terms if header else None,
        period_start=draft.period_start,
        period_end=draft.period_end,
        seller=seller,
        buyer=buyer,
        lines=_lines(draft.lines, known),
        subtotal=totals.subtotal,
        discount_total=totals.discount_total,
        taxes=taxes_of([tax for line in draft.lines for tax in line.taxes], known),
        tax_total=totals.tax_total,
        total=totals.total,
        settlements=(*_credited(invoice.credits), *(_settled(one) for one in invoice.settlements)),
        amount_paid=invoice.amount_paid,
        amount_due=invoice.amount_due,
    )


def _parties(invoice: invoices.Invoice, account: Account, book: Book) -> tuple[Party, Party]:
    header = invoice.header
    if header is None:
        entity = book.billing_entities[invoice.draft.billing_entity]
        return Party(name=entity.name, tax_id=entity.tax_id), Party(name=account.name, email=account.email)
    return (
        Party(name=header.seller_name, tax_id=header.seller_tax_id),
        Party(name=header.buyer_name, email=header.buyer_email, tax_id=header.buyer_tax_id),
    )


def _lines(lines: tuple[InvoiceLine, ...], catalogue: Catalogue) -> tuple[Line, ...]:
    positions = {line.line: position for position, line in enumerate(lines, 1)}
    return tuple(
        Line(
            position=positions[line.line],
            line=line.line,
            kind=line.kind,
            description=line.description,
            quantity=Decimal(line.quantity),
            unit_amount=_unit_amount(line),
            amount=line.amount,
            discounts=tuple(
                Discount(
                    coupon=share.coupon,
                    name=catalogue.coupons.get(share.coupon, share.coupon),
                    amount=share.amount,
                )
                for share in line.discounts
            ),
            exclusive_tax=_tax_of(line, "exclusive"),
            inclusive_tax=_tax_of(line, "inclusive"),
            service_from=line.service_from,
            service_to=line.service_to,
            adjusts_line=line.adjusts_line,
            adjusts_position=positions.get(line.adjusts_line) if line.adjusts_line else None,
        )
        for line in lines
    )


def _unit_amount(line: InvoiceLine) -> Decimal | None:
    if line.rating is None or line.rating.unit_amount is None:
        return None
    return Decimal(line.rating.unit_amount)


def _tax_of(line: InvoiceLine, behaviour: str) -> int:
    return sum(tax.amount for tax in line.taxes if tax.behaviour == behaviour)


def taxes_of(taxes: Iterable[LineTax], catalogue: Catalogue) -> tuple[TaxTotal, ...]:
    """Add taxes up by version of their rate, in an order that does not depend on the lines'."""
    in_order = sorted(taxes, key=_kind_of)
    return tuple(_tax_total(list(group), catalogue) for _, group in groupby(in_order, key=_kind_of))


def _kind_of(tax: LineTax) -> tuple[str, str, str, int, str]:
    return tax.behaviour, tax.jurisdiction, tax.rate, tax.rate_version, tax.reason


def _tax_total(taxes: list[LineTax], catalogue: Catalogue) -> TaxTotal:
    first = taxes[0]
    defined = catalogue.tax_rates.get((first.rate, first.rate_version))
    return TaxTotal(
        rate=first.rate,
        rate_version=first.rate_version,
        jurisdiction=first.jurisdiction,
        behaviour=first.behaviour,
        reason=first.reason,
        name=defined.name if defined else first.rate,
        percent=defined.percent if defined else None,
        base=sum(tax.base for tax in taxes),
        amount=sum(tax.amount for tax in taxes),
    )


def _credited(credits_applied: tuple[invoices.Credit, ...]) -> tuple[Settled, ...]:
    """Give the credit that settles an invoice, by where it is from, without what was given back."""
    sums: dict[tuple[str, str | None], int] = {}
    for one in credits_applied:
        key = (one.source, one.reference)
        sums[key] = sums.get(key, 0) + one.amount
    return tuple(
        Settled(kind=source, reference=reference, amount=amount)
        for (source, reference), amount in sums.items()
        if amount
    )


def _settled(settlement: invoices.Settlement) -> Settled:
    return Settled(kind="payment", reference=settlement.payment, amount=settlement.amount)
