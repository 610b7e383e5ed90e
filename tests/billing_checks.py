"""What must hold of a subscription's periods, lines, usage and money, whatever happened to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from commands.explaining import recompute
from ledger.events.credit_note import CreditNoteIssued, CreditNoteNumberTaken
from ledger.events.invoice import InvoiceNumberTaken
from ledger.events.journal import JournalEntryPosted
from ledger.events.subscription import (
    PeriodOpened,
    ProrationAdded,
    SubscriptionCancelled,
    SubscriptionPaused,
    SubscriptionResumed,
    SubscriptionStarted,
)
from ledger.events.usage import UsageRecorded
from ledger.identifiers import stream_of
from ledger.money import ROUNDINGS
from ledger.proration import share_of_period
from ledger.streams import book as books
from ledger.streams import subscription as subscriptions
from ledger.streams.base import fold
from ledger.streams.invoice import totals_of
from ledger.streams.subscription import CHARGE, CREDIT, FEE, line_id
from ledger.usage_lines import merged
from tests.examples import BOOK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ledger.events.invoice import InvoiceLine
    from ledger.events.plan import UsageCharge
    from ledger.events.subscription import UsageBilled
    from ledger.streams.subscription import OpenPeriod, Stretch, Subscription
    from tests.billing_histories import History
    from tests.memory_shop import Shop

    Charges = dict[str, tuple[UsageCharge, ...]]

NEVER: Final = timedelta(0)


def check(history: History) -> None:
    """Check everything that must hold, whatever happened."""
    shop = history.shop
    check_periods(shop)
    stretches = check_stretches(shop)
    check_lines(shop)
    check_fees(shop)
    check_usage(shop, stretches, {plan: history.charges[name] for name, plan in history.plans.items()})
    check_credits(shop)
    check_money(shop)
    check_again(shop)


def states(shop: Shop) -> list[Subscription]:
    """Give the subscription as it stood after each of its events."""
    state, found = None, []
    for one in shop.log.load(BOOK, stream_of("sub", shop.subscription)):
        state = subscriptions.evolve(state, one.event)  # type: ignore[arg-type]
        found.append(state)
    return found


def check_periods(shop: Shop) -> None:
    """Periods begin one after the other, each under a name of its own."""
    periods = shop.of(PeriodOpened)
    assert len({one.period for one in periods}) == len(periods)
    assert all(one.starts_at < one.ends_at for one in periods)
    assert all(one.starts_at < following.starts_at for one, following in pairwise(periods))


def check_stretches(shop: Shop) -> list[Stretch]:
    """No two stretches of an item overlap, and the first item's fill the time that is billed."""
    found: dict[tuple[str, str, datetime], Stretch] = {}
    for state in states(shop):
        for one in (*state.unbilled, *state.stretches):
            if not one.period.trial:
                found[one.item, one.period.period, one.from_at] = one
    by_item: dict[str, list[Stretch]] = defaultdict(list)
    for one in sorted(found.values(), key=lambda one: (one.from_at, one.to_at)):
        assert one.from_at < one.to_at
        by_item[one.item].append(one)
    for stretches in by_item.values():
        assert all(one.to_at <= following.from_at for one, following in pairwise(stretches))
    over = {one.period for one, _ in _periods_over(shop)}
    had = sum(
        (one.to_at - one.from_at for one in by_item[shop.state.item] if one.period.period in over), NEVER
    )
    assert had == sum((_billed_time(shop, *one) for one in _periods_over(shop)), NEVER)
    return [one for one in found.values() if one.period.period in over]


def _periods_over(shop: Shop) -> list[tuple[OpenPeriod, datetime]]:
    """Give each paid period that is over with the instant it ended at, whatever it was to be at first."""
    last: dict[str, tuple[OpenPeriod, datetime]] = {}
    for state in states(shop):
        if state.period is not None:
            ended = state.ended_at if state.status == "cancelled" else None
            ends_at = state.period.ends_at if ended is None else min(ended, state.period.ends_at)
            last[state.period.period] = (state.period, ends_at)
    periods = list(last.values())
    for number, (period, ends_at) in enumerate(periods[:-1]):
        periods[number] = (period, min(ends_at, periods[number + 1][0].starts_at))
    over = periods if shop.state.status == "cancelled" else periods[:-1]
    return [(period, ends_at) for period, ends_at in over if not period.trial]


