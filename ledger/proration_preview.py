"""What a change of price would cost, told from a description of it alone: the calculator behind the preview.

It finds the periods that the description leaves open and asks the one engine of proration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from ledger.coupons import checked_discount, discounted
from ledger.errors import Invalid
from ledger.money import MAX_AMOUNT, AmountOutOfRange, checked_amount, exponent
from ledger.periods import (
    Period,
    anniversary_anchor,
    calendar_anchor,
    local_day_start,
    next_period,
    period_containing,
)
from ledger.proration import (
    change_of_item,
    new_cycle,
    rounded,
    share_of_period,
    switch_instant,
    waits_for_period_end,
)
from ledger.proration_values import (
    ItemChange,
    LastBilled,
    NothingToProrate,
    OutsidePeriod,
    Proration,
)
from ledger.values import LATEST, MAX_AMOUNT_DIGITS, checked_time, instant_text

if TYPE_CHECKING:
    from datetime import datetime

    from ledger.coupons import Discount
    from ledger.periods import Anchor, Interval
    from ledger.policies import BillingPolicy
    from ledger.proration_values import NewCycle, RecurringPrice, Segment

AnchorKind: TypeAlias = Literal["anniversary", "calendar"]
BillingMode: TypeAlias = Literal["classic", "flexible"]
ProrationBehavior: TypeAlias = Literal["create_prorations", "none", "always_invoice"]
Invoiced: TypeAlias = Literal["now", "next_invoice"]

ANCHOR_KINDS: Final[tuple[AnchorKind, ...]] = get_args(AnchorKind)
BILLING_MODES: Final[tuple[BillingMode, ...]] = get_args(BillingMode)
PRORATION_BEHAVIORS: Final[tuple[ProrationBehavior, ...]] = get_args(ProrationBehavior)
_MIDNIGHT: Final = time()


@dataclass(frozen=True, kw_only=True)
class Billed:
    """What was last billed for the item: a price for each interval, or without one the amount itself."""

    amount_minor: int
    interval: Interval | None = None
    quantity: Decimal = Decimal(1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """A change to preview; `old` is none at a start, `new` at a cancellation.

    `cycle_start` is where the present period began, whole or a stub of its calendar. Periods turn over with
    the calendar, or on the anniversaries of `subscription_start`; without it, of `cycle_start`.
    """

    currency: str
    zone: str
    cycle_start: datetime
    change_at: datetime
    old: RecurringPrice | None = None
    new: RecurringPrice | None = None
    anchor: AnchorKind = "anniversary"
    subscription_start: datetime | None = None
    trial_end: datetime | None = None
    tax_rate: Decimal = Decimal(0)
    discount: Discount | None = None
    proration_behavior: ProrationBehavior | None = None
    billing_mode: BillingMode | None = None
    last_billed: Billed | None = None


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What the change does, under the policy as the request narrows it.

    `period` is the one that the change falls in, `next_period` the one that begins next: after it, or with
    the change where that starts one; none after a cancellation. Where the credit is a note with its tax, the
    tax is in `credit_minor` and not in `tax_minor`.
    """

    policy: BillingPolicy
    proration: Proration
    effective_at: datetime
    period: Period
    next_period: Period | None
    invoiced: Invoiced | None

    @property
    def credit_minor(self) -> int:
        """What is given back, not negative."""
        credit = self.proration.credit
        if credit is None:
            return 0
        return -credit.amount_minor - (credit.tax_minor if self._credit_holds_tax else 0)

    @property
    def debit_minor(self) -> int:
        """What is charged, before tax."""
        return 0 if self.proration.charge is None else self.proration.charge.amount_minor

    @property
    def tax_minor(self) -> int:
        """The tax that is not in the credit already."""
        credit = self.proration.credit
        held = credit.tax_minor if credit is not None and self._credit_holds_tax else 0
        return self.proration.tax_minor - held

    @property
    def net_minor(self) -> int:
        """What is charged less what is given back."""
        return checked_amount(self.debit_minor - self.credit_minor)

    @property
    def total_minor(self) -> int:
        """What the change adds to the bill, tax and all."""
        return checked_amount(self.net_minor + self.tax_minor)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """List what is given back and what is charged."""
        return tuple(one for one in (self.proration.credit, self.proration.charge) if one is not None)

    @property
    def _credit_holds_tax(self) -> bool:
        return self.policy.change_credit == "credit_note_with_tax"


