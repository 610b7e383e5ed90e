"""Previews: what a change would do, what the next invoice would be; nothing is appended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from commands.context import Unit
from commands.streams import stream_or_not_found
from commands.subscriptions import Billed, advance, change
from ledger.events.subscription import ProrationAdded
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams.invoice import Invoice
from ledger.streams.subscribing import due_at

if TYPE_CHECKING:
    from datetime import datetime

    from commands.context import Context
    from commands.subscriptions import Wish
    from ledger.streams.base import Stream
    from ledger.streams.subscription import Subscription


@dataclass(frozen=True)
class PreviewedChange:
    """What a change would do: its prorations, and the subscription and invoice as they would be."""

    prorations: tuple[ProrationAdded, ...]
    billed: Billed


@dataclass(frozen=True)
class UpcomingInvoice:
    """The next invoice of a subscription, when it is due, and the subscription as it stands."""

    subscription: Stream[Subscription]
    due_at: datetime
    invoice: Stream[Invoice] | None


def preview_change(context: Context, subscription: str, wish: Wish) -> PreviewedChange:
    """Work out what a change made now would credit and charge, and what would bill it."""
    stream = stream_or_not_found("sub", subscription)
    unit = Unit(context)
    billed = change(unit, stream, wish)
    added = tuple(new.event for new in unit.events if isinstance(new.event, ProrationAdded))
    return PreviewedChange(added, billed)


def upcoming_of(context: Context, subscription: str) -> UpcomingInvoice | None:
    """Work out the next invoice of a subscription by what is known now, as if its time had come."""
    stream = stream_or_not_found("sub", subscription)
    loaded = Unit(context).load(subscriptions.evolve, stream)
    due = due_at(subscriptions.require(loaded.state))
    if due is None:
        return None
    then = replace(context, now=max(due, context.now))
    billed = advance(Unit(then), stream)
    return UpcomingInvoice(loaded, due, None if billed.invoice is None else _as_draft(billed.invoice))


def _as_draft(invoice: Stream[Invoice]) -> Stream[Invoice]:
    """Show an invoice that is not issued as the draft it is: it has no number yet."""
    return replace(invoice, state=Invoice(draft=invoices.require(invoice.state).draft))
