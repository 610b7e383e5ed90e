"""What Stripe's objects were seen to be: sightings may come in any order, and the same end comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ledger.events.stripe import (
    StripeCustomerLinked,
    StripeCustomerObserved,
    StripeInvoiceObserved,
    StripeSubscriptionObserved,
)

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.events import Event

# A later status never gives way to an earlier one, whatever the order of arrival.
_SUBSCRIPTION_ENDS: Final = frozenset({"canceled", "incomplete_expired"})
_INVOICE_RANKS: Final = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 4, "deleted": 5}


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
    """Say whether a sighting tells more than the newest one; a deleted customer stays deleted."""
    if state is None or state.newest is None:
        return True
    seen, told = state.newest, sighting
    return (told.deleted, told.observed_at, told.stripe_event) > (seen.deleted, seen.observed_at, seen.stripe_event)


def evolve_subscription(
    _state: StripeSubscriptionObserved | None, event: StripeSubscriptionObserved
) -> StripeSubscriptionObserved:
    """Apply one event: the newest sighting is the state."""
    return event


def subscription_is_news(state: StripeSubscriptionObserved | None, sighting: StripeSubscriptionObserved) -> bool:
    """Say whether a sighting tells more than the newest one; what has ended stays ended."""
    return state is None or _subscription_order(sighting) > _subscription_order(state)


def _subscription_order(sighting: StripeSubscriptionObserved) -> tuple[bool, datetime, str]:
    return sighting.status in _SUBSCRIPTION_ENDS, sighting.observed_at, sighting.stripe_event


def evolve_invoice(_state: StripeInvoiceObserved | None, event: StripeInvoiceObserved) -> StripeInvoiceObserved:
    """Apply one event: the newest sighting is the state."""
    return event


def invoice_is_news(state: StripeInvoiceObserved | None, sighting: StripeInvoiceObserved) -> bool:
    """Say whether a sighting tells more than the newest one; a status never goes back."""
    return state is None or _invoice_order(sighting) > _invoice_order(state)


def _invoice_order(sighting: StripeInvoiceObserved) -> tuple[int, datetime, str]:
    return _INVOICE_RANKS.get(sighting.status, 0), sighting.observed_at, sighting.stripe_event
