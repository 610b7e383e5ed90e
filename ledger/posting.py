"""Posting rules: from an economic fact to a balanced journal entry; one function a fact, one version each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ledger.chart import ledger_account
from ledger.events.journal import JournalEntryPosted, Posting
from ledger.identifiers import journal_entry_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from uuid import UUID

    from ledger.events.invoice import InvoiceLine

# A rule's version rises when what it posts changes; entries already posted keep the version of their day.
RULE_VERSIONS: Final[Mapping[str, int]] = {
    "invoice_finalized": 1,
    "invoice_voided": 1,
    "payment_received": 1,
    "customer_balance_applied": 1,
}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What every entry says of the fact behind it; `economic_object` and `kind` are posted once, for ever."""

    book: UUID
    functional_currency: str
    accounting_date: date
    economic_object: str
    kind: str
    account: str | None
    currency: str
    description: str
    invoice: str | None = None
    billing_entity: str | None = None


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a line brings: its amount net of discounts and inclusive tax, and the tax of one jurisdiction."""

    line: str | None
    product: str | None
    revenue_account: str
    deferred: bool
    net: int
    tax: int
    tax_jurisdiction: str | None = None


def shares_of(lines: Sequence[InvoiceLine]) -> list[Share]:
    """Split an invoice's lines into revenue (deferred while there is a service period) and tax."""
    return [share for line in lines for share in _shares_of_line(line)]


def _shares_of_line(line: InvoiceLine) -> list[Share]:
    """Give a line's revenue with the tax of its first jurisdiction, then the tax of each other one."""
    discounts = sum(discount.amount for discount in line.discounts)
    inclusive = sum(tax.amount for tax in line.taxes if tax.behaviour == "inclusive")
    taxes: dict[str | None, int] = {}
    for tax in line.taxes:
        taxes[tax.jurisdiction] = taxes.get(tax.jurisdiction, 0) + tax.amount
    first, *others = taxes.items() or [(None, 0)]
    whole = Share(
        line=line.line,
        product=line.product,
        revenue_account=line.revenue_account,
        deferred=line.service_from is not None,
        net=line.amount - discounts - inclusive,
        tax=first[1],
        tax_jurisdiction=first[0],
    )
    rest = [replace(whole, net=0, tax=amount, tax_jurisdiction=place) for place, amount in others]
    return [whole, *rest]


def invoice_finalized(
    fact: Fact, shares: Sequence[Share], total: int, prepaid_credits: int = 0
) -> JournalEntryPosted | None:
    """Dr receivable; Cr deferred revenue (revenue, without a service period) and tax payable, line by line.

    A negative total owes the customer: Cr customer credit in the receivable's place. Prepaid credits used are
    taken off what was owed to the customer. What the lines do not explain (a processor's page of lines that
    is not the last) waits in suspense, so that the receivable is right all the same.
    """
    explained = sum(share.net + share.tax for share in shares)
    counterpart = "receivable" if total >= 0 else "customer_credit"
    postings = [
        _posting(fact, counterpart, total),
        _posting(fact, "prepaid_credits", prepaid_credits),
        _posting(fact, "suspense", explained - total - prepaid_credits),
    ]
    for share in shares:
        earned = "deferred_revenue" if share.deferred else share.revenue_account
        postings.append(_of_share(_posting(fact, earned, -share.net), share))
        postings.append(_of_share(_posting(fact, "tax_payable", -share.tax), share))
    return _entry(fact, "invoice_finalized", postings)


def invoice_voided(
    fact: Fact, shares: Sequence[Share], total: int, prepaid_credits: int = 0
) -> JournalEntryPosted | None:
    """Take an unpaid invoice back: deferred off deferred revenue, what was earned to voids, tax off tax."""
    explained = sum(share.net + share.tax for share in shares)
    counterpart = "receivable" if total >= 0 else "customer_credit"
    postings = [
        _posting(fact, counterpart, -total),
        _posting(fact, "prepaid_credits", -prepaid_credits),
        _posting(fact, "suspense", total + prepaid_credits - explained),
    ]
    for share in shares:
        taken_back = "deferred_revenue" if share.deferred else "voids"
        postings.append(_of_share(_posting(fact, taken_back, share.net), share))
        postings.append(_of_share(_posting(fact, "tax_payable", share.tax), share))
    return _entry(fact, "invoice_voided", postings)


def payment_received(fact: Fact, amount: int, *, through_processor: bool) -> JournalEntryPosted | None:
    """Dr pending cash (external asset, outside the processor); Cr receivable, or suspense for nobody known.

    Cash itself moves with settlement, by balance transactions.
    """
    asset = "pending_cash" if through_processor else "external_asset"
    settles = "receivable" if fact.account is not None else "suspense"
    return _entry(fact, "payment_received", [_posting(fact, asset, amount), _posting(fact, settles, -amount)])


def customer_balance_applied(fact: Fact, credit_used: int) -> JournalEntryPosted | None:
    """Dr customer credit; Cr receivable: credit settles part of an invoice (negative: a debt joins it)."""
    postings = [_posting(fact, "customer_credit", credit_used), _posting(fact, "receivable", -credit_used)]
    return _entry(fact, "customer_balance_applied", postings)


def _posting(fact: Fact, code: str, debit_amount: int) -> Posting:
    """Make a posting; a negative debit is a credit."""
    ledger_account(code)
    same = fact.currency == fact.functional_currency
    return Posting(
        ledger_account=code,
        side="debit" if debit_amount >= 0 else "credit",
        amount=abs(debit_amount),
        currency=fact.currency,
        functional_amount=abs(debit_amount) if same else None,
        functional_currency=fact.functional_currency,
        account=fact.account,
        invoice=fact.invoice,
        billing_entity=fact.billing_entity,
        source_object=fact.economic_object,
    )


def _of_share(posting: Posting, share: Share) -> Posting:
    return replace(posting, line=share.line, product=share.product, tax_jurisdiction=share.tax_jurisdiction)


def _entry(fact: Fact, rule: str, postings: Sequence[Posting]) -> JournalEntryPosted | None:
    """Make the entry, or none when nothing moves; an unbalanced one is a defect, here and in the database."""
    moving = tuple(posting for posting in postings if posting.amount)
    if not moving:
        return None
    assert is_balanced(moving), f"{rule} of {fact.economic_object} does not balance"
    return JournalEntryPosted(
        entry=journal_entry_id(fact.book, fact.economic_object, fact.kind),
        accounting_date=fact.accounting_date,
        economic_object=fact.economic_object,
        kind=fact.kind,
        rule=rule,
        rule_version=RULE_VERSIONS[rule],
        postings=moving,
        description=fact.description,
        account=fact.account,
    )


def is_balanced(postings: Sequence[Posting]) -> bool:
    """Say whether debits equal credits in every currency, and in the functional one where it is known."""
    sums: dict[tuple[str, str], int] = {}
    for posting in postings:
        sign = 1 if posting.side == "debit" else -1
        own = ("own", posting.currency)
        sums[own] = sums.get(own, 0) + sign * posting.amount
        if posting.functional_amount is not None:
            functional = ("functional", posting.functional_currency)
            sums[functional] = sums.get(functional, 0) + sign * posting.functional_amount
    return not any(sums.values())
