"""Random histories of several accounts' subscriptions, and what they are worth worked out the slow way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from ledger.events.invoice import (
    DunningStepTaken,
    InvoiceDrafted,
    InvoiceEvent,
    InvoiceMarkedUncollectible,
    InvoiceVoided,
    PaymentApplied,
)
from ledger.events.subscription import (
    AddOnAdded,
    AddOnRemoved,
    CouponApplied,
    CouponEnded,
    PeriodOpened,
    PlanChanged,
    SubscriptionCancelled,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
    SubscriptionStarted,
)
from ledger.policies import axes, policy_of
from tests.mrr_events import BEGINNING
from tests.mrr_story import Story

if TYPE_CHECKING:
    from ledger.policies import MrrPolicy

PLANS = {
    "weekly": ("week", {"USD": 1000, "EUR": 900}),
    "monthly": ("month", {"USD": 2999, "EUR": 2499}),
    "quarterly": ("quarter", {"USD": 7777}),
    "yearly": ("year", {"USD": 10001, "EUR": 0}),
}
_A_YEAR: dict[str, Fraction] = {
    "week": Fraction(52),
    "month": Fraction(12),
    "quarter": Fraction(4),
    "year": Fraction(1),
}
_MRR_AXES = {name: values for name, values in axes().items() if name.startswith("mrr.")}

MRR_PRESETS = ("stripe", "chartmogul", "polar", "killbill")


@st.composite
def mrr_policies(draw: st.DrawFn) -> MrrPolicy:
    """Draw a preset's definition, often with some axes overridden."""
    overridden = draw(st.lists(st.sampled_from(sorted(_MRR_AXES)), max_size=3, unique=True))
    overrides = {name: draw(st.sampled_from(_MRR_AXES[name])) for name in overridden}
    return policy_of(draw(st.sampled_from(MRR_PRESETS)), overrides).mrr


@st.composite
def stories(draw: st.DrawFn, max_steps: int = 25) -> Story:
    """Draw a history: several accounts, each with several subscriptions, at instants near and far apart."""
    story = Story()
    for name, (interval, amounts) in PLANS.items():
        story.add_plan(name, interval, amounts)
    now = BEGINNING
    for _ in range(draw(st.integers(1, max_steps))):
        now += timedelta(minutes=draw(st.sampled_from([0, 1, 59, 60, 61, 60 * 24 * 3, 60 * 24 * 40])))
        _step(draw, story, now)
    return story


def _step(draw: st.DrawFn, story: Story, now: datetime) -> None:
    """Do something that can be done to a subscription as it stands."""
    story.open_due(now)
    name = draw(st.sampled_from([f"s{number}" for number in range(5)]))
    life = story.lives.get(name)
    if life is None:
        currency = draw(st.sampled_from(["USD", "USD", "EUR"]))
        plan = draw(st.sampled_from([one for one in PLANS if currency in PLANS[one][1]]))
        account, quantity = draw(st.sampled_from(["a", "b"])), draw(st.integers(1, 3))
        story.start(now, name, account, plan, quantity, currency, draw(st.sampled_from([0, 0, 7])))
        return
    state = story_state(story, now + timedelta(microseconds=1))[name]
    if state.status == "ended":
        story.reactivate(now, name)
    elif state.status == "paused":
        draw(st.sampled_from([story.resume, story.cancel]))(now, name)
    else:
        _to_running(draw, story, now, name, state)


def _to_running(draw: st.DrawFn, story: Story, now: datetime, name: str, state: State) -> None:
    plans = st.sampled_from([one for one in PLANS if state.currency in PLANS[one][1]])
    match draw(st.integers(0, 11)):
        case 0 | 1:
            story.cancel(now, name)
        case 2:
            story.pause(now, name)
        case 3:
            story.change(now, name, draw(plans), draw(st.integers(1, 3)))
        case 4:
            story.add(now, name, draw(plans), f"item {now} {len(story.recorded)}", draw(st.integers(1, 2)))
        case 5 if state.items:
            story.remove(now, name, draw(st.sampled_from(sorted(state.items))))
        case 6 if state.coupons:
            story.coupon_ends(now, name, draw(st.sampled_from(sorted(state.coupons))))
        case 7 | 8 | 9 if state.invoices:
            invoice = draw(st.sampled_from(sorted(state.invoices)))
            draw(st.sampled_from([story.dun, story.dun, story.give_up, story.pay, story.void]))(now, invoice)
        case 7 | 8 | 9:
            story.invoice(now, name, f"invoice {len(story.recorded)}")
        case _:
            coupon = f"c{len(story.recorded)}"
            duration = draw(st.sampled_from(["forever", "repeating"]))
            if draw(st.booleans()):
                story.coupon(now, name, coupon, percent_off="33.3", duration=duration)
            else:
                story.coupon(now, name, coupon, amounts_off={"USD": 500, "EUR": 500}, duration=duration)


# -- the slow way -------------------------------------------------------------------------------------


