"""Commands of dunning: adopt a policy, take the steps that are due about an invoice, give notice.

A step is an event of its invoice and appended with all that it does, so that it is taken once, whoever else
is at it. What it does happens now; that it was due is told with the instant it was due at.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from commands.context import Done, Unit, execute
from commands.invoicing import add_payment, give_up, load_book, payment_told
from commands.ports import COLLECTED, Collection, Demand
from commands.streams import stream_or_not_found
from commands.subscriptions import cancel
from ledger.errors import Conflict
from ledger.events.api_key import ApiKeySuspended
from ledger.events.invoice import DunningStepTaken
from ledger.events.subscription import CancellationScheduled
from ledger.identifiers import stream_of
from ledger.notices import DueNotice, coming_of, due_notice
from ledger.past_due import SUSPENDED, SUSPENDED_BEFORE, DueStep, due_steps, past_due_of
from ledger.streams import api_key as keys
from ledger.streams import dunning as dunnings
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams import subscription_life
from ledger.streams.base import fold
from ledger.streams.dunning import (
    CANCEL_SUBSCRIPTION,
    MARK_UNCOLLECTIBLE,
    REMIND,
    RESUME_KEYS,
    RETRY,
    SUSPEND_KEYS,
    Dunning,
    DunningTerms,
    dunning_stream,
)
from ledger.streams.subscribing import NothingDue

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from commands.context import Context
    from commands.ports import AccountReads
    from ledger.store import Log
    from ledger.streams.api_key import ApiKey
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice
    from ledger.streams.subscription import Subscription

_SCHEDULER: Final = "scheduler"
_REASON: Final = "past due: "


def adopt_dunning(context: Context, terms: DunningTerms) -> Done[Stream[Dunning]]:
    """Go by other steps and notices from now on, for everything that falls due from now on."""
    stream = dunning_stream(context.book)

    def decide(unit: Unit) -> Stream[Dunning]:
        loaded = unit.load(dunnings.evolve, stream)
        events = dunnings.adopt(loaded.state, terms, load_book(unit).time_zone, context.now)
        return unit.add(stream, loaded, dunnings.evolve, events)

    return execute(context, decide)


def load_dunning(log: Log, book: UUID) -> Dunning:
    """Give every version of a book's dunning policy."""
    return fold(dunnings.evolve, log.load(book, dunning_stream(book))).state or Dunning()


class CollectedTwice(Conflict):
    """The gateway collected what was paid otherwise at the same moment."""

    code = "collected_twice"


@dataclass(frozen=True)
class Stepped:
    """An invoice after a step, and the last invoice of the subscription that the step ended, if it did."""

    invoice: Stream[Invoice]
    issued: Stream[Invoice] | None = None


def take_due_steps(context: Context, invoice: str, reads: AccountReads) -> Done[Stepped]:
    """Take the steps that are due next about an invoice: all of one instant, in order.

    It refuses with `NothingDue` where another did, where the invoice was paid, or where none is due yet.
    """
    stream = stream_or_not_found("inv", invoice)
    unit = Unit(context)
    steps = _due(unit, stream)
    known = invoices.require(unit.load(invoices.evolve, stream).state)
    done = _take(context, stream, steps[0], reads, _collect(context, known, steps[0]))
    issued = done.result.issued
    for step in steps[1:]:
        known = invoices.require(done.result.invoice.state)
        if known.amount_due == 0:
            # Nothing is left to ask for.
            break
        done = _take(context, stream, step, reads, _collect(context, known, step))
        issued = done.result.issued or issued
    return Done(Stepped(done.result.invoice, issued), done.position)


def next_step(log: Log, book: UUID, invoice: str) -> DueStep | None:
    """Give the step that is to be taken next about an invoice, if one is."""
    dunning = load_dunning(log, book)
    if dunning.last is None:
        return None
    steps = due_steps(dunning, past_due_of(log.load(book, stream_of("inv", invoice))))
    return steps[0] if steps else None


def next_notice(log: Log, book: UUID, subscription: str) -> DueNotice | None:
    """Give the notice that is to be given next of a subscription, if one is."""
    dunning = load_dunning(log, book)
    if dunning.last is None:
        return None
    return due_notice(dunning, coming_of(log.load(book, stream_of("sub", subscription))))


