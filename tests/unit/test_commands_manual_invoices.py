"""Invoices written by hand: lines, taxes and dates, drafts that take more lines, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from commands.accounts import close_account, register_account
from commands.billing_entities import define_billing_entity
from commands.catalogue import UnknownReference
from commands.explaining import recompute
from commands.manual_invoices import Draft, draft_invoice
from commands.tax_rates import redefine_tax_rate, retire_tax_rate
from ledger.errors import (
    AccountClosed,
    CurrencyConflict,
    Invalid,
    InvoiceNotOpen,
    NotFound,
    Refusal,
)
from ledger.events.invoice import InvoiceDrafted, InvoiceFinalized
from ledger.events.plan import UsageCharge
from ledger.manual_lines import MAX_LINES, WantedLine
from ledger.money import AmountOutOfRange
from ledger.prices import Price
from ledger.streams.billing_entity import BillingEntity
from ledger.streams.manual_invoice import NegativeTotal, NotManual
from ledger.streams.tax_rate import TaxRateIsRetired
from tests.acme import known
from tests.examples import example_id
from tests.note_shop import NoteShop, line, note_shop

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)


@pytest.fixture
def shop() -> NoteShop:
    return note_shop(now=NOW)


def of_units(quantity: str, unit_amount: str, *tax_rates: str) -> WantedLine:
    return line(None, *tax_rates, quantity=Decimal(quantity), unit_amount=Decimal(unit_amount))


def refused(shop: NoteShop, error: type[Refusal], *lines: WantedLine, **more: Any) -> Refusal:
    before = len(shop.log.recorded)
    with pytest.raises(error) as info:
        shop.invoiced(*lines, **more)
    assert type(info.value) is error
    assert len(shop.log.recorded) == before
    return info.value


def test_an_invoice_written_by_hand_is_numbered_dated_and_posted_as_any_other(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000, shop.tax("19")), of_units("2.5", "99.5"))
    assert invoice.header is not None
    assert (invoice.header.formatted_number, invoice.status, invoice.draft.kind) == (
        "INV-000001",
        "open",
        "manual",
    )
    assert (invoice.header.issued_on, invoice.header.due_on) == (date(2027, 1, 15), date(2027, 1, 29))
    first, second = invoice.draft.lines
    assert (first.amount, [tax.amount for tax in first.taxes], first.quantity) == (1000, [190], "1")
    assert (second.amount, second.quantity) == (249, "2.5")
    assert second.rating is not None
    assert (second.rating.formula, second.rating.exact, second.rating.unit_amount) == (
        "2.5 x 99.5",
        "995/4",
        "99.5",
    )
    assert shop.books() == {"receivable": 1439, "revenue": -1249, "tax_payable": -190}
    assert recompute(shop.context, invoice.draft.invoice).equal is None


def test_a_quantity_at_a_price_is_rounded_once_as_usage_is(shop: NoteShop) -> None:
    assert shop.invoiced(of_units("1", "0.5")).draft.lines[0].amount == 1
    shop.adopt("stripe", rating_rounding="half_even")
    assert shop.invoiced(of_units("1", "0.5")).draft.lines[0].amount == 0


def test_a_line_with_a_service_period_is_earned_over_it(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000, service_from=NOW, service_to=NOW + timedelta(days=30)), line(10))
    assert [one.recognition_rule for one in invoice.draft.lines] == ["straight_line", "at_finalization"]
    assert shop.books() == {"receivable": 1010, "deferred_revenue": -1000, "revenue": -10}


def test_an_invoice_is_due_when_it_says_or_after_the_sellers_usual_days(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1), due_days=0)
    assert invoice.header is not None
    assert (invoice.header.due_on, invoice.header.terms) == (date(2027, 1, 15), "net 0")


def test_each_seller_numbers_its_own_invoices(shop: NoteShop) -> None:
    other = BillingEntity("gmbh", "Acme GmbH", "DE1", "RE", 30, "CN")
    define_billing_entity(shop.context, other)
    first, second = shop.invoiced(line(5), billing_entity="gmbh"), shop.invoiced(line(5))
    assert [one.header.formatted_number for one in (first, second) if one.header] == [
        "RE-000001",
        "INV-000001",
    ]
    assert shop.credit(first).formatted_number == "CN-000001"
    assert shop.credit(second).formatted_number == "CN-000001"
    refused(shop, NotFound, line(5), billing_entity="nobody")


def test_a_draft_takes_lines_until_it_is_issued(shop: NoteShop) -> None:
    once = shop.tax("25")
    shop.adopt("stripe", tax_rounding="per_rate_on_invoice")
    drafted = shop.drafted(line(2, once))
    assert (drafted.status, drafted.header) == ("draft", None)
    more = shop.write(drafted, line(2, once), line(7))
    assert [one.sequence for one in more.draft.lines] == [1, 2, 3]
    assert len({one.line for one in more.draft.lines}) == 3
    # A quarter of 2 is half a unit: one of the two is rounded up, under one rounding for the rate.
    assert [sum(tax.amount for tax in one.taxes) for one in more.draft.lines] == [1, 0, 0]
    assert shop.books() == {}
    issued = shop.issue(more)
    assert (issued.status, issued.amount_due) == ("open", 12)
    with pytest.raises(InvoiceNotOpen):
        shop.write(issued, line(1))
    with pytest.raises(InvoiceNotOpen):
        shop.issue(issued)


def test_tax_is_on_what_the_taxes_inside_the_price_leave(shop: NoteShop) -> None:
    inside, beside = shop.tax("19", "inclusive"), shop.tax("10", jurisdiction="AT")
    (taxed,) = shop.invoiced(line(1191, inside, beside)).draft.lines
    assert [(tax.amount, tax.base) for tax in taxed.taxes] == [(190, 1001), (100, 1001)]
    shop.adopt("stripe", tax_rounding="per_rate_on_invoice")
    both = shop.invoiced(line(3, inside), line(3, inside)).draft.lines
    # Once for the rate: 0.48 of each; the second brings the one unit, and is taxed on one less.
    assert [(tax.amount, tax.base) for one in both for tax in one.taxes] == [(0, 3), (1, 2)]


def test_tax_is_that_of_the_day_a_draft_is_issued(shop: NoteShop) -> None:
    rate = shop.tax("19")
    drafted, same = shop.drafted(line(1000, rate)), shop.drafted(line(1000))
    redefine_tax_rate(shop.context, rate, Decimal(20), effective_at=NOW + timedelta(days=1))
    shop.at(NOW + timedelta(days=2))
    assert [tax.amount for tax in shop.issue(drafted).draft.lines[0].taxes] == [200]
    count = len(shop.of(InvoiceDrafted))
    shop.issue(same)
    assert len(shop.of(InvoiceDrafted)) == count, "what is the same is not drafted again"


def test_a_rate_that_is_retired_may_stay_on_a_draft_and_is_not_named_anew(shop: NoteShop) -> None:
    rate = shop.tax("19")
    drafted = shop.drafted(line(1000, rate))
    retire_tax_rate(shop.context, rate, "over")
    assert shop.issue(drafted).amount_due == 1190
    refused(shop, TaxRateIsRetired, line(1, rate))


def test_a_credit_among_the_lines_may_not_outweigh_them(shop: NoteShop) -> None:
    assert shop.invoiced(line(1000), line(-1000)).status == "paid"
    refused(shop, NegativeTotal, line(1000), line(-1001))
    drafted = shop.drafted(line(-5))
    with pytest.raises(NegativeTotal):
        shop.issue(drafted)
    assert shop.issue(shop.write(drafted, line(5))).amount_due == 0


def test_the_currency_is_the_accounts_or_the_one_that_is_asked_for(shop: NoteShop) -> None:
    assert shop.invoiced(line(5)).draft.currency == "USD"
    refused(shop, CurrencyConflict, line(5), currency="EUR")
    eva = known(register_account(shop.context, "Eva", None, None).result).account
    euros = draft_invoice(shop.context, Draft(account=eva, lines=(line(5),), currency="EUR"))
    assert known(euros.result).draft.currency == "EUR"
    for currency in (None, "EURO"):
        with pytest.raises(Invalid) as info:
            draft_invoice(shop.context, Draft(account=eva, lines=(line(5),), currency=currency))
        assert set(info.value.errors) == {"currency"}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (line(5, quantity=Decimal(1)), "lines.0.amount"),
        (line(None), "lines.0.amount"),
        (line(None, quantity=Decimal(1)), "lines.0.amount"),
        (line(None, quantity=Decimal(-1), unit_amount=Decimal(1)), "lines.0.quantity"),
        (line(None, quantity=Decimal(1), unit_amount=Decimal("1e-13")), "lines.0.unit_amount"),
        (line(10**18), "amount"),
        (line(5, description=" "), "lines.0.description"),
        (line(5, service_from=NOW), "lines.0.service_to"),
        (line(5, service_to=NOW), "lines.0.service_to"),
        (line(5, service_from=NOW, service_to=NOW), "lines.0.service_to"),
        (line(5, service_from=NOW.replace(year=1999), service_to=NOW), "lines.0.service_from"),
        (line(5, *[example_id("tax")] * 2), "lines.0.tax_rates"),
    ],
)
def test_a_line_that_cannot_be_is_refused(shop: NoteShop, wanted: WantedLine, field: str) -> None:
    refusal = None
    with pytest.raises(Invalid) as info:
        shop.invoiced(wanted)
    refusal = info.value
    assert field in refusal.errors


def test_an_invoice_that_cannot_be_is_refused(shop: NoteShop) -> None:
    refused(shop, Invalid)
    refused(shop, Invalid, *[line(1)] * (MAX_LINES + 1))
    for due_days in (-1, 366):
        refused(shop, Invalid, line(1), due_days=due_days)
    assert "lines.0.product" in _errors(refused(shop, UnknownReference, line(1, product=example_id("prod"))))
    assert "lines.1.tax_rates.0" in _errors(
        refused(shop, UnknownReference, line(1), line(1, example_id("tax")))
    )
    largest = 10**18 - 1
    refused(shop, AmountOutOfRange, line(largest), line(1))
    for unknown in (example_id("acc", 99), "acc_1"):
        with pytest.raises(NotFound):
            draft_invoice(shop.context, Draft(account=unknown, lines=(line(1),), currency="USD"))
    close_account(shop.context, shop.account, "moved away")
    refused(shop, AccountClosed, line(1))


def _errors(refusal: Refusal) -> dict[str, list[str]]:
    assert isinstance(refusal, Invalid)
    return refusal.errors


def test_a_draft_full_of_lines_takes_no_more(shop: NoteShop) -> None:
    drafted = shop.drafted(*[line(1)] * MAX_LINES)
    with pytest.raises(Invalid):
        shop.write(drafted, line(1))


def test_a_draft_of_a_subscription_takes_no_lines_and_is_issued_with_its_usage(shop: NoteShop) -> None:
    shop.adopt("stripe", grace_hours="24")
    plan = shop.plan(**_metered())
    shop.subscribe(plan)
    shop.use(3)
    shop.advance_to(NOW + timedelta(days=31))
    (drafted,) = [one for one in shop.invoices() if one.status == "draft"]
    with pytest.raises(NotManual):
        shop.write(drafted, line(1))
    shop.use(4, NOW + timedelta(days=1))
    issued = shop.issue(drafted)
    assert issued.draft.lines[-1].amount == 70
    assert issued.header is not None
    assert [one.invoice for one in shop.of(InvoiceFinalized)] == [drafted.draft.invoice]


def _metered() -> dict[str, Any]:
    price = Price(model="per_unit", currency="USD", unit_amount=Decimal(10))
    return {"charges": (UsageCharge(code="calls", name="Calls", meter="api_calls", prices={"USD": price}),)}


def test_an_invoice_by_hand_takes_the_credit_there_is(shop: NoteShop) -> None:
    first = shop.invoiced(line(1000))
    shop.pay(first, 1000)
    shop.credit(first, amount=400)
    second = shop.invoiced(line(1000))
    assert (second.amount_credited, second.status) == (400, "partially_paid")


def test_amounts_of_a_draft_may_be_read_with_their_line_ids(shop: NoteShop) -> None:
    drafted = shop.drafted(line(5), line(6))
    again = shop.write(drafted, line(7))
    assert [replace(one, taxes=()) for one in drafted.draft.lines] == list(again.draft.lines[:2])
