"""Whatever happens to a subscription of plain plans: its periods, its invoices and its money stay right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from commands.accounts import close_account
from commands.invoicing import void_invoice
from ledger.errors import Refusal
from ledger.events.invoice import InvoiceDrafted, InvoiceFinalized, InvoiceNumberTaken
from ledger.events.journal import JournalEntryPosted
from ledger.events.subscription import (
    PeriodOpened,
    PlanChanged,
    ProrationAdded,
    SubscriptionCancelled,
    SubscriptionStarted,
)
from ledger.identifiers import stream_of
from ledger.streams.invoice import totals_of
from projections.billing_subscriptions import changes_of
from tests.examples import BOOK, fee
from tests.memory_shop import open_shop

if TYPE_CHECKING:
    from tests.memory_shop import Shop

FEES = {"Free": 0, "Pro": 2900, "Team": 9900, "Odd": 333}
YEARLY_FEE = 29_000
ZONES = ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
STARTS = [
    datetime(2027, 1, 31, 12, 0, tzinfo=UTC),
    datetime(2027, 3, 14, 7, 30, tzinfo=UTC),  # in a night that New York's clocks jump
    datetime(2028, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2027, 10, 31, 5, 15, 0, 1, tzinfo=UTC),
]
Step = tuple[str, Any, str, bool]


def after(*days: int) -> st.SearchStrategy[timedelta]:
    """Draw a wait of about so many days; a clock may also be a little behind the one before it."""
    return st.builds(
        timedelta,
        days=st.sampled_from(days),
        seconds=st.integers(-5, 86_400),
        microseconds=st.sampled_from([0, 1, 999_999]),
    )


changes = st.tuples(
    st.just("change"),
    after(0, 0, 1, 9, 14),
    st.sampled_from([*FEES, "Yearly"]),
    st.sampled_from([False, False, False, True]),
)
renewals = st.tuples(st.just("renew"), after(0, 28, 31, 31, 70, 366), st.none(), st.none())
ends = st.tuples(st.just("cancel"), after(0, 9, 31), st.none(), st.booleans())
# Most of a subscription's life is changes and renewals; an end too early would hide the rest.
histories = st.builds(
    lambda most, last: [*most, *last],
    st.lists(changes | renewals, min_size=1, max_size=10),
    st.lists(ends | renewals | changes, max_size=4),
)


@dataclass
class Seller:
    """A shop with its plans and one subscription."""

    shop: Shop
    plans: dict[str, str]

    def at(self, now: datetime) -> None:
        """Turn the clock; it may go back a little, as between two machines."""
        self.shop.at(now)

    def do(self, step: Step) -> None:
        """Ask for one thing; being refused is an answer too."""
        kind, _, plan, at_period_end = step
        try:
            if kind == "change":
                self.shop.change(plan=self.plans[plan], at_period_end=at_period_end)
            elif kind == "renew":
                self.shop.advance()
            else:
                self.shop.cancel(at_period_end=at_period_end, credit=False)
        except Refusal:
            return

    def of(self, event_class: type[Any]) -> list[Any]:
        """Give the events of a class, in log order."""
        return self.shop.of(event_class)


def seller(zone: str, start: datetime) -> Seller:
    shop = open_shop(now=start, zone=zone)
    plans = {name: shop.plan(name, fees=(fee(amount),)) for name, amount in FEES.items()}
    plans["Yearly"] = shop.plan("Yearly", interval="year", fees=(fee(YEARLY_FEE),))
    shop.subscribe(plans["Pro"])
    return Seller(shop, plans)


def played(zone: str, start: datetime, history: list[Step]) -> Seller:
    acme = seller(zone, start)
    now = start
    for step in history:
        now = max(start, now + step[1])
        acme.at(now)
        acme.do(step)
    return acme


def waiting(acme: Seller) -> list[ProrationAdded]:
    """Give the prorations that no invoice has asked for yet."""
    asked = {line.sequence for line in acme.shop.lines() if line.kind != "fee"}
    return [one for one in acme.of(ProrationAdded) if one.sequence not in asked]


def cut_at(acme: Seller) -> set[datetime]:
    """Give where a change to another interval began a period before the one before it was over."""
    return {change.effective_at for change in acme.of(PlanChanged) if change.anchor is not None}


def check_periods(acme: Seller) -> None:
    """Periods follow one another without a gap, from the start to the end."""
    (started,) = acme.of(SubscriptionStarted)
    periods = acme.of(PeriodOpened)
    assert periods[0].starts_at == started.starts_at
    assert all(period.starts_at < period.ends_at for period in periods)
    for one, following in pairwise(periods):
        assert one.starts_at < following.starts_at <= one.ends_at
        assert following.starts_at == one.ends_at or following.starts_at in cut_at(acme)
    for ended in acme.of(SubscriptionCancelled):
        assert periods[-1].starts_at <= ended.ended_at <= periods[-1].ends_at


def check_billed_once(acme: Seller) -> None:
    """Every period has one fee on one invoice, every proration is asked for once, or waits."""
    lines = acme.shop.lines()
    fees = [line for line in lines if line.kind == "fee"]
    assert [line.period for line in fees] == [period.period for period in acme.of(PeriodOpened)]
    assert [line.plan for line in fees] == [period.plan for period in acme.of(PeriodOpened)]
    names = [line.line for line in lines]
    assert len(set(names)) == len(names)
    asked = [line.sequence for line in lines if line.kind != "fee"]
    assert asked == list(range(1, len(asked) + 1))
    assert len(asked) + len(waiting(acme)) == len(acme.of(ProrationAdded))
    assert not acme.of(SubscriptionCancelled) or not waiting(acme)


def check_credits(acme: Seller) -> None:
    """No credit is larger than the line it adjusts, and no line is adjusted twice."""
    lines = acme.shop.lines()
    amounts = {line.line: line.amount for line in lines}
    asked = [(line.adjusts_line, line.amount) for line in lines]
    adjusted = Counter(name for name, _ in asked if name is not None)
    assert all(times == 1 for times in adjusted.values())
    for name, amount in asked:
        assert (amount <= 0) if name is not None else (amount >= 0)
        assert name is None or -amount <= amounts[name]


def check_money(acme: Seller) -> None:
    """Totals are the sums of lines, numbers have no gaps, and the books say the same as the invoices."""
    drafts = {drafted.invoice: drafted for drafted in acme.of(InvoiceDrafted)}
    issued = acme.of(InvoiceFinalized)
    assert [header.invoice for header in issued] == list(drafts)
    assert [header.number for header in issued] == list(range(1, len(issued) + 1))
    assert [taken.number for taken in acme.of(InvoiceNumberTaken)] == [header.number for header in issued]
    for header in issued:
        totals = totals_of(drafts[header.invoice].lines)
        assert header.total == totals.total == sum(line.amount for line in drafts[header.invoice].lines)
    left: Counter[str] = Counter()
    for entry in acme.of(JournalEntryPosted):
        for one in entry.postings:
            left[one.ledger_account] += one.amount if one.side == "debit" else -one.amount
    assert left["receivable"] + left["customer_credit"] == sum(header.total for header in issued)
    assert sum(left.values()) == 0


def check_shares(acme: Seller) -> None:
    """For each period, fee and prorations add up to every plan's share of the time that it was had."""
    fee_of = {plan: FEES.get(name, YEARLY_FEE) for name, plan in acme.plans.items()}
    for period, changes in changes_inside(acme):
        prorations = [one for one in acme.of(ProrationAdded) if one.period == period.period]
        turns = [period.starts_at, *(change.effective_at for change in changes), period.ends_at]
        # A plan of another interval is paid for in the period that it begins.
        had = [period.plan, *(None if change.anchor else change.to_plan for change in changes)]
        whole = int((period.ends_at - period.starts_at).total_seconds())
        shares = [
            Fraction(fee_of[plan] * int((to - since).total_seconds()), whole)
            for plan, (since, to) in zip(had, pairwise(turns), strict=True)
            if plan is not None
        ]
        billed = fee_of[period.plan] + sum(one.amount for one in prorations)
        assert abs(billed - sum(shares)) <= Fraction(len(prorations), 2)


