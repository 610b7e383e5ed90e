"""The account, the plans, the book and the invoice lines that tests of billing speak of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from ledger.events.invoice import DiscountShare, InvoiceLine, LineTax
from ledger.identifiers import public_id
from ledger.streams import book as books
from ledger.streams.account import Account
from ledger.streams.plan import Plan
from tests.given_when_then import folded

BOOK = UUID("0190163d-8694-739b-aea5-966c26f8ad91")
NOON = datetime(2027, 1, 31, 12, 0, tzinfo=UTC)


def example_id(prefix: str, number: int = 1) -> str:
    """Give the public id of a small number."""
    return public_id(prefix, UUID(int=number))


ADA = Account(
    account=example_id("acc"),
    name="Ada",
    email="ada@example.com",
    currency=None,
    time_zone="UTC",
    status="open",
    origin=None,
)
PRO = Plan(
    plan=example_id("plan", 1),
    product=example_id("prod", 1),
    name="Pro",
    currency="USD",
    interval="month",
    amount=2900,
    price_version=1,
    status="active",
)
TEAM = replace(PRO, plan=example_id("plan", 2), product=example_id("prod", 2), name="Team", amount=9900)
FREE = replace(PRO, plan=example_id("plan", 3), product=example_id("prod", 3), name="Free", amount=0)
PRO_YEARLY = replace(
    PRO,
    plan=example_id("plan", 4),
    product=example_id("prod", 1),
    name="Pro, yearly",
    interval="year",
    amount=29_000,
)
PRO_WEEKLY = replace(
    PRO,
    plan=example_id("plan", 5),
    product=example_id("prod", 1),
    name="Pro, weekly",
    interval="week",
    amount=900,
)
PRO_IN_EURO = replace(PRO, plan=example_id("plan", 6), product=example_id("prod", 1), currency="EUR")


def example_book(time_zone: str = "UTC", currency: str = "USD") -> books.Book:
    """Give a book as it stands when it was just opened."""
    events = books.open_book(
        public_id("book", BOOK), example_id("org"), "Acme Inc.", "live", currency, time_zone
    )
    book = folded(books.evolve, events)
    assert book is not None
    return book


def example_line(amount: int, number: int = 1, *, with_period: bool = True) -> InvoiceLine:
    """Give a line of an amount, over a service period or without one."""
    return InvoiceLine(
        line=example_id("line", number),
        subscription_item=None,
        period=None,
        kind="fee",
        sequence=number,
        description="Pro",
        quantity="1",
        amount=amount,
        service_from=NOON if with_period else None,
        service_to=datetime(2027, 2, 28, 12, 0, tzinfo=UTC) if with_period else None,
        usage_after_position=None,
        usage_through_position=None,
        plan=PRO.plan,
        price_version=1,
        policy_version=1,
        performance_obligation="subscription",
        recognition_rule="straight_line",
        revenue_account="revenue",
        product=PRO.product,
    )


def example_tax(amount: int, behaviour: str = "exclusive", jurisdiction: str = "US-NY") -> LineTax:
    """Give a tax of an amount."""
    return LineTax(
        rate="sales",
        rate_version=1,
        jurisdiction=jurisdiction,
        base=abs(amount) * 10,
        amount=amount,
        behaviour=behaviour,
        reason="standard rated",
    )


def example_discount(amount: int) -> DiscountShare:
    """Give a share of a discount."""
    return DiscountShare(coupon="WELCOME", amount=amount)
