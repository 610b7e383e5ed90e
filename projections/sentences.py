"""One plain sentence an event, for a support agent to read out.

A sentence is made of the event alone, so that it is the same in every rebuild, and holds no personal data and
no free text that somebody typed, so that forgetting a person leaves it as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ledger.events.account import (
    AccountClosed,
    AccountEmailChanged,
    AccountEvent,
    AccountRegistered,
    AccountRenamed,
)
from ledger.events.api_key import (
    ApiKeyEvent,
    ApiKeyExpired,
    ApiKeyIssued,
    ApiKeyResumed,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeySuspended,
)
from ledger.events.credit import CreditEvent
from ledger.events.credit_note import CreditNoteIssued
from ledger.events.invoice import (
    CreditApplied,
    DunningStepTaken,
    InvoiceCredited,
    InvoiceDrafted,
    InvoiceEvent,
    InvoiceFinalized,
    InvoiceMarkedUncollectible,
    InvoiceVoided,
    PaymentApplied,
)
from ledger.events.journal import JournalEntryPosted
from ledger.events.payment import PaymentReceived
from ledger.events.stripe import (
    StripeCustomerLinked,
    StripeCustomerObserved,
    StripeInvoiceObserved,
    StripeSubscriptionObserved,
)
from ledger.events.subscription import SubscriptionEvent
from ledger.events.usage_correction import UsageCorrected
from ledger.streams.invoice import totals_of
from ledger.values import quantity_text
from projections.credit_sentences import credit_sentence
from projections.subscription_sentences import subscription_sentence
from projections.words import day as _day
from projections.words import instant as _instant
from projections.words import money as _money

if TYPE_CHECKING:
    from datetime import datetime

StripeObserved: TypeAlias = (
    StripeCustomerLinked | StripeCustomerObserved | StripeSubscriptionObserved | StripeInvoiceObserved
)
AnyAccountEvent: TypeAlias = (
    AccountEvent
    | ApiKeyEvent
    | SubscriptionEvent
    | InvoiceEvent
    | CreditNoteIssued
    | PaymentReceived
    | CreditEvent
    | UsageCorrected
    | JournalEntryPosted
    | StripeObserved
)


def sentence(event: AnyAccountEvent) -> str:  # noqa: PLR0911 - one return a stream
    """Say what happened."""
    if isinstance(event, AccountEvent):
        return _of_account(event)
    if isinstance(event, ApiKeyEvent):
        return _of_key(event)
    if isinstance(event, SubscriptionEvent):
        return subscription_sentence(event)
    if isinstance(event, InvoiceEvent):
        return _of_invoice(event)
    if isinstance(event, CreditEvent):
        return credit_sentence(event)
    if isinstance(event, CreditNoteIssued):
        return _of_credit_note(event)
    if isinstance(event, PaymentReceived):
        return f"Paid {_money(event.amount, event.currency)} by {event.method} (payment {event.payment})."
    if isinstance(event, UsageCorrected):
        return _of_correction(event)
    if isinstance(event, JournalEntryPosted):
        return _of_entry(event)
    return _of_stripe(event)


def usage_sentence(meter: str, quantity: str, events: int, since: datetime, until: datetime) -> str:
    """Say what a run of usage events adds up to."""
    if events == 1:
        return f"Used {quantity} of {meter} at {_instant(since)}."
    return f"Used {quantity} of {meter} in {events} events from {_instant(since)} to {_instant(until)}."


def _of_correction(event: UsageCorrected) -> str:
    """Say how usage was corrected; nothing of its properties, which somebody typed."""
    used = f"Usage of {event.meter} at {_instant(event.used_at)}"
    if event.becomes is None:
        said = "" if event.was is None else f", which was {quantity_text(event.was.quantity)}"
        return f"{used} was made void{said}."
    now = quantity_text(event.becomes.quantity)
    if event.was is None:
        return f"{used} is no longer void: it was {now}."
    if event.was.quantity == event.becomes.quantity:
        return f"{used} was corrected: still {now}, with other properties."
    return f"{used} was corrected from {quantity_text(event.was.quantity)} to {now}."


def _of_account(event: AccountEvent) -> str:
    match event:
        case AccountRegistered():
            billed = (
                "with its currency still open" if event.currency is None else f"billed in {event.currency}"
            )
            origin = "" if event.origin is None else f", for the outside customer {event.origin}"
            return f"Signed up, {billed}, in time zone {event.time_zone}{origin}."
        case AccountRenamed():
            return "Changed its name."
        case AccountEmailChanged():
            return "Changed its e-mail address."
        case AccountClosed():
            return f"Closed the account as of {_instant(event.closed_at)}."
    raise AssertionError(event)


def _of_key(event: ApiKeyEvent) -> str:
    match event:
        case ApiKeyIssued():
            until = "" if event.expires_at is None else f", valid until {_instant(event.expires_at)}"
            return f"Got API key {event.key} ending in {event.hint} for {', '.join(event.scopes)}{until}."
        case ApiKeyRotated():
            return (
                f"API key {event.key} got a new secret ending in {event.hint}; the old one stopped working."
            )
        case ApiKeySuspended():
            return f"API key {event.key} was suspended."
        case ApiKeyResumed():
            return f"API key {event.key} works again."
        case ApiKeyRevoked():
            return f"API key {event.key} was revoked for good."
        case ApiKeyExpired():
            return f"API key {event.key} expired."
    raise AssertionError(event)


def _of_invoice(event: InvoiceEvent) -> str:  # noqa: PLR0911 - one sentence an event
    match event:
        case InvoiceDrafted():
            total = _money(totals_of(event.lines).total, event.currency)
            lines = "1 line" if len(event.lines) == 1 else f"{len(event.lines)} lines"
            return f"Invoice {event.invoice} was drafted: {total} in {lines}."
        case InvoiceFinalized():
            total, due = _money(event.total, event.currency), _day(event.due_on)
            return f"Invoice {event.formatted_number} was issued for {total}, due on {due} ({event.invoice})."
        case PaymentApplied():
            amount = _money(event.amount, event.currency)
            return f"{amount} of payment {event.payment} went towards invoice {event.invoice}."
        case CreditApplied():
            amount = _money(abs(event.amount), event.currency)
            kind = event.source.replace("_", " ")
            verb = "went towards" if event.amount >= 0 else "was given back from"
            return f"{amount} of {kind} {verb} invoice {event.invoice}."
        case InvoiceCredited():
            return f"Invoice {event.invoice} was credited by {event.credit_note}."
        case DunningStepTaken():
            action = event.action.replace("_", " ")
            return f"Invoice {event.invoice} is past due: step {event.step}, {action} ({event.outcome})."
        case InvoiceMarkedUncollectible():
            return f"Invoice {event.invoice} was marked uncollectible."
        case InvoiceVoided():
            return f"Invoice {event.invoice} was made void."
    raise AssertionError(event)


def _of_credit_note(event: CreditNoteIssued) -> str:
    total, applied, credited = (
        _money(amount, event.currency)
        for amount in (event.total, event.applied_to_invoice, event.credited_to_account)
    )
    went = f"{applied} off what invoice {event.invoice} asks for, {credited} to the account's credit"
    return f"Credit note {event.formatted_number} was issued for {total}: {went} ({event.credit_note})."


def _of_entry(event: JournalEntryPosted) -> str:
    sides = {
        side: ", ".join(
            f"{_money(posting.amount, posting.currency)} to {posting.ledger_account.replace('_', ' ')}"
            for posting in event.postings
            if posting.side == side
        )
        for side in ("debit", "credit")
    }
    return f"Booked on {_day(event.accounting_date)}: debit {sides['debit']}; credit {sides['credit']}."


def _of_stripe(event: StripeObserved) -> str:
    match event:
        case StripeCustomerLinked():
            return f"Stripe's customer {event.customer} is billed as this account."
        case StripeCustomerObserved():
            gone = " It was deleted there." if event.deleted else ""
            return (
                f"Stripe told us about customer {event.customer} as of {_instant(event.observed_at)}.{gone}"
            )
        case StripeSubscriptionObserved():
            known = f"was {event.status.replace('_', ' ')} as of {_instant(event.observed_at)}"
            return f"Stripe's subscription {event.stripe_subscription} {known}."
        case StripeInvoiceObserved():
            paid = (
                f"{_money(event.amount_paid, event.currency)} of {_money(event.total, event.currency)} paid"
            )
            known = f"was {event.status}, {paid}, as of {_instant(event.observed_at)}"
            return f"Stripe's invoice {event.number or event.stripe_invoice} {known}."
    raise AssertionError(event)
