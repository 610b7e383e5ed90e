"""Billing what came late, or was corrected, of a subscription that has ended: no next invoice takes it in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from commands.billing import issue
from commands.context import Done, Unit, execute
from commands.invoicing import load_book
from commands.streams import account_stream, stream_or_not_found
from commands.subscriptions import Billed
from ledger.identifiers import stream_of
from ledger.streams import account as accounts
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams.invoice import Header

if TYPE_CHECKING:
    from uuid import UUID

    from commands.context import Context
    from ledger.streams.subscription import Subscription

LATE: Final = "late_usage"


def bill_late_usage(context: Context, subscription: str) -> Done[Billed]:
    """Bill now what changed of an ended subscription's usage since it was billed; nothing if nothing did."""
    stream = stream_or_not_found("sub", subscription)
    return execute(context, lambda unit: bill_late(unit, stream))


def bill_late(unit: Unit, stream: UUID) -> Billed:
    """Do so within a unit."""
    loaded = unit.load(subscriptions.evolve, stream)
    state = subscriptions.require(loaded.state)
    if not awaits_nothing(unit, state):
        return Billed(loaded, None)
    account = accounts.require(unit.load(accounts.evolve, account_stream(state.account)).state)
    # One for each time that usage is billed, so that two who do so at once issue the same invoice.
    billed_at = max(one.through_position for one in state.usage)
    assert state.ended_at is not None, "it has ended"
    header = Header.of(state, f"{LATE}:{billed_at}", state.ended_at)
    return Billed(*issue(unit, stream, loaded, account, load_book(unit), header, at=unit.context.now))


def awaits_nothing(unit: Unit, state: Subscription) -> bool:
    """Say whether a subscription has ended, and what was billed of its usage last is final."""
    if state.status != "cancelled" or not state.usage:
        return False
    if state.metered_invoice is None:
        return True
    loaded = unit.load(invoices.evolve, stream_of("inv", state.metered_invoice))
    return invoices.require(loaded.state).status != "draft"
