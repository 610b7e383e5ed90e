"""Corrections in what is read of usage: the totals of days, the timeline, the account as it was."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from ledger.events import NewEvent
from ledger.identifiers import usage_correction_stream
from ledger.store import Log
from projections import timeline_queries, usage
from projections.follower import Follower
from projections.registry import PROJECTIONS
from projections.state import MeterTotal, account_state
from tests.integration.correction_histories import correct
from tests.integration.histories import MASTER_KEY, NOON, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database

DAY = timedelta(days=1)


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


@pytest.fixture
def log(database: Database) -> Iterator[Log]:
    with closing(Log(database.app_url, MASTER_KEY)) as one:
        yield one


def project(database: Database, batch_rows: int = 5_000) -> None:
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values(), batch_rows=batch_rows)
    with closing(follower):
        follower.catch_up()


def read(database: Database, writer: Writer) -> Any:
    connection = psycopg.connect(database.app_url, autocommit=True, row_factory=dict_row)
    connection.execute("SELECT set_config('daybook.book', %s, false)", (str(writer.book),))
    return closing(connection)


@pytest.mark.parametrize("batch_rows", [1, 2, 5_000])
def test_a_correction_moves_the_total_of_the_day_of_its_event(
    database: Database, writer: Writer, batch_rows: int
) -> None:
    account = writer.account()
    writer.usage(account, NOON, NOON + DAY, NOON + DAY, quantity="999999999999999999.000000000001")
    correct(writer, 1, None)
    correct(writer, 2, "0.5")
    correct(writer, 2, "1.5")
    project(database, batch_rows)
    with read(database, writer) as connection:
        days = [(row["day"], row["quantity"], row["events"]) for row in usage.by_day(connection, account)]
    # A day of which all is void stays, and says so.
    assert days == [
        (NOON.date(), Decimal(0), 0),
        ((NOON + DAY).date(), Decimal("1000000000000000000.500000000001"), 2),
    ]


def test_the_timeline_tells_of_corrections(database: Database, writer: Writer) -> None:
    account = writer.account()
    writer.usage(account, NOON, quantity="5.0")
    for quantity, region in (("7.50", None), ("7.5", "eu"), (None, None), ("2", None)):
        correct(writer, 1, quantity, region)
    project(database)
    with read(database, writer) as connection:
        page = timeline_queries.page(connection, account, types=["usage.corrected"])
    said = [row.partition('"sentence":"')[2].removesuffix('"}') for row in page.rows]
    used = "Usage of api_calls at 2026-03-01 12:00:00 UTC"
    assert said == [
        f"{used} was corrected from 5 to 7.5.",
        f"{used} was corrected: still 7.5, with other properties.",
        f"{used} was made void, which was 7.5.",
        f"{used} is no longer void: it was 2.",
    ]


def test_the_account_as_it_was_knows_the_corrections_up_to_then(
    database: Database, writer: Writer, log: Log
) -> None:
    account = writer.account()
    positions = [
        writer.usage(account, NOON, NOON, quantity="3"),
        correct(writer, 1, None),
        correct(writer, 2, "10"),
        correct(writer, 1, "1"),
    ]
    instants = [writer.at - timedelta(seconds=back) for back in (3, 2, 1, 0)]
    project(database)
    totals = [("6", 2), ("3", 1), ("10", 1), ("11", 2)]
    for position, at, (quantity, events) in zip(positions, instants, totals, strict=True):
        for cut in (position, at):
            state = account_state(log, writer.book, account, cut)
            assert state is not None
            assert state.usage == (MeterTotal("api_calls", Decimal(quantity), events),)


def test_a_correction_that_a_slow_clock_booked_before_its_event_is_not_known_before_it(
    database: Database, writer: Writer, log: Log
) -> None:
    account = writer.account()
    between = writer.at
    writer.usage(account, NOON, quantity="3")
    position = correct(writer, 1, None)
    (made,) = log.at_positions(writer.book, [position])
    stream = usage_correction_stream(writer.book, "tests", "evt-2")
    writer.usage(account, NOON, quantity="4")
    early = writer.new("early", made.event, booked_at=between)
    (original,) = log.at_positions(writer.book, [position + 1])
    event: Any = made.event
    moved = type(event)(**{**vars(event), "event_id": "evt-2", "original_position": original.position})
    writer.append([NewEvent(stream=stream, stream_version=1, event=moved, metadata=early.metadata)])
    project(database)
    state = account_state(log, writer.book, account, between)
    assert state is not None
    assert state.usage == ()
