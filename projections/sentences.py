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
from ledger.events.invoice import (
    InvoiceDrafted,
    InvoiceEvent,
    InvoiceFinalized,
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
from ledger.events.subscription import (
    CancellationScheduled,
    PeriodOpened,
    PlanChanged,
    PlanChangeScheduled,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
    SubscriptionEvent,
    SubscriptionStarted,
)
from ledger.money import EXPONENTS, Money, format_plain
from ledger.streams.invoice import totals_of

if TYPE_CHECKING:
    from datetime import date, datetime

StripeObserved: TypeAlias = (
    StripeCustomerLinked | StripeCustomerObserved | StripeSubscriptionObserved | StripeInvoiceObserved
)
AnyAccountEvent: TypeAlias = (
    AccountEvent
    | ApiKeyEvent
    | SubscriptionEvent
    | InvoiceEvent
    | PaymentReceived
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
        return _of_subscription(event)
    if isinstance(event, InvoiceEvent):
        return _of_invoice(event)
    if isinstance(event, PaymentReceived):
        return f"Paid {_money(event.amount, event.currency)} by {event.method} (payment {event.payment})."
    if isinstance(event, JournalEntryPosted):
        return _of_entry(event)
    return _of_stripe(event)


def usage_sentence(meter: str, quantity: str, events: int, since: datetime, until: datetime) -> str:
    """Say what a run of usage events adds up to."""
    if events == 1:
        return f"Used {quantity} of {meter} at {_instant(since)}."
    return f"Used {quantity} of {meter} in {events} events from {_instant(since)} to {_instant(until)}."


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


def _of_subscription(event: SubscriptionEvent) -> str:  # noqa: PLR0911 - one sentence an event
    match event:
        case SubscriptionStarted():
            return f"Subscribed to plan {event.plan} from {_instant(event.starts_at)} ({event.subscription})."
        case PeriodOpened():
            span = f"{_instant(event.starts_at)} to {_instant(event.ends_at)}"
            return f"A billing period began on plan {event.plan}, from {span} ({event.subscription})."
        case PlanChanged():
            change = f"from plan {event.from_plan} to {event.to_plan}"
            return f"Moved {change} at {_instant(event.effective_at)} ({event.subscription})."
        case PlanChangeScheduled():
            return (
                f"Will be on plan {event.to_plan} from {_instant(event.effective_at)} ({event.subscription})."
            )
        case ProrationAdded():
            span = f"{_instant(event.service_from)} to {_instant(event.service_to)}"
            kind = "credit" if event.amount < 0 else "charge"
            amount = _money(abs(event.amount), event.currency)
            return f"A {kind} of {amount} for plan {event.plan} from {span} waits for the next invoice."
        case SubscriptionBilled():
            return f"Billed through {_instant(event.billed_through)} on invoice {event.invoice}."
        case CancellationScheduled():
            return f"Asked to end the subscription at {_instant(event.cancels_at)} ({event.subscription})."
        case SubscriptionCancelled():
            return f"The subscription ended at {_instant(event.ended_at)} ({event.subscription})."
    raise AssertionError(event)


def _of_invoice(event: InvoiceEvent) -> str:
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
        case InvoiceVoided():
            return f"Invoice {event.invoice} was made void."
    raise AssertionError(event)


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


def _money(amount: int, currency: str) -> str:
    code = currency.upper()
    if code not in EXPONENTS:
        return f"{amount} minor units of {code}"
    return format_plain(Money(amount, code))


def _instant(instant: datetime) -> str:
    # Half the cost of a format string, and a page has a hundred of them; the log's instants are UTC.
    return f"{instant.isoformat(' ', 'seconds')[:19]} UTC"


def _day(day: date) -> str:
    return day.isoformat()
