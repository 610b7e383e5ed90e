"""The rules of an invoice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given as for_all

from ledger.assembly import assemble
from ledger.errors import CurrencyConflict, Invalid, InvoiceNotOpen, NotFound, Overpayment
from ledger.events.invoice import InvoiceDrafted, InvoiceFinalized, InvoiceVoided, PaymentApplied
from ledger.events.subscription import SubscriptionCancelled
from ledger.money import AmountOutOfRange, InexactAmount
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams.invoice import Header, Totals, totals_of
from ledger.streams.subscribing import Beginning, subscribe
from tests.bills import bill_of
from tests.examples import (
    ADA,
    NOON,
    PRO,
    example_book,
    example_discount,
    example_id,
    example_line,
    example_tax,
)
from tests.given_when_then import Rules, folded
from tests.strategies import invoice_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ledger.events.invoice import InvoiceEvent, InvoiceLine
    from ledger.events.subscription import SubscriptionEvent
    from ledger.streams.invoice import Invoice
    from ledger.streams.subscription import Subscription

given = Rules(invoices.evolve).given
BOOK = example_book("America/New_York")
INVOICE = example_id("inv")
DRAFTED = InvoiceDrafted(
    invoice=INVOICE,
    account=ADA.account,
    billing_entity="default",
    payer=ADA.account,
    subscription=None,
    kind="recurring",
    currency="USD",
    period_start=None,
    period_end=None,
    lines=(example_line(2900),),
    computed_at_position=1,
    managed_by="daybook",
)


def finalize(state: Invoice | None, now: datetime = NOON) -> Sequence[InvoiceEvent]:
    return invoices.finalize(state, ADA, BOOK, 7, now)


def pay(amount: int, currency: str = "USD") -> Callable[[Invoice | None], Sequence[InvoiceEvent]]:
    return lambda state: invoices.apply_payment(state, "pay_1", amount, currency)


def void(state: Invoice | None) -> Sequence[InvoiceEvent]:
    return invoices.void(state, "a mistake")


def finalized(total: int = 2900) -> tuple[InvoiceEvent, ...]:
    drafted = replace(DRAFTED, lines=(example_line(total),))
    return (drafted, *given(drafted).when(finalize).events)


def paid(amount: int) -> PaymentApplied:
    return PaymentApplied(
        invoice=INVOICE, account=ADA.account, payment="pay_1", amount=amount, currency="USD"
    )


VOIDED = InvoiceVoided(invoice=INVOICE, account=ADA.account, reason="a mistake")

# -- totals -----------------------------------------------------------------------------------------


def test_totals_come_from_the_lines() -> None:
    lines = (
        replace(
            example_line(10_000, 1),
            discounts=(example_discount(1_000),),
            taxes=(example_tax(500), example_tax(90)),
        ),
        replace(example_line(-2_000, 2), taxes=(example_tax(-100, "inclusive"),)),
    )
    assert totals_of(lines) == Totals(subtotal=8_000, discount_total=1_000, tax_total=490, total=7_590)


def test_an_invoice_without_lines_is_for_nothing() -> None:
    assert totals_of(()) == Totals(0, 0, 0, 0)


def test_a_total_of_more_than_18_digits_is_refused() -> None:
    with pytest.raises(AmountOutOfRange):
        totals_of((example_line(10**18 - 1, 1), example_line(1, 2)))


@for_all(invoice_lines())
def test_a_total_is_what_the_lines_say_whatever_they_are(lines: tuple[InvoiceLine, ...]) -> None:
    totals = totals_of(lines)
    inclusive = sum(tax.amount for line in lines for tax in line.taxes if tax.behaviour == "inclusive")
    assert totals.total == totals.subtotal - totals.discount_total + totals.tax_total - inclusive
    assert totals.total == sum(totals_of((line,)).total for line in lines)


# -- finalizing -------------------------------------------------------------------------------------


def test_a_draft_is_finalized_with_its_number_its_dates_its_seller_and_its_buyer() -> None:
    assert given(DRAFTED).state.status == "draft"
    given(DRAFTED).when(finalize).then(
        InvoiceFinalized(
            invoice=INVOICE,
            account=ADA.account,
            billing_entity="default",
            series="INV",
            number=7,
            formatted_number="INV-000007",
            issued_on=date(2027, 1, 31),
            due_on=date(2027, 2, 14),
            terms="net 14",
            currency="USD",
            subtotal=2900,
            discount_total=0,
            tax_total=0,
            total=2900,
            seller_name="Acme Inc.",
            seller_tax_id=None,
            buyer_name="Ada",
            buyer_email="ada@example.com",
            buyer_tax_id=None,
        )
    )


def test_an_invoice_is_issued_on_the_date_of_the_book_s_zone() -> None:
    before_midnight_in_new_york = datetime(2027, 2, 1, 4, 59, 59, tzinfo=UTC)
    (header,) = given(DRAFTED).when(lambda state: finalize(state, before_midnight_in_new_york)).events
    assert isinstance(header, InvoiceFinalized)
    assert header.issued_on == date(2027, 1, 31)


@pytest.mark.parametrize("more", [(), (paid(2900),), (VOIDED,)])
def test_a_finalized_invoice_refuses_to_be_finalized_again(more: tuple[InvoiceEvent, ...]) -> None:
    given(*finalized(), *more).when(finalize).refused_with(InvoiceNotOpen)


def test_a_finalized_invoice_keeps_its_lines_and_its_buyer() -> None:
    state = given(*finalized(), paid(100), VOIDED).state
    assert state.header is not None
    assert (state.draft.lines, state.header.buyer_name) == (DRAFTED.lines, "Ada")


def test_a_draft_can_be_drafted_again_until_it_is_finalized() -> None:
    again = replace(DRAFTED, lines=(example_line(100),))
    assert given(DRAFTED, again).state.draft == again


def test_an_unknown_invoice_cannot_be_finalized_paid_or_voided() -> None:
    given().when(finalize).refused_with(NotFound)
    given().when(pay(1)).refused_with(NotFound)
    given().when(void).refused_with(NotFound)


# -- paying -----------------------------------------------------------------------------------------


def test_a_payment_settles_an_invoice() -> None:
    state = given(*finalized()).when(pay(2900)).then(paid(2900)).state
    assert (state.status, state.amount_paid, state.amount_due) == ("paid", 2900, 0)


def test_part_of_the_amount_leaves_the_rest_due() -> None:
    assert given(*finalized()).state.status == "open"
    state = given(*finalized()).when(pay(1000)).then(paid(1000)).state
    assert (state.status, state.amount_paid, state.amount_due) == ("partially_paid", 1000, 1900)
    assert given(*finalized(), paid(1000)).when(pay(1900)).state.status == "paid"


def test_a_payment_never_settles_more_than_is_due() -> None:
    given(*finalized()).when(pay(2901)).refused_with(Overpayment)
    given(*finalized(), paid(1000)).when(pay(1901)).refused_with(Overpayment)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_payment_is_of_a_positive_amount(amount: int) -> None:
    given(*finalized()).when(pay(amount)).refused_with(Invalid, "amount")


def test_a_payment_is_an_integer() -> None:
    given(*finalized()).when(pay(amount=True)).refused_with(InexactAmount, "amount")


def test_a_payment_in_another_currency_is_refused() -> None:
    given(*finalized()).when(pay(2900, "EUR")).refused_with(CurrencyConflict)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((DRAFTED,), id="draft"),
        pytest.param((*finalized(), paid(2900)), id="paid"),
        pytest.param((*finalized(), VOIDED), id="void"),
        pytest.param(finalized(0), id="of nothing"),
        pytest.param(finalized(-100), id="in the customer's favour"),
    ],
)
def test_only_an_open_invoice_takes_payments(events: tuple[InvoiceEvent, ...]) -> None:
    assert given(*events).state.amount_due == 0
    given(*events).when(pay(1)).refused_with(InvoiceNotOpen)


# -- taking back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [2900, 0, -100])
def test_an_unpaid_invoice_is_taken_back_whole(total: int) -> None:
    state = given(*finalized(total)).when(void).then(VOIDED).state
    assert (state.status, state.amount_due, state.void_reason) == ("void", 0, "a mistake")


def test_voiding_an_invoice_twice_changes_nothing() -> None:
    given(*finalized(), VOIDED).when(void).then_nothing()


def test_voiding_an_invoice_wants_a_reason() -> None:
    given(*finalized()).when(lambda state: invoices.void(state, " ")).refused_with(Invalid, "reason")


@pytest.mark.parametrize(
    "events", [(DRAFTED,), (*finalized(), paid(1)), (*finalized(), paid(2900))], ids=["draft", "part", "paid"]
)
def test_only_an_unpaid_finalized_invoice_can_be_taken_back(events: tuple[InvoiceEvent, ...]) -> None:
    given(*events).when(void).refused_with(InvoiceNotOpen)


# -- drafting ---------------------------------------------------------------------------------------

HALF_WAY = NOON + timedelta(days=14)
GRACE_ENDS = NOON + timedelta(hours=2)


def subscription_after(*more: SubscriptionEvent) -> Subscription:
    """Give a subscription to Pro in its first period, and after what else happened."""
    started = subscribe(example_id("sub"), ADA, PRO, BOOK, Beginning(starts_at=NOON), NOON)
    state = folded(subscriptions.evolve, [*started, *more])
    assert state is not None
    return state


def draft(state: Invoice | None, finalizes_at: datetime | None = None) -> Sequence[InvoiceEvent]:
    subscription = subscription_after()
    bill = bill_of(subscription, PRO, through_position=42, late_since=NOON)
    header = Header.of(subscription, "recurring", HALF_WAY)
    return invoices.draft(state, bill, assemble(bill, []), header, finalizes_at)


def test_a_draft_says_what_it_was_put_together_from() -> None:
    (drafted,) = given().when(lambda state: draft(state, GRACE_ENDS)).events
    assert isinstance(drafted, InvoiceDrafted)
    assert drafted.subscription == example_id("sub")
    assert (drafted.account, drafted.payer, drafted.managed_by) == (ADA.account, ADA.account, "daybook")
    assert (drafted.kind, drafted.currency, drafted.policy_version) == ("recurring", "USD", 1)
    assert (drafted.period_start, drafted.period_end) == (NOON, HALF_WAY)
    assert (drafted.computed_at_position, drafted.due_at) == (42, NOON)
    assert (drafted.late_since, drafted.finalizes_at) == (NOON, GRACE_ENDS)
    assert [(line.kind, line.amount) for line in drafted.lines] == [("fee", 2900)]


def test_a_draft_is_written_again_but_not_what_is_finalized() -> None:
    first = given().when(draft).events
    assert given(*first).when(draft).events == first
    done = given(*first).when(finalize).events
    given(*first, *done).when(draft).refused_with(InvoiceNotOpen)


def test_a_period_and_the_end_of_a_subscription_have_one_invoice_each() -> None:
    ended = SubscriptionCancelled(subscription=example_id("sub"), account=ADA.account, ended_at=HALF_WAY)
    first, last = subscription_after(), subscription_after(ended)
    names = [
        Header.of(first, "recurring", HALF_WAY).invoice,
        Header.of(first, "recurring", GRACE_ENDS).invoice,
        Header.of(last, "final", HALF_WAY).invoice,
    ]
    assert names[0] == names[1] != names[2]
    assert invoices.invoice_id(example_id("sub"), HALF_WAY, "recurring") not in names
