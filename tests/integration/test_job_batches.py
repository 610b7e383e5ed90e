"""Jobs done by the hundred lead to the same as jobs done one by one, and what one is refused is its own."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from commands import billing_batch
from commands.subscriptions import advance_subscription
from consumers import job_batches
from consumers.job_batches import BATCH_HANDLERS
from consumers.jobs import advance_job, after_advance
from ledger.errors import Conflict
from ledger.events.invoice import InvoiceDrafted, InvoiceFinalized
from ledger.streams.subscribing import NothingDue
from tests.acme import NOON, events_of
from tests.integration.schedule_world import numbers_of, schedule_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.schedule_world import ScheduleWorld
    from tests.postgres import Database

DAY = timedelta(days=1)


@pytest.fixture
def world(database: Database) -> Iterator[ScheduleWorld]:
    with schedule_world(database) as made:
        yield made


def work(world: ScheduleWorld) -> Counter[str]:
    """Do what is due, as a scheduler that then lets another lead."""
    with closing(world.scheduler(BATCH_HANDLERS)) as scheduler:
        assert scheduler.leader.take()
        return scheduler.work(threading.Event())


def lines_by_subscription(world: ScheduleWorld) -> dict[str, list[tuple[str, int]]]:
    return {
        str(event.subscription): [(line.line, line.amount) for line in event.lines]
        for event in events_of(world.acme, None)
        if isinstance(event, InvoiceDrafted)
    }


def test_subscriptions_advanced_together_are_each_billed_once(world: ScheduleWorld) -> None:
    subscriptions = world.subscriptions(7)
    world.now = NOON + 65 * DAY
    assert work(world) == Counter(done=14)
    assert {name: len(periods) for name, periods in world.periods().items()} == dict.fromkeys(
        subscriptions, 3
    )
    numbers = numbers_of(world)
    assert numbers == list(range(1, len(numbers) + 1))
    assert work(world) == Counter()


def test_chunks_of_any_size_lead_to_the_same(world: ScheduleWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_batches, "MAX_TOGETHER", 2)
    subscriptions = world.subscriptions(5)
    world.now = NOON + 32 * DAY
    assert work(world) == Counter(done=5)
    assert {name: len(periods) for name, periods in world.periods().items()} == dict.fromkeys(
        subscriptions, 2
    )


def test_usage_of_many_is_measured_together_and_billed_to_each(world: ScheduleWorld) -> None:
    billed = [world.metered(0) for _ in range(3)]
    for number, (account, _) in enumerate(billed, 1):
        world.use(account, number * 10, NOON, f"use {number}")
    world.now = NOON + 32 * DAY
    assert work(world) == Counter(done=3)
    lines = lines_by_subscription(world)
    assert [sum(amount for _, amount in lines[subscription]) for _, subscription in billed] == [10, 20, 30]


def test_drafts_settled_together_take_their_own_late_usage(world: ScheduleWorld) -> None:
    billed = [world.metered(24) for _ in range(3)]
    ended = datetime(2027, 2, 28, 12, tzinfo=UTC)
    for number, (account, _) in enumerate(billed, 1):
        world.use(account, number, NOON, f"use {number}")
    world.now = ended + timedelta(hours=1)
    assert work(world) == Counter(done=3)
    late, _ = billed[1]
    world.use(late, 100, ended - DAY, "late")
    world.now = ended + 2 * DAY
    assert work(world)["done"] == 3
    totals = [event.total for event in events_of(world.acme, None) if isinstance(event, InvoiceFinalized)]
    assert sorted(totals) == [1, 3, 102]


def test_one_that_is_refused_leaves_the_others_as_they_are(world: ScheduleWorld) -> None:
    first, second, third = world.subscriptions(3)
    world.now = NOON + 32 * DAY
    now = replace(world.live, now=world.now)
    contexts = [replace(now, cause=f"due {number}") for number in range(3)]
    advance_subscription(now, second)
    outcomes = billing_batch.advance_many(contexts, [first, second, third]).result
    assert [type(one.refusal) for one in outcomes] == [type(None), NothingDue, type(None)]
    assert set(map(len, world.periods().values())) == {2}
    numbers = numbers_of(world)
    assert numbers == list(range(1, len(numbers) + 1))


def test_where_a_batch_fails_as_a_whole_its_jobs_are_done_one_by_one(
    world: ScheduleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriptions = world.subscriptions(3)
    world.now = NOON + 32 * DAY

    def fails(*_: object) -> None:
        message = "nothing fits together today"
        raise Conflict(message)

    handler = job_batches.together(fails, after_advance, advance_job)  # type: ignore[arg-type]
    monkeypatch.setattr(job_batches, "BATCH_HANDLERS", {**BATCH_HANDLERS, "subscription": handler})
    scheduler = world.scheduler(job_batches.BATCH_HANDLERS)
    assert scheduler.leader.take()
    assert scheduler.work(threading.Event()) == Counter(done=3)
    assert {name: len(periods) for name, periods in world.periods().items()} == dict.fromkeys(
        subscriptions, 2
    )
