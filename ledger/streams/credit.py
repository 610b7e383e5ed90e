"""An account's credit: its own in each currency, prepaid grants, and what invoices took of them.

All of it is one stream an account, so that no two invoices ever take the same credit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, assert_never

from ledger.draw_down import Purse, draw_down
from ledger.errors import Conflict, CurrencyConflict, Invalid, NotFound
from ledger.events.credit import (
    AccountCredited,
    AccountCreditGivenBack,
    AccountCreditUsed,
    CreditDrawnDown,
    CreditEvent,
    CreditGranted,
    CreditGrantExpired,
    CreditGrantVoided,
    CreditRestored,
    GrantEvent,
)
from ledger.events.invoice import CreditApplied
from ledger.grant_terms import PROMOTIONAL, checked_grant
from ledger.identifiers import derive, derived_id
from ledger.money import checked_amount, exponent
from ledger.values import (
    LATEST,
    MAX_IDENTITY_CHARACTERS,
    MAX_REASON_CHARACTERS,
    checked_text,
    instant_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from ledger.streams.invoice import Invoice

PREFIX: Final = "grant"
# What credited an account.
BY_HAND: Final = "manual"
BY_INVOICE: Final = "invoice"
BY_VOID: Final = "voided_invoice"
# What settles an invoice, as its events call it.
ACCOUNT_CREDIT: Final = "account_credit"
PREPAID_CREDIT: Final = "prepaid_credit"


class InsufficientCredit(Conflict):
    """The account has less credit than is to be taken back."""

    code = "insufficient_credit"


class CreditDiffers(Conflict):
    """A credit of this reference is known, of another amount."""

    code = "credit_differs"


class GrantDiffers(Conflict):
    """A grant of this reference is known, of another amount or kind."""

    code = "credit_grant_differs"


class GrantUsed(Conflict):
    """Invoices have drawn the grant down."""

    code = "credit_grant_used"


class GrantNotActive(Conflict):
    """The grant has expired, or not yet."""

    code = "credit_grant_not_active"


@dataclass(frozen=True)
class Grant:
    """A prepaid grant as it stands, its balance in minor units; status is active, expired or voided."""

    granted: CreditGranted
    balance: int
    status: str = "active"


@dataclass(frozen=True)
class Credits:
    """The credit of an account as it stands: its own by currency, what credited it, and its grants by id."""

    account: str
    balances: Mapping[str, int] = field(default_factory=dict)
    credited: Mapping[str, AccountCredited] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)

    def balance(self, currency: str) -> int:
        """Give the account's own credit in a currency."""
        return self.balances.get(currency, 0)


def credit_stream(book: UUID, account: str) -> UUID:
    """Give the stream of an account's credit."""
    return derive("account-credit", book.bytes, account)


def credit_id(book: UUID, account: str, reference: str) -> str:
    """Give the id of a credit that a caller knows under a reference of its own."""
    return derived_id("credit", "credit", book.bytes, account, reference)


def grant_id(book: UUID, account: str, reference: str) -> str:
    """Give the id of a grant that a caller knows under a reference of its own."""
    return derived_id(PREFIX, "credit-grant", book.bytes, account, reference)


# -- the account's own credit -----------------------------------------------------------------------------


def credit(state: Credits | None, asked: AccountCredited) -> list[CreditEvent]:
    """Credit an account by hand, or take back what nothing has used; telling of it again changes nothing."""
    if state is not None and asked.credit in state.credited:
        known = state.credited[asked.credit]
        if (known.amount, known.currency) != (asked.amount, asked.currency):
            message = f"a credit of reference {asked.reference} is known: {known.amount} {known.currency}"
            raise CreditDiffers(message)
        return []
    exponent(asked.currency)
    if not checked_amount(asked.amount):
        raise _invalid("amount", "must not be 0")
    checked_text(asked.reason or "", MAX_REASON_CHARACTERS, "reason")
    if asked.reference is not None:
        checked_text(asked.reference, MAX_IDENTITY_CHARACTERS, "reference")
    return [_credited(state, asked)]


def credit_owed(state: Credits | None, invoice: Invoice) -> list[CreditEvent]:
    """Credit an account with what an invoice of a negative total owes it."""
    return [_credited(state, _of_invoice(invoice, BY_INVOICE, -_total(invoice)))]


def take_back_owed(state: Credits | None, invoice: Invoice) -> list[CreditEvent]:
    """Take back what an invoice credited, or refuse: other invoices have used it.

    An invoice of before credit was kept in streams credited nothing here.
    """
    owed = _of_invoice(invoice, BY_INVOICE, -_total(invoice))
    if state is None or owed.credit not in state.credited:
        return []
    return [_credited(state, _of_invoice(invoice, BY_VOID, -owed.amount))]