def _billed_time(shop: Shop, period: OpenPeriod, ends_at: datetime) -> timedelta:
    """Give how long a period lasted but for the pauses in it."""
    paused = NEVER
    for from_at, to_at in _pauses(shop):
        paused += max(NEVER, min(to_at, ends_at) - max(from_at, period.starts_at))
    return ends_at - period.starts_at - paused


def _pauses(shop: Shop) -> Iterator[tuple[datetime, datetime]]:
    """Give from when to when the subscription was paused; what was ended while it was paused ended then."""
    paused_at = None
    for event in shop.log.events():
        if isinstance(event, SubscriptionPaused):
            paused_at = event.paused_at
        elif isinstance(event, SubscriptionResumed) and paused_at is not None:
            yield paused_at, event.resumed_at


def check_lines(shop: Shop) -> None:
    """No line stands on two invoices, and every proration is on exactly one, waits, or is a credit note."""
    names = Counter(line.line for line in shop.lines())
    assert all(times == 1 for times in names.values()), names
    asked = Counter(
        line.sequence for line in shop.lines() if line.kind in (CREDIT, CHARGE) and _first_part(line)
    )
    waiting = Counter(one.sequence for one in shop.state.pending)
    noted = Counter(one.sequence for one in shop.of(ProrationAdded) if one.credit_note is not None)
    added = [one.sequence for one in shop.of(ProrationAdded)]
    assert asked + waiting + noted == Counter(added)


def _first_part(line: InvoiceLine) -> bool:
    assert line.subscription_item is not None
    assert line.period is not None
    return line.line == line_id(line.subscription_item, line.period, line.kind, line.sequence)


def check_fees(shop: Shop) -> None:
    """Each period that is paid for asks for every fee of its items once, and a trial for nothing."""
    periods = {one.period: one for one in shop.of(PeriodOpened)}
    fees = Counter(
        (line.subscription_item, line.period, line.sequence) for line in shop.lines() if line.kind == FEE
    )
    assert all(times == 1 for times in fees.values())
    for line in shop.lines():
        if line.kind == FEE:
            period = periods[line.period or ""]
            assert not period.trial
            assert (line.service_from, line.service_to) == (period.starts_at, period.ends_at)
    assert sum(line.kind == "setup_fee" for line in shop.lines()) <= 1


def check_usage(shop: Shop, stretches: list[Stretch], charges: Charges) -> None:
    """Every usage event of the time that is billed is on its charge's lines or their adjustments, once."""
    known = {(one.item, one.charge, one.plan, one.service_from): one for one in shop.state.usage}
    wanted = {
        (one.item, charge.code, one.plan, one.from_at): (one, charge)
        for one in merged(sorted(stretches, key=lambda one: one.from_at))
        for charge in charges[one.plan]
    }
    assert known.keys() == wanted.keys()
    looked_at = max(
        one.position
        for one in shop.log.recorded
        if isinstance(one.event, SubscriptionStarted | PeriodOpened | SubscriptionCancelled)
    )
    for key, billed in known.items():
        stretch, charge = wanted[key]
        assert billed.service_to == stretch.to_at
        inside = [
            one.position
            for one in shop.log.recorded
            if isinstance(one.event, UsageRecorded)
            and stretch.from_at <= one.metadata.occurred_at < stretch.to_at
        ]
        assert billed.events == sum(position <= billed.through_position for position in inside)
        assert billed.events >= sum(position < looked_at for position in inside)
        check_charge(shop, stretch, charge, billed)


