"""The topics by what they are about: a projection puts each with what it handles or with what it ignores.

Groups are written out, never derived from the registry: a new topic belongs to none of them, so every
projection refuses to be imported until somebody has decided for it.
"""

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

if TYPE_CHECKING:
    from ledger.events import Event


def topics(*classes: type[Event]) -> frozenset[str]:
    """Name the topics of event classes."""
    return frozenset(event_class.topic for event_class in classes)


BOOKS: Final = topics(
    book.BookOpened,
    book.BillingPolicyAdopted,
    book.BillingEntityDefined,
    book.WebhookEndpointRegistered,
)
LOG: Final = topics(log.EventSetAside)
PRINCIPALS: Final = topics(principal.PrincipalRegistered)
SOURCES: Final = topics(source.SourceGranted, source.SourceWithdrawn)
FEED: Final = topics(feed.DeadLetterDiscarded, feed.FeedGapAccepted, feed.LogEpochRaised)
ACCOUNTS: Final = topics(
    account.AccountRegistered, account.AccountRenamed, account.AccountEmailChanged, account.AccountClosed
)
KEYS: Final = topics(
    api_key.ApiKeyIssued,
    api_key.ApiKeyRotated,
    api_key.ApiKeySuspended,
    api_key.ApiKeyResumed,
    api_key.ApiKeyRevoked,
    api_key.ApiKeyExpired,
)
USAGE: Final = topics(usage.UsageRecorded)
PLANS: Final = topics(plan.PlanCreated, plan.PlanRetired)
SUBSCRIPTIONS: Final = topics(
    subscription.SubscriptionStarted,
    subscription.PeriodOpened,
    subscription.PlanChanged,
    subscription.PlanChangeScheduled,
    subscription.ProrationAdded,
    subscription.SubscriptionBilled,
    subscription.CancellationScheduled,
    subscription.SubscriptionCancelled,
)
INVOICES: Final = topics(
    invoice.InvoiceDrafted, invoice.InvoiceFinalized, invoice.PaymentApplied, invoice.InvoiceVoided
)
INVOICE_NUMBERS: Final = topics(invoice.InvoiceNumberTaken)
PAYMENTS: Final = topics(payment.PaymentReceived)
JOURNAL: Final = topics(journal.JournalEntryPosted)
STRIPE_DELIVERIES: Final = topics(stripe.StripeEventReceived, stripe.StripeEventNotApplied)
STRIPE_CUSTOMERS: Final = topics(stripe.StripeCustomerObserved)
STRIPE_LINKS: Final = topics(stripe.StripeCustomerLinked)
STRIPE_SUBSCRIPTIONS: Final = topics(stripe.StripeSubscriptionObserved)
STRIPE_INVOICES: Final = topics(stripe.StripeInvoiceObserved)
