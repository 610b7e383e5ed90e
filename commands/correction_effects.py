"""What corrections of usage do to money and quotas: the same is worked out without them and with them.

Nothing of it is appended. What was invoiced stays; a stretch of time of which usage was corrected is rated
again as a whole when its subscription is next billed, and the difference is a line there, or a credit note.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from commands.billing import bill_of, measured_for, settle
from commands.billing_batch import measure_ahead
from commands.invoicing import load_book
from commands.late_billing import awaits_nothing, bill_late
from commands.quotas import Quota, quotas_within
from commands.subscriptions import advance
from ledger.assembly import asks_of
from ledger.errors import Refusal, VersionConflict
from ledger.events.credit_note import CreditNoteIssued
from ledger.identifiers import stream_of
from ledger.streams import invoice as invoices
from ledger.streams import subscription as subscriptions
from ledger.streams.subscribing import due_at
from ledger.usage_corrections import Change, CorrectedUse, CorrectedUses, change_of
from ledger.usage_lines import amount_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.context import Unit
    from commands.subscriptions import Billed
    from ledger.assembly import Bill
    from ledger.events.invoice import InvoiceDrafted
    from ledger.events.subscription import UsageBilled
    from ledger.measuring import Ask
    from ledger.streams.base import Stream
    from ledger.streams.book import Book
    from ledger.streams.invoice import Invoice
    from ledger.streams.subscription import Subscription
    from ledger.usage_corrections import Supposed
    from ledger.usage_lines import Charging

    # Names the subscriptions of accounts, ended ones too.
    SubscriptionsOf: TypeAlias = Callable[[Iterable[str]], Mapping[str, Sequence[str]]]

# What a difference is settled by.
DRAFT: Final = "draft"
INVOICE: Final = "invoice"
NEXT_INVOICE: Final = "next_invoice"
CREDIT_NOTE: Final = "credit_note"


@dataclass(frozen=True)
class ChangedUse:
    """By how much the usage of an account of a meter changes."""

    account: str
    meter: str
    change: Change


@dataclass(frozen=True)
class ChangedCharge:
    """What a charge of a stretch that was billed comes to, as its usage is and once it is corrected.

    In minor units, before discounts, minimums and taxes. `invoices` it is on, the newest first.
    """

    account: str
    subscription: str
    meter: str
    currency: str
    billed: UsageBilled
    invoices: tuple[Invoice, ...]
    before: int
    after: int


@dataclass(frozen=True)
class Settlement:
    """What settles the difference for a subscription: what is billed next, without corrections and with them.

    All told, in minor units: discounts, minimums and taxes are in it, and credit notes count as taken off.
    Of a subscription that has ended it is billed at once. Nobody knows when what is paused is billed next:
    the amounts are then those of the charges.
    """

    account: str
    subscription: str
    by: str
    currency: str
    before: int
    after: int
    invoice: str | None = None
    due_at: datetime | None = None


@dataclass(frozen=True)
class ChangedQuota:
    """A quota of an account's present period, as its usage is and once it is corrected."""

    account: str
    before: Quota
    after: Quota


@dataclass(frozen=True)
class Effects:
    """What corrections change: usage, charges of what was billed, what is billed next, quotas.

    And which subscriptions of their accounts have ended, so that somebody has to bill what is late of them.
    """

    uses: tuple[ChangedUse, ...] = ()
    charges: tuple[ChangedCharge, ...] = ()
    settlements: tuple[Settlement, ...] = ()
    quotas: tuple[ChangedQuota, ...] = ()
    ended: tuple[str, ...] = ()


def effects_of(
    unit: Unit, accounts: Iterable[str], supposed: Sequence[Supposed], subscriptions_of: SubscriptionsOf
) -> Effects:
    """Work out what corrections change of accounts."""
    subscribed = subscriptions_of(sorted(set(accounts)))
    streams = [stream_of("sub", one) for named in subscribed.values() for one in named]
    unit.prefetch([*streams, unit.context.book])
    states = [subscriptions.require(unit.load(subscriptions.evolve, stream).state) for stream in streams]
    ended = tuple(state.subscription for state in states if awaits_nothing(unit, state))
    if not supposed:
        return Effects(ended=ended)
    before, after = unit.supposing(()), unit.supposing(supposed)
    for one in (before, after):
        one.prefetch_corrected(state.account for state in states if state.usage)
    charges = _charges(before, after, states, _corrected(supposed))
    touched = {one.subscription for one in charges}
    settled = [state for state in states if state.subscription in touched]
    return Effects(
        uses=_uses(supposed),
        charges=tuple(charges),
        settlements=tuple(_settlements(before, after, settled, charges)),
        quotas=tuple(_quotas(before, after, states)),
        ended=ended,
    )


