"""Credit notes through their commands: by hand, for a change, for usage that came late; and the books."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from commands.credit_notes import Wanted, credit_invoice, preview_credit
from commands.previews import preview_change
from commands.subscriptions import Wish
from ledger.crediting import CreditExceedsInvoice, NothingToCredit
from ledger.errors import Invalid, InvoiceNotOpen, NotFound
from ledger.events.journal import JournalEntryPosted
from ledger.events.plan import RecurringFee, UsageCharge
from ledger.events.subscription import ProrationAdded
from ledger.prices import Price, Tier
from ledger.streams.credit_note import credit_note_id
from tests.acme import known
from tests.examples import example_id
from tests.memory_shop import told
from tests.note_shop import check_notes, left_by, line, note_shop

if TYPE_CHECKING:
    from ledger.events.credit_note import CreditNoteIssued
    from ledger.streams.invoice import Invoice
    from tests.note_shop import NoteShop

START = datetime(2027, 4, 1, tzinfo=UTC)
MIDDLE = datetime(2027, 4, 16, tzinfo=UTC)
BY_NOTE = {"change_credit": "credit_note_with_tax"}


@pytest.fixture
def shop() -> NoteShop:
    return note_shop(now=START)


def amounts(note: CreditNoteIssued) -> tuple[int, int, int]:
    return note.net_total, note.tax_total, note.total


def entry_of(shop: NoteShop, note: CreditNoteIssued) -> dict[str, int]:
    entries = [one for one in shop.of(JournalEntryPosted) if one.economic_object == note.credit_note]
    assert len(entries) == 1
    return left_by(entries)


# -- by hand ------------------------------------------------------------------------------------------


def test_all_of_an_invoice_is_given_back_before_it_is_paid(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000, shop.tax("25")), line(500))
    note = shop.credit(invoice)
    assert (note.kind, note.reason, note.formatted_number) == ("manual", "sorry", "CN-000001")
    assert (amounts(note), note.applied_to_invoice, note.credited_to_account) == ((1500, 250, 1750), 1750, 0)
    assert shop.invoice(invoice.draft.invoice).status == "paid"
    assert shop.books() == {"revenue": -1500, "credit_notes": 1500}
    check_notes(shop)


def test_what_was_paid_becomes_the_accounts_credit_and_settles_the_next_invoice(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000))
    shop.pay(invoice, 700)
    note = shop.credit(invoice, amount=800)
    assert (note.applied_to_invoice, note.credited_to_account) == (300, 500)
    assert entry_of(shop, note) == {"credit_notes": 800, "receivable": -300, "customer_credit": -500}
    following = shop.invoiced(line(2000))
    assert (following.amount_credited, following.amount_due) == (500, 1500)
    check_notes(shop)


def test_a_service_period_that_is_invoiced_is_taken_off_deferred_revenue(shop: NoteShop) -> None:
    billed = shop.subscribe(shop.fees(3000, tax="10"))
    note = shop.credit(known(billed.invoice), amount=1000)
    assert entry_of(shop, note) == {"deferred_revenue": 1000, "tax_payable": 100, "receivable": -1100}
    entry = next(one for one in shop.of(JournalEntryPosted) if one.economic_object == note.credit_note)
    assert {one.line for one in entry.postings if one.ledger_account == "deferred_revenue"} == {
        note.lines[0].invoice_line
    }
    assert {one.tax_jurisdiction for one in entry.postings if one.ledger_account == "tax_payable"} == {"DE"}


def test_lines_are_given_back_in_parts_and_the_last_part_absorbs_the_rounding(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(100, shop.tax("19")), line(900))
    name = invoice.draft.lines[0].line
    notes = [shop.credit(invoice, (name, 33)) for _ in range(3)]
    # 6.27 each: three times 6, and the last unit before tax brings the rest of the tax.
    assert [amounts(note) for note in notes] == [(33, 6, 39)] * 3
    assert amounts(shop.credit(invoice, (name, None))) == (1, 1, 2)
    with pytest.raises(NothingToCredit):
        shop.credit(invoice, (name, None))
    assert amounts(shop.credit(invoice)) == (900, 0, 900)
    check_notes(shop)


def test_parts_that_are_rounded_up_never_give_back_more_tax_than_there_was(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(5, shop.tax("25")))
    # Half a unit of tax on each 2, of the one unit that 5 brought.
    assert [shop.credit(invoice, amount=amount).tax_total for amount in (2, 2, 1)] == [1, 0, 0]
    check_notes(shop)


def test_an_amount_of_the_whole_is_spread_over_what_is_left_of_the_lines(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(600, shop.tax("10")), line(300, shop.tax("20")))
    shop.credit(invoice, (invoice.draft.lines[0].line, 300))
    note = shop.credit(invoice, amount=101)
    assert [(one.net, sum(tax.amount for tax in one.taxes)) for one in note.lines] == [(51, 5), (50, 10)]
    check_notes(shop)


def test_the_tax_on_parts_is_rounded_once_for_each_rate_where_invoices_do_so(shop: NoteShop) -> None:
    rate = shop.tax("25")
    invoice = shop.invoiced(*(line(100, rate) for _ in range(4)))
    parts = [(one.line, 2) for one in invoice.draft.lines]
    assert [sum(tax.amount for tax in one.taxes) for one in shop.credit(invoice, *parts).lines] == [1] * 4
    shop.adopt("stripe", tax_rounding="per_rate_on_invoice")
    assert [sum(tax.amount for tax in one.taxes) for one in shop.credit(invoice, *parts).lines] == [
        1,
        0,
        1,
        0,
    ]
    check_notes(shop)


def test_tax_inside_a_price_is_given_back_beside_what_is_left_of_it(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1190, shop.tax("19", "inclusive")))
    note = shop.credit(invoice, amount=500)
    assert amounts(note) == (500, 95, 595)
    assert note.lines[0].taxes[0].base == 500
    assert amounts(shop.credit(invoice)) == (500, 95, 595)
    check_notes(shop)


def test_what_a_coupon_took_off_is_not_given_back(shop: NoteShop) -> None:
    plan = shop.fees(2000, tax="10")
    billed = shop.subscribe(plan, coupon=shop.coupon(percent_off=Decimal(25)))
    invoice: Invoice = known(billed.invoice)
    with pytest.raises(CreditExceedsInvoice):
        shop.credit(invoice, amount=1501)
    assert amounts(shop.credit(invoice)) == (1500, 150, 1650)
    check_notes(shop)


def test_a_credit_among_the_lines_is_given_back_only_with_all_of_them(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000), line(-400))
    charge, credit = (one.line for one in invoice.draft.lines)
    with pytest.raises(NothingToCredit):
        shop.credit(invoice, (credit, None))
    for asked in ({"amount": 601}, {}):
        with pytest.raises(CreditExceedsInvoice):
            _ = shop.credit(invoice, **asked) if asked else shop.credit(invoice, (charge, 601))
    shop.credit(invoice, (charge, 350))
    note = shop.credit(invoice)
    assert [one.net for one in note.lines] == [650, -400]
    taxed = shop.invoiced(line(1000, shop.tax("10")), line(-400))
    assert amounts(shop.credit(taxed, amount=600)) == (600, 100, 700)
    with pytest.raises(CreditExceedsInvoice):
        shop.credit(taxed, amount=1)
    check_notes(shop)


def test_credit_notes_are_numbered_without_gaps_in_a_series_of_their_own(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000))
    first = shop.credit(invoice, amount=1)
    with pytest.raises(CreditExceedsInvoice):
        shop.credit(invoice, amount=1000)
    second = shop.credit(invoice, amount=2)
    following = shop.invoiced(line(1000))
    assert [first.formatted_number, second.formatted_number] == ["CN-000001", "CN-000002"]
    assert following.header is not None
    assert following.header.formatted_number == "INV-000002"


def test_what_cannot_be_given_back_is_refused(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000, shop.tax("10")))
    name = invoice.draft.lines[0].line
    for lines, field in (
        (((name, 0),), "lines.0.amount"),
        (((name, 5), (name, 5)), "lines.1.line"),
        (((example_id("line", 99), None),), "lines.0.line"),
    ):
        with pytest.raises(Invalid) as refused:
            shop.credit(invoice, *lines)
        assert field in refused.value.errors
    for amount in (0, -5):
        with pytest.raises(Invalid):
            shop.credit(invoice, amount=amount)
    with pytest.raises(Invalid):
        shop.credit(invoice, (name, 5), amount=5)
    with pytest.raises(CreditExceedsInvoice):
        shop.credit(invoice, (name, 1001))
    with pytest.raises(NotFound):
        credit_invoice(shop.context, example_id("inv", 99), Wanted(reason="x"))
    with pytest.raises(NotFound):
        credit_invoice(shop.context, "inv_1", Wanted(reason="x"))
    with pytest.raises(Invalid):
        credit_invoice(shop.context, invoice.draft.invoice, Wanted(reason=" "))
    assert shop.notes == []


def test_a_draft_and_an_invoice_that_is_void_given_up_or_for_nothing_has_no_credit_notes(
    shop: NoteShop,
) -> None:
    void, given_up = shop.invoiced(line(100)), shop.invoiced(line(100))
    shop.void(void)
    shop.give_up(given_up)
    for invoice in (shop.drafted(line(100)), void, given_up):
        with pytest.raises(InvoiceNotOpen):
            shop.credit(invoice)
    with pytest.raises(NothingToCredit):
        shop.credit(shop.invoiced(line(0)))


def test_an_invoice_with_credit_notes_is_not_made_void(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(100))
    shop.credit(invoice, amount=1)
    with pytest.raises(InvoiceNotOpen, match="credit notes"):
        shop.void(invoice)


def test_a_preview_shows_the_credit_note_and_issues_none(shop: NoteShop) -> None:
    invoice = shop.invoiced(line(1000, shop.tax("10")))
    before = len(shop.log.recorded)
    previewed = preview_credit(shop.context, invoice.draft.invoice, Wanted(reason="x", amount=10))
    assert amounts(known(previewed.credit_note).issued) == (10, 1, 11)
    assert len(shop.log.recorded) == before


def test_what_prepaid_grants_settled_goes_back_to_them_the_last_one_first(shop: NoteShop) -> None:
    promotional, paid = shop.grant(300, "promotional"), shop.grant(400, "paid")
    invoice = shop.invoiced(line(1000))
    assert [credit.reference for credit in invoice.credits] == [promotional, paid]
    shop.pay(invoice, 100)
    # 200 are still asked for, 100 were paid; beyond that the paid grant comes first, and then the other.
    note = shop.credit(invoice, amount=450)
    assert (note.applied_to_invoice, note.credited_to_account, note.restored_to_grants) == (350, 100, 150)
    assert (shop.balance(promotional), shop.balance(paid), shop.credit_held) == (0, 150, 100)
    rest = shop.credit(invoice)
    assert (rest.applied_to_invoice, rest.credited_to_account, rest.restored_to_grants) == (550, 0, 550)
    assert (shop.balance(promotional), shop.balance(paid), shop.credit_held) == (300, 400, 100)
    now = shop.invoice(invoice.draft.invoice)
    assert (now.status, now.amount_due, now.amount_credited) == ("paid", 0, 900)
    assert shop.books() == {
        "external_asset": 500,
        "prepaid_credits": -400,
        "customer_credit": -100,
        "revenue": -1000,
        "credit_notes": 1000,
    }
    check_notes(shop)


def test_what_comes_back_to_a_grant_that_has_expired_expires_at_once(shop: NoteShop) -> None:
    grant = shop.grant(400, "paid", expires_at=START + timedelta(days=1))
    invoice = shop.invoiced(line(400))
    shop.at(START + timedelta(days=2))
    shop.expire(grant)
    note = shop.credit(invoice, amount=150)
    assert (note.restored_to_grants, shop.balance(grant), shop.credit_held) == (150, 0, 0)
    assert shop.books()["breakage_revenue"] == -150
    check_notes(shop)


def test_the_accounts_own_credit_comes_back_as_what_it_was(shop: NoteShop) -> None:
    first = shop.invoiced(line(500))
    shop.pay(first, 500)
    shop.credit(first)
    second = shop.invoiced(line(500))
    note = shop.credit(second)
    assert (note.credited_to_account, note.restored_to_grants, shop.credit_held) == (500, 0, 500)
    check_notes(shop)


# -- because of a change ------------------------------------------------------------------------------


def test_a_change_is_credited_by_note_and_only_its_charge_is_on_the_next_invoice() -> None:
    shop = note_shop(now=START, **BY_NOTE)
    billed = shop.subscribe(shop.fees(3000, tax="10"))
    changed = shop.at(MIDDLE).change(plan=shop.fees(6000, tax="10"))
    (note,) = shop.notes
    assert known(changed.credit_notes[0]).issued == note
    assert (note.kind, note.subscription, amounts(note)) == ("change", shop.subscription, (1500, 150, 1650))
    invoice = shop.invoice(known(billed.invoice).draft.invoice)
    assert (invoice.status, invoice.amount_due) == ("partially_paid", 1650)
    assert [one.kind for one in shop.state.pending] == ["proration_charge"]
    shop.advance_to(START + timedelta(days=30))
    assert told(shop.invoices()[-1])[1:] == [("Remaining time on Plan 6000", 3000)]
    check_notes(shop)


def test_the_credit_of_a_change_names_its_note_whose_id_follows_from_it() -> None:
    shop = note_shop(now=START, **BY_NOTE)
    billed = shop.subscribe(shop.fees(3000))
    shop.at(MIDDLE).change(plan=shop.fees(6000))
    credit, charge = shop.of(ProrationAdded)
    invoice = known(billed.invoice).draft.invoice
    assert credit.credit_note == credit_note_id(shop.subscription, invoice, f"change:{credit.sequence}")
    assert (credit.amount, charge.credit_note) == (-1500, None)
    assert shop.notes[0].credit_note == credit.credit_note


def test_every_fee_of_a_plan_is_credited_on_its_own_line() -> None:
    shop = note_shop("lago", now=START)
    shop.subscribe(shop.fees(1000, 333, tax="25"))
    shop.at(MIDDLE).cancel()
    (note,) = shop.notes
    # 14 of 30 days are left of both: 466.67 and 155.4, which make 622.07.
    assert [one.net for one in note.lines] == [467, 155]
    assert amounts(note) == (622, 156, 778)
    assert note.kind == "cancellation"
    check_notes(shop)


def test_a_discount_is_shared_by_what_is_given_back() -> None:
    shop = note_shop("lago", now=START)
    plan = shop.fees(3000, tax="10")
    shop.subscribe(plan, coupon=shop.coupon(amounts_off={"USD": 300}))
    shop.at(MIDDLE).cancel()
    assert [amounts(note) for note in shop.notes] == [(1260, 126, 1386)]
    check_notes(shop)


def test_nothing_is_given_back_of_what_a_coupon_made_free() -> None:
    shop = note_shop("lago", now=START)
    shop.subscribe(shop.fees(3000, tax="10"), coupon=shop.coupon(percent_off=Decimal(100)))
    ended = shop.at(MIDDLE).cancel()
    assert (shop.notes, shop.of(ProrationAdded), ended.invoice) == ([], [], None)


def test_inclusive_tax_is_taken_out_of_what_is_given_back() -> None:
    shop = note_shop("lago", now=START)
    shop.subscribe(shop.fees(3570, tax="19", behaviour="inclusive"))
    shop.at(MIDDLE).cancel()
    assert [amounts(note) for note in shop.notes] == [(1400, 266, 1666)]
    check_notes(shop)


def test_plans_that_end_together_are_credited_by_one_note_an_invoice() -> None:
    shop = note_shop("lago", now=START)
    extra = shop.fees(1000)
    shop.subscribe(shop.fees(3000))
    shop.add(extra)
    shop.at(MIDDLE).cancel()
    first, added = shop.invoices()
    assert [(note.invoice, note.total) for note in shop.notes] == [
        (first.draft.invoice, 1400),
        (added.draft.invoice, 467),
    ]
    check_notes(shop)


def test_two_plans_taken_away_at_one_instant_have_a_note_each() -> None:
    shop = note_shop("lago", now=START)
    shop.subscribe(shop.fees(3000))
    items = [shop.add(shop.fees(900)) for _ in range(2)]
    shop.advance_to(datetime(2027, 5, 1, tzinfo=UTC))
    shop.at(datetime(2027, 5, 16, tzinfo=UTC))
    for item in items:
        shop.remove(item)
    assert len({note.credit_note for note in shop.notes}) == 2
    assert len({note.invoice for note in shop.notes}) == 1
    check_notes(shop)


def test_a_charge_that_waits_for_its_invoice_is_credited_beside_itself() -> None:
    shop = note_shop(now=START, **BY_NOTE)
    shop.subscribe(shop.fees(3000))
    shop.at(MIDDLE).change(plan=shop.fees(6000))
    shop.at(MIDDLE + timedelta(days=5)).change(plan=shop.fees(9000))
    assert [note.total for note in shop.notes] == [1500]
    assert [(one.kind, one.amount) for one in shop.state.pending] == [
        ("proration_charge", 3000),
        ("proration_credit", -2000),
        ("proration_charge", 3000),
    ]
    check_notes(shop)


def test_a_draft_is_not_credited_and_one_that_the_end_settles_is() -> None:
    shop = metered_shop(change_credit="credit_note_with_tax", grace_hours="48")
    shop.advance_to(datetime(2027, 5, 2, tzinfo=UTC))
    assert shop.invoices()[-1].status == "draft"
    shop.change(plan=shop.fees(6000))
    assert shop.notes == []
    assert [one.kind for one in shop.state.pending] == ["proration_credit", "proration_charge"]
    ended = metered_shop("lago", grace_hours="48")
    ended.advance_to(datetime(2027, 5, 2, tzinfo=UTC))
    drafted = ended.invoices()[-1].draft.invoice
    ended.cancel()
    assert [note.invoice for note in ended.notes] == [drafted]
    check_notes(ended)


def test_an_invoice_that_was_given_up_is_credited_by_a_line() -> None:
    shop = note_shop("lago", now=START)
    billed = shop.subscribe(shop.fees(3000))
    shop.give_up(known(billed.invoice))
    ended = shop.at(MIDDLE).cancel()
    assert shop.notes == []
    assert told(ended.invoice) == [("Unused time on Plan 3000", -1400)]


def test_what_was_given_back_by_hand_is_not_given_back_again() -> None:
    for preset in ("lago", "stripe"):
        shop = note_shop(preset, now=START)
        billed = shop.subscribe(shop.fees(3000, tax="10"))
        shop.credit(known(billed.invoice), amount=2500)
        ended = shop.at(MIDDLE).cancel()
        given = sum(note.net_total for note in shop.notes)
        owed = 0 if ended.invoice is None else known(ended.invoice).draft.lines[0].amount
        assert given - owed == 3000
        check_notes(shop)


def test_what_a_line_of_another_invoice_credited_is_not_given_back_again(shop: NoteShop) -> None:
    billed = shop.subscribe(shop.fees(2000, 1000, tax="10"))
    invoice: Invoice = known(billed.invoice)
    shop.at(MIDDLE).change(plan=shop.fees(6000))
    # The credit of 1500 waits: half of either fee, with its tax.
    assert amounts(preview_all(shop, invoice)) == (1500, 150, 1650)
    shop.advance_to(datetime(2027, 5, 1, tzinfo=UTC))
    following = shop.invoices()[-1]
    assert ("Unused time on Plan 2000", -1500) in told(following)
    assert amounts(preview_all(shop, invoice)) == (1500, 150, 1650)
    with pytest.raises(CreditExceedsInvoice):
        shop.credit(invoice, (invoice.draft.lines[0].line, 1001))
    shop.credit(invoice, amount=1000)
    assert amounts(shop.credit(invoice)) == (500, 50, 550)
    with pytest.raises(NothingToCredit):
        shop.credit(invoice)
    check_notes(shop)


def test_a_line_of_an_invoice_that_was_made_void_credits_nothing(shop: NoteShop) -> None:
    billed = shop.subscribe(shop.fees(3000))
    ended = shop.at(MIDDLE).cancel()
    assert amounts(preview_all(shop, known(billed.invoice))) == (1500, 0, 1500)
    shop.void(known(ended.invoice))
    assert amounts(preview_all(shop, known(billed.invoice))) == (3000, 0, 3000)


def test_late_usage_that_a_line_took_away_is_not_given_back_again() -> None:
    each = Decimal(10)
    tiers = (Tier(up_to=Decimal(60), unit_amount=each), Tier(up_to=None, unit_amount=each))
    price = Price(model="graduated", currency="USD", tiers=tiers)
    shop = metered_shop(late_usage="next_invoice", price=price)
    late(shop, 30)
    april = shop.invoices()[1]
    assert [one.amount for one in april.draft.lines] == [1000, 600, 400]
    # 700 were taken away by a line: 420 and 280 of the two tiers.
    assert [one.net for one in preview_all(shop, april).lines] == [1000, 180, 120]
    with pytest.raises(CreditExceedsInvoice):
        shop.credit(april, (april.draft.lines[1].line, 181))


def preview_all(shop: NoteShop, invoice: Invoice) -> CreditNoteIssued:
    """Work out the note that would give all of an invoice back."""
    previewed = preview_credit(shop.context, invoice.draft.invoice, Wanted(reason="x"))
    note: CreditNoteIssued = known(previewed.credit_note).issued
    return note


def test_nothing_is_left_to_credit_of_an_invoice_that_was_given_back_whole() -> None:
    shop = note_shop("lago", now=START)
    billed = shop.subscribe(shop.fees(3000))
    shop.credit(known(billed.invoice))
    ended = shop.at(MIDDLE).cancel()
    assert (len(shop.notes), ended.invoice) == (1, None)


def test_a_note_that_would_exceed_its_invoice_is_a_line_instead() -> None:
    shop = note_shop(now=START, change_invoice="immediate")
    shop.subscribe(shop.fees(3000))
    shop.at(MIDDLE).change(plan=shop.fees(6000))
    shop.adopt("stripe", **BY_NOTE, change_invoice="immediate")
    # The invoice of the change asked for 3000 less 1500: its charge of 3000 cannot be given back by a note.
    shop.change(plan=shop.fees(9000))
    assert shop.notes == []
    assert [line.amount for line in shop.invoices()[-1].draft.lines] == [-3000, 4500]


def test_a_change_to_a_yearly_plan_credits_what_is_left_of_the_month() -> None:
    shop = note_shop(now=START, **BY_NOTE)
    shop.subscribe(shop.fees(3000, tax="10"))
    changed = shop.at(MIDDLE).change(plan=shop.fees(30_000, tax="10", interval="year"))
    assert [amounts(note) for note in shop.notes] == [(1500, 150, 1650)]
    assert told(changed.invoice) == [("Fee 1", 30_000)]
    check_notes(shop)


def test_a_preview_of_a_change_shows_its_credit_notes() -> None:
    shop = note_shop("lago", now=START)
    shop.subscribe(shop.fees(3000))
    wanted = Wish(plan=shop.fees(6000))
    before = len(shop.log.recorded)
    previewed = preview_change(shop.at(MIDDLE).context, shop.subscription, wanted)
    assert [known(one).issued.total for one in previewed.billed.credit_notes] == [1500]
    assert len(shop.log.recorded) == before


def test_the_notes_of_a_change_settle_the_invoice_of_its_charge() -> None:
    shop = note_shop("lago", now=START)
    billed = shop.subscribe(shop.fees(3000))
    shop.pay(known(billed.invoice), 3000)
    changed = shop.at(MIDDLE).change(plan=shop.fees(6000))
    assert shop.notes[0].credited_to_account == 1500
    assert known(changed.invoice).amount_due == 1500
    assert shop.credit_held == 0
    check_notes(shop)


# -- because of usage ---------------------------------------------------------------------------------


def metered_shop(
    preset: str = "stripe", *, minimum: int = 0, tax: str = "10", price: Price | None = None, **axes: str
) -> NoteShop:
    """Open a shop that sells a fee and the highest level of the month at 10 each, with a subscription."""
    shop = note_shop(preset, now=START, **axes)
    shop.meter("level", aggregation="latest_in_period")
    charge = UsageCharge(
        code="level",
        name="Level",
        meter="level",
        prices={"USD": price or Price(model="per_unit", currency="USD", unit_amount=Decimal(10))},
        minimums={"USD": minimum} if minimum else {},
    )
    fee = RecurringFee(code="base", name="Base", amounts={"USD": 1000})
    shop.subscribe(shop.plan(fees=(fee,), charges=(charge,), tax_rates=(shop.tax(tax),)))
    shop.use(100, START + timedelta(days=3), "level")
    return shop


def late(shop: NoteShop, level: int) -> Invoice:
    """Bill April, then let its level turn out to be another one, and bill May."""
    shop.advance_to(datetime(2027, 5, 1, tzinfo=UTC))
    shop.at(datetime(2027, 5, 3, tzinfo=UTC)).use(level, START + timedelta(days=20), "level")
    shop.advance_to(datetime(2027, 6, 1, tzinfo=UTC))
    return shop.invoices()[-1]


def test_usage_that_turns_out_less_is_given_back_by_note() -> None:
    shop = metered_shop(late_usage="credit_note")
    following = late(shop, 70)
    (note,) = shop.notes
    assert (note.kind, amounts(note)) == ("late_usage", (300, 30, 330))
    billed = shop.invoices()[1]
    assert note.invoice == billed.draft.invoice
    assert [one.invoice_line for one in note.lines] == [
        one.line for one in billed.draft.lines if one.usage is not None
    ]
    assert all(one.kind != "usage_adjustment" for one in following.draft.lines)
    assert shop.again(following) == following.draft.lines
    check_notes(shop)


def test_usage_that_turns_out_more_is_on_the_next_invoice_under_either_policy() -> None:
    for policy in ("credit_note", "next_invoice"):
        shop = metered_shop(late_usage=policy)
        following = late(shop, 130)
        assert shop.notes == []
        assert [one.amount for one in following.draft.lines if one.kind == "usage_adjustment"] == [300]


def test_what_comes_later_still_is_given_back_beyond_what_was() -> None:
    shop = metered_shop(late_usage="credit_note")
    late(shop, 70)
    shop.at(datetime(2027, 6, 2, tzinfo=UTC)).use(50, START + timedelta(days=25), "level")
    shop.advance_to(datetime(2027, 7, 1, tzinfo=UTC))
    assert [note.net_total for note in shop.notes] == [300, 200]
    assert shop.state.usage[0].rated == 500
    check_notes(shop)


def test_more_and_then_less_is_given_back_on_the_newer_invoice_first() -> None:
    shop = metered_shop(late_usage="credit_note")
    late(shop, 130)
    shop.at(datetime(2027, 6, 2, tzinfo=UTC)).use(80, START + timedelta(days=25), "level")
    shop.advance_to(datetime(2027, 7, 1, tzinfo=UTC))
    _, april, may, _ = shop.invoices()
    assert [(note.invoice, note.net_total) for note in shop.notes] == [
        (may.draft.invoice, 300),
        (april.draft.invoice, 200),
    ]
    check_notes(shop)


def test_the_minimum_of_a_charge_takes_part_in_what_is_given_back() -> None:
    shop = metered_shop(late_usage="credit_note", minimum=800)
    following = late(shop, 50)
    assert [note.net_total for note in shop.notes] == [200]
    assert [one.kind for one in following.draft.lines] == ["fee", "minimum"]
    assert shop.again(following) == following.draft.lines
    check_notes(shop)


def test_a_draft_gives_back_only_as_it_is_finalized_with_what_came_meanwhile() -> None:
    shop = metered_shop(late_usage="credit_note", grace_hours="72")
    shop.advance_to(datetime(2027, 5, 10, tzinfo=UTC))
    shop.use(70, START + timedelta(days=20), "level")
    shop.advance_to(datetime(2027, 6, 1, tzinfo=UTC))
    assert shop.invoices()[-1].status == "draft"
    assert shop.notes == []
    shop.at(datetime(2027, 6, 2, tzinfo=UTC)).use(60, START + timedelta(days=21), "level")
    shop.advance_to(datetime(2027, 6, 5, tzinfo=UTC))
    assert [note.net_total for note in shop.notes] == [400]
    assert shop.again(shop.invoices()[-1]) == shop.invoices()[-1].draft.lines
    check_notes(shop)


def test_usage_on_an_invoice_that_was_made_void_is_corrected_by_a_line() -> None:
    shop = metered_shop(late_usage="credit_note")
    shop.advance_to(datetime(2027, 5, 1, tzinfo=UTC))
    shop.void(shop.invoices()[-1])
    shop.at(datetime(2027, 5, 3, tzinfo=UTC)).use(70, START + timedelta(days=20), "level")
    shop.advance_to(datetime(2027, 6, 1, tzinfo=UTC))
    assert shop.notes == []
    assert [one.amount for one in shop.invoices()[-1].draft.lines if one.kind == "usage_adjustment"] == [-300]


def test_the_last_bill_gives_back_usage_though_it_asks_for_nothing() -> None:
    shop = metered_shop(late_usage="credit_note", tax="0")
    shop.advance_to(datetime(2027, 5, 1, tzinfo=UTC))
    shop.use(70, START + timedelta(days=20), "level")
    ended = shop.at(datetime(2027, 5, 1, 0, 0, 1, tzinfo=UTC)).cancel(credit=False)
    assert [note.net_total for note in shop.notes] == [300]
    assert [known(one).issued for one in ended.credit_notes] == shop.notes
    check_notes(shop)
