"""What would happen: what is due and what it leads to, told in order, without any of it being done."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from api.scheduling import AnotherLeads, schedule_once, would_happen
from commands.accounts import close_account
from commands.clock import load_clock, move_clock
from commands.subscriptions import cancel_subscription
from consumers import due_reads
from consumers.forecast import Expected, forecast
from consumers.jobs import Job, Settled
from consumers.scheduler import Report
from tests.acme import MASTER_KEY, NOON
from tests.integration.schedule_world import ScheduleWorld, schedule_world, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from commands.context import Context
    from tests.postgres import Database

DAY = timedelta(days=1)
# The ends of the periods that begin on 31 January, at noon.
ENDS = [datetime(2027, month, day, 12, tzinfo=UTC) for month, day in ((2, 28), (3, 31), (4, 30))]


@pytest.fixture
def world(database: Database) -> Iterator[ScheduleWorld]:
    with schedule_world(database) as made:
        yield made


def foreseen(world: ScheduleWorld, last: datetime, context: Context | None = None) -> list[Expected]:
    book = None if context is None else context.book
    return list(forecast(world.reading, replace(world.live, now=NOON), last, book))


def test_what_would_happen_is_what_then_happens(world: ScheduleWorld) -> None:
    one, two = sorted(world.subscriptions(2))
    cancel_subscription(world.live, one)
    until(lambda: len(foreseen(world, ENDS[0])) == 2, "the rows")
    told = foreseen(world, ENDS[2])
    assert [(one.subject, one.due_at, one.later) for one in told] == [
        (one, ENDS[0], False),
        (two, ENDS[0], False),
        (two, ENDS[1], True),
        (two, ENDS[2], True),
    ]
    assert [expected.what for expected in told] == [
        "the subscription ends",
        "a period begins that ends at 2027-03-31T12:00:00Z",
        "a period begins that ends at 2027-04-30T12:00:00Z",
        "a period begins that ends at 2027-05-31T12:00:00Z",
    ]
    assert world.periods() == {one: [NOON], two: [NOON]}, "nothing was done"
    world.now = ENDS[2]
    done: list[Job] = []

    class Noting(Report):
        def settled(self, settled: Settled) -> None:
            done.append(settled.job)

    world.tick(world.scheduler(report=Noting()))
    assert [(job.due_at, job.subject) for job in done] == [
        (expected.due_at, expected.subject) for expected in told
    ]


def test_what_follows_stands_in_its_place_among_what_is_due(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    later = replace(world.live, now=NOON + 40 * DAY)
    (two,) = world.subscriptions(1, later)
    until(lambda: len(foreseen(world, ENDS[2])) == 4, "the rows")
    told = foreseen(world, ENDS[2])
    assert [(expected.subject, expected.later) for expected in told] == [
        (one, False),
        (one, True),
        (two, False),
        (one, True),
    ]
    assert told == sorted(told)


def test_what_was_refused_is_shown_with_why_and_until_when_it_rests(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    job = Job(ENDS[0], "subscription", one, world.live.book)
    due_reads.note_refusal(world.reading, Settled(job, "not_found", "there is no such plan"), ENDS[0])
    until(lambda: foreseen(world, ENDS[0]), "the row")
    first, later = foreseen(world, ENDS[1])
    assert first.refused == "not_found: there is no such plan (tried 1 times)"
    assert first.retry_at == ENDS[0] + timedelta(minutes=1)
    assert (later.refused, later.due_at) == (None, ENDS[1])


def test_why_something_else_was_refused_is_not_shown(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    job = Job(NOON, "subscription", one, world.live.book)
    due_reads.note_refusal(world.reading, Settled(job, "not_found", "no"), ENDS[0])
    until(lambda: foreseen(world, ENDS[0]), "the row")
    (told,) = foreseen(world, ENDS[0])
    assert told.refused is None


def test_one_book_is_shown_whatever_its_clock_and_all_without_those_whose_clock_was_set(
    world: ScheduleWorld,
) -> None:
    (live,), (test,) = world.subscriptions(1), world.subscriptions(1, world.test)
    until(lambda: len(foreseen(world, ENDS[0])) == 2, "the rows")
    move_clock(world.test, load_clock(world.acme.log, world.test.book), NOON + DAY, NOON)
    until(lambda: [one.subject for one in foreseen(world, ENDS[0])] == [live], "the clock")
    assert [one.subject for one in foreseen(world, ENDS[0], world.test)] == [test]


def test_more_than_a_page_is_shown_in_order_each_once(world: ScheduleWorld) -> None:
    subscriptions = world.subscriptions(5)
    until(lambda: len(foreseen(world, ENDS[0])) == 5, "the rows")
    with patch("consumers.forecast._PAGE", 2):
        told = foreseen(world, ENDS[1])
    assert [one.subject for one in told] == sorted(subscriptions) * 2


def test_that_an_account_was_closed_is_foreseen(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    until(lambda: len(foreseen(world, ENDS[0])) == 1, "the row")
    (row,) = world.reading.execute("SELECT account FROM due.due").fetchall()
    close_account(replace(world.live, now=NOON + DAY), row["account"], "moved away")
    (told,) = foreseen(world, ENDS[2])
    assert (told.subject, told.what) == (one, "the subscription ends")


def test_the_command_does_what_is_due_once_unless_another_scheduler_leads(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    settings = replace(world.acme.settings, follower_url=world.database.follower_url, master_key=MASTER_KEY)
    until(lambda: world.reading.execute("SELECT * FROM due.due").fetchall(), "the row")
    # The machine's own clock says what is due: in a year or so, all of it.
    counts = schedule_once(settings, NOON)
    assert counts == {}
    assert [expected.subject for expected in would_happen(settings, ENDS[0], None)] == [one]
    with closing(world.scheduler()) as leading:
        assert leading.leader.take()
        with pytest.raises(AnotherLeads):
            schedule_once(settings, NOON)
