"""How fast subscriptions are billed: a month of usage rated, and every invoice issued, by the scheduler.

The world is made first: accounts on a plan that charges by usage, each with a month of events, followed by
the projections. Then the month ends for all of them at once, as it does for a book on the calendar.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg

from api.scheduling import schedule_once
from bench.database import MASTER_KEY, Database, fresh_database
from bench.made_up import ACTOR, BATCH_EVENTS
from bench.progress import bar, counted
from bench.results import Result, result
from commands.accounts import register_account
from commands.bootstrap import Founding, found_organisation
from commands.context import Context
from commands.plans import PlanDraft, create_plan_of
from commands.previews import upcoming_of
from commands.subscriptions import subscribe
from ledger.events import Metadata, NewEvent
from ledger.events.plan import PlanTerms, RecurringFee, UsageCharge
from ledger.events.usage import UsageRecorded
from ledger.identifiers import digest_parts, stream_of, usage_stream
from ledger.prices import Price, Tier
from ledger.settings import Settings
from ledger.streams.subscribing import Beginning
from ledger.usage_row import row_of
from projections.follower import Follower
from projections.measured import MeasuredUsage
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from ledger.store import Log

_SUBSCRIPTIONS: Final = 10_000
_EVENTS_EACH: Final = 200
_EVENTS_OF_ONE: Final = 1_000_000
_LIMIT_SECONDS: Final = 60
_LIMIT_MIB: Final = 300
_LIMIT_PREVIEW_MS: Final = 150
_PREVIEWS: Final = 40
_WARM_UP: Final = 5
_POLL_SECONDS: Final = 0.05
_MIB: Final = 1 << 20
_PEPPERS: Final = ((1, b"p" * 32),)
_TERMS: Final = PlanTerms(
    interval="month",
    fees=(RecurringFee(code="base", name="Base", amounts={"USD": 2_900}),),
    charges=(
        UsageCharge(
            code="calls",
            name="API calls",
            meter="api_calls",
            prices={
                "USD": Price(
                    model="graduated",
                    currency="USD",
                    tiers=(
                        Tier(up_to=Decimal(1_000), unit_amount=Decimal(0)),
                        Tier(up_to=Decimal(50_000), unit_amount=Decimal("0.2")),
                        Tier(up_to=None, unit_amount=Decimal("0.1")),
                    ),
                )
            },
        ),
    ),
    calendar=True,
)


@dataclass(frozen=True)
class _World:
    """A book with a plan; the month that is billed is the one before the present one."""

    log: Log
    settings: Settings
    book: UUID
    plan: str
    begins_at: datetime
    ends_at: datetime

    def context(self, cause: str, now: datetime) -> Context:
        """Give the context of a command."""
        measure = MeasuredUsage(self.log)
        return Context(self.log, self.settings, self.book, ACTOR, cause, now, os.urandom, measure=measure)


def bill_subscriptions(scale: float) -> list[Result]:
    """Bill a month of 10,000 subscriptions with 2 million usage events."""
    subscriptions = int(_SUBSCRIPTIONS * scale)
    with _world() as (database, world):
        accounts = [_subscribed(world, number) for number in _counted("subscribing", subscriptions)]
        _use(database, world, accounts, subscriptions * _EVENTS_EACH)
        _catch_up(database)
        with _following(database):
            seconds, memory_mib = _schedule(world)
        invoices = _invoices_of_the_month(database, world)
    assert invoices == subscriptions, f"{invoices} invoices for {subscriptions} subscriptions"
    return [
        result("bill_subscriptions", seconds, "s", _LIMIT_SECONDS * scale),
        result("bill_subscriptions_memory", memory_mib, "MiB", _LIMIT_MIB),
    ]


def preview_upcoming(scale: float) -> list[Result]:
    """Preview the next invoice of an account with a million usage events in its period."""
    with _world() as (database, world):
        account = _subscribed(world, 0)
        _use(database, world, [account], int(_EVENTS_OF_ONE * scale))
        _catch_up(database)
        subscription = _subscription_of(database, account)
        taken = [_preview_ms(world, subscription) for _ in range(_WARM_UP + _PREVIEWS)][_WARM_UP:]
    p95 = sorted(taken)[int(len(taken) * 0.95)]
    return [result("preview_upcoming_p95", p95, "ms", _LIMIT_PREVIEW_MS)]


def _preview_ms(world: _World, subscription: str) -> float:
    began = time.perf_counter()
    previewed = upcoming_of(world.context("preview", world.ends_at - timedelta(days=1)), subscription)
    assert previewed is not None, "there is a next invoice"
    assert previewed.invoice is not None, "and it has lines"
    return (time.perf_counter() - began) * 1_000


# -- the world --------------------------------------------------------------------------------------------


@contextmanager
def _world() -> Iterator[tuple[Database, _World]]:
    """Found an organisation and put a plan on sale."""
    with fresh_database() as database, database.log("app") as log:
        settings = replace(_settings(database), peppers=_PEPPERS)
        this_month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        begins_at = (this_month - timedelta(days=1)).replace(day=1)
        founding = Founding(name="Bench")
        founded = found_organisation(log, settings, founding, begins_at, os.urandom)
        book = stream_of("book", founded.live_book)
        world = _World(log, settings, book, "", begins_at, this_month)
        plan = create_plan_of(world.context("plan", begins_at), PlanDraft(name="Metered", terms=_TERMS))
        assert plan.result.state is not None, "it was just created"
        yield database, replace(world, plan=plan.result.state.plan)


def _settings(database: Database) -> Settings:
    return Settings(
        database_url=database.owner_url,
        app_url=database.url("app"),
        ingest_url=database.url("ingest"),
        follower_url=database.url("follower"),
        master_key=MASTER_KEY,
    )


def _subscribed(world: _World, number: int) -> str:
    """Sign an account up and subscribe it as the month begins."""
    context = world.context(f"account {number}", world.begins_at)
    account = register_account(context, f"Account {number}", None, "USD", "UTC").result.state
    assert account is not None, "it was just registered"
    again = world.context(f"subscription {number}", world.begins_at)
    subscribe(again, account.account, world.plan, None, Beginning(starts_at=world.begins_at))
    return account.account


def _use(database: Database, world: _World, accounts: Sequence[str], events: int) -> None:
    """Append a month of usage: every account's in turn, spread over the month as it comes."""
    rng = random.Random(1)
    month_seconds = (world.ends_at - world.begins_at).total_seconds()
    with database.log("ingest") as log:
        for start in counted("appending usage", range(0, events, BATCH_EVENTS), BATCH_EVENTS):
            numbers = range(start, min(start + BATCH_EVENTS, events))
            rows = []
            for number in numbers:
                at = world.begins_at + timedelta(seconds=int(number / events * month_seconds))
                rows.append(row_of(_event(world, accounts[number % len(accounts)], number, at, rng)))
            log.append_usage(rows)


