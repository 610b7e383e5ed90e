"""Commands on credit: credit an account by hand, give it prepaid grants, take them back, let them expire."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from commands.catalogue import Desk, UnknownReference, check_plans
from commands.context import Done, Unit, execute
from commands.invoicing import add_entry, load_book
from commands.settling import load_credit, not_before
from commands.streams import account_stream, new_id, stream_or_not_found
from ledger import posting
from ledger.events.credit import AccountCredited, CreditGranted, CreditScope
from ledger.grant_terms import DEFAULT_PRIORITY, PAID
from ledger.identifiers import journal_entry_id
from ledger.periods import local_date
from ledger.posting import Fact
from ledger.streams import account as accounts
from ledger.streams import credit as credits_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.events.credit import CreditEvent
    from ledger.streams.base import Stream
    from ledger.streams.credit import Credits, Grant


@dataclass(frozen=True, kw_only=True)
class WantedCredit:
    """Credit by hand: an amount in minor units, negative to take some back, and why."""

    amount: int
    currency: str
    reason: str
    reference: str | None = None


@dataclass(frozen=True, kw_only=True)
class WantedGrant:
    """A prepaid grant that is asked for; `method` is how a paid one was paid."""

    amount: int
    currency: str
    kind: str
    priority: int = DEFAULT_PRIORITY
    expires_at: datetime | None = None
    scope: CreditScope = field(default_factory=CreditScope)
    name: str | None = None
    reference: str | None = None
    method: str | None = None


@dataclass(frozen=True)
class Credited:
    """A credit by hand, and the account's credit as it leaves it."""

    credit: AccountCredited
    credits: Stream[Credits]


def credit_account(context: Context, account: str, wanted: WantedCredit) -> Done[Credited]:
    """Credit an open account by hand; with a reference, telling of it again changes nothing."""
    credit = (
        new_id(context, "credit")
        if wanted.reference is None
        else credits_of.credit_id(context.book, account, wanted.reference)
    )

    def decide(unit: Unit) -> Credited:
        _require_billed_in(unit, account, wanted.currency)
        stream, loaded = load_credit(unit, account)
        asked = AccountCredited(
            account=account,
            currency=wanted.currency,
            amount=wanted.amount,
            credit=credit,
            source=credits_of.BY_HAND,
            reference=wanted.reference,
            reason=wanted.reason,
        )
        events = credits_of.credit(loaded.state, asked)
        now = _add(unit, stream, loaded, events)
        if events:
            at = not_before(loaded, context.now)
            fact = _fact(unit, asked, credit, "account_credited", at)
            add_entry(unit, posting.account_credited(fact, wanted.amount), at)
        assert now.state is not None, "it was credited, now or before"
        return Credited(now.state.credited[credit], now)

    return execute(context, decide)


def grant_credit(context: Context, account: str, wanted: WantedGrant) -> Done[Grant]:
    """Give an open account a prepaid grant; with a reference, telling of it again changes nothing."""
    grant = (
        new_id(context, credits_of.PREFIX)
        if wanted.reference is None
        else credits_of.grant_id(context.book, account, wanted.reference)
    )
    method = (wanted.method or "bank_transfer") if wanted.kind == PAID else wanted.method

    def decide(unit: Unit) -> Grant:
        _require_billed_in(unit, account, wanted.currency)
        stream, loaded = load_credit(unit, account)
        asked = CreditGranted(
            account=account,
            currency=wanted.currency,
            amount=wanted.amount,
            grant=grant,
            kind=wanted.kind,
            method=method,
            priority=wanted.priority,
            granted_at=not_before(loaded, context.now),
            expires_at=wanted.expires_at,
            scope=wanted.scope,
            name=wanted.name,
            reference=wanted.reference,
        )
        events = credits_of.grant(loaded.state, asked)
        if events:
            _check_plans(unit, wanted.scope)
            _post_grant(unit, asked, asked.granted_at)
        return credits_of.require_grant(_add(unit, stream, loaded, events).state, grant)

    return execute(context, decide)


