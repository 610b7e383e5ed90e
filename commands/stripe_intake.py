"""Keeping what Stripe delivers: once per endpoint, connected account and event id, whatever it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from ledger.errors import NotFound, VersionConflict
from ledger.events.stripe import StripeEventReceived
from ledger.identifiers import derive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from commands.context import Context
    from ledger.store import Extra


@dataclass
class _Witness:
    """Sees whether the append was this command's own: another delivery of the event has the same cause."""

    extra: Extra | None
    stored: bool = False

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim what the caller claims."""
        self.stored = False
        if self.extra is not None:
            self.extra.before(cursor)

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Write what the caller writes, and note that the rows went in."""
        if self.extra is not None:
            self.extra.after(cursor, positions)
        self.stored = True


def keep_event(context: Context, delivery: StripeEventReceived, occurred_at: datetime) -> Done[bool]:
    """Append a delivery and say whether it was new.

    Another delivery with a known id and other facts is kept beside the first as a variant, and takes effect
    too: effects are keyed by Stripe's objects, so nothing is lost and nothing is counted twice.
    What the context has to commit goes with a new delivery; a known one appends nothing, and commits nothing.
    """
    while True:
        stream, kept = derive("stripe-event", *_identity(context.book, delivery)), delivery
        known = context.log.load(context.book, stream)
        if known and not _same_facts(known[0].event, delivery):
            variant = (*_identity(context.book, delivery), delivery.digest)
            stream, kept = derive("stripe-event-variant", *variant), replace(delivery, variant=True)
            known = context.log.load(context.book, stream)
        if known:
            return Done(result=False, position=known[0].position)
        position = _append(context, stream, kept, occurred_at)
        if position is not None:
            return Done(result=True, position=position)
        # Two deliveries at once, and the other one was first: compare with what is there now.


def _append(
    context: Context, stream: UUID, delivery: StripeEventReceived, occurred_at: datetime
) -> int | None:
    """Append the delivery and give its position, or nothing when another one took its place."""
    witness = _Witness(context.extra_for(True))  # noqa: FBT003 - the result: it is new

    def decide(unit: Unit) -> None:
        unit.add_first(stream, delivery, occurred_at)

    try:
        done = execute(replace(context, extra_for=lambda _: witness), decide, expected=True)
    except VersionConflict:
        return None
    except NotFound:
        if delivery.customer is None:
            raise
        # The customer was forgotten: nothing more is sealed under its key, but what it pays must not be lost.
        return _append(context, stream, replace(delivery, customer=None), occurred_at)
    return done.position if witness.stored else None


def _same_facts(first: object, delivery: StripeEventReceived) -> bool:
    assert isinstance(first, StripeEventReceived), "a delivery's stream holds a delivery"
    return first.digest == delivery.digest


def _identity(book: UUID, delivery: StripeEventReceived) -> tuple[bytes, str, str, str, str]:
    mode = "live" if delivery.livemode else "test"
    return book.bytes, delivery.endpoint, mode, delivery.stripe_account, delivery.event_id
