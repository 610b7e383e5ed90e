"""The command `daybook schedule`: what it shows, what it does once, and two of it side by side."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from commands.subscriptions import subscribe
from ledger.events.subscription import PeriodOpened
from ledger.identifiers import public_id
from tests.acme import a_plan, acme_on, an_account, events_of, known
from tests.e2e.running import daybook, free_port, until
from tests.e2e.scheduling import supervised, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acme import Acme
    from tests.postgres import Database

DAY = timedelta(days=1)
# Long enough for a slow machine, and far shorter than a person would wait.
TAKEOVER_SECONDS = 15.0


@pytest.fixture
def acme(database: Database, tmp_path: Path) -> Iterator[Acme]:
    """Found Acme, with projections that are kept up to date by a process of their own."""
    with acme_on(database) as made, supervised("project", ("project",), variables_of(database), tmp_path):
        yield made


def subscribed(acme: Acme, database: Database, days_ago: int) -> tuple[str, datetime]:
    """Subscribe an account some days ago, and give the subscription and when."""
    began_at = datetime.now(UTC).replace(microsecond=0) - days_ago * DAY
    context = replace(acme.live, now=began_at)
    billed = subscribe(context, an_account(context), a_plan(context)).result
    until(lambda: rows_due(database) > 0, 60, "the row")
    return str(known(billed.subscription).subscription), began_at


def rows_due(database: Database) -> int:
    with psycopg.connect(database.follower_url) as connection:
        return len(connection.execute("SELECT * FROM due.due").fetchall())


def periods(acme: Acme) -> int:
    return sum(isinstance(event, PeriodOpened) for event in events_of(acme))


def test_a_dry_run_shows_what_would_happen_and_does_none_of_it(acme: Acme, database: Database) -> None:
    subscription, began_at = subscribed(acme, database, 10)
    last = (began_at + 70 * DAY).isoformat()
    arguments = ("schedule", "--until", last, "--dry-run")
    shown = daybook(*arguments, "--json", variables=variables_of(database))
    assert shown.returncode == 0, shown.stderr
    first, second = (json.loads(line) for line in shown.stdout.splitlines())
    assert (first["kind"], first["subject"], first["later"]) == ("subscription", subscription, False)
    assert (second["subject"], second["later"], second["refused"]) == (subscription, True, None)
    assert first["due_at"] < second["due_at"]
    assert first["book"] == public_id("book", acme.live.book)
    assert second["what"].startswith("a period begins that ends at ")
    assert "the invoices of those periods" in shown.stderr
    table = daybook(*arguments, variables=variables_of(database))
    assert table.stdout.count(subscription) == 2
    other = daybook(
        *arguments, "--json", "--book", public_id("book", acme.test.book), variables=variables_of(database)
    )
    assert (other.returncode, other.stdout) == (0, "")
    assert periods(acme) == 1


def test_a_day_is_shown_to_its_end(acme: Acme, database: Database) -> None:
    _, began_at = subscribed(acme, database, 10)
    shown = daybook(
        "schedule",
        "--until",
        f"{began_at + 40 * DAY:%Y-%m-%d}",
        "--dry-run",
        "--json",
        variables=variables_of(database),
    )
    (line,) = (json.loads(line) for line in shown.stdout.splitlines())
    on_the_day = daybook(
        "schedule", "--until", line["due_at"][:10], "--dry-run", "--json", variables=variables_of(database)
    )
    assert len(on_the_day.stdout.splitlines()) == 1
    before = daybook(
        "schedule",
        "--until",
        f"{datetime.fromisoformat(line['due_at']) - DAY:%Y-%m-%d}",
        "--dry-run",
        "--json",
        variables=variables_of(database),
    )
    assert before.stdout == ""


def test_until_an_instant_it_does_what_is_due_and_ends_and_never_what_is_not_due_yet(
    acme: Acme, database: Database
) -> None:
    subscribed(acme, database, 100)
    once = daybook("schedule", "--until", "2199-12-31", variables=variables_of(database))
    assert once.returncode == 0, once.stderr
    assert "3 jobs done, 0 refused, 0 failed." in once.stderr
    assert periods(acme) == 4
    again = daybook("schedule", "--until", "2199-12-31", variables=variables_of(database))
    assert "0 jobs done" in again.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--dry-run",),
        ("--json",),
        ("--book", "book_1"),
        ("--until", "2027-01-31", "--json"),
        ("--until", "soon"),
        ("--until", "2027-01-31T12:00:00"),
        ("--until", "2500-01-01"),
    ],
)
def test_what_makes_no_sense_is_said(arguments: tuple[str, ...]) -> None:
    refused = daybook("schedule", *arguments)
    assert refused.returncode == 2
    assert "Error: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_book_that_is_none_is_said_in_one_line(database: Database) -> None:
    refused = daybook(
        "schedule", "--until", "2027-01-31", "--dry-run", "--book", "acc_1", variables=variables_of(database)
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: ")


def test_of_two_one_works_and_the_other_takes_over_within_seconds_of_a_kill(
    acme: Acme, database: Database, tmp_path: Path
) -> None:
    ports = free_port(), free_port()
    variables = variables_of(database)
    with (
        supervised("one", ("schedule", "--metrics-port", str(ports[0])), variables, tmp_path) as one,
        supervised("two", ("schedule", "--metrics-port", str(ports[1])), variables, tmp_path) as two,
    ):
        until(lambda: one.leads or two.leads, 60, "a leader")
        until(lambda: sorted(map(leading, ports)) == [0.0, 1.0], 60, "the metrics of both")
        leader, port = (one, ports[1]) if one.leads else (two, ports[0])
        subscribed(acme, database, 100)
        until(lambda: periods(acme) == 4, 60, "the jobs")
        leader.end()
        killed_at = time.monotonic()
        until(lambda: leading(port) == 1.0, 60, "the takeover")
        assert time.monotonic() - killed_at < TAKEOVER_SECONDS


def leading(port: int) -> float:
    """Read from a scheduler's metrics whether it leads; less than nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            text = answer.read().decode()
    except OSError:
        return -1.0
    return next(
        float(line.split()[1]) for line in text.splitlines() if line.startswith("daybook_schedule_leader ")
    )
