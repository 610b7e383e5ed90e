"""What Stripe's objects were seen to be: sightings may come in any order, and the same end comes out.

The newest sighting wins: the latest by Stripe's own clock; of two with one instant (it counts in seconds) the
one whose status is further along, then any that does not depend on the order of arrival.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from ledger.events.base import FORGOTTEN
from ledger.events.stripe import (
    StripeCustomerLinked,
    StripeCustomerObserved,
    StripeInvoiceObserved,
    StripeSubscriptionObserved,
)

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.events import Event
    from ledger.events.payment import PaymentReceived

# How far along an object's life each of Stripe's statuses is; one that is not known comes before them all.
SUBSCRIPTION_RANKS: Final = {
    "incomplete": 1,
    "trialing": 2,
    "active": 3,
    "past_due": 4,
    "unpaid": 5,
    "paused": 6,
    "incomplete_expired": 7,
    "canceled": 8,
}
INVOICE_RANKS: Final = {"draft": 1, "open": 2, "uncollectible": 3, "void": 4, "paid": 5, "deleted": 6}

# The statuses of an invoice whose amounts no longer change.
FINALIZED_STATUSES: Final = frozenset({"open", "uncollectible", "void", "paid"})

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True)
class StripeCustomer:
    """The account a Stripe customer is billed as, and its newest sighting."""

    account: str
    newest: StripeCustomerObserved | None = None


def evolve_customer(state: StripeCustomer | None, event: Event) -> StripeCustomer:
    """Apply one event."""
    if isinstance(event, StripeCustomerLinked):
        return StripeCustomer(event.account)
    assert state is not None, "a customer is linked before it is observed"
    return replace(state, newest=event) if isinstance(event, StripeCustomerObserved) else state


def customer_is_news(state: StripeCustomer | None, sighting: StripeCustomerObserved) -> bool:
    """Say whether a sighting tells more than the newest one; a deletion is the last of its instant."""
    if state is None or state.newest is None:
        return True
    known = state.newest
    same = (known.observed_at, known.deleted) == (sighting.observed_at, sighting.deleted)
    if same and FORGOTTEN in (known.name, known.email):
        # What it said can no longer be compared, and must not be said again.
        return False
    return _customer_order(sighting) > _customer_order(known)


def _customer_order(sighting: StripeCustomerObserved) -> tuple[datetime, bool, str]:
    return sighting.observed_at, sighting.deleted, _digest(sighting)


def evolve_subscription(
    _state: StripeSubscriptionObserved | None, event: StripeSubscriptionObserved
) -> StripeSubscriptionObserved:
    """Apply one event: the newest sighting is the state."""
    return event


def subscription_is_news(
    state: StripeSubscriptionObserved | None, sighting: StripeSubscriptionObserved
) -> bool:
    """Say whether a sighting tells more than the newest one."""
    return state is None or _subscription_order(sighting) > _subscription_order(state)


def _subscription_order(sighting: StripeSubscriptionObserved) -> tuple[datetime, int, str]:
    return sighting.observed_at, SUBSCRIPTION_RANKS.get(sighting.status, 0), _digest(sighting)


def evolve_invoice(
    _state: StripeInvoiceObserved | None, event: StripeInvoiceObserved
) -> StripeInvoiceObserved:
    """Apply one event: the newest sighting is the state."""
    return event


def invoice_is_news(state: StripeInvoiceObserved | None, sighting: StripeInvoiceObserved) -> bool:
    """Say whether a sighting tells more than the newest one."""
    return state is None or _invoice_order(sighting) > _invoice_order(state)


def _invoice_order(sighting: StripeInvoiceObserved) -> tuple[datetime, int, str]:
    return sighting.observed_at, INVOICE_RANKS.get(sighting.status, 0), _digest(sighting)


def evolve_payment(_state: PaymentReceived | None, event: PaymentReceived) -> PaymentReceived:
    """Apply one event: a later one states anew whose payment it is, and how much of it is known of."""
    return event


def _digest(
    sighting: StripeCustomerObserved | StripeSubscriptionObserved | StripeInvoiceObserved,
) -> str:
    """Tell sightings of one instant apart by what Stripe said, which is the same in every book."""
    return hashlib.sha256(_encode(replace(sighting, account=""))).hexdigest()