def void_grant(context: Context, account: str, grant: str, reason: str) -> Done[Grant]:
    """Take back a grant of which nothing was used."""
    stream_or_not_found(credits_of.PREFIX, grant)

    def decide(unit: Unit) -> Grant:
        stream, loaded = _load_known(unit, account)
        found = credits_of.require_grant(loaded.state, grant)
        events = credits_of.void_grant(loaded.state, grant, reason)
        if events:
            _post_grant(unit, found.granted, not_before(loaded, context.now), voided=True)
        return credits_of.require_grant(_add(unit, stream, loaded, events).state, grant)

    return execute(context, decide)


def expire_grant(context: Context, account: str, grant: str) -> Done[Grant]:
    """Record that a grant's time ran out, at the instant it did; what was paid for and not used is earned."""
    stream_or_not_found(credits_of.PREFIX, grant)

    def decide(unit: Unit) -> Grant:
        stream, loaded = _load_known(unit, account)
        before = credits_of.require_grant(loaded.state, grant)
        events = credits_of.expire_grant(loaded.state, grant, context.now)
        at = not_before(loaded, before.granted.expires_at or context.now)
        expired = unit.add(stream, loaded, credits_of.evolve, events, at)
        if events and before.granted.kind == PAID:
            fact = _fact(unit, before.granted, grant, "prepaid_credit_expired", at)
            add_entry(unit, posting.prepaid_credit_expired(fact, before.balance), at)
        return credits_of.require_grant(expired.state, grant)

    return execute(context, decide)


def _post_grant(unit: Unit, granted: CreditGranted, at: datetime, *, voided: bool = False) -> None:
    """Post a paid grant, or its being taken back; a promotional one is nothing before it is used."""
    if granted.kind != PAID:
        return
    assert granted.method is not None, "what is paid was paid in some way"
    made = "prepaid_credit_granted"
    if not voided:
        fact = _fact(unit, granted, granted.grant, made, at)
        add_entry(unit, posting.prepaid_credit_granted(fact, granted.amount, granted.method), at)
        return
    fact = _fact(unit, granted, granted.grant, "prepaid_credit_voided", at)
    entry = posting.prepaid_credit_granted(fact, -granted.amount, granted.method)
    assert entry is not None, "a grant is of some amount"
    add_entry(unit, replace(entry, reverses=journal_entry_id(fact.book, fact.economic_object, made)), at)


def _add(unit: Unit, stream: UUID, loaded: Stream[Credits], events: list[CreditEvent]) -> Stream[Credits]:
    return unit.add(stream, loaded, credits_of.evolve, events, not_before(loaded, unit.context.now))


def _load_known(unit: Unit, account: str) -> tuple[UUID, Stream[Credits]]:
    """Load the credit of an account that there is, open or closed."""
    accounts.require(unit.load(accounts.evolve, account_stream(account)).state)
    return load_credit(unit, account)


def _require_billed_in(unit: Unit, account: str, currency: str) -> None:
    """Refuse an account that is closed, or billed in another currency; it must stay so until the append."""
    stream = account_stream(account)
    loaded = unit.load(accounts.evolve, stream)
    unit.guard(stream, loaded.version)
    credits_of.require_currency(currency, accounts.require_open(loaded.state).currency)


def _check_plans(unit: Unit, scope: CreditScope) -> None:
    """Refuse a scope that names plans which are not there."""
    try:
        check_plans(Desk(unit), scope.plans)
    except UnknownReference as error:
        errors = {f"scope.{path}": reasons for path, reasons in error.errors.items()}
        message = f"scope.{error}"
        raise UnknownReference(message, errors) from None


def _fact(
    unit: Unit, event: AccountCredited | CreditGranted, economic_object: str, kind: str, at: datetime
) -> Fact:
    book = load_book(unit)
    return Fact(
        book=unit.context.book,
        functional_currency=book.functional_currency,
        accounting_date=local_date(at, book.time_zone),
        economic_object=economic_object,
        kind=kind,
        account=event.account,
        currency=event.currency,
        description=f"{kind.replace('_', ' ')}: {economic_object}",
    )
