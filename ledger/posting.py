"""Posting rules: from an economic fact to a balanced journal entry; one function a fact, one version each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ledger.chart import ledger_account
from ledger.events.journal import JournalEntryPosted, Posting
from ledger.identifiers import journal_entry_id
from ledger.money import round_half_away

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from uuid import UUID

    from ledger.crediting import Left
    from ledger.events.credit_note import CreditNoteLine
    from ledger.events.invoice import InvoiceLine

# A rule's version rises when what it posts changes; entries already posted keep the version of their day.
RULE_VERSIONS: Final[Mapping[str, int]] = {
    "invoice_finalized": 1,
    "invoice_voided": 1,
    "invoice_credited": 1,
    "invoice_uncollectible": 1,
    "invoice_write_off_reversed": 1,
    "payment_received": 1,
    "payment_recovered": 1,
    "customer_balance_applied": 1,
    "account_credited": 1,
    "prepaid_credit_granted": 1,
    "prepaid_credit_applied": 1,
    "prepaid_credit_expired": 1,
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
    taxes = [(tax.jurisdiction, tax.amount) for tax in line.taxes]
    return _shares(line, line.line, line.amount - discounts - inclusive, taxes)


def shares_of_credit(lines: Sequence[CreditNoteLine]) -> list[Share]:
    """Split a credit note's lines as those of the invoice that they give back."""
    return [
        share
        for line in lines
        for share in _shares(
            line, line.invoice_line, line.net, [(tax.jurisdiction, tax.amount) for tax in line.taxes]
        )
    ]


def shares_left(left: Sequence[Left]) -> list[Share]:
    """Split what credit notes have left of an invoice's lines."""
    return [
        share
        for one in left
        for share in _shares(
            one.line,
            one.line.line,
            one.net,
            [(tax.jurisdiction, amount) for tax, amount in zip(one.line.taxes, one.taxes, strict=True)],
        )
    ]


def _shares(
    line: InvoiceLine | CreditNoteLine, name: str, net: int, taxes: Sequence[tuple[str, int]]
) -> list[Share]:
    by_place: dict[str | None, int] = {}
    for place, amount in taxes:
        by_place[place] = by_place.get(place, 0) + amount
    first, *others = by_place.items() or [(None, 0)]
    whole = Share(
        line=name,
        product=line.product,
        revenue_account=line.revenue_account,
        deferred=line.service_from is not None,
        net=net,
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
    return _entry(fact, "invoice_voided", [*postings, *_taken_back(fact, shares, "voids")])


def invoice_credited(
    fact: Fact, shares: Sequence[Share], applied: int, credited: int
) -> JournalEntryPosted | None:
    """Give part of an invoice back: deferred off deferred revenue, earned to credit notes, tax off tax.

    Cr receivable, as far as the invoice still asked for something; Cr customer credit for the rest.
    """
    postings = _taken_back(fact, shares, "credit_notes")
    postings += [_posting(fact, "receivable", -applied), _posting(fact, "customer_credit", -credited)]
    return _entry(fact, "invoice_credited", postings)


def invoice_uncollectible(fact: Fact, shares: Sequence[Share], amount: int) -> JournalEntryPosted | None:
    """Give up what an invoice still asks for: of each share its part; Cr receivable.

    Dr bad debt for what was earned, deferred revenue for what was not, tax payable.
    """
    postings = [
        *_taken_back(fact, parts_of(shares, amount), "bad_debt"),
        _posting(fact, "receivable", -amount),
    ]
    return _entry(fact, "invoice_uncollectible", postings)


def invoice_write_off_reversed(fact: Fact, shares: Sequence[Share], amount: int) -> JournalEntryPosted | None:
    """Undo that an invoice was given up, share by share, because it is now made void."""
    undone = [replace(one, net=-one.net, tax=-one.tax) for one in parts_of(shares, amount)]
    postings = [*_taken_back(fact, undone, "bad_debt"), _posting(fact, "receivable", amount)]
    return _entry(fact, "invoice_write_off_reversed", postings)


def bad_debt_in(shares: Sequence[Share], amount: int) -> int:
    """Say how much of what is given up was earned."""
    return sum(one.net for one in parts_of(shares, amount) if not one.deferred)


def parts_of(shares: Sequence[Share], amount: int) -> list[Share]:
    """Split an amount among shares in proportion, by its running sum, so that the parts add up to it."""
    whole = sum(share.net + share.tax for share in shares)
    so_far = 0

    def part(weight: int) -> int:
        nonlocal so_far
        before, so_far = so_far, so_far + weight
        return round_half_away(Fraction(amount * so_far, whole)) - round_half_away(
            Fraction(amount * before, whole)
        )

    return [replace(share, net=part(share.net), tax=part(share.tax)) for share in shares]


def _taken_back(fact: Fact, shares: Sequence[Share], earned: str) -> list[Posting]:
    """Debit each share: deferred off deferred revenue, what was earned to a contra account, tax off tax."""
    postings = []
    for share in shares:
        taken_back = "deferred_revenue" if share.deferred else earned
        postings.append(_of_share(_posting(fact, taken_back, share.net), share))
        postings.append(_of_share(_posting(fact, "tax_payable", share.tax), share))
    return postings


def payment_recovered(
    fact: Fact, amount: int, bad_debt: int, *, through_processor: bool
) -> JournalEntryPosted | None:
    """Dr what paid; Cr bad debt as far as it was given up and earned, Cr recoverables: it came after all."""
    asset = "pending_cash" if through_processor else "external_asset"
    postings = [
        _posting(fact, asset, amount),
        _posting(fact, "bad_debt", -bad_debt),
        _posting(fact, "recoverables", bad_debt - amount),
    ]
    return _entry(fact, "payment_recovered", postings)


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


def account_credited(fact: Fact, amount: int) -> JournalEntryPosted | None:
    """Dr balance adjustments; Cr customer credit: credit by hand is less revenue (negative: taken back)."""
    postings = [_posting(fact, "balance_adjustments", amount), _posting(fact, "customer_credit", -amount)]
    return _entry(fact, "account_credited", postings)


def prepaid_credit_granted(fact: Fact, amount: int, method: str) -> JournalEntryPosted | None:
    """Dr what paid for a grant; Cr prepaid credits (negative: the grant is taken back).

    What paid is pending cash where a processor collected it, the receivable where the customer owes it or its
    payment was told by itself, and an external asset else.
    """
    paid_by = {"stripe": "pending_cash", "on_account": "receivable"}.get(method, "external_asset")
    postings = [_posting(fact, paid_by, amount), _posting(fact, "prepaid_credits", -amount)]
    return _entry(fact, "prepaid_credit_granted", postings)


def prepaid_credit_applied(fact: Fact, amount: int, *, paid: bool) -> JournalEntryPosted | None:
    """Dr prepaid credits; Cr receivable: a grant settles part of an invoice (negative: it comes back).

    Nobody paid for a promotional grant: nothing was owed for it, and what it settles is less revenue.
    """
    drawn = "prepaid_credits" if paid else "balance_adjustments"
    postings = [_posting(fact, drawn, amount), _posting(fact, "receivable", -amount)]
    return _entry(fact, "prepaid_credit_applied", postings)


def prepaid_credit_expired(fact: Fact, amount: int) -> JournalEntryPosted | None:
    """Dr prepaid credits; Cr breakage revenue: what was paid for and will never be used is earned."""
    postings = [_posting(fact, "prepaid_credits", amount), _posting(fact, "breakage_revenue", -amount)]
    return _entry(fact, "prepaid_credit_expired", postings)


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
