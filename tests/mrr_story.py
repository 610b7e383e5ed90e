"""Histories of subscriptions for tests of MRR: steps in plain words become the events the log would hold."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.events.coupon import CouponTerms
from ledger.events.invoice import (
    CreditApplied,
    DunningStepTaken,
    InvoiceDrafted,
    InvoiceFinalized,
    InvoiceMarkedUncollectible,
    InvoiceVoided,
    PaymentApplied,
)
from ledger.events.stripe import StripeSubscriptionItem, StripeSubscriptionObserved
from ledger.events.subscription import (
    AddOnAdded,
    AddOnRemoved,
    BillingAnchor,
    CouponApplied,
    CouponEnded,
    PeriodOpened,
    PlanChanged,
    ProrationAdded,
    SubscriptionBilled,
    SubscriptionCancelled,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
    SubscriptionStarted,
)
from ledger.mrr_rates import Rate
from ledger.periods import anniversary_anchor, period_containing
from tests.mrr_events import Events, Life

if TYPE_CHECKING:
    from collections.abc import Sequence

FILE = Path(__file__).parent / "cases" / "mrr.toml"
_ANCHOR = BillingAnchor(day=1, month=1, weekday=1, time=time())


class Story(Events):
    """Events of one book; each step is booked when it happens."""

    def tell(self, step: dict[str, Any]) -> None:
        """Tell a step of a case: what is done at an instant, to what."""
        details = dict(step)
        at = instant(details.pop("at"))
        do, times = details.pop("do"), details.pop("times", None)
        if "plan" in details and details["plan"] not in self.terms:
            raise KeyError(details["plan"])
        self.open_due(at)
        if times is None:
            getattr(self, do)(at, **details)
            return
        for number in range(times):
            getattr(self, do)(at, **{**details, "subscription": f"{details['subscription']} {number}"})

    # -- steps ----------------------------------------------------------------------------------------

    def start(
        self,
        at: datetime,
        subscription: str,
        account: str,
        plan: str,
        quantity: int = 1,
        currency: str | None = "USD",
        trial_days: int = 0,
        starts_at: str | None = None,
    ) -> None:
        """Subscribe."""
        begins = at if starts_at is None else instant(starts_at)
        trial_end = begins + timedelta(days=trial_days) if trial_days else None
        started = SubscriptionStarted(
            **_names(subscription, account),
            plan=plan,
            price_version=self.versions[f"plan {plan}"],
            item=f"item of {subscription}",
            anchor_day=begins.day,
            anchor_month=begins.month,
            anchor_weekday=begins.isoweekday(),
            anchor_time=begins.time(),
            time_zone="UTC",
            starts_at=begins,
            currency=currency,
            quantity=quantity,
            trial_ends_at=trial_end,
        )
        self.record(subscription, started, at)
        self.lives[subscription] = Life(
            account=account,
            plan=plan,
            anchored_at=trial_end or begins,
            period_end=begins,
            trial_end=trial_end,
        )
        self.open_due(at)

    def open_due(self, now: datetime) -> None:
        """Open the periods that begin until now, as the scheduler does."""
        for subscription, life in self.lives.items():
            while life.running and life.period_end is not None and life.period_end <= now:
                self._open(subscription, life, life.period_end)

    def _open(self, subscription: str, life: Life, at: datetime) -> None:
        trial = life.trial_end is not None and at < life.trial_end
        if trial and life.trial_end is not None:
            end = life.trial_end
        else:
            anchor = anniversary_anchor(life.anchored_at, "UTC")
            end = period_containing(anchor, self.terms[life.plan].interval, at).end  # type: ignore[arg-type]
        opened = PeriodOpened(
            **_names(subscription, life.account),
            period=f"per {at}",
            starts_at=at,
            ends_at=end,
            plan=life.plan,
            price_version=1,
            policy_version=1,
            trial=trial,
        )
        self.record(subscription, opened, at)
        life.period_end = end

    def change(
        self, at: datetime, subscription: str, plan: str | None = None, quantity: int | None = None
    ) -> None:
        """Move to another plan or number of seats."""
        life = self.lives[subscription]
        to_plan = plan or life.plan
        changed = PlanChanged(
            **_names(subscription, life.account),
            from_plan=life.plan,
            to_plan=to_plan,
            price_version=self.versions[f"plan {to_plan}"],
            effective_at=at,
            quantity=quantity,
        )
        life.plan = to_plan
        self.record(subscription, changed, at)

    def add(self, at: datetime, subscription: str, plan: str, item: str, quantity: int = 1) -> None:
        """Add a plan beside the first one."""
        added = AddOnAdded(
            **self._of(subscription),
            item=item,
            plan=plan,
            price_version=self.versions[f"plan {plan}"],
            quantity=quantity,
            effective_at=at,
        )
        self.record(subscription, added, at)

    def remove(self, at: datetime, subscription: str, item: str) -> None:
        """Remove it again."""
        self.record(subscription, AddOnRemoved(**self._of(subscription), item=item, effective_at=at), at)

    def coupon(self, at: datetime, subscription: str, coupon: str, **terms: Any) -> None:
        """Redeem a coupon."""
        if "percent_off" in terms:
            terms["percent_off"] = Decimal(terms["percent_off"])
        for name in ("plans", "meters"):
            terms[name] = tuple(terms.get(name, ()))
        applied = CouponApplied(
            **self._of(subscription), coupon=coupon, name=coupon, terms=CouponTerms(**terms)
        )
        self.record(subscription, applied, at)

    def coupon_ends(self, at: datetime, subscription: str, coupon: str) -> None:
        """Take a coupon off no more."""
        ended = CouponEnded(**self._of(subscription), coupon=coupon, reason="used up")
        self.record(subscription, ended, at)

    def bill(self, at: datetime, subscription: str, coupons: Sequence[str]) -> None:
        """Bill the present period, with coupons taken off."""
        period_end = self.lives[subscription].period_end
        assert period_end is not None
        billed = SubscriptionBilled(
            **self._of(subscription),
            invoice="inv",
            billed_through=period_end,
            prorations_through=0,
            fee_line=None,
            coupons=tuple(coupons),
        )
        self.record(subscription, billed, at)

    def pause(self, at: datetime, subscription: str, *, shifts: bool = False) -> None:
        """Pause."""
        self.lives[subscription].running = False
        paused = SubscriptionPaused(**self._of(subscription), paused_at=at, shifts=shifts)
        self.record(subscription, paused, at)

    def resume(self, at: datetime, subscription: str) -> None:
        """Resume."""
        life = self.lives[subscription]
        life.running = True
        life.period_end = max(at, life.period_end or at)
        self.record(subscription, SubscriptionResumed(**self._of(subscription), resumed_at=at), at)

    def cancel(self, at: datetime, subscription: str, ended_at: str | None = None) -> None:
        """End a subscription now, or earlier."""
        self.lives[subscription].running = False
        ends = at if ended_at is None else instant(ended_at)
        self.record(subscription, SubscriptionCancelled(**self._of(subscription), ended_at=ends), at)

    def cancel_at_period_end(self, at: datetime, subscription: str) -> None:
        """End a subscription where its present period does."""
        life = self.lives[subscription]
        assert at < (life.period_end or at)
        life.running = False
        self.record(
            subscription,
            SubscriptionCancelled(**self._of(subscription), ended_at=life.period_end or at),
            life.period_end or at,
        )

    def credit(self, at: datetime, subscription: str) -> None:
        """Give back what is left of the present period."""
        life = self.lives[subscription]
        credited = ProrationAdded(
            **self._of(subscription),
            sequence=1,
            kind="proration_credit",
            plan=life.plan,
            price_version=1,
            policy_version=1,
            period="per",
            service_from=at,
            service_to=life.period_end or at,
            amount=-1,
            currency="USD",
            adjusts_line=None,
        )
        self.record(subscription, credited, at)

    def reactivate(self, at: datetime, subscription: str) -> None:
        """Begin again."""
        life = self.lives[subscription]
        life.running, life.period_end, life.anchored_at, life.trial_end = True, at, at, None
        again = SubscriptionReactivated(**self._of(subscription), reactivated_at=at, anchor=_ANCHOR)
        self.record(subscription, again, at)
        self.open_due(at)

    def stripe(
        self,
        at: datetime,
        subscription: str,
        account: str,
        status: str,
        items: Sequence[dict[str, Any]],
        period_end: str | None = None,
    ) -> None:
        """See a subscription at Stripe."""
        told = tuple(
            StripeSubscriptionItem(
                **{
                    "item": f"si_{number}",
                    "price": f"price_{number}",
                    "product": None,
                    "currency": "USD",
                    "interval": "month",
                    "interval_count": 1,
                    "period_start": at,
                    "period_end": None if period_end is None else instant(period_end),
                    **item,
                    # TOML has no null.
                    "quantity": None if item.get("quantity") == "none" else item.get("quantity", 1),
                }
            )
            for number, item in enumerate(items)
        )
        seen = StripeSubscriptionObserved(
            stripe_subscription=subscription,
            account=account,
            status=status,
            items=told,
            cancels_at=None,
            ended_at=at if status == "canceled" else None,
            observed_at=at,
            stripe_event=f"evt {len(self.recorded)}",
        )
        self.record(f"stripe {subscription}", seen, at)

    # -- invoices -------------------------------------------------------------------------------------

    def invoice(
        self, at: datetime, subscription: str | None, invoice: str, total: int = 100, account: str = "acme"
    ) -> None:
        """Draft and finalize an invoice of a subscription, or of none."""
        owner = self.lives[subscription].account if subscription else account
        names: dict[str, Any] = {"invoice": invoice, "account": owner}
        drafted = InvoiceDrafted(
            **names,
            billing_entity="default",
            payer=names["account"],
            subscription=subscription,
            kind="recurring",
            currency="USD",
            period_start=at,
            period_end=at,
            lines=(),
            computed_at_position=1,
            managed_by="daybook",
        )
        finalized = InvoiceFinalized(
            **names,
            billing_entity="default",
            series="INV",
            number=1,
            formatted_number="INV-1",
            issued_on=at.date(),
            due_on=at.date(),
            terms="net 0",
            currency="USD",
            subtotal=total,
            discount_total=0,
            tax_total=0,
            total=total,
            seller_name="Seller",
            seller_tax_id=None,
            buyer_name=None,
            buyer_email=None,
            buyer_tax_id=None,
        )
        self.record(invoice, drafted, at)
        self.record(invoice, finalized, at)

    def dun(self, at: datetime, invoice: str, due_at: str | None = None) -> None:
        """Take a step because an invoice is past due."""
        due = at if due_at is None else instant(due_at)
        taken = DunningStepTaken(
            invoice=invoice, account="acme", step=1, action="remind", due_at=due, outcome="sent"
        )
        self.record(invoice, taken, at)

    def give_up(self, at: datetime, invoice: str) -> None:
        """Mark an invoice uncollectible."""
        given_up = InvoiceMarkedUncollectible(invoice=invoice, account="acme", reason="gone", amount=100)
        self.record(invoice, given_up, at)

    def pay(self, at: datetime, invoice: str, amount: int = 100, credit: int = 0) -> None:
        """Settle part or all of an invoice, by a payment and by credit."""
        paid = PaymentApplied(invoice=invoice, account="acme", payment="pay", amount=amount, currency="USD")
        self.record(invoice, paid, at)
        if credit:
            credited = CreditApplied(
                invoice=invoice, account="acme", source="grant", reference=None, amount=credit, currency="USD"
            )
            self.record(invoice, credited, at)

    def void(self, at: datetime, invoice: str) -> None:
        """Take an invoice back."""
        self.record(invoice, InvoiceVoided(invoice=invoice, account="acme", reason="wrong"), at)

    def rate(self, at: datetime, currency: str, rate: str) -> None:
        """Record what a currency is worth."""
        position = len(self.recorded) + 1
        self.rates.append(
            Rate(currency=currency, at=at, rate=Fraction(rate), position=position, topic="rate.recorded")
        )

    def _of(self, subscription: str) -> dict[str, Any]:
        return _names(subscription, self.lives[subscription].account)


def instant(value: str | datetime) -> datetime:
    """Read an instant; a day alone is its first, in UTC."""
    if isinstance(value, datetime):
        return value
    read = datetime.fromisoformat(value)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _names(subscription: str, account: str) -> dict[str, Any]:
    return {"subscription": subscription, "account": account}


def read_cases() -> list[dict[str, Any]]:
    """Read the worked cases."""
    cases: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["case"]
    return cases


def told(case: dict[str, Any]) -> Story:
    """Tell a case."""
    story = Story()
    for name, plan in case["plans"].items():
        story.add_plan(name, plan["interval"], plan.get("amounts", {}))
    for step in case["steps"]:
        story.tell(step)
    return story
