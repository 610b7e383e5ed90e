"""What invoices are put together from, in tests that hand it over instead of loading it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ledger.assembly import Bill, asks_of
from ledger.measuring import Measured
from ledger.streams.subscription import last_period
from ledger.streams.tax_rate import TaxTerms, define, evolve
from tests.examples import example_book, example_id
from tests.given_when_then import folded

if TYPE_CHECKING:
    from ledger.events.invoice import InvoiceLine
    from ledger.streams.book import Book
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription
    from ledger.streams.tax_rate import TaxRate

_BOOK = example_book()


def bill_of(subscription: Subscription, *plans: PricedPlan, book: Book = _BOOK, **more: Any) -> Bill:
    """Give the bill of a subscription whose present period has begun, or that has ended."""
    ended = subscription.status == "cancelled"
    facts: dict[str, Any] = {
        "meters": {},
        "tax_rates": {},
        "at": subscription.ended_at if ended else last_period(subscription).starts_at,
        "through_position": 100,
        "late_since": datetime.min.replace(tzinfo=last_period(subscription).starts_at.tzinfo),
    }
    return Bill(
        subscription=subscription,
        time_zone=subscription.anchor.zone,
        plans={(plan.plan, plan.price_version): plan for plan in plans},
        policies=book.policies,
        policy_version=book.policy_version,
        **{**facts, **more},
    )


def used(quantity: str | int, events: int = 1, *group: str | None) -> Measured:
    """Say how much was used, in how many events."""
    return Measured(
        group=group,
        quantity=Decimal(quantity),
        events=events,
        sum=Decimal(quantity),
        first_position=1 if events else None,
        last_position=events or None,
    )


def usage_of(bill: Bill, **by_charge: Measured | list[Measured]) -> list[list[Measured]]:
    """Answer what a bill asks to measure, by the code of its charges; nothing was used of the others."""
    answers = []
    for one in asks_of(bill)[0]:
        answer = by_charge.get(one.charge.code, used(0, 0))
        answers.append(answer if isinstance(answer, list) else [answer])
    return answers


def tax_rate(number: int, percent: str, behaviour: str = "exclusive", jurisdiction: str = "DE") -> TaxRate:
    """Give a tax rate."""
    terms = TaxTerms(
        name=f"{percent} %", jurisdiction=jurisdiction, percent=Decimal(percent), behaviour=behaviour
    )
    rate = folded(evolve, define(example_id("tax", number), terms))
    assert rate is not None
    return rate


def amounts(lines: tuple[InvoiceLine, ...]) -> list[tuple[str, int]]:
    """Give lines as their kinds and amounts."""
    return [(line.kind, line.amount) for line in lines]
