"""The read models: accounts, keys, billing, balances and usage totals as the edges read them."""

from __future__ import annotations

from contextlib import closing
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from projections import accounts, balances, billing, keys, sources, usage
from projections.balances import Balance, signed
from projections.follower import Follower
from projections.registry import PROJECTIONS
from tests.integration.histories import MASTER_KEY, NOON, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from psycopg import Connection

    from tests.postgres import Database

DAY = timedelta(days=1)


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


@pytest.fixture
def projected(database: Database, writer: Writer) -> Iterator[Callable[[], Connection[Any]]]:
    """Give a function that projects what was written and lends a connection bound to the book."""
    follower = Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values())
    with (
        closing(follower),
        psycopg.connect(database.app_url, autocommit=True, row_factory=dict_row) as connection,
    ):
        connection.execute("SELECT set_config('daybook.book', %s, false)", (str(writer.book),))

        def project() -> Connection[Any]:
            follower.catch_up()
            return connection

        yield project


def found(row: dict[str, Any] | None, *columns: str) -> tuple[Any, ...]:
    assert row is not None
    return tuple(row[column] for column in columns)


# -- accounts -----------------------------------------------------------------------------------------


def test_an_account_goes_by_its_last_name_and_address(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    account = writer.account(currency=None, origin="cus_1")
    writer.rename("ada", "Countess")
    last = writer.change_email("ada", "countess@example.com")
    row = accounts.find(projected(), account)
    assert found(row, "name", "email", "status", "version") == ("Countess", "countess@example.com", "open", 3)
    assert found(row, "currency", "origin", "position") == (None, "cus_1", last)


def test_a_closed_account_says_since_when(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    account = writer.account()
    closed_at = writer.at
    writer.close_account("ada")
    assert found(accounts.find(projected(), account), "status", "closed_at") == ("closed", closed_at)


def test_accounts_are_listed_page_by_page(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    ids = sorted(writer.account(f"account {number}") for number in range(5))
    connection = projected()
    first = accounts.list_accounts(connection, None, 3)
    second = accounts.list_accounts(connection, first[-1]["account"], 3)
    assert [row["account"] for row in first + second] == ids


def test_an_unknown_object_is_not_found(projected: Callable[[], Connection[Any]]) -> None:
    connection = projected()
    assert accounts.find(connection, "acc_none") is None
    assert keys.find(connection, "key_none") is None
    assert billing.find_plan(connection, "plan_none") is None
    assert billing.find_subscription(connection, "sub_none") is None
    assert billing.find_invoice(connection, "inv_none") is None


# -- keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "status", "hint"),
    [("rotate", "active", "c3d4"), ("suspend", "suspended", "a1b2"), ("revoke", "revoked", "a1b2")],
)
def test_a_key_shows_what_became_of_it(
    writer: Writer, projected: Callable[[], Connection[Any]], what: str, status: str, hint: str
) -> None:
    account = writer.account()
    key = writer.key(account)
    writer.change_key(account, "first", what)
    row = keys.find(projected(), key)
    assert found(row, "status", "hint", "version", "scopes") == (status, hint, 2, ["read", "usage:write"])


def test_a_source_shows_its_last_grant(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    source, granted_at = writer.grant(), writer.at
    (row,) = sources.list_sources(projected(), None, 10)
    assert found(row, "source", "principal", "principal_kind") == (source, writer.actor.principal, "person")
    assert found(row, "scopes", "status", "withdrawn_at", "version") == (["usage:write"], "granted", None, 1)
    withdrawn_at = writer.at
    writer.withdraw()
    (row,) = sources.list_sources(projected(), None, 10)
    assert found(row, "status", "withdrawn_at", "version") == ("withdrawn", withdrawn_at, 2)
    assert found(row, "scopes", "granted_at") == (["usage:write"], granted_at - timedelta(seconds=1))
    again = writer.at
    writer.grant("gateway", "write")
    (row,) = sources.list_sources(projected(), None, 10)
    assert found(row, "status", "granted_at", "withdrawn_at") == ("granted", again, None)
    assert found(row, "scopes", "version") == (["write"], 3)


def test_sources_are_listed_page_by_page(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    # Letters sort by code point, whatever the database's own language says of them.
    names = ["A", "B", "a", "é", "東"]
    wanted = [writer.grant(name) for name in names]
    connection = projected()
    first = sources.list_sources(connection, None, 3)
    second = sources.list_sources(connection, first[-1]["source"], 3)
    assert [row["source"] for row in first + second] == wanted


def test_keys_are_listed_by_owner(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    ada, bob = writer.account(), writer.account("bob")
    ids = sorted(writer.key(ada, f"key {number}") for number in range(3))
    writer.key(bob, "another")
    connection = projected()
    first = keys.of_owner(connection, ada, None, 2)
    assert [row["key"] for row in first + keys.of_owner(connection, ada, first[-1]["key"], 2)] == ids


def test_no_column_of_a_key_holds_its_hash(database: Database, writer: Writer, projected: Any) -> None:
    writer.key(writer.account())
    projected()
    with psycopg.connect(database.follower_url) as connection:
        row = connection.execute("SELECT kept::text FROM keys.keys AS kept").fetchone()
    assert row is not None
    assert "hhhh" not in row[0]


# -- billing ------------------------------------------------------------------------------------------


def test_a_plan_can_be_retired(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    plan = writer.plan()
    other = writer.plan("team")
    writer.retire_plan()
    connection = projected()
    assert found(billing.find_plan(connection, plan), "status", "amount", "version") == ("retired", 2900, 2)
    assert [row["plan"] for row in billing.list_plans(connection, None, 10)] == sorted([plan, other])


def test_a_subscription_shows_its_plan_period_and_end(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    account = writer.account()
    old, new = writer.plan(), writer.plan("team")
    subscription = writer.subscribe(account, old)
    writer.change_plan(account, old, new)
    ended_at = writer.at
    writer.cancel(account)
    row = billing.find_subscription(projected(), subscription)
    assert found(row, "plan", "status", "ended_at", "managed_by") == (new, "cancelled", ended_at, "daybook")
    assert found(row, "period_start", "period_end") == (NOON, NOON + 31 * DAY)


def test_an_invoice_shows_what_was_paid(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    account = writer.account()
    invoice = writer.invoice(account)
    connection = projected()
    assert found(billing.find_invoice(connection, invoice), "status", "amount_paid") == ("open", 0)
    writer.pay(account, 900)
    projected()
    partly = billing.find_invoice(connection, invoice)
    assert found(partly, "status", "amount_paid") == ("partially_paid", 900)
    writer.pay(account, 2000, name="second")
    projected()
    row = billing.find_invoice(connection, invoice)
    assert found(row, "status", "amount_paid", "total", "number") == ("paid", 2900, 2900, "INV-000001")
    assert found(row, "issued_on", "due_on") == (date(2026, 3, 1), date(2026, 3, 31))


def test_what_stripe_manages_stands_beside_what_we_manage(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    account = writer.account()
    ours = writer.subscribe(account, writer.plan())
    invoice = writer.invoice(account)
    writer.see_subscription(account, "trialing", NOON)
    writer.see_subscription(account, "active", NOON + DAY)
    writer.see_invoice(account, "open", NOON)
    writer.see_invoice(account, "paid", NOON + DAY)
    connection = projected()
    subscriptions = billing.subscriptions_of(connection, account, None, 10)
    assert [(row["subscription"], row["managed_by"], row["status"]) for row in subscriptions] == [
        ("sub_stripe", "stripe", "active"),
        (ours, "daybook", "active"),
    ]
    invoices = billing.invoices_of(connection, account, None, 1)
    assert [(row["invoice"], row["status"], row["amount_paid"]) for row in invoices] == [
        ("in_stripe", "paid", 2900)
    ]
    older = billing.invoices_of(connection, account, invoices[-1]["created_position"], 1)
    assert [row["invoice"] for row in older] == [invoice]


def test_an_invoice_of_ours_that_stripe_collects_is_listed_once(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    account = writer.account()
    invoice = writer.invoice(account)
    writer.see_invoice(account, "open", NOON, managed_invoice=invoice)
    rows = billing.invoices_of(projected(), account, None, 10)
    assert [row["invoice"] for row in rows] == [invoice]


# -- balances -----------------------------------------------------------------------------------------


def test_balances_are_positive_on_their_normal_side(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    ada, bob = writer.account(), writer.account("bob")
    writer.invoice(ada)
    last = writer.pay(ada, 1000)
    writer.invoice(bob, 500, name="second")
    connection = projected()
    assert balances.of_account(connection, ada) == [
        Balance("deferred_revenue", "USD", 2900, last - 3),
        Balance("external_asset", "USD", 1000, last),
        Balance("receivable", "USD", 1900, last),
    ]
    totals = {balance.ledger_account: balance.amount for balance in balances.of_book(connection)}
    assert totals == {"deferred_revenue": 3400, "external_asset": 1000, "receivable": 2400}


def test_a_ledger_account_outside_the_chart_counts_debits() -> None:
    assert signed("revenue", 100, 300) == 200
    assert signed("of another book", 300, 100) == 200


# -- usage --------------------------------------------------------------------------------------------


def test_usage_is_added_up_by_day_in_utc(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    account = writer.account()
    midnight = NOON + timedelta(hours=12)
    writer.usage(account, NOON, midnight - timedelta(seconds=1), midnight, quantity="0.5")
    writer.usage(account, NOON, meter="storage", quantity="7")
    connection = projected()
    days = usage.by_day(connection, account)
    assert [(row["meter"], row["day"], row["quantity"], row["events"]) for row in days] == [
        ("api_calls", date(2026, 3, 1), Decimal("1.0"), 2),
        ("api_calls", date(2026, 3, 2), Decimal("0.5"), 1),
        ("storage", date(2026, 3, 1), Decimal(7), 1),
    ]
    assert usage.by_day(connection, account, after=("api_calls", date(2026, 3, 1)), limit=1) == days[1:2]
    assert usage.by_day(connection, account, meter="storage", since=date(2026, 3, 1)) == days[2:]
    assert usage.by_day(connection, account, since=date(2026, 3, 2), until=date(2026, 3, 3)) == days[1:2]


def test_usage_is_added_up_by_meter(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    account = writer.account()
    writer.usage(account, NOON, NOON + DAY)
    writer.usage(account, NOON, meter="storage", quantity="999999999999999999.999999999999")
    writer.usage(account, NOON, meter="storage", quantity="0.000000000001")
    connection = projected()
    meters = [(row["meter"], row["quantity"], row["events"]) for row in usage.by_meter(connection, account)]
    assert meters == [
        ("api_calls", Decimal(2), 2),
        ("storage", Decimal("1000000000000000000.000000000000"), 2),
    ]
    assert usage.by_meter(connection, account, until=date(2026, 3, 1)) == []
