"""A seller in memory who gives back what was invoiced: credit notes, invoices by hand, invoices given up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from commands.credit_notes import Wanted, credit_invoice
from commands.credits import WantedGrant, expire_grant, grant_credit
from commands.invoicing import mark_uncollectible, pay_invoice, void_invoice
from commands.manual_invoices import Draft, add_lines, draft_invoice, issue_draft
from ledger.events.credit_note import CreditNoteIssued, CreditNoteNumberTaken
from ledger.events.journal import JournalEntryPosted
from ledger.events.plan import RecurringFee
from ledger.events.subscription import ProrationAdded
from ledger.grant_terms import PAID
from ledger.manual_lines import WantedLine
from ledger.posting import is_balanced
from ledger.streams.base import fold
from ledger.streams.credit import Credits, credit_stream
from ledger.streams.credit import evolve as evolve_credit
from ledger.streams.invoice import totals_of
from tests.acme import known
from tests.examples import BOOK
from tests.memory_shop import Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledger.events.invoice import CreditedLine
    from ledger.streams.invoice import Invoice


@dataclass
class NoteShop(Shop):
    """A shop that also gives back."""

    def fees(self, *amounts: int, tax: str | None = None, behaviour: str = "exclusive", **terms: Any) -> str:
        """Create a plan of fees in advance, all under one tax rate."""
        made = tuple(
            RecurringFee(code=f"fee{number}", name=f"Fee {number}", amounts={"USD": amount})
            for number, amount in enumerate(amounts, 1)
        )
        rates = () if tax is None else (self.tax(tax, behaviour),)
        return self.plan(f"Plan {amounts[0]}", fees=made, tax_rates=rates, **terms)

    def drafted(self, *lines: WantedLine, **more: Any) -> Invoice:
        """Begin an invoice by hand, and leave it a draft."""
        draft = Draft(account=self.account, lines=lines, auto_finalize=False, **more)
        state: Invoice = known(draft_invoice(self.context, draft).result)
        return state

    def invoiced(self, *lines: WantedLine, **more: Any) -> Invoice:
        """Issue an invoice by hand."""
        state: Invoice = known(
            draft_invoice(self.context, Draft(account=self.account, lines=lines, **more)).result
        )
        return state

    def write(self, invoice: Invoice, *lines: WantedLine) -> Invoice:
        """Add lines to a draft."""
        state: Invoice = known(add_lines(self.context, invoice.draft.invoice, lines).result)
        return state

    def issue(self, invoice: Invoice) -> Invoice:
        """Issue a draft."""
        state: Invoice = known(issue_draft(self.context, invoice.draft.invoice).result)
        return state

    def credit(
        self, invoice: Invoice, *lines: tuple[str, int | None], amount: int | None = None
    ) -> CreditNoteIssued:
        """Give part or all of an invoice back."""
        wanted = Wanted(reason="sorry", lines=lines, amount=amount)
        done = credit_invoice(self.context, invoice.draft.invoice, wanted).result
        note: CreditNoteIssued = known(done.credit_note).issued
        return note

    def pay(self, invoice: Invoice, amount: int, method: str = "bank_transfer") -> Invoice:
        """Pay part of an invoice."""
        done = pay_invoice(self.context, invoice.draft.invoice, amount, "USD", method).result
        paid: Invoice = known(done.invoice)
        return paid

    def grant(self, amount: int, kind: str, **more: Any) -> str:
        """Give the account a prepaid grant."""
        wanted = WantedGrant(amount=amount, currency="USD", kind=kind, **more)
        return str(grant_credit(self.context, self.account, wanted).result.granted.grant)

    def expire(self, grant: str) -> None:
        """Let a grant expire."""
        expire_grant(self.context, self.account, grant)

    def balance(self, grant: str) -> int:
        """Give what is left of a grant."""
        return self.held.grants[grant].balance

    def give_up(self, invoice: Invoice) -> Invoice:
        """Mark an invoice uncollectible."""
        marked: Invoice = known(mark_uncollectible(self.context, invoice.draft.invoice, "gone").result)
        return marked

    def void(self, invoice: Invoice) -> Invoice:
        """Make an invoice void."""
        voided: Invoice = known(void_invoice(self.context, invoice.draft.invoice, "a mistake").result)
        return voided

    @property
    def notes(self) -> list[CreditNoteIssued]:
        """Every credit note, in log order."""
        return self.of(CreditNoteIssued)

    @property
    def held(self) -> Credits:
        """The account's credit."""
        state = fold(evolve_credit, self.log.load(BOOK, credit_stream(BOOK, self.account))).state
        return state or Credits(self.account)

    @property
    def credit_held(self) -> int:
        """The account's own credit."""
        return self.held.balance("USD")

    def books(self) -> dict[str, int]:
        """Give what the journal leaves on each ledger account: positive for a debit, zero ones left out."""
        return left_by(self.of(JournalEntryPosted))