def _due(unit: Unit, stream: UUID) -> list[DueStep]:
    """Give the steps that are due next, by the policy as it stays until the append."""
    policy_stream = dunning_stream(unit.context.book)
    dunning = unit.load(dunnings.evolve, policy_stream)
    unit.guard(policy_stream, dunning.version)
    steps = due_steps(dunning.state or Dunning(), past_due_of(unit.recorded(stream)))
    due = [step for step in steps if step.due_at <= unit.context.now]
    if not due:
        message = "nothing is due of the invoice"
        raise NothingDue(message)
    return due


def _collect(context: Context, invoice: Invoice, step: DueStep) -> Collection | None:
    """Ask the gateway, if there is one, before anything is appended: its answer is what is recorded."""
    if step.action != RETRY:
        return None
    if context.gateway is None:
        return Collection(outcome="no_gateway")
    draft = invoice.draft
    demand = Demand(
        invoice=draft.invoice,
        account=draft.account,
        amount=invoice.amount_due,
        currency=draft.currency,
        attempt=f"{draft.invoice}:{len(invoice.steps) + 1}",
    )
    return replace(context.gateway.collect(demand), amount=demand.amount)


def _take(
    context: Context, stream: UUID, step: DueStep, reads: AccountReads, collection: Collection | None
) -> Done[Stepped]:
    def decide(unit: Unit) -> Stepped:
        if collection is not None and collection.outcome == COLLECTED:
            _require_asked(unit, stream, collection)
        if step not in _due(unit, stream):
            message = f"the step was taken, or is not due any more: {step.action}"
            raise NothingDue(message)
        return _add_step(unit, stream, step, reads, collection)

    return execute(context, decide)


def _require_asked(unit: Unit, stream: UUID, collection: Collection) -> None:
    """Refuse, for a person to see, when what was collected was paid otherwise meanwhile."""
    invoice = invoices.require(unit.load(invoices.evolve, stream).state)
    if invoice.amount_due != collection.amount:
        message = (
            f"{collection.amount} was collected ({collection.reference or 'no reference'}), but the invoice"
            f" asks for {invoice.amount_due} by now: record the payment, or give it back"
        )
        raise CollectedTwice(message)


def _add_step(
    unit: Unit, stream: UUID, step: DueStep, reads: AccountReads, collection: Collection | None
) -> Stepped:
    """Add the step and what it does, all or nothing."""
    loaded = unit.load(invoices.evolve, stream)
    invoice = invoices.require(loaded.state)
    issued = None
    if collection is not None:
        outcome = collection.outcome
    elif step.action == CANCEL_SUBSCRIPTION:
        outcome, issued = _cancel(unit, invoice)
    else:
        outcome = _outcome(unit, step, invoice, reads)
    taken = DunningStepTaken(
        invoice=invoice.draft.invoice,
        account=invoice.draft.account,
        step=len(invoice.steps) + 1,
        action=step.action,
        due_at=step.due_at,
        outcome=outcome,
    )
    stepped = unit.add(stream, loaded, invoices.evolve, [taken])
    if step.action == MARK_UNCOLLECTIBLE:
        stepped = give_up(unit, stepped, f"{_REASON}step {taken.step} of dunning")
    if collection is not None and collection.outcome == COLLECTED:
        stepped = _add_collected(unit, stepped, collection, taken)
    return Stepped(stepped, issued)


def _add_collected(
    unit: Unit, stepped: Stream[Invoice], collection: Collection, taken: DunningStepTaken
) -> Stream[Invoice]:
    """Record what the gateway collected, under its own reference or the try's."""
    invoice = invoices.require(stepped.state)
    reference = collection.reference or f"{taken.invoice}:{taken.step}"
    told = payment_told(
        unit.context, invoice.amount_due, invoice.draft.currency, collection.method, reference
    )
    return add_payment(unit, stepped, told).invoice


def _outcome(unit: Unit, step: DueStep, invoice: Invoice, reads: AccountReads) -> str:
    """Do what the step does to keys, and say what came of it in a word."""
    if step.action == SUSPEND_KEYS:
        return _suspend(unit, invoice, reads)
    if step.action == RESUME_KEYS:
        return _resume(unit, invoice, reads)
    if step.action == MARK_UNCOLLECTIBLE:
        return "marked_before" if invoice.status == "uncollectible" else "marked"
    assert step.action == REMIND, "a policy has no other steps"
    return "reminded"


