"""The demo's side of Stripe: what happens there, delivered late, twice and in any order."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from api.demo_stripe import StripeAccount, deliver
from api.demo_world import END, soon

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from random import Random

    from api.demo_world import Customer, World

_SHARE_DELIVERED_TWICE: Final = 0.3
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)


class Webhooks:
    """Stripe, from where it stands: it calls our endpoint, and cares little for order."""

    def __init__(self, world: World, receive: Callable[[bytes, str, datetime], bool]) -> None:
        """Take the world, and what receives a signed body and says whether the delivery was new."""
        self._world = world
        self._receive = receive
        self._random = world.random("webhooks")
        self._stripe = StripeAccount(world.random("stripe"))

    def create_customer(self, now: datetime, customer: Customer) -> None:
        """Create the customer whose invoices Stripe collects for us."""
        metadata = {"daybook_account": customer.account}
        made = self._stripe.customer(customer.name, customer.email, now, metadata)
        customer.stripe_customer = made["id"]
        self._tell(now, [self._stripe.event("customer.created", made, now)])

    def collect(self, now: datetime, customer: Customer, invoice: str, amount: int) -> None:
        """Collect an invoice of ours: it carries our id, so it is never posted a second time as Stripe's."""
        assert customer.stripe_customer is not None, "it was created when the customer signed up"
        metadata = {"daybook_invoice": invoice, "daybook_account": customer.account}
        made = self._stripe.invoice(customer.stripe_customer, amount, now, metadata)
        told = [self._stripe.event("invoice.finalized", made, now)]
        if self._random.random() < 0.94:  # noqa: PLR2004 - the other cards are declined
            told += self._stripe.payment(made, now + 30 * _SECOND)
            self._world.counts["payments through Stripe"] += 1
        self._tell(now, told)

    def bill_at_stripe(self, now: datetime, name: str, email: str, random: Random) -> None:
        """Let Stripe bill a customer by itself: we learn all of it from what it tells."""
        amount = random.choice((1_900, 7_900))
        customer = self._stripe.customer(name, email, now, {})
        subscription = self._stripe.subscription(customer["id"], amount, now)
        invoice = self._stripe.invoice(customer["id"], amount, now, {}, subscription["id"])
        told = [
            self._stripe.event("customer.created", customer, now),
            self._stripe.event("customer.subscription.created", subscription, now),
            self._stripe.event("invoice.finalized", invoice, now),
            *self._stripe.payment(invoice, now + 30 * _SECOND),
        ]
        self._world.counts["customers billed by Stripe"] += 1
        self._tell(now, told)

    def _tell(self, now: datetime, events: list[dict[str, Any]]) -> None:
        """Deliver each event within a day, some of them again, so that their order means nothing."""
        for event in events:
            times = 2 if self._random.random() < _SHARE_DELIVERED_TWICE else 1
            for _ in range(times):
                at = min(soon(self._random, now, 31 * _SECOND, _DAY), END - _SECOND)
                self._world.plan_for(at, partial(self._deliver, event=event))

    def _deliver(self, now: datetime, event: dict[str, Any]) -> None:
        delivery = deliver(event, self._world.founded.webhook_secret, now)
        new = self._receive(delivery.body, delivery.signature, now)
        self._world.counts["webhooks delivered"] += 1
        if not new:
            self._world.counts["webhooks delivered again"] += 1