def note_shop(preset: str = "stripe", **how: Any) -> NoteShop:
    """Open a shop that gives back."""
    shop = open_shop(preset, **how)
    return NoteShop(**{field.name: getattr(shop, field.name) for field in fields(shop)})


def line(amount: int | None, *tax_rates: str, **more: Any) -> WantedLine:
    """Ask for a line of an amount."""
    return WantedLine(**{"description": "Consulting", "amount": amount, "tax_rates": tax_rates, **more})


def left_by(entries: Iterable[JournalEntryPosted]) -> dict[str, int]:
    """Add up what entries leave on each ledger account: positive for a debit, zero ones left out."""
    sums: Counter[str] = Counter()
    for entry in entries:
        for one in entry.postings:
            sums[one.ledger_account] += one.amount if one.side == "debit" else -one.amount
    return {code: amount for code, amount in sums.items() if amount}


def check_notes(shop: NoteShop) -> None:
    """Hold credit notes against the invoices they are on, the books, and their numbers."""
    for invoice in shop.invoices():
        _check_invoice(shop, invoice)
    numbers = [event.number for event in shop.of(CreditNoteNumberTaken)]
    assert numbers == [note.number for note in shop.notes] == list(range(1, len(numbers) + 1))
    named = {event.credit_note for event in shop.of(ProrationAdded)} - {None}
    assert named <= {note.credit_note for note in shop.notes}
    assert all(is_balanced(entry.postings) for entry in shop.of(JournalEntryPosted))
    ledger = Counter(shop.books())
    assert -ledger["customer_credit"] == shop.credit_held
    paid = [one.balance for one in shop.held.grants.values() if one.granted.kind == PAID]
    assert -ledger["prepaid_credits"] == sum(paid)
    asked = [one for one in shop.invoices() if one.status != "uncollectible"]
    assert ledger["receivable"] == sum(one.amount_due for one in asked)


def _check_invoice(shop: NoteShop, invoice: Invoice) -> None:
    """No line gives back more than it brought, of no part; notes settle no more than was asked for."""
    notes = [note for note in shop.notes if note.invoice == invoice.draft.invoice]
    assert [one.credit_note for one in invoice.credit_notes] == [note.credit_note for note in notes]
    for one in invoice.draft.lines:
        given = [part for event in invoice.credit_notes for part in event.lines if part.line == one.line]
        _check_line(one.amount - sum(share.amount for share in one.discounts), one.taxes, given)
    total = totals_of(invoice.draft.lines).total
    assert sum(note.total for note in notes) <= max(0, total)
    applied = sum(note.applied_to_invoice for note in notes)
    own = [credit.amount for credit in invoice.credits if credit.source == "account_credit"]
    assert sum(note.credited_to_account for note in notes) <= invoice.amount_paid + sum(own)
    assert applied == sum(credit.amount for credit in invoice.credits if credit.source == "credit_note")
    assert all(note.total == note.applied_to_invoice + note.credited_to_account for note in notes)
    assert all(note.net_total + note.tax_total == note.total for note in notes)


def _check_line(price: int, taxes: Iterable[Any], given: list[CreditedLine]) -> None:
    taxes = list(taxes)
    net = price - sum(tax.amount for tax in taxes if tax.behaviour == "inclusive")
    _check_part(net, [one.net for one in given])
    for place, tax in enumerate(taxes):
        _check_part(tax.amount, [one.taxes[place] for one in given])


def _check_part(brought: int, given: list[int]) -> None:
    """Parts have the sign of the whole and come to no more than it."""
    assert all(part * brought >= 0 for part in given)
    assert abs(sum(given)) <= abs(brought)
