"""Billing a subscription: what is needed is loaded, the lines are put together, the invoice is issued.

An invoice that bills usage stays a draft for the policy's hours of grace, and is put together again with the
usage that came meanwhile before it is finalized; from then on what comes late is for the next one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from commands.context import Done, execute
from commands.credit_notes import add_late_notes
from commands.invoicing import add_finalized, load_book
from commands.streams import account_stream, meter_stream, stream_or_not_found
from ledger.assembly import Bill, asks_of, assemble
from ledger.events.subscription import SubscriptionBilled
from ledger.identifiers import stream_of
from ledger.streams import account as accounts
from ledger.streams import invoice as invoices
from ledger.streams import meter as meters
from ledger.streams import plan as plans
from ledger.streams import subscription as subscriptions
from ledger.streams import tax_rate as tax_rates
from ledger.streams.base import Stream, fold
from ledger.usage_corrections import CorrectedUses
from ledger.usage_lines import by_event, looks_at_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context, Unit
    from commands.credit_notes import Notes
    from ledger.assembly import Assembled
    from ledger.events import Recorded
    from ledger.events.invoice import InvoiceLine
    from ledger.late_credits import Key
    from ledger.measuring import Ask, Measured
    from ledger.meters import MeterDefinition
    from ledger.streams.account import Account
    from ledger.streams.book import Book
    from ledger.streams.invoice import Header, Invoice
    from ledger.streams.plan import PricedPlan
    from ledger.streams.subscription import Subscription
    from ledger.streams.tax_rate import TaxRate
    from ledger.usage_lines import Charging

RECURRING: Final = "recurring"
FINAL: Final = "final"
# Admission is judged by when an event was taken: one that queues for longer than this is for a person.
_QUEUE: Final = timedelta(days=7)


def bill_of(
    unit: Unit, subscription: Subscription, book: Book, at: datetime, *, waiting_only: bool = False
) -> Bill:
    """Load what an invoice of a subscription is put together from, as it stood just before it was billed."""
    versions = _plan_versions(subscription)
    unit.prefetch(stream_of("plan", plan) for plan, _ in versions)
    priced = {key: load_priced(unit, *key, subscription.currency) for key in versions}
    return Bill(
        subscription=subscription,
        time_zone=subscription.anchor.zone,
        plans=priced,
        meters=load_meters(unit, {charge.meter for plan in priced.values() for charge in plan.charges}),
        tax_rates=_tax_rates(unit, priced.values()),
        policies=book.policies,
        policy_version=book.policy_version,
        at=at,
        through_position=unit.head(),
        late_since=_late_since(unit, subscription, at),
        corrected=CorrectedUses(unit.corrected(subscription.account) if subscription.usage else ()),
        waiting_only=waiting_only,
        earlier=_earlier_lines(unit, subscription),
        invoiced_on=_invoices_of_usage(unit, subscription, book),
    )


def _late_since(unit: Unit, subscription: Subscription, at: datetime) -> datetime:
    """Say since when usage may have come that was not there when usage was last billed.

    That was when the last stretch that was billed ended, or later: what was admitted since then did not
    happen before this.
    """
    looked_at = min(at, max((one.service_to for one in subscription.usage), default=at))
    return looked_at - timedelta(seconds=unit.context.settings.usage_max_past_seconds) - _QUEUE


def put_together(unit: Unit, bill: Bill) -> Assembled:
    """Measure what was used and put the lines together."""
    return assemble(bill, measured(unit, bill))


def measured(unit: Unit, bill: Bill) -> list[list[Measured]]:
    """Measure what the charges of a bill took."""
    return measured_for(unit, *asks_of(bill))


def measured_for(unit: Unit, wanted: Sequence[Charging], asks: Sequence[Ask]) -> list[list[Measured]]:
    """Measure what charges took, event by event where a price wants to see each."""
    if not asks:
        return []
    context = unit.context
    found = unit.measured(asks)
    for number, (one, ask) in enumerate(zip(wanted, asks, strict=True)):
        if looks_at_events(one, ask):
            assert context.measure is not None, "who bills usage can measure it"
            events = context.measure.behind(context.book, ask)
            found[number] = by_event(ask.definition, found[number], events)
    return found


def issue(
    unit: Unit,
    stream: UUID,
    loaded: Stream[Subscription],
    account: Account,
    book: Book,
    header: Header,
    *,
    waiting_only: bool = False,
    at: datetime | None = None,
) -> tuple[Stream[Subscription], Stream[Invoice] | None, Notes]:
    """Issue the invoice of what there is to bill: a draft while usage may still come, else finalized.

    What usage that came late takes away is given back by credit notes, where the policy says so. With
    `waiting_only` it bills, now, the prorations that wait, and nothing else. At an instant that is told
    nothing more is waited for.
    """
    state = subscriptions.require(loaded.state)
    due_at = at or (unit.context.now if waiting_only else _due_at(state))
    bill = bill_of(unit, state, book, due_at, waiting_only=waiting_only)
    assembled = put_together(unit, bill)
    if not assembled.lines:
        notes = add_late_notes(unit, state.subscription, assembled.late_credits, header.invoice, book, due_at)
        nothing_over = not assembled.usage and not state.unbilled
        known = loaded if nothing_over else _remember(unit, stream, loaded, assembled, None, due_at)
        return known, None, notes
    grace = timedelta(hours=bill.policy.billing.grace_hours)
    finalizes_at = due_at + grace if assembled.usage and grace and at is None else None
    invoice_stream = stream_of("inv", header.invoice)
    events = invoices.draft(None, bill, assembled, header, finalizes_at)
    invoice = unit.add(invoice_stream, Stream(), invoices.evolve, events, due_at)
    notes = ()
    if finalizes_at is None or finalizes_at <= due_at:
        notes = add_late_notes(unit, state.subscription, assembled.late_credits, header.invoice, book, due_at)
        invoice = add_finalized(unit, invoice, account, book, due_at)
    return _remember(unit, stream, loaded, assembled, header.invoice, due_at), invoice, notes


def _due_at(state: Subscription) -> datetime:
    """Say which instant is billed: the beginning of the present period, or the end of it all."""
    if state.status == "cancelled":
        assert state.ended_at is not None, "what is cancelled has ended"
        return state.ended_at
    return subscriptions.last_period(state).starts_at


def _remember(
    unit: Unit,
    stream: UUID,
    loaded: Stream[Subscription],
    assembled: Assembled,
    invoice: str | None,
    due_at: datetime,
) -> Stream[Subscription]:
    """Record in the subscription what was billed, so that nothing of it is billed again."""
    state = subscriptions.require(loaded.state)
    ended = state.status == "cancelled"
    through = state.ended_at if ended else subscriptions.last_period(state).ends_at
    assert through is not None, "what is cancelled has ended"
    billed = SubscriptionBilled(
        subscription=state.subscription,
        account=state.account,
        invoice=invoice,
        billed_through=max(through, state.billed_through or through) if ended else through,
        prorations_through=state.prorations,
        fee_line=assembled.fee_line or state.fee_line,
        usage=assembled.usage,
        coupons=assembled.coupons,
        setup_fee=assembled.setup_fee,
    )
    return unit.add(stream, loaded, subscriptions.evolve, [billed], due_at)


def settle_before(
    unit: Unit, stream: UUID, loaded: Stream[Subscription], at: datetime
) -> Stream[Subscription]:
    """Finalize the last draft that billed usage, if it still waits, at an instant at the latest.

    Else what came late for it would be billed twice: on it, and on what is billed next.
    """
    state = subscriptions.require(loaded.state)
    if state.metered_invoice is None:
        return loaded
    drafted = unit.load(invoices.evolve, stream_of("inv", state.metered_invoice))
    if invoices.require(drafted.state).status != "draft":
        return loaded
    settle(unit, state.metered_invoice, at)
    return unit.standing(stream, loaded, subscriptions.evolve)


def settle_draft(context: Context, invoice: str) -> Done[Stream[Invoice]]:
    """Finalize a draft whose grace is over, with the usage that came meanwhile; a finalized one stays."""
    stream_or_not_found("inv", invoice)
    return execute(context, lambda unit: settle(unit, invoice))


def settle(unit: Unit, invoice: str, at: datetime | None = None) -> Stream[Invoice]:
    """Put a draft together again, with the usage that came meanwhile, and finalize it.

    That happens when its grace is over, or at an earlier instant that ends it.
    """
    invoice_stream = stream_of("inv", invoice)
    drafted = unit.load(invoices.evolve, invoice_stream)
    state = invoices.require(drafted.state)
    if state.status != "draft" or state.draft.subscription is None:
        return drafted
    ends = (state.draft.finalizes_at, at)
    due_at = min([one for one in ends if one is not None], default=unit.context.now)
    book = load_book(unit)
    drafted, assembled = redraft(unit, drafted, book)
    add_late_notes(unit, state.draft.subscription, assembled.late_credits, invoice, book, due_at)
    account = accounts.require(unit.load(accounts.evolve, account_stream(state.draft.account)).state)
    return add_finalized(unit, drafted, account, book, due_at)


def redraft(unit: Unit, drafted: Stream[Invoice], book: Book) -> tuple[Stream[Invoice], Assembled]:
    """Put a draft together again, from the subscription as it was just before it was billed."""
    state = invoices.require(drafted.state)
    draft = state.draft
    assert draft.subscription is not None, "what is put together is of a subscription"
    stream = stream_of("sub", draft.subscription)
    recorded = unit.recorded(stream)
    before = state_before(recorded, draft.invoice)
    bill = bill_of(unit, before, book, _due_at(before))
    # The rules are those of the day that is billed, whatever the book has adopted meanwhile.
    bill = replace(
        bill,
        policy_version=draft.policy_version or bill.policy_version,
        late_since=draft.late_since or bill.late_since,
    )
    assembled = put_together(unit, bill)
    if _same(draft.lines, assembled.lines):
        return drafted, assembled
    header = invoices.Header(draft.invoice, draft.kind, _known(draft.period_start), _known(draft.period_end))
    events = invoices.draft(state, bill, assembled, header, draft.finalizes_at)
    now = fold(subscriptions.evolve, recorded)
    again = SubscriptionBilled(
        subscription=before.subscription,
        account=before.account,
        invoice=draft.invoice,
        billed_through=_known(subscriptions.require(now.state).billed_through),
        prorations_through=before.prorations,
        fee_line=subscriptions.require(now.state).fee_line,
        usage=assembled.usage,
        coupons=assembled.coupons,
        setup_fee=assembled.setup_fee,
    )
    unit.add(stream, now, subscriptions.evolve, [again], bill.at)
    again_drafted = unit.add(stream_of("inv", draft.invoice), drafted, invoices.evolve, events, bill.at)
    return again_drafted, assembled


def _same(before: Iterable[InvoiceLine], after: Iterable[InvoiceLine]) -> bool:
    """Say whether nothing came meanwhile: lines are alike but for how far the log was read for them."""
    read = [[replace(line, usage_through_position=None) for line in lines] for lines in (before, after)]
    return read[0] == read[1]


def state_before(recorded: Iterable[Recorded], invoice: str) -> Subscription:
    """Give a subscription as it stood just before an invoice billed it for the first time."""
    kept = []
    for one in recorded:
        if isinstance(one.event, SubscriptionBilled) and one.event.invoice == invoice:
            break
        kept.append(one)
    return subscriptions.require(fold(subscriptions.evolve, kept).state)


def _known(at: datetime | None) -> datetime:
    assert at is not None, "the invoice of a subscription has a period"
    return at


# -- what is loaded ---------------------------------------------------------------------------------------


def load_priced(unit: Unit, plan: str, price_version: int, currency: str | None) -> PricedPlan:
    """Load a plan at a price version that somebody has."""
    state = plans.require(unit.load(plans.evolve, stream_of("plan", plan)).state)
    return plans.priced(state, plans.version_of(state, price_version), currency)


def _plan_versions(subscription: Subscription) -> set[tuple[str, int]]:
    """Name every price version that an invoice of the subscription may have a line of."""
    return (
        {(one.plan, one.price_version) for one in subscription.items}
        | {(one.plan, one.price_version) for one in subscription.unbilled}
        | {(one.plan, one.price_version) for one in subscription.pending}
        | {(one.plan, one.price_version) for one in subscription.usage}
        | {(one.plan, one.price_version) for one in subscription.billed}
    )


def _earlier_lines(unit: Unit, subscription: Subscription) -> tuple[InvoiceLine, ...]:
    """Read the invoices whose lines are credited now: their coupons are given back with them."""
    streams = [stream_of("inv", invoice) for invoice in sorted(set(subscription.adjusted.values()))]
    unit.prefetch(streams)
    loaded = [invoices.require(unit.load(invoices.evolve, stream).state) for stream in streams]
    return tuple(line for invoice in loaded for line in invoice.draft.lines)


def _invoices_of_usage(unit: Unit, subscription: Subscription, book: Book) -> dict[Key, tuple[Invoice, ...]]:
    """Read the invoices that billed usage, where a policy of the book corrects those by credit notes."""
    if all(policy.billing.late_usage != "credit_note" for policy in book.policies.values()):
        return {}
    named = {invoice for on_them in subscription.usage_invoices.values() for invoice in on_them}
    unit.prefetch(stream_of("inv", invoice) for invoice in named)
    loaded = {one: invoices.require(unit.load(invoices.evolve, stream_of("inv", one)).state) for one in named}
    return {
        key: tuple(loaded[one] for one in on_them) for key, on_them in subscription.usage_invoices.items()
    }


def load_meters(unit: Unit, codes: set[str]) -> dict[str, MeterDefinition]:
    """Load the meters that are defined; the others are the sum of their events' quantities."""
    streams = {code: meter_stream(unit.context.book, code) for code in codes}
    unit.prefetch(streams.values())
    loaded = {code: unit.load(meters.evolve, stream).state for code, stream in streams.items()}
    return {code: meter.definition for code, meter in loaded.items() if meter is not None}


def _tax_rates(unit: Unit, priced: Iterable[PricedPlan]) -> dict[str, TaxRate]:
    rates = {rate for plan in priced for rate in plan.tax_rates}
    unit.prefetch(stream_of("tax", rate) for rate in rates)
    return {
        rate: tax_rates.require(unit.load(tax_rates.evolve, stream_of("tax", rate)).state) for rate in rates
    }
