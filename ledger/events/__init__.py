"""Every event there is: one module a stream, and the registry of topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ledger.events import (
    account,
    api_key,
    book,
    feed,
    invoice,
    journal,
    log,
    payment,
    plan,
    principal,
    source,
    stripe,
    subscription,
    usage,
)
from ledger.events.base import FORGOTTEN, Actor, Event, Metadata, NewEvent, Recorded

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVENT_CLASSES", "FORGOTTEN", "Actor", "Event", "Metadata", "NewEvent", "Recorded"]

_ALL: Final[tuple[type[Event], ...]] = (
    book.BookOpened,
    book.BillingPolicyAdopted,
    book.BillingEntityDefined,
    book.WebhookEndpointRegistered,
    log.EventSetAside,
    principal.PrincipalRegistered,
    source.SourceGranted,
    source.SourceWithdrawn,
    feed.DeadLetterDiscarded,
    feed.FeedGapAccepted,
    feed.LogEpochRaised,
    account.AccountRegistered,
    account.AccountRenamed,
    account.AccountEmailChanged,
    account.AccountClosed,
    api_key.ApiKeyIssued,
    api_key.ApiKeyRotated,
    api_key.ApiKeySuspended,
    api_key.ApiKeyResumed,
    api_key.ApiKeyRevoked,
    api_key.ApiKeyExpired,
    usage.UsageRecorded,
    plan.PlanCreated,
    plan.PlanRetired,
    subscription.SubscriptionStarted,
    subscription.PeriodOpened,
    subscription.PlanChanged,
    subscription.PlanChangeScheduled,
    subscription.ProrationAdded,
    subscription.SubscriptionBilled,
    subscription.CancellationScheduled,
    subscription.SubscriptionCancelled,
    invoice.InvoiceDrafted,
    invoice.InvoiceFinalized,
    invoice.PaymentApplied,
    invoice.InvoiceVoided,
    invoice.InvoiceNumberTaken,
    payment.PaymentReceived,
    journal.JournalEntryPosted,
    stripe.StripeEventReceived,
    stripe.StripeCustomerLinked,
    stripe.StripeCustomerObserved,
    stripe.StripeSubscriptionObserved,
    stripe.StripeInvoiceObserved,
    stripe.StripeEventNotApplied,
)

# Topic to class; a topic, once here, stays.
EVENT_CLASSES: Final[Mapping[str, type[Event]]] = {event.topic: event for event in _ALL}
assert len(EVENT_CLASSES) == len(_ALL), "two events share a topic"