@dataclass(frozen=True)
class _Cycle:
    """The period that a change falls in, the whole one it is of, and the calendar that both are in."""

    period: Period
    whole: Period
    anchor: Anchor


def preview(question: Question, policy: BillingPolicy) -> Preview:
    """Work out what a change would give back and ask for, and which period comes next."""
    _check(question)
    policy = _in_mode(policy, question.billing_mode)
    cycle = _cycle(question, policy)
    if waits_for_period_end(question.old, question.new, policy):
        return _at_period_end(question, policy, cycle)
    begun = _cycle_begun(question, policy, cycle)
    proration = change_of_item(_item_change(question, policy, cycle, begun), policy)
    at = switch_instant(question.change_at, policy, question.zone)
    return Preview(
        policy=policy,
        proration=proration,
        effective_at=question.change_at if question.old is None or question.new is None else at,
        period=cycle.period,
        next_period=_next_period(question, cycle, begun),
        invoiced=_invoiced(question, policy, proration, begun),
    )


def _at_period_end(question: Question, policy: BillingPolicy, cycle: _Cycle) -> Preview:
    """Leave the present period as it is: the new price begins with the next one."""
    assert question.old is not None, "a change that waits is from one price to another"
    assert question.new is not None, "a change that waits is from one price to another"
    if question.new.interval == question.old.interval:
        following = next_period(cycle.anchor, question.new.interval, cycle.whole)
    else:
        following = _new_cycle(question, policy, cycle, question.new.interval, cycle.whole.end).period
    return Preview(
        policy=policy,
        proration=Proration(None, None, None),
        effective_at=cycle.whole.end,
        period=cycle.period,
        next_period=following,
        invoiced=None,
    )


def _in_mode(policy: BillingPolicy, mode: BillingMode | None) -> BillingPolicy:
    """Narrow the policy: a mode says which price unused time is credited at."""
    if mode is None:
        return policy
    return replace(policy, credit_base="current_price" if mode == "classic" else "last_billed_price")


# -- periods ----------------------------------------------------------------------------------------------


def _cycle(question: Question, policy: BillingPolicy) -> _Cycle:
    """Find the period that the change falls in, or refuse: it falls in no part of the one that is told."""
    price = question.old or question.new
    assert price is not None, "one price is given"
    cycle_start = checked_time(_turned_over(question.cycle_start, question, policy), "cycle_start")
    anchor = _anchor(question, policy, price.interval, cycle_start)
    whole = period_containing(anchor, price.interval, cycle_start)
    if whole.end >= LATEST:
        raise _refused("cycle_start", "must be in a period that ends before 2200")
    starts_at = max(whole.start, cycle_start)
    if not starts_at <= question.change_at < whole.end:
        reason = f"must lie in the period, from {instant_text(starts_at)} to before {instant_text(whole.end)}"
        raise OutsidePeriod(f"change_at: {reason}", {"change_at": [reason]})
    return _Cycle(Period(starts_at, whole.end), whole, anchor)


def _anchor(question: Question, policy: BillingPolicy, interval: Interval, cycle_start: datetime) -> Anchor:
    """Find the calendar that periods are in.

    Where a change of interval anchors it anew, a period that did not begin on an anniversary of the
    subscription's start is taken to be one that such a change began.
    """
    if question.anchor == "calendar":
        return calendar_anchor(question.zone)
    own = _anniversary(cycle_start, question, policy)
    started_at = question.subscription_start
    if started_at is None or started_at > cycle_start:
        return own
    first = _anniversary(started_at, question, policy)
    on_anniversary = period_containing(first, interval, cycle_start).start == cycle_start
    return first if on_anniversary or policy.interval_change == "new_period_to_anchor" else own


def _anniversary(at: datetime, question: Question, policy: BillingPolicy) -> Anchor:
    anchor = anniversary_anchor(at, question.zone)
    return replace(anchor, time=_MIDNIGHT) if policy.period_end == "local_midnight" else anchor


def _turned_over(at: datetime, question: Question, policy: BillingPolicy) -> datetime:
    """Give where a period that began at an instant is counted from: there, or where its local day begins."""
    if policy.period_end == "local_midnight":
        return local_day_start(at, question.zone)
    return at.replace(microsecond=0)