def changes_inside(acme: Seller) -> list[tuple[PeriodOpened, list[PlanChanged]]]:
    """Give each period with the changes of plan made while it ran."""
    found: list[tuple[PeriodOpened, list[PlanChanged]]] = []
    for event in acme.shop.log.events():
        if isinstance(event, PeriodOpened):
            found.append((event, []))
        elif isinstance(event, PlanChanged) and event.effective_at < found[-1][0].ends_at:
            found[-1][1].append(event)
    return found


@settings(max_examples=200)
@given(st.sampled_from(ZONES), st.sampled_from(STARTS), histories)
def test_whatever_happens_every_period_is_billed_exactly_once(
    zone: str, start: datetime, history: list[Step]
) -> None:
    acme = played(zone, start, history)
    check_periods(acme)
    check_billed_once(acme)
    check_credits(acme)
    check_money(acme)
    check_shares(acme)


@given(st.sampled_from(ZONES), st.sampled_from(STARTS), histories, st.integers(0, 15))
def test_a_closed_account_takes_no_changes_and_begins_no_period(
    zone: str, start: datetime, history: list[Step], close_before: int
) -> None:
    acme = played(zone, start, history[:close_before])
    close_account(acme.shop.context, acme.shop.account, "moved away")
    closed_at, before = acme.shop.now, len(acme.shop.log.recorded)
    for step in history[close_before:]:
        acme.at(max(closed_at, acme.shop.now + step[1]))
        acme.do(step)
    acme.at(acme.shop.now + timedelta(days=366))
    for _ in range(60):
        acme.do(("renew", None, "", False))
    since = acme.shop.log.events()[before:]
    assert all(event.starts_at < closed_at for event in since if isinstance(event, PeriodOpened))
    assert all(event.effective_at < closed_at for event in since if isinstance(event, PlanChanged))
    assert len(acme.of(SubscriptionCancelled)) == 1
    check_periods(acme)
    check_billed_once(acme)
    check_money(acme)


