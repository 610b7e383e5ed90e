"""Drawing prepaid grants down: how much of each settles an invoice, each within the lines that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.events.credit import CreditScope
    from ledger.events.invoice import InvoiceLine


@dataclass(frozen=True)
class Purse:
    """What there is to draw of a grant, in minor units, and what it is for."""

    grant: str
    balance: int
    scope: CreditScope


@dataclass(frozen=True)
class Draw:
    """So much of a grant settles the invoice."""

    grant: str
    amount: int


def draw_down(lines: Sequence[InvoiceLine], purses: Sequence[Purse]) -> list[Draw]:
    """Draw purses in their order: each as much as is in it and as its lines, and all lines, still ask for.

    Lines ask for what they come to net of discounts, with their tax; credits among them ask for less. So that
    a purse leaves to the narrower ones after it what only they can settle, it settles first what the fewest
    of them can.
    """
    left = [asked_of(line) for line in lines]
    reach = [[is_for(purse.scope, line) for line in lines] for purse in purses]
    draws = []
    for number, purse in enumerate(purses):
        mine = [index for index, reached in enumerate(reach[number]) if reached]
        amount = max(0, min(purse.balance, sum(left), sum(left[index] for index in mine)))
        if amount:
            draws.append(Draw(purse.grant, amount))
            after = reach[number + 1 :]
            mine.sort(key=lambda index: sum(later[index] for later in after))
            _take(left, mine, amount)
    return draws


def asked_of(line: InvoiceLine) -> int:
    """Say what a line comes to for whoever pays it: net of discounts, with its taxes."""
    discounts = sum(share.amount for share in line.discounts)
    return line.amount - discounts + sum(tax.amount for tax in line.taxes if tax.behaviour == "exclusive")


def is_for(scope: CreditScope, line: InvoiceLine) -> bool:
    """Say whether a grant of this scope may settle a line."""
    if scope.plans and line.plan not in scope.plans:
        return False
    return not scope.meters or (line.usage is not None and line.usage.meter in scope.meters)


def _take(left: list[int], order: Sequence[int], amount: int) -> None:
    """Take an amount off what lines still ask for, in an order."""
    for index in order:
        taken = min(amount, max(0, left[index]))
        left[index] -= taken
        amount -= taken
    assert not amount, "lines ask for at least what they sum to"