def _corrected(supposed: Sequence[Supposed]) -> dict[str, CorrectedUses]:
    """Say where each account's usage is corrected."""
    uses: dict[str, list[CorrectedUse]] = {}
    for account, event_type, one in supposed:
        uses.setdefault(account, []).append(CorrectedUse(event_type, one.used_at, one.position))
    return {account: CorrectedUses(of_account) for account, of_account in uses.items()}


def _uses(supposed: Sequence[Supposed]) -> tuple[ChangedUse, ...]:
    by_meter: dict[tuple[str, str], list[Supposed]] = {}
    for one in supposed:
        by_meter.setdefault((one.account, one.event_type), []).append(one)
    return tuple(
        ChangedUse(account, meter, change_of(one.correction for one in of_meter))
        for (account, meter), of_meter in sorted(by_meter.items())
    )


# -- what was billed --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Touched:
    """A charge of a stretch that was billed, of which usage is corrected."""

    bill: Bill
    charging: Charging
    ask: Ask

    @property
    def billed(self) -> UsageBilled:
        assert self.charging.before is not None, "it was billed"
        return self.charging.before


def _charges(
    before: Unit, after: Unit, states: Sequence[Subscription], corrected: Mapping[str, CorrectedUses]
) -> list[ChangedCharge]:
    book = load_book(before)
    touched = [
        one
        for state in states
        if state.usage
        for one in _touched(after, state, book, corrected[state.account])
    ]
    wanted, asks = [one.charging for one in touched], [one.ask for one in touched]
    measured = zip(measured_for(before, wanted, asks), measured_for(after, wanted, asks), strict=True)
    before.prefetch(_invoices_of(touched))
    charges = []
    for one, (as_it_is, as_corrected) in zip(touched, measured, strict=True):
        conventions = one.bill.policies[one.charging.policy_version].rating
        charges.append(
            ChangedCharge(
                account=one.bill.subscription.account,
                subscription=one.bill.subscription.subscription,
                meter=one.charging.charge.meter,
                currency=one.charging.plan.currency,
                billed=one.billed,
                invoices=tuple(_loaded(before, invoice) for invoice in _named(one)),
                before=amount_of(one.charging, as_it_is, conventions),
                after=amount_of(one.charging, as_corrected, conventions),
            )
        )
    return charges


def _touched(unit: Unit, state: Subscription, book: Book, corrected: CorrectedUses) -> list[_Touched]:
    """Find the stretches that were billed of which usage is corrected, by each of their charges."""
    bill = bill_of(unit, state, book, unit.context.now)
    return [
        _Touched(bill, charging, ask)
        for charging, ask in zip(*asks_of(bill), strict=True)
        if charging.before is not None
        and corrected.touch(replace(ask, after_position=charging.before.through_position))
    ]


def _named(touched: _Touched) -> tuple[str, ...]:
    billed = touched.billed
    return touched.bill.subscription.usage_invoices.get((billed.item, billed.charge, billed.service_from), ())


def _invoices_of(touched: Iterable[_Touched]) -> list[UUID]:
    return [stream_of("inv", invoice) for one in touched for invoice in _named(one)]


def _loaded(unit: Unit, invoice: str) -> Invoice:
    return invoices.require(unit.load(invoices.evolve, stream_of("inv", invoice)).state)


# -- what is billed next ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _NextBill:
    """What is billed next of a subscription: its invoice's total, and what credit notes give back with it."""

    total: int
    credited: int

    @property
    def net(self) -> int:
        """What both come to."""
        return self.total - self.credited