def _of_invoice(invoice: Invoice, source: str, amount: int) -> AccountCredited:
    return AccountCredited(
        account=invoice.draft.account,
        currency=invoice.draft.currency,
        amount=amount,
        credit=derived_id("credit", source, invoice.draft.invoice),
        source=source,
        reference=invoice.draft.invoice,
    )


def _credited(state: Credits | None, event: AccountCredited) -> AccountCredited:
    """Give the event if the balance it leaves can be."""
    before = 0 if state is None else state.balance(event.currency)
    if before + event.amount < 0:
        message = f"the account has {before} {event.currency} of credit: no more than that can be taken back"
        raise InsufficientCredit(message)
    checked_amount(before + event.amount)
    return event


# -- grants -----------------------------------------------------------------------------------------------


def grant(state: Credits | None, asked: CreditGranted) -> list[CreditEvent]:
    """Give an account a grant; telling of it again, under its reference, changes nothing."""
    known = None if state is None else state.grants.get(asked.grant)
    if known is not None:
        before = known.granted
        if (before.amount, before.currency, before.kind) != (asked.amount, asked.currency, asked.kind):
            what = f"{before.amount} {before.currency}, {before.kind}"
            message = f"a grant of reference {asked.reference} is known: {what}"
            raise GrantDiffers(message)
        return []
    checked_grant(asked)
    held = () if state is None else state.grants.values()
    checked_amount(asked.amount + sum(one.balance for one in held if one.granted.currency == asked.currency))
    return [asked]


def void_grant(state: Credits | None, named: str, reason: str) -> list[CreditEvent]:
    """Take a grant back of which nothing was used; doing it twice changes nothing."""
    found = require_grant(state, named)
    if found.status == "voided":
        return []
    if found.status == "expired":
        message = f"grant {named} has expired: there is nothing left to take back"
        raise GrantNotActive(message)
    if found.balance != found.granted.amount:
        used = found.granted.amount - found.balance
        message = f"{used} of grant {named} was used: make the invoices void that used it, or let it expire"
        raise GrantUsed(message)
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    return [CreditGrantVoided(**_names(found), amount=found.balance, reason=reason)]


def expire_grant(state: Credits | None, named: str, now: datetime) -> list[CreditEvent]:
    """Record that a grant's time ran out; what is over already stays as it is."""
    found = require_grant(state, named)
    if found.status != "active":
        return []
    expires_at = found.granted.expires_at
    if expires_at is None or expires_at > now:
        until = "never expires" if expires_at is None else f"expires at {instant_text(expires_at)}"
        message = f"grant {named} {until}"
        raise GrantNotActive(message)
    return [CreditGrantExpired(**_names(found), amount=found.balance)]


def require_grant(state: Credits | None, named: str) -> Grant:
    """Give a grant, or refuse: the account has none of this id."""
    found = None if state is None else state.grants.get(named)
    if found is None:
        message = "there is no such grant of this account"
        raise NotFound(message)
    return found


def require_currency(currency: str, billed_in: str | None) -> None:
    """Refuse credit in a currency that no invoice of the account will ever be in."""
    if billed_in not in (None, currency):
        message = f"the account is billed in {billed_in}: credit in {currency} could never be used"
        raise CurrencyConflict(message)


def status_at(found: Grant, now: datetime) -> str:
    """Say a grant's status at an instant: an expiry holds from its instant on, recorded or not."""
    expires_at = found.granted.expires_at
    return "expired" if found.status == "active" and expires_at and expires_at <= now else found.status


# -- invoices ---------------------------------------------------------------------------------------------


def settle(state: Credits | None, invoice: Invoice, at: datetime) -> list[CreditEvent]:
    """Settle what an invoice asks for: grants in their order, then the account's own credit."""
    if state is None:
        return []
    draft = invoice.draft
    names = {"account": draft.account, "currency": draft.currency, "invoice": draft.invoice}
    purses = [
        Purse(one.granted.grant, one.balance, one.granted.scope)
        for one in _in_order(state, draft.currency, at)
    ]
    draws = draw_down(draft.lines, purses)
    events: list[CreditEvent] = [
        CreditDrawnDown(**names, grant=draw.grant, amount=draw.amount) for draw in draws
    ]
    own = min(state.balance(draft.currency), invoice.amount_due - sum(draw.amount for draw in draws))
    assert own >= 0, "no more is drawn down than an invoice asks for"
    return [*events, AccountCreditUsed(**names, amount=own)] if own else events


