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
    clock,
    coupon,
    credit,
    credit_note,
    dunning,
    feed,
    invoice,
    journal,
    log,
    meter,
    payment,
    plan,
    principal,
    product,
    source,
    stripe,
    subscription,
    tax_rate,
    usage,
    usage_correction,
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
DUNNING: Final = topics(dunning.DunningPolicyAdopted)
CLOCKS: Final = topics(clock.ClockMoved)
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
CORRECTIONS: Final = topics(usage_correction.UsageCorrected)
PRODUCTS: Final = topics(product.ProductDefined, product.ProductRetired)
METERS: Final = topics(meter.MeterDefined, meter.MeterRetired)
TAX_RATES: Final = topics(tax_rate.TaxRateDefined, tax_rate.TaxRateRetired)
COUPONS: Final = topics(coupon.CouponCreated, coupon.CouponRedeemed, coupon.CouponRetired)
PLANS: Final = topics(plan.PlanCreated, plan.PlanRepriced, plan.PlanDescribed, plan.PlanRetired)
CATALOGUE: Final = PRODUCTS | METERS | TAX_RATES | COUPONS | PLANS
SUBSCRIPTIONS: Final = topics(
    subscription.SubscriptionStarted,
    subscription.PeriodOpened,
    subscription.PlanChanged,
    subscription.PlanChangeScheduled,
    subscription.AddOnAdded,
    subscription.AddOnRemoved,
    subscription.ProrationAdded,
    subscription.SubscriptionBilled,
    subscription.CouponApplied,
    subscription.CouponEnded,
    subscription.CancellationScheduled,
    subscription.CancellationWithdrawn,
    subscription.SubscriptionPaused,
    subscription.SubscriptionResumed,
    subscription.SubscriptionCancelled,
    subscription.SubscriptionReactivated,
    subscription.NoticeGiven,
)
INVOICES: Final = topics(
    invoice.InvoiceDrafted,
    invoice.InvoiceFinalized,
    invoice.PaymentApplied,
    invoice.CreditApplied,
    invoice.InvoiceCredited,
    invoice.DunningStepTaken,
    invoice.InvoiceMarkedUncollectible,
    invoice.InvoiceVoided,
)
INVOICE_NUMBERS: Final = topics(invoice.InvoiceNumberTaken)
CREDIT_NOTES: Final = topics(credit_note.CreditNoteIssued)
CREDIT_NOTE_NUMBERS: Final = topics(credit_note.CreditNoteNumberTaken)
PAYMENTS: Final = topics(payment.PaymentReceived)
CREDITS: Final = topics(
    credit.AccountCredited,
    credit.AccountCreditUsed,
    credit.AccountCreditGivenBack,
    credit.CreditGranted,
    credit.CreditDrawnDown,
    credit.CreditRestored,
    credit.CreditGrantExpired,
    credit.CreditGrantVoided,
)
JOURNAL: Final = topics(journal.JournalEntryPosted)
STRIPE_DELIVERIES: Final = topics(stripe.StripeEventReceived, stripe.StripeEventNotApplied)
STRIPE_CUSTOMERS: Final = topics(stripe.StripeCustomerObserved)
STRIPE_LINKS: Final = topics(stripe.StripeCustomerLinked)
STRIPE_SUBSCRIPTIONS: Final = topics(stripe.StripeSubscriptionObserved)
STRIPE_INVOICES: Final = topics(stripe.StripeInvoiceObserved)
