"""Two schedulers under kill -9 while subscriptions are months behind: one invoice a period comes out."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import psycopg
import pytest

from commands.plans import PlanDraft, create_plan_of
from commands.policies import adopt_policy
from commands.subscriptions import subscribe
from commands.usage import record_usage
from ledger.events.invoice import InvoiceDrafted, InvoiceFinalized
from ledger.events.plan import PlanTerms, RecurringFee, UsageCharge
from ledger.events.subscription import PeriodOpened, SubscriptionBilled
from ledger.prices import Price
from ledger.usage_row import UsageFact
from projections.measured import MeasuredUsage
from projections.rebuild import verify
from tests.acme import MASTER_KEY, acme_on, an_account, events_of, known
from tests.e2e.running import until
from tests.e2e.scheduling import Supervised, supervised, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ledger.events import Event
    from tests.acme import Acme
    from tests.postgres import Database

# A fee for the period that begins, and what was used in the one that ended: a draft for a day.
TERMS = PlanTerms(
    interval="month",
    fees=(RecurringFee(code="fee", name="Fee", amounts={"USD": 2900}),),
    charges=(
        UsageCharge(
            code="calls",
            name="Calls",
            meter="calls",
            prices={"USD": Price(model="per_unit", currency="USD", unit_amount=Decimal(1))},
        ),
    ),
)
KILLS = 12
SUBSCRIPTIONS = 60
BEHIND = timedelta(days=300)
SEED = int(os.environ.get("DAYBOOK_SCHEDULE_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture
def choose() -> random.Random:
    print(f"DAYBOOK_SCHEDULE_SEED={SEED}")  # noqa: T201 - shown when the test fails, to play it again
    return random.Random(SEED)  # noqa: S311 - it chooses moments


def begin(acme: Acme) -> datetime:
    """Subscribe accounts long ago, and give when."""
    began_at = datetime.now(UTC).replace(microsecond=0) - BEHIND
    context = replace(acme.live, now=began_at, measure=MeasuredUsage(acme.log))
    adopt_policy(context, "stripe", {"grace_hours": "24"})
    plan = known(create_plan_of(context, PlanDraft(name="Pro", terms=TERMS)).result).plan
    accounts = [an_account(context, f"Ada{number}") for number in range(SUBSCRIPTIONS)]
    for account in accounts:
        subscribe(context, account, plan)
    record_usage(context, [calls_of(account, began_at + timedelta(days=40)) for account in accounts])
    return began_at


def calls_of(account: str, at: datetime) -> UsageFact:
    return UsageFact(
        event_id=account,
        source="tests",
        meter="calls",
        account=account,
        quantity=Decimal(42),
        occurred_at=at,
        properties={},
    )


def left(database: Database) -> int:
    """Count what is due."""
    with psycopg.connect(database.follower_url) as connection:
        row = connection.execute("SELECT count(*) FROM due.due WHERE due_at <= now()").fetchone()
    assert row is not None
    return int(row[0])


def kill_the_leader(schedulers: list[Supervised], choose: random.Random, done: Callable[[], bool]) -> bool:
    """Kill whichever leads, a moment after it began to; false when there was nothing left to do."""
    until(lambda: done() or any(one.leads for one in schedulers), 60, "a leader")
    if done():
        return False
    # Anywhere between two of its jobs, or within one: that is what is tried.
    time.sleep(choose.uniform(0, 0.4))
    for one in schedulers:
        if one.leads:
            one.kill()
            break
    return True


def test_killed_schedulers_bill_every_period_once(
    database: Database, tmp_path: Path, choose: random.Random
) -> None:
    variables = variables_of(database)
    with acme_on(database) as acme, supervised("project", ("project",), variables, tmp_path):
        began_at = begin(acme)
        until(lambda: left(database) == SUBSCRIPTIONS, 60, "the rows")
        with (
            supervised("one", ("schedule",), variables, tmp_path) as one,
            supervised("two", ("schedule",), variables, tmp_path) as two,
        ):
            kills = 0
            while kills < KILLS and kill_the_leader([one, two], choose, lambda: left(database) == 0):
                kills += 1
            until(lambda: left(database) == 0, 120, "everything to be done")
            said = one.said() + two.said()
        assert kills >= 3, "nothing was left to do before anything was killed"
        assert_billed_once(events_of(acme), began_at, said)
    comparisons = verify(database.owner_url, database.follower_url, MASTER_KEY)
    assert [one.projection for one in comparisons if not one.equal] == []


def assert_billed_once(events: list[Event], began_at: datetime, said: str) -> None:
    periods = Counter(
        (one.subscription, one.starts_at, one.ends_at) for one in events if isinstance(one, PeriodOpened)
    )
    assert set(periods.values()) == {1}
    by_subscription: dict[str, list[tuple[datetime, datetime]]] = {}
    for subscription, starts_at, ends_at in periods:
        by_subscription.setdefault(subscription, []).append((starts_at, ends_at))
    assert len(by_subscription) == SUBSCRIPTIONS
    for chain in by_subscription.values():
        # From the beginning until now, each where the one before ends.
        assert chain[0][0] == began_at
        assert all(one[1] == two[0] for one, two in pairwise(chain))
        assert chain[-1][0] <= datetime.now(UTC) < chain[-1][1]
    billed = Counter(one.invoice for one in events if isinstance(one, SubscriptionBilled))
    drafted = Counter(one.invoice for one in events if isinstance(one, InvoiceDrafted))
    finalized = [one for one in events if isinstance(one, InvoiceFinalized)]
    assert billed == drafted == Counter(one.invoice for one in finalized)
    assert set(billed.values()) == {1}
    assert len(finalized) == len(periods)
    # Each account's 42 calls are on one of its invoices.
    assert Counter(one.total for one in finalized) == {
        2900: len(periods) - SUBSCRIPTIONS,
        2942: SUBSCRIPTIONS,
    }
    assert [one.number for one in finalized] == list(range(1, len(finalized) + 1))
    assert "defect" not in said
    assert '"outcome":"refused"' not in said
