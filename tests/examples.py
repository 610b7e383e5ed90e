"""The account, the plans, the book and the invoice lines that tests of billing speak of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from ledger.events.invoice import DiscountShare, InvoiceLine, LineTax
from ledger.events.plan import RecurringFee, UsageCharge
from ledger.identifiers import public_id
from ledger.prices import Price, Tier
from ledger.streams import book as books
from ledger.streams.account import Account
from ledger.streams.plan import PricedPlan, one_fee
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


def example_plan(
    number: int,
    name: str,
    amount: int = 0,
    *,
    currency: str = "USD",
    product: int | None = None,
    interval: str = "month",
    **terms: Any,
) -> PricedPlan:
    """Give a plan at its first price version: of one fee in advance, or of the terms that are told."""
    told = replace(one_fee(name, currency, interval, amount), **terms)
    return PricedPlan(
        example_id("plan", number), example_id("prod", product or number), name, 1, currency, told
    )


def fee(amount: int, code: str = "base", **more: Any) -> RecurringFee:
    """Give a fee in dollars, in advance unless told."""
    return RecurringFee(code=code, name=code.title(), amounts={"USD": amount}, **more)


def charge(price: Price | int, code: str = "calls", meter: str = "api_calls", **more: Any) -> UsageCharge:
    """Give a charge in dollars for usage of a meter: at a price, or at so many cents a unit."""
    if isinstance(price, int):
        price = Price(model="per_unit", currency="USD", unit_amount=Decimal(price))
    return UsageCharge(code=code, name=code.title(), meter=meter, prices={"USD": price}, **more)


def graduated(*tiers: tuple[int | None, int]) -> Price:
    """Give a graduated price of tiers: up to how much, and how many cents a unit."""
    return Price(
        model="graduated",
        currency="USD",
        tiers=tuple(
            Tier(up_to=None if up_to is None else Decimal(up_to), unit_amount=Decimal(each))
            for up_to, each in tiers
        ),
    )


PRO = example_plan(1, "Pro", 2900)
TEAM = example_plan(2, "Team", 9900)
FREE = example_plan(3, "Free", 0)
PRO_YEARLY = example_plan(4, "Pro, yearly", 29_000, interval="year", product=1)
PRO_WEEKLY = example_plan(5, "Pro, weekly", 900, interval="week", product=1)
PRO_IN_EURO = example_plan(6, "Pro", 2900, currency="EUR", product=1)


def example_book(time_zone: str = "UTC", currency: str = "USD") -> books.Book:
    """Give a book as it stands when it was just opened."""
    events = books.open_book(
        public_id("book", BOOK), example_id("org"), "Acme Inc.", "live", currency, time_zone
    )
    book = folded(books.evolve, events)
    assert book is not None
    return book


def book_under(preset: str, **overrides: str) -> books.Book:
    """Give a book that has adopted other conventions, as its second version."""
    book = example_book()
    for event in books.adopt_policy(book, preset, overrides):
        book = books.evolve(book, event)
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
