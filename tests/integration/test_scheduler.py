"""The scheduler: what is due is done once and in order, by one of several, whatever stands in the way."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec
import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from api.schedule_metrics import ScheduleMetrics
from commands.clock import load_clock, move_clock
from commands.keys import issue_key
from commands.subscriptions import cancel_subscription
from consumers import due_reads
from consumers.due_work import wait_until_read
from consumers.jobs import HANDLERS, Job, Settled, one_by_one
from consumers.leader import Leader
from ledger.errors import NotFound, Unavailable
from ledger.events.api_key import ApiKeyExpired
from ledger.events.invoice import InvoiceFinalized
from ledger.events.subscription import SubscriptionCancelled
from tests.acme import NOON, an_account, at_once, events_of
from tests.integration.schedule_world import (
    ScheduleWorld,
    following,
    numbers_of,
    schedule_world,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from commands.context import Context
    from consumers.jobs import ContextOf, Handler
    from consumers.scheduler import Scheduler
    from tests.postgres import Database

DAY = timedelta(days=1)
# The ends of the periods that begin on 31 January, at noon.
ENDS = [datetime(2027, month, day, 12, tzinfo=UTC) for month, day in ((2, 28), (3, 31), (4, 30), (5, 31))]
NEVER = threading.Event()


@pytest.fixture
def world(database: Database) -> Iterator[ScheduleWorld]:
    with schedule_world(database) as made:
        yield made


def each(subscriptions: Sequence[str], ends: Sequence[datetime]) -> dict[str, list[datetime]]:
    """Say that every subscription went through these ends of periods."""
    return {subscription: [NOON, *ends] for subscription in subscriptions}


def refusing(*subjects: str, error: Exception | None = None) -> Mapping[str, Handler]:
    """Do everything but what is about some subjects."""

    def handle(jobs: Sequence[Job], context_of: ContextOf) -> Iterable[Settled]:
        for job in jobs:
            if job.subject in subjects:
                yield from one_by_one(_raising(error or NotFound("there is no such plan")))([job], context_of)
            else:
                yield from HANDLERS[job.kind]([job], context_of)

    return dict.fromkeys(HANDLERS, handle)


def _raising(error: Exception) -> Any:
    def command(_context: Context, _job: Job) -> Iterable[Job]:
        raise error

    return command


def refusals(world: ScheduleWorld) -> list[dict[str, Any]]:
    query = "SELECT subject, due_at, code, reason, attempts, retry_at FROM daybook.job_refusals"
    return world.reading.execute(query).fetchall()


# -- doing what is due ---------------------------------------------------------------------------------


def test_nothing_is_done_before_its_time(world: ScheduleWorld) -> None:
    (subscription,) = world.subscriptions(1)
    world.now = ENDS[0] - timedelta(microseconds=1)
    world.tick(world.scheduler())
    assert world.periods() == {subscription: [NOON]}


def test_what_is_several_periods_behind_is_done_until_nothing_is_due(world: ScheduleWorld) -> None:
    subscriptions = world.subscriptions(3)
    world.now = ENDS[2] + DAY
    counts = Counted(world)
    world.tick(counts.scheduler)
    assert world.periods() == each(subscriptions, ENDS[:3])
    assert [settled.outcome for settled in counts.settled] == ["done"] * 9
    assert [settled.job for settled in counts.settled] == sorted(one.job for one in counts.settled)
    assert numbers_of(world) == list(range(1, 13))


@pytest.mark.parametrize("page_jobs", [1, 2, 5])
def test_pages_of_any_size_lead_to_the_same(world: ScheduleWorld, page_jobs: int) -> None:
    subscriptions = world.subscriptions(3)
    world.now = ENDS[2] + DAY
    world.tick(world.scheduler(page_jobs=page_jobs))
    assert world.periods() == each(subscriptions, ENDS[:3])


def test_what_happens_is_booked_when_it_is_done_by_the_scheduler_and_names_its_job(
    world: ScheduleWorld,
) -> None:
    (subscription,) = world.subscriptions(1)
    world.now = ENDS[0] + DAY
    head = world.acme.log.head()
    world.tick(world.scheduler())
    written = world.acme.log.at_positions(world.live.book, range(head + 1, world.acme.log.head() + 1))
    assert written
    for one in written:
        assert (one.metadata.booked_at, one.metadata.occurred_at) == (world.now, ENDS[0]) or (
            one.event.topic == "invoice_series.number_taken"
        )
        assert (one.metadata.actor.kind, one.metadata.actor.key) == ("scheduler", None)
        assert one.metadata.cause == f"due:subscription:{subscription}@2027-02-28T12:00:00Z"


def test_a_subscription_that_was_to_end_ends_and_is_due_no_more(world: ScheduleWorld) -> None:
    (subscription,) = world.subscriptions(1)
    cancel_subscription(world.live, subscription)
    world.now = ENDS[2] + DAY
    world.tick(world.scheduler())
    (ended,) = [event for event in events_of(world.acme) if isinstance(event, SubscriptionCancelled)]
    assert (ended.subscription, ended.ended_at) == (subscription, ENDS[0])
    assert world.reading.execute("SELECT * FROM due.due").fetchall() == []


@pytest.mark.parametrize("at_once", [True, False], ids=["months later", "as it falls due"])
def test_a_draft_is_finalized_with_what_came_late_once_its_grace_is_over(
    world: ScheduleWorld, *, at_once: bool
) -> None:
    account, _ = world.metered(grace_hours=24)
    scheduler = world.scheduler()
    world.use(account, 30, NOON + DAY, "in time")
    if not at_once:
        world.now = ENDS[0]
        world.tick(scheduler)
        assert numbers_of(world) == [], "usage may still come"
        world.now = ENDS[0] + timedelta(hours=23)
    world.use(account, 12, NOON + 2 * DAY, "late")
    world.tick(scheduler)
    world.now = ENDS[0] + DAY
    world.tick(scheduler)
    (finalized,) = [event for event in events_of(world.acme) if isinstance(event, InvoiceFinalized)]
    assert (finalized.total, finalized.issued_on) == (42, (ENDS[0] + DAY).date())


def test_keys_expire(world: ScheduleWorld) -> None:
    account = an_account(world.live)
    key = issue_key(world.live, "live", account, "key", ["read"], NOON + DAY).result.stream.state
    assert key is not None
    world.now = NOON + DAY
    world.tick(world.scheduler())
    (expired,) = [event for event in events_of(world.acme) if isinstance(event, ApiKeyExpired)]
    assert expired.key == key.key


def test_books_are_done_side_by_side_and_a_test_book_whose_clock_was_set_is_left_alone(
    world: ScheduleWorld,
) -> None:
    (live,), (test,) = world.subscriptions(1), world.subscriptions(1, world.test)
    world.now = ENDS[0]
    scheduler = world.scheduler()
    world.tick(scheduler)
    assert (world.periods()[live], world.periods(world.test)[test]) == ([NOON, ENDS[0]], [NOON, ENDS[0]])
    clock = load_clock(world.acme.log, world.test.book)
    move_clock(world.test, clock, NOON + DAY, NOON)
    world.now = ENDS[2]
    world.tick(scheduler)
    assert world.periods()[live] == [NOON, *ENDS[:3]]
    assert world.periods(world.test)[test] == [NOON, ENDS[0]]
    assert due_reads.next_instant(world.reading, world.now) == ENDS[3], "the live book's"


def test_a_look_says_when_to_look_again_where_something_is_due_soon(world: ScheduleWorld) -> None:
    world.subscriptions(1)
    world.now = ENDS[0] - timedelta(seconds=30)
    scheduler = world.scheduler(every_seconds=60)
    coming = world.tick(scheduler)
    assert coming is not None
    assert abs(coming - datetime.now(UTC) - timedelta(seconds=30)) < timedelta(seconds=5)
    scheduler.close()
    assert world.tick(world.scheduler(every_seconds=30)) is None


# -- what stands in the way ----------------------------------------------------------------------------


def test_a_refused_job_holds_up_nothing_and_rests_longer_each_time(world: ScheduleWorld) -> None:
    one, two = sorted(world.subscriptions(2))
    world.now = ENDS[1]
    scheduler = world.scheduler(refusing(one))
    rests = []
    for _ in range(4):
        world.tick(scheduler)
        (refused,) = refusals(world)
        rests.append(refused["retry_at"] - world.now)
        # Tried again not a moment too soon, and then at once.
        world.now = refused["retry_at"] - timedelta(microseconds=1)
        world.tick(scheduler)
        assert refusals(world) == [refused]
        world.now = refused["retry_at"]
    assert rests == [timedelta(minutes=minutes) for minutes in (1, 4, 16, 64)]
    assert (refused["code"], refused["reason"]) == ("not_found", "there is no such plan")
    assert (refused["attempts"], refused["due_at"]) == (4, ENDS[0])
    assert world.periods() == {one: [NOON], two: [NOON, *ENDS[:2]]}


def test_a_job_never_rests_longer_than_six_hours(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    world.now = ENDS[0]
    job = Job(ENDS[0], "subscription", one, world.live.book)
    for _ in range(40):
        due_reads.note_refusal(world.reading, Settled(job, "not_found", "no"), world.now)
    (refused,) = refusals(world)
    assert refused["retry_at"] - world.now == timedelta(hours=6)


def test_what_was_refused_is_done_and_forgotten_once_nothing_refuses_it(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    world.now = ENDS[0]
    with closing(world.scheduler(refusing(one))) as refuser:
        world.tick(refuser)
    world.now += timedelta(minutes=1)
    world.tick(world.scheduler())
    assert world.periods() == {one: [NOON, ENDS[0]]}
    assert refusals(world) == []


def test_a_refusal_of_one_instant_is_none_of_the_next(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    world.now = ENDS[0]
    job = Job(NOON, "subscription", one, world.live.book)
    due_reads.note_refusal(world.reading, Settled(job, "not_found", "no"), world.now)
    world.tick(world.scheduler())
    assert world.periods() == {one: [NOON, ENDS[0]]}


def test_a_job_that_finds_no_database_is_tried_again_soon(world: ScheduleWorld) -> None:
    one, two = sorted(world.subscriptions(2))
    world.now = ENDS[0]
    scheduler = world.scheduler(refusing(one, error=Unavailable("out of reach")))
    for _ in range(3):
        world.tick(scheduler)
        (refused,) = refusals(world)
        assert (refused["code"], refused["retry_at"] - world.now) == ("unavailable", timedelta(seconds=5))
        world.now = refused["retry_at"]
    assert world.periods()[two] == [NOON, ENDS[0]]


def test_a_job_that_is_done_and_due_all_the_same_is_not_done_for_ever(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    world.now = ENDS[0]
    handled: list[Job] = []

    def nothing(_context: Context, job: Job) -> Iterable[Job]:
        handled.append(job)
        return ()

    world.tick(world.scheduler({"subscription": one_by_one(nothing)}))
    assert [job.subject for job in handled] == [one]
    (refused,) = refusals(world)
    assert refused["code"] == "no_progress"


def test_jobs_wait_for_the_projections_and_are_done_once_those_have_read(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with schedule_world(database, follow=False) as world:
        with following(database) as follower:
            (one,) = world.subscriptions(1)
            until(lambda: world.reading.execute("SELECT * FROM due.due").fetchall(), "the row")
            assert follower is not None
        # Something that the projections have not read: it might be what is due.
        an_account(world.live)
        world.now = ENDS[0]
        scheduler = world.scheduler()
        with patch("consumers.scheduler._CATCH_UP_SECONDS", 0.05), caplog.at_level(logging.WARNING):
            scheduler.tick(NEVER)
        assert "jobs wait" in caplog.text
        assert world.periods() == {one: [NOON]}
        with following(database):
            until(lambda: (world.tick(scheduler), world.periods() == {one: [NOON, ENDS[0]]})[1], "the job")


def test_a_projection_that_stopped_is_said_and_nothing_is_done(
    world: ScheduleWorld, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = world.subscriptions(1)
    wait_until_read(world.reading, 20)
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("UPDATE daybook.tracking SET failure = 'broken' WHERE projection = 'timeline'")
    world.now = ENDS[0]
    with caplog.at_level(logging.WARNING):
        world.scheduler().tick(NEVER)
    assert "stopped" in caplog.text
    assert world.periods() == {one: [NOON]}


def test_an_outage_of_the_database_ends_a_look_and_not_the_looking(
    world: ScheduleWorld, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    (one,) = world.subscriptions(1)
    scheduler = world.scheduler()
    world.tick(scheduler)
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s",
            ["daybook schedule%"],
        )
    world.now = ENDS[0]
    with caplog.at_level(logging.INFO):
        until(lambda: (world.tick(scheduler), len(world.periods()[one]) > 1)[1], "the job")
    assert "this scheduler leads no more" in caplog.text


def test_a_defect_ends_a_look_and_is_said_without_its_words(
    world: ScheduleWorld, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_jobs: Sequence[Job], _context_of: ContextOf) -> Iterable[Settled]:
        message = "ada@example.com"
        raise ValueError(message)

    world.subscriptions(1)
    world.now = ENDS[0]
    with caplog.at_level(logging.ERROR):
        world.tick(world.scheduler({"subscription": broken}))
    assert "ValueError" in caplog.text
    assert "ada@example.com" not in caplog.text


def test_told_to_stop_it_finishes_the_job_at_hand_and_begins_no_other(world: ScheduleWorld) -> None:
    subscriptions = world.subscriptions(4)
    world.now = ENDS[0]
    stop = threading.Event()

    def stopping(jobs: Sequence[Job], context_of: ContextOf) -> Iterable[Settled]:
        for number, settled in enumerate(HANDLERS["subscription"](jobs, context_of), 1):
            if number == 2:
                stop.set()
            yield settled

    scheduler = world.scheduler({"subscription": stopping})
    world.tick(scheduler, stop)
    assert sorted(len(begun) for begun in world.periods().values()) == [1, 1, 2, 2]
    world.tick(scheduler)
    assert world.periods() == each(subscriptions, ENDS[:1])


# -- several schedulers --------------------------------------------------------------------------------


def test_of_two_schedulers_one_works_and_the_other_takes_over(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    first, second = world.scheduler(), world.scheduler()
    world.tick(first)
    world.now = ENDS[0]
    world.tick(second)
    assert world.periods() == {one: [NOON]}
    first.close()
    until(lambda: (world.tick(second), second.leader.leads)[1], "the takeover")
    assert world.periods() == {one: [NOON, ENDS[0]]}


def test_a_leader_that_is_cut_off_between_two_jobs_does_not_begin_the_second(
    world: ScheduleWorld, database: Database
) -> None:
    world.subscriptions(3)
    world.now = ENDS[0]

    def cutting(jobs: Sequence[Job], context_of: ContextOf) -> Iterable[Settled]:
        for settled in HANDLERS["subscription"](jobs, context_of):
            with psycopg.connect(database.owner_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                    ["daybook schedule leader"],
                )
            yield settled

    first, second = world.scheduler({"subscription": cutting}), world.scheduler()
    world.tick(first)
    assert sorted(len(begun) for begun in world.periods().values()) == [1, 1, 2]
    assert not first.leader.leads
    until(lambda: (world.tick(second), second.leader.leads)[1], "the takeover")
    assert sorted(len(begun) for begun in world.periods().values()) == [2, 2, 2]


class Zombie(Leader):
    """A leader that believes to lead whatever happens."""

    def take(self) -> bool:
        """Believe it."""
        return True

    def require(self) -> None:
        """Believe it still."""

    @property
    def leads(self) -> bool:
        """Believe it always."""
        return True


def zombie(world: ScheduleWorld, **options: Any) -> Scheduler:
    scheduler = world.scheduler(**options)
    scheduler.leader = Zombie(world.database.follower_url, 0, "zombie")
    return scheduler


def test_two_that_both_believe_to_lead_do_everything_once(world: ScheduleWorld) -> None:
    subscriptions = world.subscriptions(6)
    world.now = ENDS[3] + DAY
    zombies = [zombie(world, page_jobs=pages) for pages in (500, 7, 3)]
    wait_until_read(world.reading, 20)
    at_once(lambda one: one.tick(NEVER), zombies)
    # One that lost every race has nothing left to do, and one that was cut short is finished here.
    world.tick(zombies[0])
    assert world.periods() == each(subscriptions, ENDS[:4])
    assert numbers_of(world) == list(range(1, 31))
    assert world.reading.execute("SELECT * FROM daybook.job_refusals").fetchall() == []


# -- running -------------------------------------------------------------------------------------------


def test_it_runs_until_told_to_stop_and_works_at_the_instant_that_something_is_due(
    world: ScheduleWorld,
) -> None:
    (one,) = world.subscriptions(1)
    # The wall's clock, moved so that the period ends in two seconds; regular looks come once an hour.
    offset = ENDS[0] - timedelta(seconds=2) - datetime.now(UTC)
    wait_until_read(world.reading, 20)
    scheduler = world.scheduler(clock=lambda: datetime.now(UTC) + offset, every_seconds=3600)
    stop = threading.Event()
    thread = threading.Thread(target=scheduler.run, args=(stop,))
    thread.start()
    try:
        until(lambda: world.periods() == {one: [NOON, ENDS[0]]}, "the job at its instant")
        assert scheduler.leader.leads
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()
    assert not scheduler.leader.leads


def test_a_running_scheduler_looks_again_and_again(world: ScheduleWorld) -> None:
    (one,) = world.subscriptions(1)
    scheduler = world.scheduler(every_seconds=0.1)
    stop = threading.Event()
    thread = threading.Thread(target=scheduler.run, args=(stop,))
    thread.start()
    try:
        until(lambda: scheduler.leader.leads, "the leadership")
        world.now = ENDS[0]
        until(lambda: world.periods() == {one: [NOON, ENDS[0]]}, "the job")
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


# -- what it tells -------------------------------------------------------------------------------------


class Counted:
    """A scheduler whose metrics and settled jobs are at hand."""

    def __init__(self, world: ScheduleWorld, handlers: Mapping[str, Handler] = HANDLERS) -> None:
        self.registry = CollectorRegistry()
        self.settled: list[Settled] = []
        outer = self

        class Report(ScheduleMetrics):
            def settled(self, settled: Settled) -> None:
                outer.settled.append(settled)
                super().settled(settled)

        self.scheduler = world.scheduler(handlers, report=Report(self.registry))

    def lines(self) -> list[str]:
        return generate_latest(self.registry).decode().splitlines()


def test_the_metrics_tell_who_leads_what_was_done_and_what_rests(world: ScheduleWorld) -> None:
    one, _ = sorted(world.subscriptions(2))
    counted = Counted(world, refusing(one))
    other = Counted(world)
    world.now = ENDS[0]
    world.tick(counted.scheduler)
    world.tick(other.scheduler)
    assert {
        "daybook_schedule_leader 1.0",
        'daybook_schedule_jobs_total{kind="subscription",outcome="done"} 1.0',
        'daybook_schedule_jobs_total{kind="subscription",outcome="refused"} 1.0',
        'daybook_schedule_refused_jobs{kind="subscription"} 1.0',
        "daybook_schedule_lag_seconds 0.0",
    } <= set(counted.lines())
    assert "daybook_schedule_leader 0.0" in other.lines()


def test_the_lag_is_how_long_the_earliest_job_is_due(world: ScheduleWorld) -> None:
    world.subscriptions(1)
    lags: list[float] = []

    class Report(ScheduleMetrics):
        def waiting(self, lag_seconds: float, refused: Mapping[str, int]) -> None:
            lags.append(lag_seconds)
            super().waiting(lag_seconds, refused)

    world.now = ENDS[0] + timedelta(seconds=90)
    world.tick(world.scheduler(report=Report(CollectorRegistry())))
    assert (lags[0], lags[-1]) == (90.0, 0.0)


def test_each_job_is_a_line_of_json(world: ScheduleWorld, caplog: pytest.LogCaptureFixture) -> None:
    one, two = sorted(world.subscriptions(2))
    world.now = ENDS[0]
    with caplog.at_level(logging.INFO, "daybook.schedule"):
        world.tick(world.scheduler(refusing(one)))
    lines = [record for record in caplog.records if record.getMessage().startswith("{")]
    refused, done = (msgspec.json.decode(record.getMessage()) for record in lines)
    assert [record.levelname for record in lines] == ["WARNING", "INFO"]
    assert (refused["subject"], refused["code"]) == (one, "not_found")
    assert done == {
        "outcome": "done",
        "kind": "subscription",
        "subject": two,
        "book": str(world.live.book),
        "due_at": "2027-02-28T12:00:00Z",
    }
