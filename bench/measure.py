"""How fast usage is measured: a busy account's month, from runs and from events, and many accounts'."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Final
from uuid import UUID

import psycopg

from bench.database import MASTER_KEY, Database, fresh_database
from bench.made_up import ACTOR, BATCH_EVENTS, BOOK
from bench.progress import bar, counted
from bench.results import Result, result
from bench.timing import Timing
from ledger.identifiers import public_id
from ledger.measuring import Ask
from ledger.meters import MeterDefinition, default_meter
from ledger.periods import Period
from ledger.usage_row import UsageFact, usage_row
from projections.follower import Follower
from projections.measured import READ_MODELS, MeasuredUsage
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ledger.usage_row import UsageRow

_EVENTS: Final = 1_000_000
_ACCOUNTS: Final = 10_000
_EVENTS_AN_ACCOUNT: Final = 200
_ASKS_A_BATCH: Final = 100
_TIMES: Final = 200
_LIMIT_P95_MS: Final = 30.0
_METER: Final = default_meter("api_calls")
_LATENCY: Final = MeterDefinition(
    code="slowest", name="Slowest call", event_type="api_calls", aggregation="max", property="seconds"
)
_START: Final = datetime(2026, 11, 1, tzinfo=UTC)
_END: Final = datetime(2026, 12, 1, tzinfo=UTC)
# As most subscriptions have it, the month begins and ends within an hour: two hours' runs are opened.
_MONTH: Final = Period(_START + timedelta(minutes=17), _END - timedelta(minutes=33))


def measure_month(scale: float) -> list[Result]:
    """Measure the month of an account that uses a million events in it, for a sum and for a maximum."""
    events = int(_EVENTS * scale)
    account = _account(0)
    with fresh_database() as database:
        _use(database, [account], events)
        with database.log("app") as log:
            measured = MeasuredUsage(log)
            through = measured.reached(BOOK)
            milliseconds = sorted(
                _milliseconds(measured, [_ask(_METER, account, through)]) for _ in range(_TIMES)
            )
            folding = Timing()
            with folding.of(events):
                ((found,),) = measured.measure(BOOK, [_ask(_LATENCY, account, through)])
    assert found.events > 0.99 * events, "nearly all of it lies in the month"
    return [
        result("measure_month_p50", milliseconds[len(milliseconds) // 2], "ms"),
        result("measure_month_p95", milliseconds[int(len(milliseconds) * 0.95)], "ms", _LIMIT_P95_MS),
        result("measure_from_events", folding.rate, "events/s"),
    ]


def measure_accounts(scale: float) -> list[Result]:
    """Measure the month of ten thousand accounts of 200 events each, a hundred at a time."""
    accounts = [_account(number) for number in range(int(_ACCOUNTS * scale))]
    with fresh_database() as database:
        _use(database, accounts, len(accounts) * _EVENTS_AN_ACCOUNT)
        with database.log("app") as log:
            measured = MeasuredUsage(log)
            through = measured.reached(BOOK)
            rates = [
                _rate(measured, meter, accounts[: int(len(accounts) * share)], through)
                for meter, share in ((_METER, 1), (_LATENCY, 0.1))
            ]
    return [
        result("measure_accounts", rates[0], "accounts/s"),
        result("measure_accounts_from_events", rates[1], "accounts/s"),
    ]


def _rate(measured: MeasuredUsage, meter: MeterDefinition, accounts: Sequence[str], through: int) -> float:
    timing = Timing()
    for first in counted(f"measuring {meter.code}", range(0, len(accounts), _ASKS_A_BATCH), _ASKS_A_BATCH):
        batch = accounts[first : first + _ASKS_A_BATCH]
        with timing.of(len(batch)):
            measured.measure(BOOK, [_ask(meter, account, through) for account in batch])
    return timing.rate


def _milliseconds(measured: MeasuredUsage, asked: Sequence[Ask]) -> float:
    began = time.perf_counter()
    measured.measure(BOOK, asked)
    return (time.perf_counter() - began) * 1_000


def _account(number: int) -> str:
    return public_id("acc", UUID(int=Random(number).getrandbits(128)))


def _ask(meter: MeterDefinition, account: str, through: int) -> Ask:
    return Ask(
        account=account,
        definition=meter,
        period_from=_MONTH.start,
        period_to=_MONTH.end,
        through_position=through,
    )


def _use(database: Database, accounts: Sequence[str], events: int) -> None:
    """Append a month of usage, the oldest first but for five minutes, and have the timeline follow it."""
    rng = Random(1)
    with database.log("ingest") as log:
        for first in counted("appending", range(0, events, BATCH_EVENTS), BATCH_EVENTS):
            numbers = range(first, min(first + BATCH_EVENTS, events))
            log.append_usage([_row(number, events, accounts, rng) for number in numbers])
    follower = Follower(database.url("follower"), MASTER_KEY, [PROJECTIONS[name] for name in READ_MODELS])
    with closing(follower), bar("following") as progress:
        follower.catch_up(progress=progress)
    # Or the server would do so by itself while we measure.
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("VACUUM (ANALYZE) log.events, timeline.runs, timeline.run_positions")
        owner.execute("CHECKPOINT")


def _row(number: int, events: int, accounts: Sequence[str], rng: Random) -> UsageRow:
    booked_at = _START + (_END - _START) * number / events
    fact = UsageFact(
        event_id=f"evt-{number:012}",
        source="gateway/eu-1",
        meter=_METER.event_type,
        account=accounts[rng.randrange(len(accounts))],
        quantity=Decimal(rng.randrange(1, 1_000)),
        occurred_at=booked_at - timedelta(seconds=rng.randrange(300)),
        properties={"region": rng.choice(("eu", "us", "ap")), "seconds": rng.randrange(100)},
    )
    return usage_row(fact, BOOK, ACTOR, f"kafka:usage:3:{number}", booked_at, booked_at)