def _event(world: _World, account: str, number: int, at: datetime, rng: random.Random) -> NewEvent:
    quantity, event_id = Decimal(rng.randrange(1, 1_000)), f"evt-{number:012}"
    event = UsageRecorded(
        account=account,
        meter="api_calls",
        quantity=quantity,
        source="bench",
        event_id=event_id,
        accepted_at=at,
        digest=digest_parts("usage-facts", account, "api_calls", str(quantity), b"{}"),
    )
    metadata = Metadata(book=world.book, occurred_at=at, booked_at=at, actor=ACTOR, cause="bench")
    stream = usage_stream(world.book, "bench", event_id)
    return NewEvent(stream=stream, stream_version=1, event=event, metadata=metadata)


def _counted(name: str, count: int) -> Iterator[int]:
    return iter(counted(name, range(count)))


# -- projections and scheduler, each a process as in an installation --------------------------------------


def _catch_up(database: Database) -> None:
    with closing(_follower(database)) as follower, bar("following") as progress:
        follower.catch_up(progress=progress)


def _follower(database: Database) -> Follower:
    return Follower(database.url("follower"), MASTER_KEY, PROJECTIONS.values())


@contextmanager
def _following(database: Database) -> Iterator[None]:
    """Keep the projections up to date from another process."""
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_follow, args=(database,), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _follow(database: Database) -> None:
    with closing(_follower(database)) as follower:
        while True:
            follower.catch_up()
            # There is no signal to wait for that this could end by: it is killed.
            time.sleep(_POLL_SECONDS)


def _schedule(world: _World) -> tuple[float, float]:
    """Do all that is due in a process of its own; give its seconds and the most memory it held."""
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=_do_what_is_due, args=(world.settings,))
    began = time.perf_counter()
    process.start()
    watched, most = psutil.Process(process.pid), 0
    while process.is_alive():
        try:
            most = max(most, watched.memory_info().rss)
        except psutil.Error:
            break
        process.join(_POLL_SECONDS)
    process.join()
    assert process.exitcode == 0, "the scheduler ended well"
    return time.perf_counter() - began, most / _MIB


def _do_what_is_due(settings: Settings) -> None:
    schedule_once(settings, datetime.now(UTC))


def _invoices_of_the_month(database: Database, world: _World) -> int:
    """Count the invoices that bill the month that ended, in the log itself."""
    query = (
        "SELECT count(DISTINCT originator_id) FROM log.events WHERE topic = 'invoice.finalized'"
        " AND (convert_from(state, 'UTF8')::json ->> 'occurred_at')::timestamptz >= %s"
    )
    with psycopg.connect(database.owner_url) as owner:
        row: Any = owner.execute(query, [world.ends_at]).fetchone()
    return int(row[0])


def _subscription_of(database: Database, account: str) -> str:
    with psycopg.connect(database.owner_url) as owner:
        query = "SELECT subscription FROM billing.subscriptions WHERE account = %s"
        row: Any = owner.execute(query, [account]).fetchone()
    return str(row[0])
