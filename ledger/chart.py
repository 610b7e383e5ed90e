"""The chart of accounts a new book starts with: every ledger account's code, category and normal side.

Codes are permanent, since postings in the log carry them. A book may extend its chart by events; these
defaults stay. Revenue is one ledger account: its product is a dimension of the posting.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ledger.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

Side: TypeAlias = Literal["debit", "credit"]
Category: TypeAlias = Literal[
    "asset", "liability", "equity", "revenue", "contra_revenue", "other_income", "expense"
]

NORMAL_SIDES: Final[Mapping[Category, Side]] = MappingProxyType(
    {
        "asset": "debit",
        "liability": "credit",
        "equity": "credit",
        "revenue": "credit",
        "contra_revenue": "debit",
        "other_income": "credit",
        "expense": "debit",
    },
)

# Code, category, and what a balance on the normal side means to the reader of a trial balance.
_DEFAULTS: Final[tuple[tuple[str, Category, str], ...]] = (
    ("receivable", "asset", "what customers owe on invoices issued"),
    ("unbilled_receivable", "asset", "revenue earned that no invoice asks for yet"),
    ("pending_cash", "asset", "payments begun that the processor has not settled"),
    ("cash_at_processor", "asset", "our balance at the payment processor"),
    ("bank", "asset", "our balance at the bank"),
    ("external_asset", "asset", "payments received outside the processor"),
    ("deferred_revenue", "liability", "invoiced but not yet earned"),
    ("tax_payable", "liability", "tax invoiced on behalf of tax authorities"),
    ("customer_credit", "liability", "credit customers hold against later invoices"),
    ("external_customer_credit", "liability", "credit given back to customers outside the processor"),
    ("prepaid_credits", "liability", "credits sold and not yet drawn down"),
    ("suspense", "liability", "money received whose reason is not yet known"),
    ("retained_earnings", "equity", "the income of the years closed"),
    ("revenue", "revenue", "earned from customers"),
    ("breakage_revenue", "revenue", "prepaid credits that expired unused"),
    ("refunds", "contra_revenue", "earned revenue paid back"),
    ("credit_notes", "contra_revenue", "earned revenue taken back by credit note"),
    ("voids", "contra_revenue", "earned revenue on invoices made void"),
    ("unbilled_voids", "contra_revenue", "earned revenue that will never be invoiced"),
    ("disputes", "contra_revenue", "earned revenue withdrawn by disputes"),
    ("bad_debt", "contra_revenue", "earned revenue on invoices held uncollectible"),
    ("balance_adjustments", "contra_revenue", "credit granted to customers without an invoice"),
    ("recoverables", "other_income", "money recovered after it was written off or lost"),
    ("fx_gain", "other_income", "gained on exchange rates"),
    ("fx_loss", "expense", "lost on exchange rates"),
    ("processor_fees", "expense", "fees the processor kept"),
    ("pass_through_fees", "expense", "network fees the processor passed on"),
    ("dispute_fees", "expense", "fees for disputes"),
    ("transfer_loss", "expense", "lost on transfers between our own accounts"),
    ("other_loss", "expense", "losses that fit nowhere else"),
)


class UnknownLedgerAccount(Invalid):
    """The chart of accounts has no ledger account of this code."""

    code = "unknown_ledger_account"


@dataclass(frozen=True)
class LedgerAccount:
    """A line of the chart of accounts; its balance is positive when its normal side outweighs the other."""

    code: str
    category: Category
    normal_side: Side
    meaning: str


DEFAULT_CHART: Final[Mapping[str, LedgerAccount]] = MappingProxyType(
    {
        code: LedgerAccount(code, category, NORMAL_SIDES[category], meaning)
        for code, category, meaning in _DEFAULTS
    },
)


def ledger_account(code: str, chart: Mapping[str, LedgerAccount] = DEFAULT_CHART) -> LedgerAccount:
    """Look a ledger account up by its code."""
    account = chart.get(code)
    if account is None:
        reason = f"{code[:64]!r} is not in the chart of accounts"
        raise UnknownLedgerAccount(f"ledger account: {reason}", {"ledger_account": [reason]})
    return account


def natural_balance(account: LedgerAccount, debits_minor: int, credits_minor: int) -> int:
    """Give a balance as a reader expects it: positive on the ledger account's normal side."""
    raised_by_debit = account.normal_side == "debit"
    return debits_minor - credits_minor if raised_by_debit else credits_minor - debits_minor
