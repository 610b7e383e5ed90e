"""Schedulers on a real database: an organisation, a follower that runs, and a clock to move."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from commands.plans import PlanDraft, create_plan_of
from commands.policies import adopt_policy
from commands.subscriptions import subscribe
from commands.usage import record_usage
from consumers.due_work import wait_until_read
from consumers.jobs import HANDLERS
from consumers.scheduler import Scheduler
from ledger.events.invoice import InvoiceFinalized
from ledger.events.plan import PlanTerms, UsageCharge
from ledger.events.subscription import PeriodOpened
from ledger.prices import Price
from ledger.usage_row import UsageFact
from projections.applier import connect
from projections.follower import Follower
from projections.measured import MeasuredUsage
from projections.registry import PROJECTIONS
from tests.acme import MASTER_KEY, NOON, a_plan, acme_on, an_account, events_of, known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from psycopg import Connection
    from psycopg.rows import DictRow

    from commands.context import Context
    from consumers.jobs import Handler
    from consumers.scheduler import Report
    from tests.acme import Acme
    from tests.postgres import Database

WAIT_SECONDS = 30.0


@dataclass
class ScheduleWorld:
    """Acme, with its books' projections kept up to date, and schedulers that go by this clock."""

    database: Database
    acme: Acme
    reading: Connection[DictRow]
    now: datetime = NOON
    _made: list[Scheduler] = field(default_factory=list)

    @property
    def live(self) -> Context:
        """Work in the live book, with usage that can be measured."""
        return replace(self.acme.live, measure=MeasuredUsage(self.acme.log))

    @property
    def test(self) -> Context:
        """Work in the test book."""
        return replace(self.acme.test, measure=MeasuredUsage(self.acme.log))

    def scheduler(
        self,
        handlers: Mapping[str, Handler] = HANDLERS,
        *,
        clock: Callable[[], datetime] | None = None,
        report: Report | None = None,
        **options: Any,
    ) -> Scheduler:
        """Make a scheduler."""
        base = replace(self.live, random_bytes=os.urandom)
        made = Scheduler(
            base,
            self.database.follower_url,
            clock=clock or (lambda: self.now),
            handlers=handlers,
            report=report,
            **options,
        )
        self._made.append(made)
        return made

    def tick(self, scheduler: Scheduler, stop: threading.Event | None = None) -> datetime | None:
        """Have a scheduler look once, when all that was written so far can be seen."""
        wait_until_read(self.reading, WAIT_SECONDS)
        return scheduler.tick(stop or threading.Event())

    def subscriptions(self, count: int, context: Context | None = None) -> list[str]:
        """Subscribe new accounts to one plan, all at noon."""
        context = context or self.live
        plan = a_plan(context)
        billed = [
            subscribe(context, an_account(context, f"Ada{number}"), plan).result for number in range(count)
        ]
        return [str(known(one.subscription).subscription) for one in billed]

    def metered(self, grace_hours: int) -> tuple[str, str]:
        """Subscribe an account to a plan that bills calls at a cent, and give both; drafts wait that long."""
        adopt_policy(self.live, "stripe", {"grace_hours": str(grace_hours)})
        price = Price(model="per_unit", currency="USD", unit_amount=Decimal(1))
        charge = UsageCharge(code="calls", name="Calls", meter="calls", prices={"USD": price})
        terms = PlanTerms(interval="month", charges=(charge,))
        plan = known(create_plan_of(self.live, PlanDraft(name="Metered", terms=terms)).result).plan
        account = an_account(self.live)
        subscribed = subscribe(self.live, account, plan).result.subscription
        return account, str(known(subscribed).subscription)

    def use(self, account: str, calls: int, at: datetime, number: str) -> None:
        """Record usage of an account."""
        fact = UsageFact(
            event_id=number,
            source="tests",
            meter="calls",
            account=account,
            quantity=Decimal(calls),
            occurred_at=at,
            properties={},
        )
        assert record_usage(replace(self.live, now=self.now), [fact]).accepted == 1

    def periods(self, context: Context | None = None) -> dict[str, list[datetime]]:
        """Give when the periods of each subscription began, in the order of the log."""
        found: dict[str, list[datetime]] = {}
        for event in events_of(self.acme, context):
            if isinstance(event, PeriodOpened):
                found.setdefault(event.subscription, []).append(event.starts_at)
        return found

    def close(self) -> None:
        """Close what was made."""
        for made in self._made:
            made.close()


def numbers_of(world: ScheduleWorld, context: Context | None = None) -> list[int]:
    """Give the numbers of a book's invoices, in the order of the log."""
    query = (
        "SELECT (convert_from(state, 'UTF8')::jsonb #>> '{data,number}')::int AS number FROM log.events"
        " WHERE topic = %s ORDER BY notification_id"
    )
    with world.acme.log.reading((context or world.live).book) as connection:
        return [row["number"] for row in connection.execute(query, (InvoiceFinalized.topic,))]


@contextmanager
def following(database: Database) -> Iterator[Follower]:
    """Run a follower beside the test."""
    stop = threading.Event()
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values())
    thread = threading.Thread(target=follower.run, args=(stop,), name="follower")
    # It looks at whether to stop as often as this.
    with patch("projections.follower.POLL_SECONDS", 0.05):
        thread.start()
        try:
            yield follower
        finally:
            stop.set()
            thread.join()


@contextmanager
def schedule_world(database: Database, *, follow: bool = True) -> Iterator[ScheduleWorld]:
    """Found Acme and keep its projections up to date."""
    with (
        acme_on(database, pool_size=16) as acme,
        connect(database.follower_url, "test") as reading,
        closing(ScheduleWorld(database, acme, reading)) as world,
        following(database) if follow else nullcontext(),
    ):
        yield world


def until(condition: Callable[[], object], what: str = "it") -> None:
    """Wait for a condition, and fail when it does not come true in time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        # Asked again: what another thread or process does tells nobody here.
        time.sleep(0.02)
