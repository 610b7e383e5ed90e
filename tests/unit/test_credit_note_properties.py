"""Whatever credit notes are issued on an invoice, they never give back more of it than it brought."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.crediting import (
    NothingToCredit,
    given_back,
    left_of,
    net_of,
    of_price,
    price_left,
)
from ledger.errors import Refusal
from ledger.events.invoice import CreditedLine, InvoiceCredited, InvoiceDrafted
from ledger.policies import LAGO, STRIPE
from ledger.streams.invoice import Invoice, totals_of
from tests.examples import example_discount, example_id, example_line, example_tax
from tests.note_shop import check_notes, line, note_shop

if TYPE_CHECKING:
    from ledger.crediting import GivenBack
    from ledger.events.invoice import InvoiceLine
    from ledger.policies import BillingPolicy
    from tests.note_shop import NoteShop

POLICIES = st.sampled_from(
    [
        {"tax_rounding": tax, "proration_rounding": rounding}
        for tax in ("per_line", "per_rate_on_invoice")
        for rounding in ("half_away", "half_up", "half_down", "half_even")
    ]
)
RATES = (
    ("25", "exclusive"),
    ("23.33", "exclusive"),
    ("19", "inclusive"),
    ("7.7", "inclusive"),
    ("0", "exclusive"),
)
LINES = st.lists(
    st.tuples(st.integers(-500, 20_000), st.lists(st.sampled_from(RATES), max_size=3, unique=True)),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("line"), st.integers(0, 3), st.integers(1, 5_000) | st.none()),
        st.tuples(st.just("amount"), st.just(0), st.integers(1, 30_000)),
        st.tuples(st.just("pay"), st.just(0), st.integers(1, 10_000)),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(policy=POLICIES, lines=LINES, grants=st.lists(st.integers(1, 5_000), max_size=2), steps=STEPS)
def test_notes_never_give_back_more_than_was_invoiced_and_the_last_one_gives_all_of_it(
    policy: dict[str, str],
    lines: list[tuple[int, list[tuple[str, str]]]],
    grants: list[int],
    steps: list[Any],
) -> None:
    shop = note_shop("stripe", **policy)
    rates = {rate: shop.tax(*rate) for rate in RATES}
    for number, amount in enumerate(grants):
        shop.grant(amount, "promotional" if number else "paid")
    wanted = [line(amount, *(rates[rate] for rate in named)) for amount, named in lines]
    try:
        invoice = shop.invoiced(*wanted)
    except Refusal:
        return
    for step in steps:
        _take(shop, invoice, step)
        check_notes(shop)
    _credit_the_rest(shop, invoice)
    check_notes(shop)


def _take(shop: NoteShop, invoice: Invoice, step: tuple[str, int, int | None]) -> None:
    what, place, amount = step
    lines = invoice.draft.lines
    try:
        if what == "line":
            shop.credit(invoice, (lines[place % len(lines)].line, amount))
        elif what == "amount":
            shop.credit(invoice, amount=amount)
        else:
            shop.pay(invoice, amount or 1)
    except Refusal:
        return


def _credit_the_rest(shop: NoteShop, invoice: Invoice) -> None:
    """Credit all that is left; then the notes add up to the invoice, and nothing more can be given back."""
    total = totals_of(invoice.draft.lines).total
    before = sum(note.total for note in shop.notes)
    try:
        shop.credit(invoice)
    except NothingToCredit:
        assert before == max(0, total)
        return
    now = shop.invoice(invoice.draft.invoice)
    assert all((one.net, sum(one.taxes)) == (0, 0) for one in left_of(now))
    assert sum(note.total for note in shop.notes) == total
    assert sum(note.net_total for note in shop.notes) == sum(net_of(one) for one in invoice.draft.lines)
    assert now.amount_due == 0
    assert shop.credit_held == now.amount_paid
    assert all(one.balance == one.granted.amount for one in shop.held.grants.values())
    try:
        shop.credit(now)
    except NothingToCredit:
        return
    raise AssertionError(now)


@st.composite
def priced_lines(draw: st.DrawFn) -> list[InvoiceLine]:
    """Draw lines with discounts and taxes of rates that nobody knows any more."""
    found = []
    for number in range(1, draw(st.integers(1, 4)) + 1):
        amount = draw(st.integers(1, 10_000))
        off = draw(st.integers(0, amount))
        rest = amount - off
        taxes = tuple(
            example_tax(draw(st.integers(0, rest // 4)), behaviour)
            for behaviour in draw(st.lists(st.sampled_from(["exclusive", "inclusive"]), max_size=2))
        )
        discounts = (example_discount(off),) if off else ()
        found.append(replace(example_line(amount, number), taxes=taxes, discounts=discounts))
    return found


@settings(max_examples=200, deadline=None, print_blob=True)
@given(
    lines=priced_lines(),
    prices=st.lists(st.fractions(0, 12_000, max_denominator=31), max_size=5),
    policy=st.sampled_from([STRIPE, LAGO]),
)
def test_parts_of_a_price_are_given_back_as_far_as_it_was_asked_for(
    lines: list[InvoiceLine], prices: list[Fraction], policy: BillingPolicy
) -> None:
    invoice = invoice_of(lines)
    for price in prices:
        left = left_of(invoice)
        given = given_back(of_price(left, price, {}, policy), {}, policy)
        asked = min(price, Fraction(sum(one.amount for one in lines)))
        share = Fraction(sum(net_of(one) for one in lines), sum(one.amount for one in lines))
        assert sum(one.net for one in given) <= asked * share + len(lines)
        invoice = credited(invoice, given)
        for one in left_of(invoice):
            assert 0 <= one.net <= net_of(one.line)
            assert all(0 <= rest <= tax.amount for rest, tax in zip(one.taxes, one.line.taxes, strict=True))
        assert 0 <= price_left(left_of(invoice)) <= sum(one.amount for one in lines)


@settings(max_examples=100, deadline=None, print_blob=True)
@given(lines=priced_lines(), policy=st.sampled_from([STRIPE, LAGO]))
def test_the_whole_price_is_given_back_whole(lines: list[InvoiceLine], policy: BillingPolicy) -> None:
    invoice = invoice_of(lines)
    whole = Fraction(sum(one.amount for one in lines))
    after = credited(invoice, given_back(of_price(left_of(invoice), whole, {}, policy), {}, policy))
    # Discounts and taxes are whole minor units a line: of a price they may leave a unit's fraction.
    assert all(one.net <= 1 for one in left_of(after))


def invoice_of(lines: list[InvoiceLine]) -> Invoice:
    """Give an invoice of lines, as crediting looks at it."""
    return Invoice(
        InvoiceDrafted(
            invoice=example_id("inv"),
            account=example_id("acc"),
            billing_entity="default",
            payer=example_id("acc"),
            subscription=None,
            kind="manual",
            currency="USD",
            period_start=None,
            period_end=None,
            lines=tuple(lines),
            computed_at_position=1,
            managed_by="daybook",
        )
    )


def credited(invoice: Invoice, given: list[GivenBack]) -> Invoice:
    """Give the invoice as a credit note leaves it."""
    note = InvoiceCredited(
        invoice=invoice.draft.invoice,
        account=invoice.draft.account,
        credit_note=example_id("cn"),
        lines=tuple(CreditedLine(line=one.line.line, net=one.net, taxes=one.taxes) for one in given),
    )
    return replace(invoice, credit_notes=(*invoice.credit_notes, note))
