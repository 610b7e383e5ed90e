"""Keeping what Stripe delivers: once per endpoint, connected account and event id, whatever it says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from ledger.errors import VersionConflict
from ledger.events.stripe import StripeEventReceived
from ledger.identifiers import derive

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context


def keep_event(context: Context, delivery: StripeEventReceived, occurred_at: datetime) -> Done[bool]:
    """Append a delivery and say whether it was new.

    Another delivery with a known id and other facts is kept beside the first as a variant, and takes effect too:
    effects are keyed by Stripe's objects, so nothing is lost and nothing is counted twice.
    """
    stream = derive("stripe-event", *_identity(context.book, delivery))
    known = context.log.load(context.book, stream)
    if known:
        first = known[0].event
        assert isinstance(first, StripeEventReceived)
        if first.digest == delivery.digest:
            return Done(result=False, position=known[0].position)
        stream = derive("stripe-event-variant", *_identity(context.book, delivery), delivery.digest)
        delivery = replace(delivery, variant=True)
        variants = context.log.load(context.book, stream)
        if variants:
            return Done(result=False, position=variants[0].position)

    def decide(unit: Unit) -> bool:
        unit.add_first(stream, delivery, occurred_at)
        return True

    try:
        return execute(context, decide, expected=True)
    except VersionConflict:
        # Two deliveries at once: the other one stored it; compare again with what is there now.
        return keep_event(context, replace(delivery, variant=False), occurred_at)


def _identity(book: UUID, delivery: StripeEventReceived) -> tuple[bytes, str, str, str, str]:
    mode = "live" if delivery.livemode else "test"
    return book.bytes, delivery.endpoint, mode, delivery.stripe_account, delivery.event_id