def _settlements(
    before: Unit, after: Unit, states: Sequence[Subscription], charges: Sequence[ChangedCharge]
) -> list[Settlement]:
    """Say what settles the difference for each subscription."""
    drafts = {state.subscription: draft for state in states if (draft := _draft(before, state)) is not None}
    due = [state for state in states if state.subscription not in drafts and _is_billed(state)]
    both = zip(_next_bills(before, due), _next_bills(after, due), strict=True)
    bills = {state.subscription: one for state, one in zip(due, both, strict=True)}
    found = []
    for state in states:
        unsettled = _unsettled(state, [one for one in charges if one.subscription == state.subscription])
        if state.subscription in drafts:
            found.append(_on_draft(before, after, unsettled, drafts[state.subscription]))
        else:
            found.append(_when_billed(unsettled, bills.get(state.subscription, (None, None))))
    return found


def _is_billed(state: Subscription) -> bool:
    """Say whether it is known when a subscription is billed next: at once, once it has ended."""
    return state.status == "cancelled" or due_at(state) is not None


def _unsettled(state: Subscription, charges: Sequence[ChangedCharge]) -> Settlement:
    return Settlement(
        account=state.account,
        subscription=state.subscription,
        by=INVOICE if state.status == "cancelled" else NEXT_INVOICE,
        currency=charges[0].currency,
        before=sum(one.before for one in charges),
        after=sum(one.after for one in charges),
        due_at=due_at(state),
    )


def _draft(unit: Unit, state: Subscription) -> InvoiceDrafted | None:
    """Give the draft that still takes in what is corrected of the usage it bills, if there is one."""
    if state.metered_invoice is None:
        return None
    invoice = _loaded(unit, state.metered_invoice)
    return invoice.draft if invoice.status == "draft" else None


def _on_draft(before: Unit, after: Unit, unsettled: Settlement, draft: InvoiceDrafted) -> Settlement:
    return replace(
        unsettled,
        by=DRAFT,
        invoice=draft.invoice,
        due_at=draft.finalizes_at,
        before=_tried(before, lambda: settle(before, draft.invoice)).net,
        after=_tried(after, lambda: settle(after, draft.invoice)).net,
    )


def _when_billed(unsettled: Settlement, bills: tuple[_NextBill | None, _NextBill | None]) -> Settlement:
    before, after = bills
    if before is None or after is None:
        return unsettled
    return replace(
        unsettled,
        by=CREDIT_NOTE if after.credited != before.credited else unsettled.by,
        before=before.net,
        after=after.net,
    )


def _next_bills(unit: Unit, states: Sequence[Subscription]) -> list[_NextBill | None]:
    """Bill subscriptions as if their time had come; none for what is refused then."""
    present = unit.context
    streams = [stream_of("sub", state.subscription) for state in states]
    contexts = [replace(present, now=max(due_at(state) or present.now, present.now)) for state in states]
    bill = [bill_late if state.status == "cancelled" else advance for state in states]
    measure_ahead(unit, contexts, lambda one, number: bill[number](one, streams[number]))
    found: list[_NextBill | None] = []
    for number, context in enumerate(contexts):
        unit.context = context
        found.append(_next_bill(unit, partial(bill[number], unit, streams[number])))
    unit.context = present
    return found


def _next_bill(unit: Unit, bill: Callable[[], Billed]) -> _NextBill | None:
    try:
        return _tried(unit, lambda: bill().invoice)
    except VersionConflict:
        raise
    except Refusal:
        return None


def _tried(unit: Unit, bill: Callable[[], Stream[Invoice] | None]) -> _NextBill:
    """Bill, see what that came to, and forget it."""
    mark = unit.mark()
    try:
        invoice = bill()
        added = [new.event for new in unit.events[mark[0] :]]
    finally:
        unit.back_to(mark)
    lines = () if invoice is None else invoices.require(invoice.state).draft.lines
    credited = sum(event.total for event in added if isinstance(event, CreditNoteIssued))
    return _NextBill(invoices.totals_of(lines).total, credited)


# -- quotas -----------------------------------------------------------------------------------------------


def _quotas(before: Unit, after: Unit, states: Sequence[Subscription]) -> list[ChangedQuota]:
    """Give the quotas of present periods that corrections change."""
    alive: dict[str, list[str]] = {}
    for state in states:
        if state.status != "cancelled":
            alive.setdefault(state.account, []).append(state.subscription)
    was, is_now = quotas_within(before, alive), quotas_within(after, alive)
    return [
        ChangedQuota(account, one, other)
        for account in alive
        for one, other in zip(was[account], is_now[account], strict=True)
        if one != other
    ]
