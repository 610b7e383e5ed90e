"""Invoices from command to journal: numbered without gaps, paid never more than is due, taken back whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from commands.context import Unit
from commands.invoicing import finalize_invoice, pay_invoice, void_invoice
from commands.plans import create_plan
from commands.streams import number_series_stream
from commands.subscriptions import subscribe
from ledger.errors import (
    Conflict,
    CurrencyConflict,
    Invalid,
    InvoiceNotOpen,
    Overpayment,
    PaymentDiffers,
    Refusal,
)
from ledger.events.invoice import InvoiceDrafted, InvoiceNumberTaken
from ledger.identifiers import stream_of
from tests.acme import (
    NOON,
    Acme,
    a_subscription,
    acme_on,
    an_account,
    at,
    at_once,
    balances,
    entries,
    events_of,
    interrupted,
    known,
)
from tests.examples import example_id, example_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.context import Context
    from ledger.streams.invoice import Invoice
    from tests.postgres import Database

HALF_WAY = NOON + timedelta(days=14)
FEBRUARY_28 = datetime(2027, 2, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database, pool_size=8) as founded:
        yield founded


def invoice_of(made: Invoice) -> str:
    return made.draft.invoice


def a_draft(context: Context, number: int, amount: int = 100) -> str:
    """Append a draft that nothing has finalized."""
    draft = InvoiceDrafted(
        invoice=example_id("inv", number),
        account=an_account(context),
        billing_entity="default",
        payer=example_id("acc"),
        subscription=None,
        kind="one_off",
        currency="USD",
        period_start=None,
        period_end=None,
        lines=(example_line(amount, with_period=False),),
        computed_at_position=context.log.head(),
        managed_by="daybook",
    )
    unit = Unit(context)
    unit.add_first(stream_of("inv", draft.invoice), draft)
    context.log.append(context.book, unit.events)
    return draft.invoice


# -- numbers -----------------------------------------------------------------------------------------


def test_invoice_numbers_have_no_gaps_when_eight_finalize_at_once(acme: Acme) -> None:
    drafts = [a_draft(acme.live, number) for number in range(1, 33)]
    answers = at_once(lambda draft: finalize_invoice(at(acme.live, NOON, f"finalize {draft}"), draft), drafts)
    numbers = sorted(known(answer.result).header.number for answer in answers)
    assert numbers == list(range(1, len(drafts) + 1))
    taken = [event for event in events_of(acme) if isinstance(event, InvoiceNumberTaken)]
    assert [event.number for event in taken] == numbers
    assert {event.invoice for event in taken} == set(drafts)
    series = number_series_stream(acme.live.book, "default", "INV")
    assert acme.log.version_of(acme.live.book, series) == len(drafts)


def test_a_command_that_is_refused_takes_no_number(acme: Acme) -> None:
    draft = a_draft(acme.live, 1)
    assert known(finalize_invoice(acme.live, draft).result).header.number == 1
    with pytest.raises(InvoiceNotOpen):
        finalize_invoice(acme.live, draft)
    assert known(finalize_invoice(acme.live, a_draft(acme.live, 2)).result).header.number == 2


def test_each_book_counts_its_own_invoices(acme: Acme) -> None:
    for context in (acme.live, acme.test):
        _, invoice = a_subscription(context)
        assert invoice.header is not None
        assert invoice.header.number == 1


# -- payments ----------------------------------------------------------------------------------------


def test_a_payment_settles_an_invoice_and_is_posted(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    received_at = NOON + timedelta(days=2)
    paid = pay_invoice(
        at(acme.live, HALF_WAY), invoice_of(invoice), 2900, "USD", "bank", "wire 7", received_at
    ).result
    assert known(paid.invoice).status == "paid"
    assert (paid.payment.reference, paid.payment.received_at) == ("wire 7", received_at)
    assert balances(acme) == {"external_asset": 2900, "deferred_revenue": -2900}
    entry = entries(acme)[-1]
    assert (entry.kind, entry.economic_object) == ("payment_received", paid.payment.payment)
    assert entry.accounting_date == date(2027, 2, 2)


def test_a_payment_through_the_processor_is_pending_until_it_settles(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    pay_invoice(acme.live, invoice_of(invoice), 900, "USD", "stripe", "pi_1")
    assert balances(acme) == {"pending_cash": 900, "receivable": 2000, "deferred_revenue": -2900}


def test_two_payments_at_once_never_pay_more_than_is_due(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    answers = at_once(
        lambda n: pay_invoice(
            at(acme.live, NOON, f"payment {n}"), invoice_of(invoice), 2000, "USD", "bank", f"wire {n}"
        ),
        range(4),
    )
    assert sum(isinstance(answer, Overpayment) for answer in answers) == 3
    assert balances(acme) == {"external_asset": 2000, "receivable": 900, "deferred_revenue": -2900}


def test_payments_at_once_that_fit_are_all_applied(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    at_once(
        lambda n: pay_invoice(
            at(acme.live, NOON, f"payment {n}"), invoice_of(invoice), 725, "USD", "bank", f"wire {n}"
        ),
        range(4),
    )
    assert balances(acme) == {"external_asset": 2900, "deferred_revenue": -2900}


@pytest.mark.parametrize("amount", [2900, 1000])
def test_a_payment_told_of_again_is_recorded_once(acme: Acme, amount: int) -> None:
    _, invoice = a_subscription(acme.live)
    first = pay_invoice(acme.live, invoice_of(invoice), amount, "USD", "stripe", "pi_1")
    again = pay_invoice(
        at(acme.live, HALF_WAY, "retry"), invoice_of(invoice), amount, "USD", "stripe", "pi_1"
    )
    assert (again.result.payment, again.position) == (first.result.payment, None)
    assert known(again.result.invoice).amount_paid == amount
    assert balances(acme)["pending_cash"] == amount


def test_a_payment_told_of_again_with_other_facts_is_refused(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    _, other = a_subscription(acme.live)
    pay_invoice(acme.live, invoice_of(invoice), 1000, "USD", "stripe", "pi_1")
    for told, amount, currency in ((invoice, 1001, "USD"), (invoice, 1000, "EUR"), (other, 1000, "USD")):
        with pytest.raises(PaymentDiffers) as refusal:
            pay_invoice(acme.live, invoice_of(told), amount, currency, "stripe", "pi_1")
        assert isinstance(refusal.value, Conflict)
    # The reference of another method is another payment.
    pay_invoice(acme.live, invoice_of(invoice), 1000, "USD", "bank", "pi_1")


def test_payments_without_a_reference_are_all_different(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    first, second = (pay_invoice(acme.live, invoice_of(invoice), 1000, "USD", "cash") for _ in range(2))
    assert first.result.payment.payment != second.result.payment.payment
    assert known(second.result.invoice).amount_paid == 2000


@pytest.mark.parametrize(
    ("amount", "currency", "method", "reference", "refusal"),
    [
        (2901, "USD", "bank", None, Overpayment),
        (0, "USD", "bank", None, Invalid),
        (-1, "USD", "bank", "wire", Invalid),
        (2900, "EUR", "bank", None, CurrencyConflict),
        (2900, "USD", "", None, Invalid),
        (2900, "USD", "bank", "", Invalid),
        (2900, "USD", "bank", "x" * 256, Invalid),
    ],
)
def test_a_payment_that_is_refused_leaves_nothing_behind(
    acme: Acme, amount: int, currency: str, method: str, reference: str | None, refusal: type[Refusal]
) -> None:
    _, invoice = a_subscription(acme.live)
    before = acme.log.head()
    with pytest.raises(refusal):
        pay_invoice(acme.live, invoice_of(invoice), amount, currency, method, reference)
    assert acme.log.head() == before


# -- taking back -------------------------------------------------------------------------------------


def test_an_invoice_taken_back_leaves_every_ledger_account_at_zero(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    voided = void_invoice(at(acme.live, HALF_WAY), invoice_of(invoice), "a mistake")
    assert known(voided.result).status == "void"
    assert balances(acme) == {}
    assert entries(acme)[-1].accounting_date == date(2027, 2, 14)
    again = void_invoice(acme.live, invoice_of(invoice), "a mistake")
    assert (known(again.result).status, again.position) == ("void", None)


def test_an_earned_invoice_taken_back_shows_what_was_taken_back(acme: Acme) -> None:
    draft = a_draft(acme.live, 1)
    finalize_invoice(acme.live, draft)
    void_invoice(acme.live, draft, "a mistake")
    assert balances(acme) == {"revenue": -100, "voids": 100}


def test_an_invoice_that_is_paid_meanwhile_is_not_taken_back(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live)
    context, _ = interrupted(
        acme.live,
        lambda: pay_invoice(at(acme.live, NOON, "payment"), invoice_of(invoice), 1, "USD", "bank"),
    )
    with pytest.raises(InvoiceNotOpen):
        void_invoice(context, invoice_of(invoice), "a mistake")


def test_a_free_period_is_invoiced_and_posts_nothing(acme: Acme) -> None:
    _, invoice = a_subscription(acme.live, amount=0)
    assert (invoice.status, invoice.amount_due) == ("paid", 0)
    assert entries(acme) == []


def test_amounts_in_another_currency_than_the_book_s_wait_for_a_rate(acme: Acme) -> None:
    plan = known(create_plan(acme.live, "Pro", "EUR", "month", 2900).result).plan
    subscribe(acme.live, an_account(acme.live), plan)
    (entry,) = entries(acme)
    told = {(one.currency, one.functional_amount, one.functional_currency) for one in entry.postings}
    assert told == {("EUR", None, "USD")}


def test_the_database_holds_each_posting_to_its_book(acme: Acme, database: Database) -> None:
    a_subscription(acme.live)
    with psycopg.connect(database.owner_url) as connection:
        query = "SELECT DISTINCT book FROM log.events WHERE topic = 'journal.entry_posted'"
        assert [row[0] for row in connection.execute(query)] == [acme.live.book]
    assert entries(replace(acme, live=acme.test)) == []