def check_charge(shop: Shop, stretch: Stretch, charge: UsageCharge, billed: UsageBilled) -> None:
    """For a charge of a stretch is asked what its usage costs, or else the minimum of that time."""
    lines = [
        line
        for line in shop.lines()
        if line.usage is not None
        and (line.subscription_item, line.usage.charge, line.plan, line.service_from)
        == (billed.item, charge.code, billed.plan, billed.service_from)
    ]
    asked = sum(line.amount for line in lines if line.kind != "minimum")
    policy = books.require(fold(books.evolve, shop.log.load(BOOK, BOOK)).state).policy.billing
    assert asked == billed.rated
    whole, zone = stretch.period.whole, shop.state.anchor.zone
    least = share_of_period(
        charge.minimums.get("USD", 0), whole, stretch.from_at, stretch.to_at, policy, zone
    )
    missing = ROUNDINGS[policy.proration_rounding](max(Fraction(0), least - asked))
    assert sum(line.amount for line in lines if line.kind == "minimum") == missing


def check_credits(shop: Shop) -> None:
    """No credit gives back more than was billed for its item and period, nor more than was paid for it."""
    lines = shop.lines()
    billed: Counter[tuple[str | None, str | None]] = Counter()
    paid: Counter[tuple[str | None, str | None]] = Counter()
    for line in lines:
        if line.kind in (FEE, CHARGE, CREDIT):
            key = (line.subscription_item, line.period)
            billed[key] += line.amount
            paid[key] += line.amount - sum(share.amount for share in line.discounts)
    for one in (*shop.state.pending, *_noted(shop)):
        billed[one.item, one.period] += one.amount
    assert all(amount >= 0 for amount in billed.values()), billed
    assert all(amount >= 0 for amount in paid.values()), paid


def _noted(shop: Shop) -> list[ProrationAdded]:
    return [one for one in shop.of(ProrationAdded) if one.credit_note is not None]


def check_money(shop: Shop) -> None:
    """Totals are the sums of lines, numbers have no gaps, and the books say the same as the invoices."""
    issued = [(one, one.header) for one in shop.invoices() if one.header is not None]
    assert [taken.number for taken in shop.of(InvoiceNumberTaken)] == list(range(1, len(issued) + 1))
    assert sorted(header.number for _, header in issued) == list(range(1, len(issued) + 1))
    for invoice, header in issued:
        totals = totals_of(invoice.draft.lines)
        assert (header.total, header.tax_total) == (totals.total, totals.tax_total)
        assert header.total == sum(_total_of(line) for line in invoice.draft.lines)
    notes = shop.of(CreditNoteIssued)
    assert [taken.number for taken in shop.of(CreditNoteNumberTaken)] == list(range(1, len(notes) + 1))
    left: Counter[str] = Counter()
    for entry in shop.of(JournalEntryPosted):
        for one in entry.postings:
            left[one.ledger_account] += one.amount if one.side == "debit" else -one.amount
    owed = sum(header.total for _, header in issued) - sum(note.total for note in notes)
    assert left["receivable"] + left["customer_credit"] == owed
    assert left["suspense"] == sum(left.values()) == 0


def _total_of(line: InvoiceLine) -> int:
    exclusive = sum(tax.amount for tax in line.taxes if tax.behaviour == "exclusive")
    return line.amount - sum(share.amount for share in line.discounts) + exclusive


def asked_for(shop: Shop) -> dict[tuple[str, ...], int]:
    """Add up what is asked for each fee, and for the usage and the minimums of each stretch of time."""
    sums: Counter[tuple[str, ...]] = Counter()
    for line in shop.lines():
        stretch = (str(line.subscription_item), str(line.service_from))
        if line.usage is not None:
            sums[line.usage.charge, *stretch] += line.amount
        elif line.kind == "minimum":
            sums["minimum", *stretch] += line.amount
        else:
            sums[line.line,] += line.amount
    return {key: amount for key, amount in sums.items() if amount}


def check_again(shop: Shop) -> None:
    """Every invoice is made of the log alone: put together again it is the same."""
    for invoice in shop.invoices():
        assert recompute(shop.context, invoice.draft.invoice).differences == ()
