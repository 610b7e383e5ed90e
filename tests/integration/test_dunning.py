"""Dunning and notices by the scheduler on a real database, and the rows that say when they are due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from commands.coupons import create_coupon
from commands.dunning import adopt_dunning, load_dunning, next_notice, next_step
from commands.invoicing import pay_invoice
from commands.keys import issue_key
from commands.subscriptions import cancel_subscription, pause_subscription, resume_subscription, subscribe
from consumers.due_work import wait_until_read
from consumers.dunning_reads import DunningReads
from consumers.job_batches import BATCH_HANDLERS
from consumers.jobs import HANDLERS, SCHEDULER, Job, Settled
from ledger.events.coupon import CouponRetired, CouponTerms
from ledger.events.dunning import DunningStep
from ledger.events.invoice import DunningStepTaken, InvoiceFinalized
from ledger.events.subscription import NoticeGiven, SubscriptionStarted
from ledger.identifiers import stream_of
from ledger.streams import api_key as keys
from ledger.streams.base import fold
from ledger.streams.dunning import DunningTerms
from ledger.streams.subscribing import Beginning
from projections.rebuild import verify
from tests.acme import MASTER_KEY, NOON, a_plan, an_account, at_once, events_of, known
from tests.integration.schedule_world import WAIT_SECONDS, schedule_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from commands.context import Context
    from tests.integration.schedule_world import ScheduleWorld
    from tests.postgres import Database

DAY = timedelta(days=1)
STEPS = tuple(
    DunningStep(days_after_due=days, action=action)
    for days, action in [
        (3, "remind"),
        (5, "retry"),
        (10, "suspend_keys"),
        (30, "mark_uncollectible"),
        (45, "cancel_subscription"),
    ]
)
TERMS = DunningTerms(steps=STEPS, renewal_days_before=7, trial_end_days_before=3)


@pytest.fixture
def world(database: Database) -> Iterator[ScheduleWorld]:
    with schedule_world(database) as made:
        yield made


def owing(world: ScheduleWorld, terms: DunningTerms = TERMS) -> tuple[str, str]:
    """Adopt a policy, and give an account that owes for a month, and for what."""
    adopt_dunning(world.live, terms)
    account = an_account(world.live)
    subscribe(world.live, account, a_plan(world.live))
    return account, finalized(world)[0].invoice


def finalized(world: ScheduleWorld) -> list[InvoiceFinalized]:
    return [one for one in events_of(world.acme) if isinstance(one, InvoiceFinalized)]


def taken(world: ScheduleWorld, invoice: str) -> list[str]:
    return [
        one.action
        for one in events_of(world.acme)
        if isinstance(one, DunningStepTaken) and one.invoice == invoice
    ]


def rows(world: ScheduleWorld, *kinds: str) -> set[tuple[str, str, datetime]]:
    """Give the rows of some kinds, once they are up to date."""
    wait_until_read(world.reading, WAIT_SECONDS)
    query = "SELECT kind, subject, due_at FROM due.due WHERE kind = ANY(%s)"
    found = world.reading.execute(query, (list(kinds or ("dunning", "notice")),)).fetchall()
    return {(row["kind"], row["subject"], row["due_at"]) for row in found}


def expected_rows(world: ScheduleWorld) -> set[tuple[str, str, datetime]]:
    """Say from the log what the rows are to say."""
    log, book = world.acme.log, world.live.book
    expected = set()
    for event in events_of(world.acme):
        if isinstance(event, InvoiceFinalized) and (step := next_step(log, book, event.invoice)):
            expected.add(("dunning", event.invoice, step.due_at))
        if isinstance(event, SubscriptionStarted) and (notice := next_notice(log, book, event.subscription)):
            expected.add(("notice", event.subscription, notice.due_at))
    return expected


def due_on(world: ScheduleWorld) -> datetime:
    return datetime.combine(finalized(world)[0].due_on, datetime.min.time(), UTC)


# -- rows ----------------------------------------------------------------------------------------------


def test_rows_say_what_the_log_says_through_a_whole_life(world: ScheduleWorld) -> None:
    account, invoice = owing(world)
    assert rows(world) == expected_rows(world)
    assert {kind for kind, _, _ in rows(world)} == {"dunning", "notice"}
    scheduler = world.scheduler(BATCH_HANDLERS)
    issue_key(world.live, "live", account, "key", ["read"])
    for days in (4, 12, 31):
        world.now = due_on(world) + days * DAY
        world.tick(scheduler)
        assert rows(world) == expected_rows(world)
    context = replace(world.live, now=world.now)
    pay_invoice(context, invoice, finalized(world)[0].total, "USD", "bank")
    assert ("dunning", invoice, world.now) in rows(world), "keys wait to be resumed"
    assert rows(world) == expected_rows(world)
    world.tick(scheduler)
    assert rows(world) == expected_rows(world)
    assert invoice not in {subject for _, subject, _ in rows(world)}
    (comparison,) = verify(world.database.owner_url, world.database.follower_url, MASTER_KEY, ["due"])
    assert comparison.equal, comparison


def test_rows_follow_pauses_cancellations_and_trials(world: ScheduleWorld) -> None:
    adopt_dunning(world.live, TERMS)
    plan = a_plan(world.live)
    trial = Beginning(starts_at=NOON, trial_days=14)
    subscriptions = [
        str(
            known(
                subscribe(world.live, an_account(world.live, name), plan, beginning=how).result.subscription
            ).subscription
        )
        for name, how in (("Ada", None), ("Ben", trial))
    ]
    notices = {subject: at for kind, subject, at in rows(world) if kind == "notice"}
    assert set(notices) == set(subscriptions)
    assert notices[subscriptions[1]] < NOON + 12 * DAY
    later = replace(world.live, now=NOON + DAY)
    pause_subscription(later, subscriptions[0])
    cancel_subscription(later, subscriptions[1])
    assert not rows(world, "notice")
    resume_subscription(replace(world.live, now=NOON + 2 * DAY), subscriptions[0])
    assert rows(world) == expected_rows(world)
    assert len(rows(world, "notice")) == 1


def test_a_policy_that_is_adopted_or_given_up_moves_every_row_of_its_book(world: ScheduleWorld) -> None:
    account = an_account(world.live)
    subscribe(world.live, account, a_plan(world.live))
    assert rows(world) == set()
    adopt_dunning(world.live, TERMS)
    assert len(rows(world)) == 2
    assert rows(world) == expected_rows(world)
    adopt_dunning(replace(world.live, now=NOON + DAY), DunningTerms(steps=STEPS[1:]))
    assert rows(world) == expected_rows(world)
    assert {kind for kind, _, _ in rows(world)} == {"dunning"}
    adopt_dunning(replace(world.live, now=NOON + 2 * DAY), DunningTerms())
    assert rows(world) == set()
    assert len(load_dunning(world.acme.log, world.live.book).versions) == 3


# -- the scheduler -------------------------------------------------------------------------------------


def test_the_scheduler_takes_every_step_and_gives_every_notice_at_its_time(world: ScheduleWorld) -> None:
    _, invoice = owing(world)
    scheduler = world.scheduler(BATCH_HANDLERS)
    begin = due_on(world)
    for days, expected in ((2, 0), (3, 1), (5, 2), (10, 3), (29, 3), (30, 4), (45, 5), (90, 5)):
        world.now = begin + days * DAY
        world.tick(scheduler)
        world.tick(scheduler)
        assert len(taken(world, invoice)) == expected, days
    assert taken(world, invoice) == [step.action for step in STEPS]
    given = [one for one in events_of(world.acme) if isinstance(one, NoticeGiven)]
    assert len({(one.kind, one.due_at) for one in given}) == len(given) > 0


def test_a_scheduler_that_was_away_takes_what_it_missed_in_order(world: ScheduleWorld) -> None:
    _, invoice = owing(world)
    world.now = due_on(world) + 40 * DAY
    world.tick(world.scheduler(BATCH_HANDLERS))
    assert taken(world, invoice) == [step.action for step in STEPS[:4]]
    (first, *_, last) = [one for one in events_of(world.acme) if isinstance(one, DunningStepTaken)]
    assert (first.due_at, last.due_at) == (due_on(world) + 3 * DAY, due_on(world) + 30 * DAY)


def test_two_at_once_take_a_step_once_with_all_that_it_does(world: ScheduleWorld) -> None:
    account, invoice = owing(world, DunningTerms(steps=STEPS[2:3]))
    key = known(issue_key(world.live, "live", account, "key", ["read"]).result.stream).key
    ((_, _, due_at),) = rows(world, "dunning")
    job = Job(due_at, "dunning", invoice, world.live.book, account)

    def do(number: int) -> list[Settled]:
        def context_of(one: Job) -> Context:
            cause = f"{one.cause}, scheduler {number}"
            return replace(world.live, actor=SCHEDULER, cause=cause, now=due_at)

        return list(HANDLERS["dunning"]([job], context_of))

    settled: list[Any] = at_once(do, range(4))
    assert [one.code for each in settled for one in each] == [None] * 4
    assert taken(world, invoice) == ["suspend_keys"]
    recorded = world.acme.log.load(world.live.book, stream_of("key", key))
    assert [one.event.topic for one in recorded] == ["api_key.issued", "api_key.suspended"]
    assert known(fold(keys.evolve, recorded)).status == "suspended"


def test_what_the_models_say_of_an_account_is_of_its_own_book(world: ScheduleWorld) -> None:
    account, invoice = owing(world, DunningTerms(steps=STEPS[2:3]))
    issue_key(world.live, "live", account, "key", ["read"])
    reads = DunningReads(world.acme.log)
    assert len(reads.keys_of(world.live.book, account)) == 1
    assert reads.keys_of(world.test.book, account) == []
    world.now = due_on(world) + 11 * DAY
    world.tick(world.scheduler())
    assert not reads.others_hold(world.live.book, account, invoice)
    assert reads.others_hold(world.live.book, account, "inv_another")
    assert not reads.others_hold(world.test.book, account, "inv_another")


def test_a_coupon_expires_when_it_can_be_redeemed_no_more(world: ScheduleWorld) -> None:
    create_coupon(world.live, "SPRING", "Spring", CouponTerms(percent_off=Decimal(10), redeem_by=NOON + DAY))
    ((_, coupon, due_at),) = rows(world, "coupon")
    assert due_at == NOON + DAY
    world.now = due_at
    world.tick(world.scheduler(BATCH_HANDLERS))
    retired = [one for one in events_of(world.acme) if isinstance(one, CouponRetired)]
    assert [(one.coupon, one.reason) for one in retired] == [(coupon, "expired")]
    assert rows(world, "coupon") == set()
