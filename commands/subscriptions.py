"""Commands on subscriptions: subscribe, change plan, cancel, renew; a period's invoice is issued as it opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from commands.invoicing import add_finalized, load_book
from commands.streams import account_stream, new_id, stream_or_not_found
from ledger.events.subscription import SubscriptionBilled
from ledger.identifiers import stream_of
from ledger.streams import account as accounts
from ledger.streams import invoice as invoices
from ledger.streams import plan as plans
from ledger.streams import subscription as subscriptions
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from uuid import UUID

    from commands.context import Context
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice
    from ledger.streams.plan import Plan
    from ledger.streams.subscription import Subscription


@dataclass(frozen=True)
class Billed:
    """A subscription and the invoice issued for the period it opened, if it opened one."""

    subscription: Stream[Subscription]
    invoice: Stream[Invoice] | None


def subscribe(context: Context, account: str, plan: str) -> Done[Billed]:
    """Subscribe an open account to a plan on sale and issue the first period's invoice."""
    subscription = new_id(context, "sub")
    stream = stream_of("sub", subscription)

    def decide(unit: Unit) -> Billed:
        owner = unit.load(accounts.evolve, account_stream(account))
        state = accounts.require_open(owner.state)
        offered = unit.load(plans.evolve, stream_or_not_found("plan", plan))
        wanted = plans.require_on_sale(offered.state)
        unit.guard(account_stream(account), owner.version)
        unit.guard(stream_of("plan", wanted.plan), offered.version)
        book = load_book(unit)
        events = subscriptions.subscribe(subscription, state, wanted, book, context.now)
        started = unit.add(stream, Stream(), subscriptions.evolve, events)
        return _bill(unit, stream, started, state, wanted, book)

    return execute(context, decide)


def change_plan(context: Context, subscription: str, plan: str, *, at_period_end: bool = False) -> Done[Billed]:
    """Move a subscription to another plan; the prorations of a change now wait for the next invoice."""
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        state = subscriptions.require_changeable(loaded.state)
        offered = unit.load(plans.evolve, stream_or_not_found("plan", plan))
        wanted = plans.require_on_sale(offered.state)
        unit.guard(stream_of("plan", wanted.plan), offered.version)
        events = subscriptions.change_plan(
            loaded.state,
            _load_plan(unit, state.plan),
            wanted,
            load_book(unit),
            context.now,
            at_period_end=at_period_end,
        )
        return Billed(unit.add(stream, loaded, subscriptions.evolve, events), None)

    return execute(context, decide)


def cancel_subscription(context: Context, subscription: str, *, at_period_end: bool = True) -> Done[Billed]:
    """End a subscription with its present period, or now."""
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        events = subscriptions.cancel(loaded.state, context.now, at_period_end=at_period_end)
        return Billed(unit.add(stream, loaded, subscriptions.evolve, events), None)

    return execute(context, decide)


def renew_subscription(context: Context, subscription: str) -> Done[Billed]:
    """Open the next period and issue its invoice, or end the subscription where it was to end.

    What is written happened when the period ended, however late this runs.
    """
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        state = subscriptions.require(loaded.state)
        plan = _load_plan(unit, state.next_plan or state.plan)
        book = load_book(unit)
        events = subscriptions.renew(loaded.state, plan, book, context.now)
        assert state.period is not None, "a subscription opens its first period when it starts"
        renewed = unit.add(stream, loaded, subscriptions.evolve, events, state.period.ends_at)
        if subscriptions.require(renewed.state).status == "cancelled":
            return Billed(renewed, None)
        owner = accounts.require(unit.load(accounts.evolve, account_stream(state.account)).state)
        return _bill(unit, stream, renewed, owner, plan, book)

    return execute(context, decide)


def _bill(  # noqa: PLR0913 - what an invoice is a function of
    unit: Unit, stream: UUID, loaded: Stream[Subscription], account: Account, plan: Plan, book: Book
) -> Billed:
    """Draft and finalize the invoice of the period just opened."""
    state = subscriptions.require(loaded.state)
    assert state.period is not None, "a period was just opened"
    names = {pending.plan: _load_plan(unit, pending.plan).name for pending in state.pending}
    draft = invoices.draft_period(account, state, plan, names, unit.context.log.head())
    due_at = state.period.starts_at
    drafted = unit.add(stream_of("inv", draft.invoice), Stream(), invoices.evolve, [draft], due_at)
    issued = add_finalized(unit, drafted, account, book, due_at)
    billed = SubscriptionBilled(
        subscription=state.subscription,
        account=state.account,
        invoice=draft.invoice,
        billed_through=state.period.ends_at,
        prorations_through=state.prorations,
        fee_line=draft.lines[0].line,
    )
    return Billed(unit.add(stream, loaded, subscriptions.evolve, [billed], due_at), issued)


def _load_plan(unit: Unit, plan: str) -> Plan:
    return plans.require(unit.load(plans.evolve, stream_of("plan", plan)).state)