def give_back(state: Credits | None, invoice: Invoice) -> list[CreditEvent]:
    """Give back what an invoice took; what comes back to a grant that has expired expires at once.

    A grant whose expiry nobody recorded yet gets it back: that expires with the rest.
    """
    if state is None:
        return []
    draft = invoice.draft
    names = {"account": draft.account, "currency": draft.currency, "invoice": draft.invoice}
    events: list[CreditEvent] = []
    for (source, reference), amount in _taken(invoice).items():
        if source == ACCOUNT_CREDIT:
            events.append(AccountCreditGivenBack(**names, amount=amount))
        elif source == PREPAID_CREDIT and reference is not None:
            events.append(CreditRestored(**names, grant=reference, amount=amount))
            if require_grant(state, reference).status == "expired":
                events.append(CreditGrantExpired(**names, grant=reference, amount=amount))
    return events


def applied(event: CreditEvent) -> CreditApplied | None:
    """Say what an event of credit does to its invoice; nothing where it is about none."""
    if isinstance(event, AccountCreditUsed | AccountCreditGivenBack):
        sign, source, reference = isinstance(event, AccountCreditUsed), ACCOUNT_CREDIT, None
    elif isinstance(event, CreditDrawnDown | CreditRestored):
        sign, source, reference = isinstance(event, CreditDrawnDown), PREPAID_CREDIT, event.grant
    else:
        return None
    return CreditApplied(
        invoice=event.invoice,
        account=event.account,
        source=source,
        reference=reference,
        amount=event.amount if sign else -event.amount,
        currency=event.currency,
    )


def _in_order(state: Credits, currency: str, at: datetime) -> list[Grant]:
    """Give the grants that may be drawn down, the one that goes first first; of like ones, the oldest."""
    usable = [
        one
        for one in state.grants.values()
        if one.granted.currency == currency and one.balance and status_at(one, at) == "active"
    ]
    return sorted(
        usable,
        key=lambda one: (
            one.granted.priority,
            one.granted.expires_at or LATEST,
            one.granted.kind != PROMOTIONAL,
        ),
    )


def _taken(invoice: Invoice) -> dict[tuple[str, str | None], int]:
    """Sum what an invoice took, by where it is from, less what was given back."""
    sums: dict[tuple[str, str | None], int] = {}
    for one in invoice.credits:
        key = (one.source, one.reference)
        sums[key] = sums.get(key, 0) + one.amount
    return {key: amount for key, amount in sums.items() if amount > 0}


def _total(invoice: Invoice) -> int:
    assert invoice.header is not None, "what owes or is taken back was finalized"
    return invoice.header.total


def _invalid(field_name: str, reason: str) -> Invalid:
    return Invalid(f"{field_name}: {reason}", {field_name: [reason]})


def _names(found: Grant) -> dict[str, str]:
    granted = found.granted
    return {"account": granted.account, "currency": granted.currency, "grant": granted.grant}


# -- what happened ----------------------------------------------------------------------------------------


def evolve(state: Credits | None, event: CreditEvent) -> Credits:
    """Apply one event."""
    before = state or Credits(event.account)
    match event:
        case AccountCredited():
            known = {**before.credited, event.credit: event}
            return replace(_moved(before, event.currency, event.amount), credited=known)
        case AccountCreditUsed():
            return _moved(before, event.currency, -event.amount)
        case AccountCreditGivenBack():
            return _moved(before, event.currency, event.amount)
        case CreditGranted():
            return replace(before, grants={**before.grants, event.grant: Grant(event, event.amount)})
        case CreditDrawnDown() | CreditRestored() | CreditGrantExpired() | CreditGrantVoided():
            left = _left(before.grants[event.grant], event)
            return replace(before, grants={**before.grants, event.grant: left})
        case _:
            assert_never(event)


def _moved(state: Credits, currency: str, amount: int) -> Credits:
    return replace(state, balances={**state.balances, currency: state.balance(currency) + amount})


def _left(before: Grant, event: GrantEvent) -> Grant:
    """Give a grant as an event leaves it."""
    match event:
        case CreditRestored():
            return replace(before, balance=before.balance + event.amount)
        case CreditGrantExpired():
            return replace(before, balance=before.balance - event.amount, status="expired")
        case CreditGrantVoided():
            return replace(before, balance=before.balance - event.amount, status="voided")
        case _:
            return replace(before, balance=before.balance - event.amount)
