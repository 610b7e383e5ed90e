"""MRR through the log and its projection: the worked cases, whatever the batches, and as it was known."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from ledger.policies import policy_of
from ledger.store import Log
from projections.follower import Follower
from projections.mrr_queries import read_changes
from projections.rebuild import rebuild, verify
from projections.registry import PROJECTIONS
from tests.integration.histories import MASTER_KEY
from tests.mrr_random import mrr_policies, stories
from tests.mrr_story import Story, instant, read_cases, told
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    from ledger.events import Recorded
    from ledger.mrr_movements import Change
    from ledger.policies import MrrPolicy
    from projections.mrr_queries import KnownAt
    from tests.postgres import Database

MRR = [PROJECTIONS["mrr"]]
CASES = [case for case in read_cases() if "movements" in case and "currency" not in case]
RANDOM = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def kept(server_url: str, template_database: str) -> Iterator[Database]:
    """Give one database for all of a module's books."""
    with temporary_database(server_url, template_database) as database:
        yield database


def write(database: Database, story: Story) -> list[int]:
    """Append a story to the log and give its positions."""
    with closing(Log(database.app_url, MASTER_KEY)) as log:
        return log.append(story.book, story.new_events())


def follow(database: Database, batch_rows: int = 5_000) -> None:
    with closing(Follower(database.follower_url, MASTER_KEY, MRR, batch_rows=batch_rows)) as follower:
        follower.catch_up()


