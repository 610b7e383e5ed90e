"""Timelines: an account's life in order, its usage in runs of fixed bounds, and the account as it was."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from ledger.store import Log
from projections import timeline_queries as timeline
from projections.follower import Follower
from projections.registry import PROJECTIONS
from projections.state import MeterTotal, account_state
from tests.integration.histories import MASTER_KEY, NOON, Writer, write_everything

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection
    from psycopg.rows import DictRow

    from tests.postgres import Database

HOUR = timedelta(hours=1)


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


@pytest.fixture
def reader(database: Database, writer: Writer) -> Iterator[Connection[DictRow]]:
    with psycopg.connect(database.app_url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SELECT set_config('daybook.book', %s, false)", (str(writer.book),))
        yield connection


def project(database: Database, batch_rows: int = 5_000) -> None:
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values(), batch_rows=batch_rows)
    with closing(follower):
        follower.catch_up()


def shown(page: timeline.Page) -> list[dict[str, Any]]:
    return [json.loads(row) for row in page.rows]


def all_of(reader: Connection[DictRow], account: str, **filters: Any) -> list[dict[str, Any]]:
    """Read a timeline page by page, three rows each."""
    rows: list[dict[str, Any]] = []
    page = timeline.page(reader, account, limit=3, **filters)
    while True:
        rows += shown(page)
        if page.next is None:
            return rows
        page = timeline.page(reader, account, page.next, 3, **filters)


# -- pages --------------------------------------------------------------------------------------------


def test_a_timeline_tells_an_accounts_life_in_order(
    database: Database, writer: Writer, reader: Connection[DictRow]
) -> None:
    account = write_everything(writer)
    project(database)
    rows = all_of(reader, account)
    assert [row["type"] for row in rows] == [
        "account.registered",
        "api_key.issued",
        "subscription.started",
        "subscription.period_opened",
        "invoice.drafted",
        "invoice.finalized",
        "journal.entry_posted",
        "payment.received",
        "invoice.payment_applied",
        "journal.entry_posted",
        "account_credit.credited",
        "credit_grant.granted",
        "credit_grant.granted",
        "credit_grant.drawn_down",
        "account_credit.used",
        "credit_note.issued",
        "invoice.credited",
        "invoice.credit_applied",
        "stripe.customer_observed",
        "stripe.subscription_observed",
        "stripe.invoice_observed",
        "usage.recorded",
        "usage.corrected",
    ]
    positions = [row["position"] for row in rows]
    assert positions == sorted(positions)
    assert [row["position"] for row in all_of(reader, account, newest_first=True)] == positions[::-1]


def test_every_row_says_where_when_who_why_and_what(
    database: Database, writer: Writer, reader: Connection[DictRow]
) -> None:
    account = write_everything(writer)
    project(database)
    for row in all_of(reader, account):
        assert row["actor"] == {"principal": "prn_01h455vb4pex5vsknk084sn02q", "kind": "person", "key": None}
        for name in ("occurred_at", "booked_at", "recorded_at"):
            assert datetime.fromisoformat(row[name]).utcoffset() == timedelta(0)
        assert row["cause"]
        assert row["sentence"].endswith(".")
        # Neither names nor addresses, so that forgetting somebody leaves the timeline as it is.
        assert not any(personal in row["sentence"] for personal in ("Ada", "@", "moved away"))


def test_sentences_can_be_read_out(database: Database, writer: Writer, reader: Connection[DictRow]) -> None:
    account = write_everything(writer)
    writer.close_account("ada")
    project(database)
    said = [row["sentence"] for row in all_of(reader, account)]
    assert said[0] == "Signed up, billed in USD, in time zone UTC."
    assert (
        f"Invoice INV-000001 was issued for USD 29.00, due on 2026-03-31 ({writer.id_of('inv', 'first')})."
        in said
    )
    assert (
        "Booked on 2026-03-01: debit USD 29.00 to receivable; credit USD 29.00 to deferred revenue." in said
    )
    assert "Used 5 of api_calls in 5 events from 2026-03-01 12:00:00 UTC to 2026-03-01 12:04:00 UTC." in said
    assert (
        "Stripe's invoice ABC-1 was open, USD 0.00 of USD 29.00 paid, as of 2026-03-01 12:00:00 UTC." in said
    )
    note, invoice = writer.id_of("cn", "note 1"), writer.id_of("inv", "first")
    assert (
        f"Credit note CN-000001 was issued for USD 5.00: USD 5.00 off what invoice {invoice} asks for,"
        f" USD 0.00 to the account's credit ({note})."
    ) in said
    assert f"Invoice {invoice} was credited by {note}." in said
    assert said[-1].startswith("Closed the account as of 2026-03-01 12:00")


def test_a_timeline_can_be_narrowed_to_types(
    database: Database, writer: Writer, reader: Connection[DictRow]
) -> None:
    account = write_everything(writer)
    project(database)
    rows = all_of(reader, account, types=["api_key.issued", "usage.recorded"])
    assert [row["type"] for row in rows] == ["api_key.issued", "usage.recorded"]
    assert [row["type"] for row in all_of(reader, account, types=["api_key.issued"])] == ["api_key.issued"]


def test_a_timeline_can_be_narrowed_to_a_time(
    database: Database, writer: Writer, reader: Connection[DictRow]
) -> None:
    account = writer.account()
    writer.usage(account, NOON + 5 * HOUR, NOON + 5 * HOUR + timedelta(minutes=30), NOON + 7 * HOUR)
    project(database)
    minute = timedelta(minutes=1)
    assert len(all_of(reader, account, since=NOON, until=NOON + HOUR)) == 1
    # A run is shown when any of it is in the range.
    assert len(all_of(reader, account, since=NOON + 5 * HOUR + minute, until=NOON + 7 * HOUR)) == 1
    assert len(all_of(reader, account, since=NOON + 5 * HOUR + minute)) == 2
    assert len(all_of(reader, account, since=NOON + 8 * HOUR)) == 0


def test_a_timeline_of_an_unknown_account_is_empty(reader: Connection[DictRow]) -> None:
    assert timeline.page(reader, "acc_none") == timeline.Page([], None)


# -- runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_rows", [7, 999, 1_000, 1_001, 5_000])
def test_a_run_is_of_one_meter_and_hour_and_of_a_thousand_events_at_most(
    database: Database, writer: Writer, reader: Connection[DictRow], batch_rows: int
) -> None:
    account = writer.account()
    writer.usage(account, *(NOON + timedelta(seconds=n % 3_600) for n in range(2_100)))
    writer.usage(account, NOON, meter='odd "meter", \\ {NULL}')
    writer.usage(account, NOON + HOUR, NOON + HOUR)
    writer.usage(account, NOON + timedelta(minutes=5))
    project(database, batch_rows)
    runs = all_of(reader, account, types=["usage.recorded"])
    assert [(run["meter"], run["events"], run["occurred_at"][:13]) for run in runs] == [
        ("api_calls", 1_000, "2026-03-01T12"),
        ("api_calls", 1_000, "2026-03-01T12"),
        ("api_calls", 101, "2026-03-01T12"),
        ('odd "meter", \\ {NULL}', 1, "2026-03-01T12"),
        ("api_calls", 2, "2026-03-01T13"),
    ]
    assert runs[2]["last_position"] > runs[4]["position"], "a late event still joins its hour"


def test_a_run_expands_to_its_events(database: Database, writer: Writer, reader: Connection[DictRow]) -> None:
    account = writer.account()
    writer.usage(account, *(NOON + timedelta(seconds=n) for n in range(1_500)))
    project(database, batch_rows=400)
    first, second = all_of(reader, account, types=["usage.recorded"])
    positions = timeline.expand(reader, account, first["position"])
    assert len(positions) == 1_000
    assert (positions[0], positions[-1]) == (first["position"], first["last_position"])
    assert positions == sorted(set(positions))
    page = timeline.expand(reader, account, second["position"], positions[-1] + 10, 5)
    assert page == timeline.expand(reader, account, second["position"])[10:15]
    cut = timeline.expand(reader, account, first["position"], through=positions[99])
    assert cut == positions[:100]


def test_a_run_is_expanded_for_its_own_account_only(
    database: Database, writer: Writer, reader: Connection[DictRow]
) -> None:
    account, other = writer.account(), writer.account("bob")
    run = writer.usage(account, NOON)
    project(database)
    assert timeline.expand(reader, account, run) == [run]
    assert timeline.expand(reader, other, run) == []
    assert timeline.expand(reader, account, run + 1) == []


def test_a_run_adds_quantities_up_without_rounding(
    database: Database, writer: Writer, reader: Connection[DictRow]
) -> None:
    account = writer.account()
    writer.usage(account, NOON, quantity="999999999999999999.000000000001")
    writer.usage(account, NOON, quantity="0.000000000001")
    writer.usage(account, NOON, quantity="1")
    project(database)
    (run,) = all_of(reader, account, types=["usage.recorded"])
    assert run["quantity"] == "1000000000000000000.000000000002"


def test_a_page_costs_the_same_for_an_account_with_much_usage(
    database: Database, writer: Writer, reader: Connection[DictRow]
) -> None:
    busy, quiet = writer.account("busy"), writer.account("quiet")
    for day in range(4):
        for _ in range(3):
            writer.usage(busy, *(NOON + day * 24 * HOUR + timedelta(seconds=17 * n) for n in range(5_000)))
        writer.usage(quiet, *(NOON + day * 24 * HOUR + hour * HOUR for hour in range(24)))
    project(database)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("ANALYZE timeline.runs, timeline.entries")
    for newest_first in (False, True):
        pages_read = [_pages_read(reader, account, newest_first=newest_first) for account in (busy, quiet)]
        assert pages_read[0] <= pages_read[1] + 5
        assert pages_read[0] < 80


def _pages_read(reader: Connection[DictRow], account: str, *, newest_first: bool) -> int:
    query = timeline.QUERIES["page_newest" if newest_first else "page_oldest"]
    after = (1 << 63) - 1 if newest_first else 0
    parameters = {"account": account, "after": after, "limit": 51, "types": None, "with_usage": True}
    row = reader.execute(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", parameters | {"since": None, "until": None}
    ).fetchone()
    assert row is not None
    plan = row["QUERY PLAN"][0]["Plan"]
    read: int = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return read


# -- the account as it was ----------------------------------------------------------------------------


@pytest.fixture
def log(database: Database) -> Iterator[Log]:
    with closing(Log(database.app_url, MASTER_KEY)) as one:
        yield one


def test_an_account_is_shown_as_it_was_at_a_position(database: Database, writer: Writer, log: Log) -> None:
    account = writer.account()
    early = writer.rename("ada", "Ada L.")
    key = writer.key(account)
    writer.subscribe(account, writer.plan())
    invoice = writer.invoice(account)
    owed = writer.change_key(account, "first", "rotate")
    writer.pay(account, 2900)
    writer.close_account("ada")
    project(database)

    then = account_state(log, writer.book, account, early)
    assert then is not None
    assert (then.account.name, then.keys, then.invoices, then.balances) == ("Ada L.", (), (), ())

    then = account_state(log, writer.book, account, owed)
    assert then is not None
    assert [(one.key, one.status, one.hint) for one in then.keys] == [(key, "active", "c3d4")]
    assert [one.status for one in then.subscriptions] == ["active"]
    assert [(one.invoice, one.status, one.total) for one in then.invoices] == [(invoice, "open", 2900)]
    assert [(one.ledger_account, one.amount) for one in then.balances] == [
        ("deferred_revenue", 2900),
        ("receivable", 2900),
    ]

    now = account_state(log, writer.book, account, log.head())
    assert now is not None
    assert now.account.status == "closed"
    assert [one.status for one in now.invoices] == ["paid"]
    assert [one.amount for one in now.payments] == [2900]
    assert ("receivable", 0) in [(one.ledger_account, one.amount) for one in now.balances]


def test_there_is_no_account_before_its_first_event(database: Database, writer: Writer, log: Log) -> None:
    before = writer.rename("nobody", "Nobody")
    account = writer.account()
    project(database)
    assert account_state(log, writer.book, account, before) is None
    assert account_state(log, writer.book, account, NOON) is None
    assert account_state(log, writer.book, "acc_none", before + 1) is None


def test_usage_is_cut_exactly_at_a_position(database: Database, writer: Writer, log: Log) -> None:
    account = writer.account()
    first = writer.usage(account, NOON, quantity="1.5")
    writer.usage(account, *(NOON + timedelta(seconds=n) for n in range(1_200)))
    writer.usage(account, NOON + HOUR, meter="storage")
    project(database, batch_rows=500)

    def used(position: int) -> tuple[MeterTotal, ...]:
        state = account_state(log, writer.book, account, position)
        assert state is not None
        return state.usage

    assert used(first) == (MeterTotal("api_calls", Decimal("1.5"), 1),)
    assert used(first + 100) == (MeterTotal("api_calls", Decimal("101.5"), 101),)
    assert used(first + 1_100) == (MeterTotal("api_calls", Decimal("1101.5"), 1_101),)
    assert used(log.head()) == (
        MeterTotal("api_calls", Decimal("1201.5"), 1_201),
        MeterTotal("storage", Decimal(1), 1),
    )


def test_an_account_is_shown_as_it_was_known_at_an_instant(
    database: Database, writer: Writer, log: Log
) -> None:
    account = writer.account()
    writer.usage(account, NOON, NOON, NOON)
    known_at = writer.at - timedelta(seconds=1)
    renamed = writer.rename("ada", "Countess")
    project(database)
    state = account_state(log, writer.book, account, known_at)
    assert state is not None
    assert state.account.name == "Ada"
    assert state.usage == (MeterTotal("api_calls", Decimal(2), 2),)
    later = account_state(log, writer.book, account, writer.at)
    assert later is not None
    assert (later.account.name, later.position) == ("Countess", renamed)


def test_what_a_slow_clock_booked_early_is_not_known_before_what_came_first(
    database: Database, writer: Writer, log: Log
) -> None:
    account = writer.account()
    between = writer.at
    writer.rename("ada", "First")
    writer.append([writer.new("account-ada", _renamed(account, "Second"), booked_at=between)])
    project(database)
    state = account_state(log, writer.book, account, between)
    assert state is not None
    assert state.account.name == "Ada"


def _renamed(account: str, name: str) -> Any:
    from ledger.events.account import AccountRenamed  # noqa: PLC0415

    return AccountRenamed(account=account, name=name)
