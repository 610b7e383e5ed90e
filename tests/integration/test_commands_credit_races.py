"""Credit on a real database: invoices finalized at the same time never use the same credit twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from commands.context import Unit
from commands.credits import (
    WantedCredit,
    WantedGrant,
    credit_account,
    expire_grant,
    grant_credit,
    void_grant,
)
from commands.invoicing import add_entry, void_invoice
from commands.settling import load_credit
from commands.subscriptions import subscribe
from ledger.errors import Refusal
from ledger.events.credit import AccountCreditUsed, CreditDrawnDown
from ledger.events.invoice import CreditApplied
from ledger.events.journal import JournalEntryPosted
from tests.acme import (
    NOON,
    Acme,
    a_plan,
    acme_on,
    an_account,
    at,
    at_once,
    balances,
    events_of,
    interrupted,
    known,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.context import Context
    from ledger.streams.credit import Credits
    from ledger.streams.invoice import Invoice
    from tests.postgres import Database


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database, pool_size=10) as founded:
        yield founded


def credited(context: Context, account: str, amount: int = 5000, reference: str | None = None) -> None:
    wanted = WantedCredit(amount=amount, currency="USD", reason="an outage", reference=reference)
    credit_account(context, account, wanted)


def granted(context: Context, account: str, amount: int = 4000, kind: str = "paid", days: int = 9) -> str:
    wanted = WantedGrant(
        amount=amount, currency="USD", kind=kind, expires_at=context.now + timedelta(days=days)
    )
    return grant_credit(context, account, wanted).result.granted.grant


def invoiced(context: Context, account: str, plan: str) -> Invoice:
    invoice: Invoice = known(subscribe(context, account, plan).result.invoice)
    return invoice


def credits_of(context: Context, account: str) -> Credits:
    state: Credits = known(load_credit(Unit(context), account)[1])
    return state


def test_invoices_finalized_at_once_never_use_the_same_credit_twice(acme: Acme) -> None:
    account, plan = an_account(acme.live), a_plan(acme.live)
    credited(acme.live, account)
    grant = granted(acme.live, account)
    # Each is a request of its own: the same cause would make them one.
    requests = [replace(acme.live, cause=f"request-{number}") for number in range(8)]
    issued = at_once(lambda context: invoiced(context, account, plan), requests)
    assert sum(one.amount_credited for one in issued) == 9000
    # Three are paid whole, one in part, the others not at all.
    assert sorted(one.amount_due for one in issued) == [0, 0, 0, 2600, 2900, 2900, 2900, 2900]
    state = credits_of(acme.live, account)
    assert (state.balance("USD"), state.grants[grant].balance) == (0, 0)
    events = events_of(acme)
    assert sum(one.amount for one in events if isinstance(one, AccountCreditUsed)) == 5000
    assert sum(one.amount for one in events if isinstance(one, CreditDrawnDown)) == 4000
    assert sum(one.amount for one in events if isinstance(one, CreditApplied)) == 9000
    assert balances(acme) == {
        "balance_adjustments": 5000,
        "external_asset": 4000,
        "deferred_revenue": -8 * 2900,
        "receivable": 8 * 2900 - 9000,
    }


@pytest.mark.parametrize("meanwhile", ["invoice", "expire", "void"])
def test_credit_that_goes_meanwhile_is_not_used(acme: Acme, meanwhile: str) -> None:
    account, plan = an_account(acme.live), a_plan(acme.live)
    grant = granted(acme.live, account)
    later = at(acme.live, NOON + timedelta(days=9), "request-2")
    others = {
        "invoice": lambda: invoiced(later, account, a_plan(acme.live, 9900)),
        "expire": lambda: expire_grant(later, account, grant),
        "void": lambda: void_grant(later, account, grant, "a mistake"),
    }
    if meanwhile == "invoice":
        later = at(acme.live, NOON, "request-2")
    context, log = interrupted(acme.live, others[meanwhile])
    invoice = invoiced(context, account, plan)
    assert log.appends == 2
    assert invoice.amount_credited == 0
    assert credits_of(acme.live, account).grants[grant].balance == 0


def test_what_an_invoice_took_is_given_back_once_however_often_it_is_made_void(acme: Acme) -> None:
    account, plan = an_account(acme.live), a_plan(acme.live)
    credited(acme.live, account, 1000)
    grant = granted(acme.live, account, 500, "promotional")
    before = balances(acme)
    invoice = invoiced(acme.live, account, plan).draft.invoice
    requests = [replace(acme.live, cause=f"request-{number}") for number in range(6)]
    voided = at_once(lambda context: known(void_invoice(context, invoice, "a mistake").result), requests)
    assert {one.status for one in voided} == {"void"}
    state = credits_of(acme.live, account)
    assert (state.balance("USD"), state.grants[grant].balance) == (1000, 500)
    assert balances(acme) == before


def test_credit_under_one_reference_told_of_at_once_is_credited_once(acme: Acme) -> None:
    account = an_account(acme.live)
    requests = [replace(acme.live, cause=f"request-{number}") for number in range(6)]
    answers = at_once(lambda context: credited(context, account, 1000, "ticket-1"), requests)
    assert not [one for one in answers if isinstance(one, Refusal)]
    assert credits_of(acme.live, account).balance("USD") == 1000
    assert balances(acme) == {"balance_adjustments": 1000, "customer_credit": -1000}


def test_every_entry_of_credit_balances_for_the_database_too(acme: Acme) -> None:
    account, plan = an_account(acme.live), a_plan(acme.live)
    credited(acme.live, account, 1000)
    for kind in ("paid", "promotional"):
        granted(acme.live, account, 300, kind)
    unused = granted(acme.live, account, 1)
    void_grant(acme.live, account, unused, "a mistake")
    invoice = invoiced(acme.live, account, plan)
    void_invoice(acme.live, invoice.draft.invoice, "a mistake")
    for grant in credits_of(acme.live, account).grants:
        expire_grant(at(acme.live, NOON + timedelta(days=9)), account, grant)
    posted = [one for one in events_of(acme) if isinstance(one, JournalEntryPosted)]
    assert {one.rule for one in posted} == {
        "account_credited",
        "prepaid_credit_granted",
        "prepaid_credit_applied",
        "prepaid_credit_expired",
        "customer_balance_applied",
        "invoice_finalized",
        "invoice_voided",
    }
    # One side more, and PostgreSQL refuses it.
    entry = next(one for one in posted if one.rule == "prepaid_credit_applied")
    unit = Unit(acme.live)
    skewed = replace(entry.postings[0], amount=entry.postings[0].amount + 1)
    add_entry(unit, replace(entry, entry=entry.entry[:-1] + "0", postings=(skewed, *entry.postings[1:])))
    with pytest.raises(Exception, match="balance") as refused:
        acme.log.append(acme.live.book, unit.events)
    assert isinstance(refused.value.__cause__, psycopg.errors.CheckViolation)