@dataclass
class State:
    """A subscription just before an instant."""

    account: str
    currency: str
    plan: str
    quantity: int
    status: str
    paid_through: datetime | None = None
    paid_until: datetime | None = None
    items: dict[str, tuple[str, int]] = field(default_factory=dict)
    coupons: dict[str, Any] = field(default_factory=dict)
    # Open invoices in order, each with whether it is past due or given up.
    invoices: dict[str, str] = field(default_factory=dict)

    @property
    def standing(self) -> str:
        """The status, or why what is active is not paid for."""
        late = set(self.invoices.values()) - {"open"}
        if self.status != "active" or not late:
            return self.status
        return "unpaid" if "unpaid" in late else "past_due"


def story_state(story: Story, at: datetime) -> dict[str, State]:
    """Replay what happened before an instant."""
    states: dict[str, State] = {}
    for one in story.recorded:
        event: Any = one.event
        if isinstance(event, SubscriptionStarted) and event.starts_at < at:
            states[event.subscription] = State(
                event.account,
                event.currency or "",
                event.plan,
                event.quantity,
                "trial" if event.trial_ends_at else "active",
            )
        elif isinstance(event, InvoiceEvent) and one.metadata.occurred_at < at:
            _replay_invoice(states, event)
        elif getattr(event, "subscription", None) in states and one.metadata.occurred_at < at:
            _replay(states[event.subscription], event)
    return states


def _replay_invoice(states: dict[str, State], event: InvoiceEvent) -> None:
    if isinstance(event, InvoiceDrafted):
        states[event.subscription or ""].invoices[event.invoice] = "open"
        return
    for state in states.values():
        invoices = state.invoices
        if event.invoice not in invoices:
            continue
        match event:
            case DunningStepTaken() if invoices[event.invoice] == "open":
                invoices[event.invoice] = "past_due"
            case InvoiceMarkedUncollectible():
                invoices[event.invoice] = "unpaid"
            case PaymentApplied() | InvoiceVoided():
                in_order = list(invoices) if isinstance(event, PaymentApplied) else [event.invoice]
                for earlier in in_order[: in_order.index(event.invoice)]:
                    # What is forgotten for a later one that is settled counts no more, whatever comes of it.
                    invoices[earlier] = "open"
                del invoices[event.invoice]
            case _:
                pass


def _replay(state: State, event: Any) -> None:  # noqa: C901 - one branch an event
    match event:
        case PeriodOpened():
            state.paid_through = None if event.trial else event.ends_at
            if not event.trial:
                state.status = "active"
        case PlanChanged():
            state.plan = event.to_plan
            state.quantity = event.quantity or state.quantity
        case AddOnAdded():
            state.items[event.item] = (event.plan, event.quantity)
        case AddOnRemoved():
            del state.items[event.item]
        case CouponApplied():
            state.coupons[event.coupon] = event.terms
        case CouponEnded():
            del state.coupons[event.coupon]
        case SubscriptionPaused():
            state.status = "paused"
        case SubscriptionResumed():
            state.status = "active" if state.paid_through else "trial"
        case SubscriptionCancelled():
            state.paid_until = state.paid_through if state.standing == "active" else None
            state.status = "ended"
        case SubscriptionReactivated():
            state.status, state.paid_through = "active", None
            state.invoices = dict.fromkeys(state.invoices, "open")
        case _:
            raise AssertionError(event.topic)


def worth_before(story: Story, at: datetime, policy: MrrPolicy) -> dict[tuple[str, str], Fraction]:
    """Give each account's revenue by currency just before an instant."""
    worth: dict[tuple[str, str], Fraction] = {}
    for state in story_state(story, at).values():
        lingers = (
            policy.churn_dated == "end_of_paid_period"
            and state.status == "ended"
            and state.paid_until is not None
            and at <= state.paid_until
        )
        counted = {
            "active": True,
            "past_due": policy.past_due != "not_counted",
            "unpaid": policy.past_due == "counted",
        }
        if counted.get(state.standing, lingers):
            key = (state.account, state.currency)
            worth[key] = worth.get(key, Fraction()) + _worth(state, policy)
    return worth


def _worth(state: State, policy: MrrPolicy) -> Fraction:
    value = _a_month(state.plan, state.currency, policy, state.quantity)
    for plan, quantity in state.items.values():
        value += _a_month(plan, state.currency, policy, quantity)
    for terms in state.coupons.values():
        if policy.discounts == "not_considered":
            continue
        if policy.discounts == "forever_reduce" and terms.duration != "forever":
            continue
        if terms.percent_off is not None:
            value *= 1 - Fraction(terms.percent_off) / 100
        else:
            interval = PLANS[state.plan][0]
            off = terms.amounts_off[state.currency] * _times_a_month(interval, policy)
            value = max(Fraction(), value - off)
    return value


def _a_month(plan: str, currency: str, policy: MrrPolicy, quantity: int) -> Fraction:
    interval, amounts = PLANS[plan]
    return amounts[currency] * quantity * _times_a_month(interval, policy)


def _times_a_month(interval: str, policy: MrrPolicy) -> Fraction:
    if interval == "week" and policy.weekly == "zero":
        return Fraction()
    return _A_YEAR[interval] / 12