def _cancel(unit: Unit, invoice: Invoice) -> tuple[str, Stream[Invoice] | None]:
    """End the subscription that the invoice bills, now and with no credit."""
    if invoice.draft.subscription is None:
        return "no_subscription", None
    stream = stream_of("sub", invoice.draft.subscription)
    loaded = unit.load(subscriptions.evolve, stream)
    state = subscriptions.require(loaded.state)
    if state.status == "cancelled":
        return "ended_before", None
    if state.cancels_at is None and state.period is not None and state.period.ends_at == unit.context.now:
        # The period is over just now: it was the last, rather than that another begins to be cancelled.
        scheduled = CancellationScheduled(
            subscription=state.subscription, account=state.account, cancels_at=state.period.ends_at
        )
        unit.add(stream, loaded, subscriptions.evolve, [scheduled])
    return "cancelled", cancel(unit, stream, at_period_end=False, credit=False).invoice


def _suspend(unit: Unit, invoice: Invoice, reads: AccountReads) -> str:
    """Suspend the account's keys that open; those that were for another invoice wait for both."""
    account = invoice.draft.account
    outcome = "no_active_keys"
    for stream, loaded, key in _keys(unit, reads.keys_of(unit.context.book, account)):
        status = keys.status_at(key, unit.context.now)
        if status == "active":
            events = keys.suspend(key, f"{_REASON}{invoice.draft.invoice}", unit.context.now)
            unit.add(stream, loaded, keys.evolve, events)
            outcome = SUSPENDED
        elif status == "suspended" and _by_dunning(unit, stream, key):
            unit.guard(stream, loaded.version)
            outcome = SUSPENDED if outcome == SUSPENDED else SUSPENDED_BEFORE
    return outcome


def _resume(unit: Unit, invoice: Invoice, reads: AccountReads) -> str:
    """Resume the keys that dunning suspended, unless another invoice past due still keeps them so."""
    account = invoice.draft.account
    if reads.others_hold(unit.context.book, account, invoice.draft.invoice):
        return "others_past_due"
    outcome = "no_suspended_keys"
    for stream, loaded, key in _keys(unit, reads.keys_of(unit.context.book, account)):
        if keys.status_at(key, unit.context.now) == "suspended" and _by_dunning(unit, stream, key):
            unit.add(stream, loaded, keys.evolve, keys.resume(key, unit.context.now))
            outcome = "resumed"
    return outcome


def _keys(unit: Unit, named: Iterable[str]) -> list[tuple[UUID, Stream[ApiKey], ApiKey]]:
    """Load keys; what there is of them in the log, not in the model, decides."""
    streams = [stream_of("key", key) for key in named]
    unit.prefetch(streams)
    loaded = [(stream, unit.load(keys.evolve, stream)) for stream in streams]
    return [(stream, one, one.state) for stream, one in loaded if one.state is not None]


def _by_dunning(unit: Unit, stream: UUID, key: ApiKey) -> bool:
    """Say whether dunning suspended the key: what somebody suspended by hand is theirs to resume."""
    suspensions = [one for one in unit.recorded(stream) if isinstance(one.event, ApiKeySuspended)]
    by = suspensions[-1].metadata.actor.kind if suspensions else None
    return by == _SCHEDULER and (key.reason or "").startswith(_REASON)


def give_due_notice(context: Context, subscription: str) -> Done[Stream[Subscription]]:
    """Tell a subscription's account what comes, if that is due; it happened when it was due."""
    stream = stream_or_not_found("sub", subscription)
    policy_stream = dunning_stream(context.book)

    def decide(unit: Unit) -> Stream[Subscription]:
        dunning = unit.load(dunnings.evolve, policy_stream)
        unit.guard(policy_stream, dunning.version)
        notice = due_notice(dunning.state or Dunning(), coming_of(unit.recorded(stream)))
        if notice is None or notice.due_at > context.now:
            message = "no notice is due"
            raise NothingDue(message)
        loaded = unit.load(subscriptions.evolve, stream)
        events = subscription_life.give_notice(loaded.state, notice.kind, notice.happens_at)
        return unit.add(stream, loaded, subscriptions.evolve, events, notice.due_at)

    return execute(context, decide)
