"""What lines of other invoices credited of an invoice, so that no credit note gives it back a second time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.crediting import Credit, credited_by
from ledger.events.subscription import SubscriptionBilled
from ledger.identifiers import stream_of
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams.base import fold
from ledger.streams.subscription import CREDIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from commands.context import Unit
    from ledger.events.invoice import InvoiceLine
    from ledger.streams.invoice import Invoice


def credited_by_lines(unit: Unit, invoice: Invoice) -> dict[str, int]:
    """Say how much of the price of each line was credited by a line, or will be by one that waits.

    The subscription, which would bring about another such line, stays as it is until the append.
    """
    if invoice.draft.subscription is None:
        return {}
    stream = stream_of("sub", invoice.draft.subscription)
    state = fold(subscriptions.evolve, unit.recorded(stream))
    unit.guard(stream, state.version)
    waiting = [
        Credit(one.adjusts_line, -one.amount)
        for one in subscriptions.require(state.state).pending
        if one.kind == CREDIT and one.adjusts_line is not None
    ]
    others = _others(unit, stream, invoice.draft.invoice)
    return credited_by(invoice, [*waiting, *(one for other in others for one in _credits(other))])


def _others(unit: Unit, stream: UUID, invoice: str) -> list[Invoice]:
    """Read the subscription's other invoices that stand, drafts included."""
    billed = [one.event for one in unit.recorded(stream) if isinstance(one.event, SubscriptionBilled)]
    names = dict.fromkeys(one.invoice for one in billed if one.invoice is not None)
    streams = [stream_of("inv", name) for name in names if name != invoice]
    unit.prefetch(streams)
    loaded = [invoices.require(unit.load(invoices.evolve, one).state) for one in streams]
    return [one for one in loaded if one.status != "void"]


def _credits(invoice: Invoice) -> Iterator[Credit]:
    for line in invoice.draft.lines:
        if line.amount < 0 and line.adjusts_line is not None:
            yield Credit(line.adjusts_line, -line.amount, _usage(line))


def _usage(line: InvoiceLine) -> tuple[str, str, datetime] | None:
    if line.usage is None or line.subscription_item is None or line.service_from is None:
        return None
    return line.subscription_item, line.usage.charge, line.service_from
