"""Credit notes asked for at the same time: together they give back no more than one after the other would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from commands.credit_notes import Wanted, credit_invoice
from commands.invoicing import pay_invoice
from commands.manual_invoices import Draft, draft_invoice
from commands.subscriptions import cancel_subscription
from ledger.crediting import CreditExceedsInvoice
from ledger.errors import Refusal
from ledger.events.credit_note import CreditNoteIssued, CreditNoteNumberTaken
from ledger.events.invoice import InvoiceDrafted
from ledger.identifiers import stream_of
from ledger.manual_lines import WantedLine
from ledger.streams import invoice as invoices
from ledger.streams.base import fold
from tests.acme import a_subscription, acme_on, an_account, at_once, balances, events_of, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.context import Context
    from ledger.streams.invoice import Invoice
    from tests.acme import Acme
    from tests.postgres import Database


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database, pool_size=10) as made:
        yield made


def invoiced(context: Context, amount: int) -> Invoice:
    lines = (WantedLine(description="Work", amount=amount),)
    draft = Draft(account=an_account(context, currency="USD"), lines=lines)
    state: Invoice = known(draft_invoice(context, draft).result)
    return state


def standing(acme: Acme, invoice: Invoice) -> Invoice:
    recorded = acme.log.load(acme.live.book, stream_of("inv", invoice.draft.invoice))
    return invoices.require(fold(invoices.evolve, recorded).state)


def test_notes_asked_for_at_once_never_give_back_more_than_there_is(acme: Acme) -> None:
    invoice = invoiced(acme.live, 1000)
    wanted = Wanted(reason="late", amount=300)
    answers = at_once(lambda _: credit_invoice(acme.live, invoice.draft.invoice, wanted), range(8))
    refusals = [one for one in answers if isinstance(one, Refusal)]
    assert [type(one) for one in refusals] == [CreditExceedsInvoice] * 5
    events = events_of(acme)
    assert [one.number for one in events if isinstance(one, CreditNoteNumberTaken)] == [1, 2, 3]
    assert standing(acme, invoice).amount_due == 100
    assert balances(acme) == {"receivable": 100, "revenue": -1000, "credit_notes": 900}


def test_a_note_and_a_payment_at_once_leave_nothing_owed_twice(acme: Acme) -> None:
    invoice = invoiced(acme.live, 1000)
    name = invoice.draft.invoice

    def settle(number: int) -> object:
        if number % 2:
            return pay_invoice(acme.live, name, 500, "USD", "bank_transfer", f"payment {number}")
        return credit_invoice(acme.live, name, Wanted(reason="late", amount=500))

    at_once(settle, range(4))
    now = standing(acme, invoice)
    notes = [one for one in events_of(acme) if isinstance(one, CreditNoteIssued)]
    assert sum(note.total for note in notes) == 1000
    assert now.amount_due == 0
    assert sum(note.credited_to_account for note in notes) == now.amount_paid
    left = balances(acme)
    assert left.get("receivable", 0) == 0
    assert -left.get("customer_credit", 0) == now.amount_paid


def test_numbers_have_no_gaps_however_many_invoices_are_given_back_at_once(acme: Acme) -> None:
    names = [invoiced(acme.live, 100).draft.invoice for _ in range(8)]
    at_once(lambda name: credit_invoice(acme.live, name, Wanted(reason="late")), names)
    numbers = [one.number for one in events_of(acme) if isinstance(one, CreditNoteIssued)]
    assert numbers == list(range(1, 9))


def test_an_end_and_a_note_by_hand_at_once_do_not_both_give_the_rest_back(acme: Acme) -> None:
    subscription, invoice = a_subscription(acme.live)

    def take(number: int) -> object:
        if number:
            return credit_invoice(acme.live, invoice.draft.invoice, Wanted(reason="late"))
        return cancel_subscription(acme.live, subscription.subscription, at_period_end=False)

    at_once(take, range(2))
    events = events_of(acme)
    given = sum(one.net_total for one in events if isinstance(one, CreditNoteIssued))
    lines = [line for one in events if isinstance(one, InvoiceDrafted) for line in one.lines]
    assert given - sum(line.amount for line in lines if line.amount < 0) == 2900
    assert balances(acme).get("deferred_revenue", 0) == 0
