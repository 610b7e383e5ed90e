"""Settling an invoice by credit as it is finalized, and giving the credit back as it is made void.

Whoever finalizes or voids an invoice calls this within its own unit, so that invoice, credit and journal
entries are appended together, or not at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ledger import posting
from ledger.events.credit import (
    AccountCreditGivenBack,
    AccountCreditUsed,
    CreditDrawnDown,
    CreditGrantExpired,
    CreditRestored,
)
from ledger.grant_terms import PAID
from ledger.identifiers import journal_entry_id, stream_of
from ledger.streams import credit as credits_of
from ledger.streams import invoice as invoices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.context import Unit
    from ledger.events.credit import CreditEvent
    from ledger.events.journal import JournalEntryPosted
    from ledger.posting import Fact
    from ledger.streams.base import Stream
    from ledger.streams.credit import Credits
    from ledger.streams.invoice import Invoice

    # Describes a fact of the invoice by its kind and when it happened.
    FactOf = Callable[[str, datetime], Fact]


def load_credit(unit: Unit, account: str) -> tuple[UUID, Stream[Credits]]:
    """Load an account's credit as it will stand with all that the unit has added already."""
    stream = credits_of.credit_stream(unit.context.book, account)
    loaded = unit.load(credits_of.evolve, stream)
    return stream, unit.standing(stream, loaded, credits_of.evolve)


def settle_by_credit(
    unit: Unit, finalized: Stream[Invoice], fact_of: FactOf, occurred_at: datetime
) -> Stream[Invoice]:
    """Settle what an invoice asks for by what credit there is, or credit the account with what it owes.

    What an invoice owes, the entry of its finalization has posted already.
    """
    invoice = invoices.require(finalized.state)
    assert invoice.header is not None, "what is settled was finalized"
    if not invoice.header.total:
        return finalized
    stream, loaded = load_credit(unit, invoice.draft.account)
    at = not_before(loaded, occurred_at)
    if invoice.header.total < 0:
        unit.add(stream, loaded, credits_of.evolve, credits_of.credit_owed(loaded.state, invoice), at)
        return finalized
    events = credits_of.settle(loaded.state, invoice, at)
    return _add(unit, (stream, loaded), finalized, events, fact_of, at)


def give_credit_back(unit: Unit, voided: Stream[Invoice], fact_of: FactOf) -> Stream[Invoice]:
    """Give back the credit that settled an invoice, or take back what it credited, before it is made void."""
    invoice = invoices.require(voided.state)
    assert invoice.header is not None, "what is made void was finalized"
    if invoice.header.total >= 0 and not invoice.credits:
        return voided
    stream, loaded = load_credit(unit, invoice.draft.account)
    at = not_before(loaded, unit.context.now)
    if invoice.header.total < 0:
        unit.add(stream, loaded, credits_of.evolve, credits_of.take_back_owed(loaded.state, invoice), at)
        return voided
    return _add(unit, (stream, loaded), voided, credits_of.give_back(loaded.state, invoice), fact_of, at)


def not_before(loaded: Stream[Credits], at: datetime) -> datetime:
    """Give when something happens to an account's credit: never before what happened to it last.

    So an invoice that is dated back is settled by what credit there is, and no balance is ever below zero, at
    whatever instant one looks.
    """
    return at if loaded.changed_at is None else max(at, loaded.changed_at)


def _add(
    unit: Unit,
    credit: tuple[UUID, Stream[Credits]],
    invoice: Stream[Invoice],
    events: Sequence[CreditEvent],
    fact_of: FactOf,
    at: datetime,
) -> Stream[Invoice]:
    """Add what happened to the credit, to its invoice and to the books."""
    stream, loaded = credit
    if not events:
        return invoice
    now = unit.add(stream, loaded, credits_of.evolve, list(events), at)
    applied = [one for event in events if (one := credits_of.applied(event)) is not None]
    settled = unit.add(
        stream_of("inv", invoices.require(invoice.state).draft.invoice),
        invoice,
        invoices.evolve,
        list(applied),
        at,
    )
    assert now.state is not None, "something happened to it"
    for event in events:
        entry = entry_of(now.state, event, fact_of, at)
        if entry is not None:
            unit.add_first(stream_of("ent", entry.entry), entry, at)
    return settled


def entry_of(state: Credits, event: CreditEvent, fact_of: FactOf, at: datetime) -> JournalEntryPosted | None:
    """Make the journal entry of what an invoice did to credit."""
    match event:
        case AccountCreditUsed():
            return posting.customer_balance_applied(fact_of("customer_balance_applied", at), event.amount)
        case AccountCreditGivenBack():
            fact = fact_of("customer_balance_given_back", at)
            entry = posting.customer_balance_applied(fact, -event.amount)
            return _reversing(entry, fact, "customer_balance_applied")
        case CreditDrawnDown():
            fact = _of_grant(fact_of("prepaid_credit_applied", at), event.grant)
            return posting.prepaid_credit_applied(fact, event.amount, paid=_is_paid(state, event.grant))
        case CreditRestored():
            fact = _of_grant(fact_of("prepaid_credit_given_back", at), event.grant)
            entry = posting.prepaid_credit_applied(fact, -event.amount, paid=_is_paid(state, event.grant))
            return _reversing(entry, fact, "prepaid_credit_applied")
        case CreditGrantExpired() if _is_paid(state, event.grant):
            fact = _of_grant(fact_of("prepaid_credit_expired", at), event.grant)
            return posting.prepaid_credit_expired(fact, event.amount)
        case _:
            return None


def _of_grant(fact: Fact, grant: str) -> Fact:
    """Name what a grant and an invoice have to do with each other, once: each may have to do with several."""
    return replace(fact, economic_object=f"{grant}:{fact.economic_object}")


def _is_paid(state: Credits, grant: str) -> bool:
    return credits_of.require_grant(state, grant).granted.kind == PAID


def _reversing(entry: JournalEntryPosted | None, fact: Fact, kind: str) -> JournalEntryPosted | None:
    if entry is None:
        return None
    return replace(entry, reverses=journal_entry_id(fact.book, fact.economic_object, kind))
