"""Commands on subscriptions: subscribe, change plan, cancel, renew; a period's invoice comes as it opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands.chosen import execute_chosen
from commands.context import Done, Unit, execute
from commands.invoicing import add_finalized, load_book
from commands.streams import account_stream, new_id, stream_or_not_found
from ledger.events.subscription import SubscriptionBilled
from ledger.identifiers import stream_of
from ledger.streams import account as accounts
from ledger.streams import invoice as invoices
from ledger.streams import plan as plans
from ledger.streams import plan_change as plan_changes
from ledger.streams import subscription as subscriptions
from ledger.streams.base import Stream

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.events.invoice import InvoiceDrafted
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


def subscribe(context: Context, account: str, plan: str, chosen: str | None = None) -> Done[Billed]:
    """Subscribe an open account to a plan on sale and issue the first period's invoice.

    The subscription has a new id, or the one that was chosen for it.
    """
    subscription = chosen or new_id(context, "sub")
    stream = stream_of("sub", subscription)

    def decide(unit: Unit) -> Billed:
        owner = _open_account(unit, account)
        wanted = _plan_on_sale(unit, plan)
        book = load_book(unit)
        events = subscriptions.subscribe(subscription, owner, wanted, book, context.now)
        started = unit.add(stream, Stream(), subscriptions.evolve, events)
        return _bill(unit, stream, started, owner, wanted, book)

    return execute(context, decide) if chosen is None else execute_chosen(context, "sub", chosen, decide)


def change_plan(
    context: Context, subscription: str, plan: str, *, at_period_end: bool = False
) -> Done[Billed]:
    """Move a subscription to another plan; the prorations of a change now wait for the next invoice."""
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        state = subscriptions.require_changeable(loaded.state)
        _open_account(unit, state.account)
        change = plan_changes.Change(
            old=_load_plan(unit, state.plan),
            new=_plan_on_sale(unit, plan, held=state.plan),
            book=load_book(unit),
            now=context.now,
            fee_is_void=_fee_is_void(unit, state),
        )
        events = plan_changes.change_plan(state, change, at_period_end=at_period_end)
        return Billed(unit.add(stream, loaded, subscriptions.evolve, events), None)

    return execute(context, decide)


def cancel_subscription(context: Context, subscription: str, *, at_period_end: bool = True) -> Done[Billed]:
    """End a subscription with its present period, or now; prorations that waited are billed as it ends."""
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        events = subscriptions.cancel(loaded.state, context.now, at_period_end=at_period_end)
        changed = unit.add(stream, loaded, subscriptions.evolve, events)
        state = subscriptions.require(changed.state)
        if state.status != "cancelled":
            return Billed(changed, None)
        return _bill_the_rest(
            unit, stream, changed, accounts.require(_load_account(unit, state.account).state), load_book(unit)
        )

    return execute(context, decide)


def renew_subscription(context: Context, subscription: str) -> Done[Billed]:
    """Open the next period and issue its invoice, or end the subscription where it was to end.

    What is written happened when the period ended, however late this runs.
    """
    stream = stream_or_not_found("sub", subscription)

    def decide(unit: Unit) -> Billed:
        loaded = unit.load(subscriptions.evolve, stream)
        state = subscriptions.require(loaded.state)
        owner = _load_account(unit, state.account)
        unit.guard(account_stream(state.account), owner.version)
        account = accounts.require(owner.state)
        old, new = _load_plan(unit, state.plan), _load_plan(unit, state.next_plan or state.plan)
        book = load_book(unit)
        events = subscriptions.renew(state, account, old, new, book, context.now)
        assert state.period is not None, "a subscription opens its first period when it starts"
        renewed = unit.add(stream, loaded, subscriptions.evolve, events, state.period.ends_at)
        if subscriptions.require(renewed.state).status == "cancelled":
            return _bill_the_rest(unit, stream, renewed, account, book)
        return _bill(unit, stream, renewed, account, new, book)

    return execute(context, decide)


def _bill(
    unit: Unit, stream: UUID, loaded: Stream[Subscription], account: Account, plan: Plan, book: Book
) -> Billed:
    """Issue the invoice of the period just opened."""
    state = subscriptions.require(loaded.state)
    assert state.period is not None, "a period was just opened"
    draft = invoices.draft_period(account, state, plan, _pending_plans(unit, state), unit.context.log.head())
    due_at = state.period.starts_at
    issued = _issue(unit, draft, account, book, due_at)
    billed = SubscriptionBilled(
        subscription=state.subscription,
        account=state.account,
        invoice=draft.invoice,
        billed_through=state.period.ends_at,
        prorations_through=state.prorations,
        fee_line=draft.lines[0].line,
    )
    return Billed(unit.add(stream, loaded, subscriptions.evolve, [billed], due_at), issued)


def _bill_the_rest(
    unit: Unit, stream: UUID, loaded: Stream[Subscription], account: Account, book: Book
) -> Billed:
    """Issue a last invoice when the subscription ended while prorations waited for the next one."""
    state = subscriptions.require(loaded.state)
    if not state.pending:
        return Billed(loaded, None)
    assert state.ended_at is not None, "the subscription just ended"
    assert state.billed_through is not None
    assert state.fee_line is not None
    draft = invoices.draft_final(account, state, _pending_plans(unit, state), unit.context.log.head())
    issued = _issue(unit, draft, account, book, state.ended_at)
    billed = SubscriptionBilled(
        subscription=state.subscription,
        account=state.account,
        invoice=draft.invoice,
        billed_through=state.billed_through,
        prorations_through=state.prorations,
        fee_line=state.fee_line,
    )
    return Billed(unit.add(stream, loaded, subscriptions.evolve, [billed], state.ended_at), issued)


def _issue(
    unit: Unit, draft: InvoiceDrafted, account: Account, book: Book, due_at: datetime
) -> Stream[Invoice]:
    drafted = unit.add(stream_of("inv", draft.invoice), Stream(), invoices.evolve, [draft], due_at)
    return add_finalized(unit, drafted, account, book, due_at)


def _fee_is_void(unit: Unit, state: Subscription) -> bool:
    """Say whether the invoice of the present period was taken back, and keep it as it is until the append."""
    assert state.period is not None, "a subscription opens its first period when it starts"
    stream = stream_of("inv", invoices.invoice_id(state.subscription, state.period.starts_at, "recurring"))
    loaded = unit.load(invoices.evolve, stream)
    unit.guard(stream, loaded.version)
    return invoices.require(loaded.state).status == "void"


def _load_account(unit: Unit, account: str) -> Stream[Account]:
    return unit.load(accounts.evolve, account_stream(account))


def _open_account(unit: Unit, account: str) -> Account:
    """Give the account, which must be open and stay as it is until the append."""
    loaded = _load_account(unit, account)
    unit.guard(account_stream(account), loaded.version)
    return accounts.require_open(loaded.state)


def _plan_on_sale(unit: Unit, plan: str, held: str | None = None) -> Plan:
    """Give the plan, which must be on sale and stay so until the append; a retired one may be kept."""
    stream = stream_or_not_found("plan", plan)
    loaded = unit.load(plans.evolve, stream)
    unit.guard(stream, loaded.version)
    return plans.require(loaded.state) if plan == held else plans.require_on_sale(loaded.state)


def _load_plan(unit: Unit, plan: str) -> Plan:
    return plans.require(unit.load(plans.evolve, stream_of("plan", plan)).state)


def _pending_plans(unit: Unit, state: Subscription) -> dict[str, Plan]:
    return {plan: _load_plan(unit, plan) for plan in {pending.plan for pending in state.pending}}