def read(
    database: Database,
    book: UUID,
    policy: MrrPolicy,
    account: str | None = None,
    known_at: KnownAt | None = None,
) -> list[Change]:
    with psycopg.connect(database.app_url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SELECT set_config('daybook.book', %s, false)", (str(book),))
        return read_changes(connection, policy, account, known_at)


def placed(changes: list[Change], positions: list[int]) -> list[Change]:
    """Put positions of the log in the place of a story's own."""
    return [
        replace(
            one,
            position=positions[one.position - 1],
            positions=tuple(positions[position - 1] for position in one.positions),
        )
        for one in changes
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_worked_case_comes_out_of_the_log(kept: Database, case: dict[str, Any]) -> None:
    story = told(case)
    write(kept, story)
    follow(kept)
    found = read(kept, story.book, policy_of(case["preset"], {}).mrr)
    assert [(one.account, one.kind, one.amount_minor, one.at) for one in found if one.kind] == [
        (account, kind, amount, instant(at)) for account, kind, amount, at in case["movements"]
    ]


@RANDOM
@given(story=stories(), policy=mrr_policies(), batch_rows=st.integers(1, 40))
def test_the_log_tells_what_the_events_do(
    kept: Database, story: Story, policy: MrrPolicy, batch_rows: int
) -> None:
    story = again(story)
    positions = write(kept, story)
    follow(kept, batch_rows)
    expected = placed(story.changes(policy), positions)
    assert read(kept, story.book, policy) == expected
    of_a = [one for one in expected if one.account == "a"]
    assert read(kept, story.book, policy, "a") == of_a


def again(story: Story) -> Story:
    """Tell the same in a book of its own: an example may be run more than once."""
    return story.in_book(uuid4())


@RANDOM
@given(story=stories(), policy=mrr_policies(), data=st.data())
def test_what_was_known_is_what_had_been_booked(
    kept: Database, story: Story, policy: MrrPolicy, data: st.DataObject
) -> None:
    story = again(story)
    positions = write(kept, story)
    follow(kept)
    known = data.draw(st.integers(1, len(positions)))
    at = story.recorded[known - 1].metadata.booked_at
    by_position = replace(story, recorded=story.recorded[:known])
    assert read(kept, story.book, policy, known_at=positions[known - 1]) == placed(
        by_position.changes(policy), positions
    )
    booked = [one for one in story.recorded if one.metadata.booked_at <= at]
    assert read(kept, story.book, policy, known_at=at) == placed(
        replace(story, recorded=booked).changes(policy), positions
    )


def test_a_late_fact_changes_the_past_but_not_what_was_known_of_it(kept: Database) -> None:
    story = Story()
    story.add_plan("monthly", "month", {"USD": 3000})
    started, found_out = instant("2027-01-01"), instant("2027-03-10")
    story.start(started, "late", "acme", "monthly")
    late = story.recorded.pop(1)
    story.recorded[1:] = []
    story.versions["late"] = 0
    story.record("late", late.event, started, booked_at=found_out)
    write(kept, story)
    follow(kept)
    policy = policy_of("stripe", {}).mrr
    assert read(kept, story.book, policy, known_at=found_out - timedelta(seconds=1)) == []
    (known,) = read(kept, story.book, policy, known_at=found_out)
    assert (known.at, known.kind) == (started, "new")


def test_an_event_booked_by_an_earlier_clock_waits_for_the_one_before_it(kept: Database) -> None:
    story = Story()
    story.add_plan("monthly", "month", {"USD": 3000})
    story.start(instant("2027-01-01"), "a", "acme", "monthly")
    change, cancel = instant("2027-01-10"), instant("2027-01-20")
    story.change(change, "a", quantity=2)
    story.cancel(cancel, "a")
    changed, cancelled = story.recorded[-2:]
    later = changed.metadata.booked_at + timedelta(days=30)
    story.recorded[-2] = booked(changed, later)
    write(kept, story)
    follow(kept)
    policy = policy_of("stripe", {}).mrr
    assert cancelled.metadata.booked_at < later
    assert [one.kind for one in read(kept, story.book, policy, known_at=cancel)] == ["new"]
    assert [one.kind for one in read(kept, story.book, policy, known_at=later)] == [
        "new",
        "expansion",
        "churn",
    ]


def booked(one: Recorded, at: datetime) -> Recorded:
    """Give an event as another clock would have booked it."""
    metadata = msgspec.structs.replace(one.metadata, booked_at=at)
    return msgspec.structs.replace(one, metadata=metadata)


@RANDOM
@given(story=stories(), batches=st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_no_history_depends_on_how_it_fell_into_batches(
    database: Database, story: Story, batches: list[int]
) -> None:
    write(database, again(story))
    for batch_rows in batches:
        with closing(Follower(database.follower_url, MASTER_KEY, MRR, batch_rows=batch_rows)) as follower:
            follower.step()
    follow(database, batches[0])
    (found,) = verify(database.owner_url, database.follower_url, MASTER_KEY, ["mrr"])
    assert found.rows > 0
    assert found.differences == ()


def test_a_rebuild_goes_on_where_it_stands(database: Database) -> None:
    story = Story()
    story.add_plan("monthly", "month", {"USD": 3000})
    story.start(instant("2027-01-01"), "a", "acme", "monthly")
    write(database, story)
    (rebuilt,) = rebuild(database.owner_url, database.follower_url, MASTER_KEY, ["mrr"])
    assert rebuilt.position == 0
    follow(database)
    before = len(story.recorded)
    story.cancel(instant("2027-01-09"), "a")
    with closing(Log(database.app_url, MASTER_KEY)) as log:
        log.append(story.book, story.new_events()[before:])
    rebuild(database.owner_url, database.follower_url, MASTER_KEY, ["mrr"])
    follow(database)
    found = read(database, story.book, policy_of("stripe", {}).mrr)
    assert [one.kind for one in found] == ["new", "churn"]


def test_an_invoice_of_no_subscription_is_passed_by(kept: Database) -> None:
    story = Story()
    story.invoice(instant("2027-01-01"), None, "manual")
    story.give_up(instant("2027-02-01"), "manual")
    write(kept, story)
    follow(kept)
    assert read(kept, story.book, policy_of("stripe", {}).mrr) == []


def test_another_books_revenue_is_not_seen(kept: Database) -> None:
    ours, theirs = Story(), Story()
    for story in (ours, theirs):
        story.add_plan("monthly", "month", {"USD": 3000})
    theirs.start(instant("2027-01-01"), "a", "acme", "monthly")
    for story in (ours, theirs):
        write(kept, story)
    follow(kept)
    policy = policy_of("stripe", {}).mrr
    assert read(kept, ours.book, policy) == []
    assert len(read(kept, theirs.book, policy)) == 1