@given(st.sampled_from(STARTS), histories)
def test_a_fee_that_was_taken_back_is_never_credited(start: datetime, history: list[Step]) -> None:
    acme = seller("UTC", start)
    (first,) = acme.of(InvoiceFinalized)
    void_invoice(acme.shop.context, first.invoice, "a mistake")
    now = start
    for step in history:
        now = max(start, now + step[1])
        acme.at(now)
        acme.do(step)
    (charged,) = acme.of(InvoiceDrafted)[0].lines
    credited = [one.amount for one in acme.of(ProrationAdded) if one.adjusts_line == charged.line]
    assert credited in ([], [0])
    check_periods(acme)


@example(STARTS[0], [("change", timedelta(0), "Team", True), ("change", timedelta(0), "Pro", True)])
@example(STARTS[0], [("change", timedelta(0), "Team", True), ("cancel", timedelta(0), "", True)])
@given(st.sampled_from(STARTS), histories)
def test_the_read_model_s_row_says_what_the_stream_says(start: datetime, history: list[Step]) -> None:
    acme = played("UTC", start, history)
    row = None
    for _, change in changes_of(acme.shop.log.recorded):
        row = change(row)
    state = acme.shop.state
    assert row is not None
    assert state.period is not None
    assert (row.plan, row.next_plan, row.status) == (state.plan, state.next_plan, state.status)
    assert (row.period_start, row.period_end) == (state.period.starts_at, state.period.ends_at)
    assert (row.cancels_at, row.ended_at) == (state.cancels_at, state.ended_at)
    recorded = acme.shop.log.load(BOOK, stream_of("sub", acme.shop.subscription))
    assert (row.billed_through, row.version) == (state.billed_through, len(recorded))