def _cycle_begun(question: Question, policy: BillingPolicy, cycle: _Cycle) -> NewCycle | None:
    """Give the period that a change to another interval starts."""
    old, new = question.old, question.new
    if old is None or new is None or old.interval == new.interval:
        return None
    return _new_cycle(question, policy, cycle, new.interval, question.change_at)


def _new_cycle(
    question: Question, policy: BillingPolicy, cycle: _Cycle, interval: Interval, at: datetime
) -> NewCycle:
    # A cycle's start alone tells which day of the month the calendar turns over on, not in which month.
    told = question.anchor == "calendar" or question.subscription_start is not None
    return new_cycle(at, interval, cycle.anchor if told else None, policy, question.zone)


def _next_period(question: Question, cycle: _Cycle, begun: NewCycle | None) -> Period | None:
    if question.new is None:
        return None
    if begun is not None:
        return begun.period
    return next_period(cycle.anchor, question.new.interval, cycle.whole)


# -- the change -------------------------------------------------------------------------------------------


def _item_change(
    question: Question, policy: BillingPolicy, cycle: _Cycle, begun: NewCycle | None
) -> ItemChange:
    since = max(cycle.period.start, question.subscription_start or cycle.period.start)
    change = ItemChange(
        at=question.change_at,
        zone=question.zone,
        period=cycle.period,
        whole=cycle.whole,
        old=question.old,
        new=question.new,
        since=min(since, question.change_at),
        new_cycle=begun,
        trial_end=question.trial_end,
        discount=question.discount,
        tax_rate=question.tax_rate,
        prorates=question.proration_behavior != "none",
    )
    if question.last_billed is None or question.old is None:
        return change
    return replace(change, billed=_billed(question, question.last_billed, policy, change))


def _billed(question: Question, told: Billed, policy: BillingPolicy, change: ItemChange) -> LastBilled:
    """Read what was last billed: the amount, or the share of the price that was billed for the period."""
    exact = Fraction(told.amount_minor) * Fraction(told.quantity)
    if exact > MAX_AMOUNT:
        reason = f"must have at most {MAX_AMOUNT_DIGITS} digits for all of the quantity"
        raise AmountOutOfRange(f"last_billed.amount: {reason}", {"last_billed.amount": [reason]})
    if told.interval is None:
        return LastBilled(amount_minor=rounded(exact, policy))
    assert change.since is not None, "the item's start is known"
    less_discount = policy.credit_base == "last_billed_price_less_discount"
    paid = discounted(exact, question.discount) if less_discount else exact
    share = share_of_period(paid, change.old_whole, change.since, change.period.end, policy, question.zone)
    return LastBilled(amount_minor=rounded(share, policy), price=exact)


def _invoiced(
    question: Question, policy: BillingPolicy, proration: Proration, begun: NewCycle | None
) -> Invoiced | None:
    """Say whether the change is invoiced at once; what starts a period always is."""
    if proration.credit is None and proration.charge is None:
        return None
    if question.old is None or begun is not None or question.proration_behavior == "always_invoice":
        return "now"
    if question.proration_behavior is None and policy.change_invoice == "immediate":
        return "now"
    return "next_invoice"


# -- refusals ---------------------------------------------------------------------------------------------


def _check(question: Question) -> None:
    exponent(question.currency)
    checked_time(question.cycle_start, "cycle_start")
    checked_time(question.change_at, "change_at")
    if question.old is None and question.new is None:
        message = "old and new: give the old price, the new price, or both"
        raise NothingToProrate(message, {"old": ["must be given where new is not"]})
    if question.discount is not None:
        checked_discount(question.discount)
    if not 0 <= question.tax_rate <= 100:  # noqa: PLR2004 - per cent
        raise _refused("tax_rate", "must be from 0 to 100")
    if question.subscription_start is not None and question.subscription_start > question.change_at:
        raise _refused("subscription_start", "must not come after change_at")
    _check_last_billed(question)


def _check_last_billed(question: Question) -> None:
    told = question.last_billed
    if told is None:
        return
    if checked_amount(told.amount_minor) < 0 or told.quantity < 0:
        raise _refused("last_billed.amount", "must not be negative")
    if question.old is not None and told.interval not in (None, question.old.interval):
        raise _refused("last_billed.interval", "must be the interval of the old price")


def _refused(field: str, reason: str) -> Invalid:
    return Invalid(f"{field}: {reason}", {field: [reason]})
