"""Usage that came late and lowers what was invoiced: a credit note instead of a line, if the policy says so.

What raises it is a line of the next invoice under either policy: that is issued in the same moment. The
minimum of a charge is looked at with its usage: what one gives back and the other asks for is one difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ledger.crediting import left_of, of_usage, price_left
from ledger.streams.credit_note import is_creditable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ledger.events.invoice import InvoiceLine
    from ledger.streams.invoice import Invoice

# The item, the charge, and when the stretch of time began.
Key: TypeAlias = "tuple[str, str, datetime]"


@dataclass(frozen=True)
class LateCredit:
    """So much of what a charge of a stretch was invoiced at is given back, on invoices in this order."""

    item: str
    charge: str
    service_from: datetime
    amounts: Mapping[str, int] = field(default_factory=dict)


def without_late_credits(
    lines: Sequence[InvoiceLine], invoiced_on: Mapping[Key, Sequence[Invoice]]
) -> tuple[list[InvoiceLine], list[LateCredit]]:
    """Take out of the lines what lowers an invoiced amount, and can be given back on the invoices it is on.

    What nothing is left of to give back was given back by hand. What is on a draft, or on an invoice that was
    taken back or given up, stays a line.
    """
    late: dict[Key, list[InvoiceLine]] = {}
    for line in lines:
        key = _late_key(line)
        if key is not None:
            late.setdefault(key, []).append(line)
    found: list[LateCredit] = []
    for key, of_key in late.items():
        amount = -sum(line.amount for line in of_key)
        on = [one for one in invoiced_on.get(key, ()) if _can_be_credited(one)]
        if amount > 0 and on:
            found.append(LateCredit(*key, amounts=_spread(key, amount, on)))
    taken_out = {(one.item, one.charge, one.service_from) for one in found}
    return [line for line in lines if _late_key(line) not in taken_out], found


def _late_key(line: InvoiceLine) -> Key | None:
    if line.usage is None or line.adjusts_line is None or line.subscription_item is None:
        return None
    if line.service_from is None:
        return None
    return line.subscription_item, line.usage.charge, line.service_from


def _can_be_credited(invoice: Invoice) -> bool:
    """Say whether any of its lines may be given back: with credits among them, it may have asked for less."""
    return is_creditable(invoice) and all(one.total >= 0 for one in left_of(invoice))


def _spread(key: Key, amount: int, invoices: Iterable[Invoice]) -> dict[str, int]:
    """Take an amount off invoices, the newest first, as far as there is something left on each."""
    amounts = {}
    for invoice in invoices:
        taken = min(amount, price_left(of_usage(left_of(invoice), *key)))
        if taken > 0:
            amounts[invoice.draft.invoice] = taken
            amount -= taken
    return amounts
