"""Commands on invoices that somebody writes by hand: begin one, add lines to its draft, issue any draft."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from commands.billing import settle
from commands.catalogue import Desk, check_named
from commands.context import Done, Unit, execute
from commands.invoicing import add_finalized, load_book
from commands.streams import account_stream, new_id, stream_or_not_found
from ledger.errors import InvoiceNotOpen
from ledger.identifiers import stream_of
from ledger.line_taxes import Discounted, taxed
from ledger.manual_lines import manual_lines, products_of, tax_rates_of
from ledger.streams import account as accounts
from ledger.streams import billing_entity as billing_entities
from ledger.streams import invoice as invoices
from ledger.streams import manual_invoice
from ledger.streams import tax_rate as tax_rates
from ledger.streams.base import Stream
from ledger.streams.billing_entity import DEFAULT_BILLING_ENTITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from commands.context import Context
    from ledger.events.invoice import InvoiceLine
    from ledger.manual_lines import WantedLine
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An invoice that is asked for; what is not said is the account's currency, the seller's usual terms."""

    account: str
    lines: Sequence[WantedLine]
    currency: str | None = None
    billing_entity: str = DEFAULT_BILLING_ENTITY
    due_days: int | None = None
    auto_finalize: bool = True


def draft_invoice(context: Context, wanted: Draft) -> Done[Stream[Invoice]]:
    """Begin an invoice with lines written by hand, and issue it at once unless it is to stay a draft."""
    account_stream(wanted.account)
    invoice = new_id(context, "inv")

    def decide(unit: Unit) -> Stream[Invoice]:
        account, book = _open_account(unit, wanted.account), load_book(unit)
        currency = manual_invoice.currency_of(account, wanted.currency)
        seller = billing_entities.require(book.billing_entities, wanted.billing_entity)
        events = manual_invoice.draft(
            invoice,
            account,
            currency,
            seller.billing_entity,
            _with_taxes(unit, book, _new_lines(unit, book, invoice, wanted.lines, 0)),
            wanted.due_days,
            book.policy_version,
            unit.head(),
        )
        drafted = unit.add(stream_of("inv", invoice), Stream(), invoices.evolve, events)
        return _issue(unit, drafted, account, book) if wanted.auto_finalize else drafted

    return execute(context, decide)


def add_lines(context: Context, invoice: str, wanted: Sequence[WantedLine]) -> Done[Stream[Invoice]]:
    """Add lines to a draft that is written by hand."""
    stream = stream_or_not_found("inv", invoice)

    def decide(unit: Unit) -> Stream[Invoice]:
        loaded = unit.load(invoices.evolve, stream)
        drafted, book = manual_invoice.require_draft(loaded.state), load_book(unit)
        before = _lines_of(drafted)
        lines = [*before, *_new_lines(unit, book, invoice, wanted, len(before))]
        return _rewritten(unit, loaded, book, _with_taxes(unit, book, lines))

    return execute(context, decide)


def issue_draft(context: Context, invoice: str) -> Done[Stream[Invoice]]:
    """Issue a draft now: written by hand, or one of a subscription with the usage that came meanwhile."""
    stream = stream_or_not_found("inv", invoice)

    def decide(unit: Unit) -> Stream[Invoice]:
        loaded = unit.load(invoices.evolve, stream)
        state = invoices.require(loaded.state)
        if state.status != "draft":
            message = f"invoice {invoice} is {state.status}: only a draft can be issued"
            raise InvoiceNotOpen(message)
        if state.draft.subscription is not None:
            return settle(unit, invoice, context.now)
        book = load_book(unit)
        account = accounts.require(unit.load(accounts.evolve, account_stream(state.draft.account)).state)
        # Tax is that of the day it is issued.
        lines = _with_taxes(unit, book, _lines_of(state))
        return _issue(unit, _rewritten(unit, loaded, book, lines), account, book)

    return execute(context, decide)


def _issue(unit: Unit, drafted: Stream[Invoice], account: Account, book: Book) -> Stream[Invoice]:
    manual_invoice.require_not_negative(invoices.require(drafted.state))
    return add_finalized(unit, drafted, account, book, unit.context.now)


def _rewritten(
    unit: Unit, loaded: Stream[Invoice], book: Book, lines: Sequence[InvoiceLine]
) -> Stream[Invoice]:
    state = manual_invoice.require_draft(loaded.state)
    events = manual_invoice.with_lines(state, lines, book.policy_version, unit.head())
    return unit.add(stream_of("inv", state.draft.invoice), loaded, invoices.evolve, events)


# A line without its taxes, and the tax rates that it names.
_Named: TypeAlias = "tuple[InvoiceLine, tuple[str, ...]]"


def _lines_of(invoice: Invoice) -> list[_Named]:
    return [(replace(line, taxes=()), tuple(tax.rate for tax in line.taxes)) for line in invoice.draft.lines]


def _new_lines(
    unit: Unit, book: Book, invoice: str, wanted: Sequence[WantedLine], after: int
) -> list[_Named]:
    """Write the lines that are asked for; what they name must be there, and stay so until the append."""
    rounding = book.policy.billing.rating_rounding
    lines = manual_lines(invoice, wanted, after, book.policy_version, rounding)
    check_named(Desk(unit), products_of(wanted), tax_rates_of(wanted))
    return [(line, one.tax_rates) for line, one in zip(lines, wanted, strict=True)]


def _with_taxes(unit: Unit, book: Book, named: Sequence[_Named]) -> list[InvoiceLine]:
    """Tax lines by the rates that hold now, as those of any other invoice are taxed."""
    lines = tuple(line for line, _ in named)
    wanted = {rate for _, rates in named for rate in rates}
    known = {
        rate: tax_rates.require(unit.load(tax_rates.evolve, stream_of("tax", rate)).state) for rate in wanted
    }
    priced = Discounted(lines, tuple(Fraction(line.amount) for line in lines), ())
    rates = {line.line: rates for line, rates in named}
    return taxed(priced, rates, known, book.policy.billing, unit.context.now)


def _open_account(unit: Unit, account: str) -> Account:
    """Give the account, which must be open and stay as it is until the append."""
    loaded = unit.load(accounts.evolve, account_stream(account))
    unit.guard(account_stream(account), loaded.version)
    return accounts.require_open(loaded.state)
