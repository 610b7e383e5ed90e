"""The demo's usage: a month of calls, sent in batches, some of them twice and a few of them wrong."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from api.demo_world import END, MONTH
from commands.usage import record_usage
from ledger.usage_row import UsageFact

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from api.demo_world import Customer, World

_BATCH_EVENTS: Final = 2_500
_SENT_AGAIN: Final = 40
_METERS: Final = ("api_calls", "tokens", "storage_gb_hours")
_METER_WEIGHTS: Final = (78, 18, 4)
_WEEKDAY_WEIGHTS: Final = (1.0, 1.05, 1.1, 1.05, 0.95, 0.45, 0.4)
_SOURCE: Final = "gateway/eu-1"
_DAY: Final = timedelta(days=1)


class Traffic:
    """The metering gateway: it counts what the customers call, and sends it on."""

    def __init__(self, world: World) -> None:
        """Take the world; nothing is sent yet."""
        self._world = world
        self._random = world.random("usage")
        self._sent = 0

    def begin(self) -> None:
        """Spread the events over the days of the month: less at weekends, more as the service grows."""
        days = [MONTH + number * _DAY for number in range((END - MONTH).days)]
        weights = [_WEEKDAY_WEIGHTS[day.weekday()] * (1 + number / 60) for number, day in enumerate(days)]
        shares = _shares(self._world.size.events, weights)
        for day, events in zip(days, shares, strict=True):
            self._world.plan_for(day, partial(self._make_day, events=events))

    def _make_day(self, day: datetime, events: int) -> None:
        """Make a day's calls of those that have a key this morning, and send each batch when it is full."""
        calling = [customer for customer in self._world.customers if customer.keys]
        if not calling or not events:
            return
        weights = [customer.weight for customer in calling]
        hours = {customer.account: self._busy_hours() for customer in calling}
        chosen = self._random.choices(calling, weights, k=events)
        facts = sorted(
            (self._fact(day, one, hours[one.account]) for one in chosen), key=lambda f: f.occurred_at
        )
        for start in range(0, len(facts), _BATCH_EVENTS):
            batch = facts[start : start + _BATCH_EVENTS]
            at = batch[-1].occurred_at + timedelta(seconds=1)
            self._world.plan_for(min(at, END - timedelta(seconds=1)), partial(self._send, batch=batch))

    def _busy_hours(self) -> list[int]:
        first = self._random.randrange(6, 20)
        return [first + hour for hour in range(self._random.randint(1, 4))]

    def _fact(self, day: datetime, customer: Customer, hours: list[int]) -> UsageFact:
        random = self._random
        self._sent += 1
        meter = random.choices(_METERS, _METER_WEIGHTS)[0]
        return UsageFact(
            event_id=f"evt-{self._sent:08}",
            source=_SOURCE,
            meter=meter,
            account=customer.account,
            quantity=_quantity(random, meter),
            occurred_at=day + timedelta(hours=random.choice(hours), seconds=random.randrange(3_600)),
            properties={"region": random.choice(("eu-west", "us-east", "ap-south"))},
        )

    def _send(self, now: datetime, batch: list[UsageFact]) -> None:
        """Send a batch, then a part of it again, as a gateway that lost the answer does."""
        self._record(now, batch)
        again = batch[:_SENT_AGAIN]
        if self._random.random() < 0.1:  # noqa: PLR2004 - how likely it is
            again[0] = _otherwise(again[0])
        self._record(now + timedelta(seconds=1), again)

    def _record(self, now: datetime, batch: list[UsageFact]) -> None:
        result = record_usage(self._world.context(now, self._world.gateway), batch)
        counts = self._world.counts
        counts["usage accepted"] += result.accepted
        counts["usage duplicates"] += result.duplicates
        counts["usage conflicts"] += len(result.conflicts)
        counts["usage rejected"] += len(result.rejected)


def _otherwise(fact: UsageFact) -> UsageFact:
    return msgspec.structs.replace(fact, quantity=fact.quantity + 1)


def _quantity(random: Random, meter: str) -> Decimal:
    match meter:
        case "tokens":
            return Decimal(random.randint(20, 4_000))
        case "storage_gb_hours":
            return Decimal(random.randint(1, 800)) / 8
        case _:
            return Decimal(1)


def _shares(total: int, weights: list[float]) -> list[int]:
    """Split a whole number by weights, so that the parts sum to it."""
    whole, parts, gone, given = sum(weights), [], 0.0, 0
    for weight in weights:
        gone += weight
        through = round(total * gone / whole)
        parts.append(through - given)
        given = through
    return parts
