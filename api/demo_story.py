"""The demo's customers: they sign up, get keys, subscribe, pay, change their minds and leave."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from api.demo_names import company
from api.demo_world import BEGIN, END, MONTH, Customer, soon
from commands.accounts import close_account, register_account
from commands.invoicing import pay_invoice, void_invoice
from commands.keys import issue_key, resume_key, revoke_key, rotate_key, suspend_key
from commands.plans import create_plan
from commands.subscriptions import (
    Wish,
    advance_subscription,
    cancel_subscription,
    change_subscription,
    subscribe,
)
from ledger.events import Actor

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from api.demo_webhooks import Webhooks
    from api.demo_world import World
    from commands.subscriptions import Billed
    from ledger.streams.base import Stream
    from ledger.streams.invoice import Invoice

PLANS: Final = (("Starter", 1_900), ("Growth", 7_900), ("Scale", 29_900), ("Enterprise", 99_900))
# Who calls more is on a larger plan, mostly.
_PLAN_WEIGHTS: Final = ((62, 30, 7, 1), (25, 50, 22, 3), (5, 25, 50, 20))
_HEAVIEST: Final = 25.0
_TIME_ZONES: Final = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Tokyo")
_SCHEDULER: Final = Actor(principal="scheduler", kind="scheduler")
_SHARE_THERE_BEFORE: Final = 0.6
_ONE_IN_STRIPES_HANDS: Final = 20
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Story:
    """The life of every customer, each from randomness of its own."""

    def __init__(self, world: World, webhooks: Webhooks) -> None:
        """Take the world it plays in, and Stripe."""
        self._world = world
        self._webhooks = webhooks

    def begin(self) -> None:
        """Put the plans on sale, and let every customer come some day."""
        for name, amount in PLANS:
            done = create_plan(self._world.context(BEGIN), name, "USD", "month", amount)
            assert done.result.state is not None, "it was just created"
            self._world.plans.append(done.result.state.plan)
        arrivals = self._world.random("arrivals")
        for number in range(self._world.size.accounts):
            random = self._world.random(f"customer {number}")
            first, last = (BEGIN, MONTH) if arrivals.random() < _SHARE_THERE_BEFORE else (MONTH, END - _DAY)
            at = soon(arrivals, first, _HOUR, last - first)
            name, email = company(random, number)
            if number % _ONE_IN_STRIPES_HANDS == _ONE_IN_STRIPES_HANDS // 2:
                billed = partial(self._webhooks.bill_at_stripe, name=name, email=email, random=random)
                self._world.plan_for(at, billed)
            else:
                self._world.plan_for(at, partial(self._sign_up, name=name, email=email, random=random))

    # -- coming and going ---------------------------------------------------------------------------

    def _sign_up(self, now: datetime, name: str, email: str, random: Random) -> None:
        time_zone = random.choice(_TIME_ZONES)
        done = register_account(self._world.context(now), name, email, "USD", time_zone)
        assert done.result.state is not None, "it was just registered"
        pays_by = random.choices(("stripe", "bank_transfer", "nothing"), (55, 38, 7))[0]
        customer = Customer(
            done.result.state.account, name, email, pays_by, min(random.paretovariate(1.2), _HEAVIEST)
        )
        self._world.customers.append(customer)
        self._world.counts["accounts registered"] += 1
        if pays_by == "stripe":
            self._webhooks.create_customer(now, customer)
        self._then(now, random, _MINUTE, _HOUR, partial(self._issue_key, customer=customer, random=random))
        if random.random() < 0.9:  # noqa: PLR2004 - how likely it is
            self._then(now, random, _HOUR, _DAY, partial(self._subscribe, customer=customer, random=random))
        if random.random() < 0.03:  # noqa: PLR2004 - how likely it is
            self._then(now, random, 9 * _DAY, 40 * _DAY, partial(self._close, customer=customer))

    def _close(self, now: datetime, customer: Customer) -> None:
        if customer.subscription is not None:
            cancel_subscription(self._world.context(now), customer.subscription, at_period_end=False)
            customer.subscription = None
        for key in customer.keys:
            revoke_key(self._world.context(now), key, "the account closes")
        customer.keys.clear()
        close_account(self._world.context(now), customer.account, "moved to a service of their own")
        customer.closed = True
        self._world.counts["accounts closed"] += 1

    # -- keys ---------------------------------------------------------------------------------------

    def _issue_key(self, now: datetime, customer: Customer, random: Random) -> None:
        scopes = ["read", "usage:write"]
        done = issue_key(self._world.context(now), "live", customer.account, "Production", scopes)
        assert done.result.stream.state is not None, "it was just issued"
        key = done.result.stream.state.key
        customer.keys.append(key)
        self._world.counts["keys issued"] += 1
        fate = random.random()
        for likelihood, happens in (
            (0.15, self._rotate_key),
            (0.22, self._suspend_key),
            (0.27, self._revoke_key),
        ):
            if fate < likelihood:
                self._then(now, random, 5 * _DAY, 35 * _DAY, partial(happens, customer=customer, key=key))
                return

    def _rotate_key(self, now: datetime, customer: Customer, key: str) -> None:
        if key in customer.keys:
            rotate_key(self._world.context(now), "live", key)
            self._world.counts["keys rotated"] += 1

    def _suspend_key(self, now: datetime, customer: Customer, key: str) -> None:
        if key in customer.keys:
            suspend_key(self._world.context(now), key, "far more calls than ever before")
            self._world.counts["keys suspended"] += 1
            self._world.plan_for(now + 3 * _HOUR, partial(self._resume_key, customer=customer, key=key))

    def _resume_key(self, now: datetime, customer: Customer, key: str) -> None:
        if key in customer.keys:
            resume_key(self._world.context(now), key)
            self._world.counts["keys resumed"] += 1

    def _revoke_key(self, now: datetime, customer: Customer, key: str) -> None:
        if key in customer.keys:
            customer.keys.remove(key)
            revoke_key(self._world.context(now), key, "found in a public repository")
            self._world.counts["keys revoked"] += 1
            self._issue_key(now + _MINUTE, customer, self._world.random(f"after {key}"))

    # -- subscriptions ------------------------------------------------------------------------------

    def _subscribe(self, now: datetime, customer: Customer, random: Random) -> None:
        if customer.closed:
            return
        customer.plan = random.choices(range(len(PLANS)), _plan_weights(customer.weight))[0]
        plan = self._world.plans[customer.plan]
        done = subscribe(self._world.context(now), customer.account, plan)
        assert done.result.subscription.state is not None, "it was just begun"
        customer.subscription = done.result.subscription.state.subscription
        self._world.counts["subscriptions"] += 1
        self._billed(now, customer, done.result, random)
        fate = random.random()
        for likelihood, happens in ((0.14, self._upgrade), (0.19, self._downgrade), (0.28, self._cancel)):
            if fate < likelihood:
                self._then(now, random, 4 * _DAY, 29 * _DAY, partial(happens, customer=customer))
                return

    def _billed(self, now: datetime, customer: Customer, billed: Billed, random: Random) -> None:
        """Let the invoice be settled, and the period be renewed at its end."""
        if billed.invoice is not None:
            self._settle(now, customer, billed.invoice, random)
        subscription = billed.subscription.state
        assert subscription is not None, "it was just billed"
        if subscription.period is not None and subscription.status != "cancelled":
            renew = partial(self._renew, customer=customer, random=random)
            self._world.plan_for(subscription.period.ends_at + _MINUTE, renew)

    def _renew(self, now: datetime, customer: Customer, random: Random) -> None:
        if customer.subscription is None:
            return
        done = advance_subscription(self._world.context(now, _SCHEDULER), customer.subscription)
        ended = done.result.invoice is None
        self._world.counts["subscriptions ended" if ended else "renewals"] += 1
        if ended:
            customer.subscription = None
        else:
            self._billed(now, customer, done.result, random)

    def _upgrade(self, now: datetime, customer: Customer) -> None:
        if customer.subscription is not None and customer.plan + 1 < len(PLANS):
            customer.plan += 1
            wish = Wish(plan=self._world.plans[customer.plan])
            change_subscription(self._world.context(now), customer.subscription, wish)
            self._world.counts["upgrades"] += 1
            if now >= MONTH and customer.keys and self._world.featured is None:
                self._world.featured = customer.account

    def _downgrade(self, now: datetime, customer: Customer) -> None:
        if customer.subscription is not None and customer.plan > 0:
            customer.plan -= 1
            wish = Wish(plan=self._world.plans[customer.plan], at_period_end=True)
            change_subscription(self._world.context(now), customer.subscription, wish)
            self._world.counts["downgrades"] += 1

    def _cancel(self, now: datetime, customer: Customer) -> None:
        if customer.subscription is not None:
            cancel_subscription(self._world.context(now), customer.subscription)
            self._world.counts["cancellations"] += 1

    # -- invoices -----------------------------------------------------------------------------------

    def _settle(self, now: datetime, customer: Customer, invoice: Stream[Invoice], random: Random) -> None:
        assert invoice.state is not None, "it was just issued"
        amount, number = invoice.state.amount_due, invoice.state.draft.invoice
        if amount == 0 or customer.pays_by == "nothing":
            return
        if random.random() < 0.02:  # noqa: PLR2004 - how likely it is
            self._then(now, random, _HOUR, 2 * _DAY, partial(self._void, invoice=number))
        elif customer.pays_by == "stripe":
            self._webhooks.collect(now, customer, number, amount)
        else:
            pay = partial(self._pay, invoice=number, amount=amount)
            self._then(now, random, _DAY, 12 * _DAY, pay)

    def _pay(self, now: datetime, invoice: str, amount: int) -> None:
        reference = f"transfer {invoice}"
        pay_invoice(self._world.context(now), invoice, amount, "USD", "bank_transfer", reference)
        self._world.counts["payments by transfer"] += 1

    def _void(self, now: datetime, invoice: str) -> None:
        void_invoice(self._world.context(now), invoice, "asked for by mistake")
        self._world.counts["invoices voided"] += 1

    def _then(
        self, now: datetime, random: Random, least: timedelta, most: timedelta, happens: partial[None]
    ) -> None:
        self._world.plan_for(soon(random, now, least, most), happens)


def _plan_weights(weight: float) -> tuple[int, ...]:
    return _PLAN_WEIGHTS[0 if weight < 2 else 1 if weight < 6 else 2]  # noqa: PLR2004 - of the smallest customer's calls
