"""The catalogue as it is listed: products, meters, tax rates, coupons, billing entities, plans."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from projections import billing, catalogue
from projections.follower import Follower
from projections.migrate import MIGRATIONS_DIRECTORY, migrate
from projections.rebuild import verify
from projections.registry import PROJECTIONS
from tests.golden.golden_event import golden_path, read_golden
from tests.integration import catalogue_histories as histories
from tests.integration.histories import MASTER_KEY, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from psycopg import Connection

    from tests.postgres import Database


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


@pytest.fixture
def projected(database: Database, writer: Writer) -> Iterator[Callable[[], Connection[Any]]]:
    """Give a function that projects what was written and lends a connection bound to the book."""
    with (
        closing(Follower(database.follower_url, MASTER_KEY, PROJECTIONS.values())) as follower,
        psycopg.connect(database.app_url, autocommit=True, row_factory=dict_row) as connection,
    ):
        connection.execute("SELECT set_config('daybook.book', %s, false)", (str(writer.book),))

        def project() -> Connection[Any]:
            follower.catch_up()
            return connection

        yield project


def the_only(connection: Connection[Any], kind: str) -> dict[str, Any]:
    (row,) = catalogue.list_objects(connection, kind, None, 10)
    return row


def test_a_product_goes_by_its_last_name(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    histories.write_product(writer, 1)
    begun_at = writer.at
    histories.write_product(writer, 2)
    row = the_only(projected(), "product")
    assert (row["id"], row["name"], row["status"]) == (writer.id_of("prod", "api"), "API 2", "active")
    assert (row["external_id"], row["metadata"]) == ("api", {"team": "core"})
    assert (row["details"], row["created_at"], row["version"]) == ({"product_version": 2}, begun_at, 2)


def test_a_meter_is_listed_with_its_definition(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_meter(writer, "Tokens")
    row = the_only(projected(), "meter")
    assert (row["code"], row["name"]) == ("tokens", "Tokens")
    # What says nothing but its default is not kept.
    assert row["details"]["definition"] == {
        "code": "tokens",
        "name": "Tokens",
        "event_type": "completion",
        "property": "tokens",
        "filters": [{"property": "model", "values": ["small", "large"]}],
        "group_by": ["region"],
    }


def test_a_tax_rate_is_listed_with_all_its_versions(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_tax_rate(writer, 1)
    histories.write_tax_rate(writer, 2)
    versions = the_only(projected(), "tax_rate")["details"]["versions"]
    assert [one["percent"] for one in versions] == ["19", "18"]


def test_a_coupon_counts_its_redemptions(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    histories.write_coupon(writer)
    connection = projected()
    assert the_only(connection, "coupon")["details"]["redemptions"] == 0
    for number in (1, 2):
        histories.write_redemption(writer, number)
    row = the_only(projected(), "coupon")
    assert (row["code"], row["details"]["redemptions"], row["version"]) == ("HELLO", 2, 3)
    assert row["details"]["terms"]["amounts_off"] == {"USD": 500}


def test_a_billing_entity_is_listed_as_it_was_defined_last(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_entity(writer, 14)
    histories.write_entity(writer, 30)
    row = the_only(projected(), "billing_entity")
    assert (row["id"], row["name"], row["details"]["payment_terms_days"]) == ("gmbh", "Acme GmbH", 30)


def test_what_is_retired_says_so_and_stays(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    histories.write_catalogue(writer)
    histories.retire_everything(writer)
    histories.write_product(writer, 2)
    connection = projected()
    for kind in ("product", "meter", "tax_rate", "coupon"):
        assert the_only(connection, kind)["status"] == "retired"
        assert catalogue.list_objects(connection, kind, None, 10, status="active") == []
    assert catalogue.with_external_ids(connection) == []


def test_objects_are_listed_page_by_page_kind_by_kind(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    histories.write_catalogue(writer)
    connection = projected()
    (product,) = catalogue.list_objects(connection, "product", None, 1)
    assert catalogue.list_objects(connection, "product", product["id"], 1) == []
    assert catalogue.list_objects(connection, "product", None, 1, only=product["id"]) == [product]
    assert catalogue.list_objects(connection, "product", None, 1, only="prod_other") == []


def test_what_has_an_external_id_is_found(writer: Writer, projected: Callable[[], Connection[Any]]) -> None:
    histories.write_catalogue(writer)
    assert catalogue.with_external_ids(projected()) == [
        {"kind": "product", "id": writer.id_of("prod", "api"), "external_id": "api"}
    ]


def test_a_book_lists_what_is_its_own(database: Database, projected: Callable[[], Connection[Any]]) -> None:
    with closing(Writer(database)) as other:
        histories.write_catalogue(other)
    assert catalogue.list_objects(projected(), "product", None, 10) == []


# -- plans --------------------------------------------------------------------------------------------


def test_a_plan_is_listed_with_every_price_version(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    plan = writer.plan()
    row = billing.find_plan(projected(), plan)
    assert row is not None
    assert (row["currency"], row["amount"], row["interval"]) == ("USD", 2900, "month")
    histories.reprice_plan(writer, 2)
    histories.describe_plan(writer, "Team")
    row = billing.find_plan(projected(), plan)
    assert row is not None
    assert (row["currency"], row["amount"], row["interval"]) == (None, None, "year")
    assert (row["name"], row["metadata"], row["price_version"], row["version"]) == (
        "Team",
        {"tier": "2"},
        2,
        3,
    )
    assert [one["price_version"] for one in row["versions"]] == [1, 2]
    assert row["versions"][1]["terms"]["charges"][0]["prices"]["USD"]["tiers"][0] == {
        "up_to": "1000",
        "unit_amount": "0.5",
    }


def test_plans_are_listed_by_status_or_one_alone(
    writer: Writer, projected: Callable[[], Connection[Any]]
) -> None:
    old, new = writer.plan("old"), writer.plan("new")
    writer.retire_plan("old")
    connection = projected()
    assert [row["plan"] for row in billing.list_plans(connection, None, 10, status="active")] == [new]
    assert [row["plan"] for row in billing.list_plans(connection, None, 10, only=old)] == [old]


_OLD_PLAN = """
INSERT INTO billing.plans (book, plan, product, name, currency, interval, amount, price_version, status,
    created_at, version, position)
VALUES (%s, 'plan_01h455vb4pex5vsknk084sn02q', 'the product', 'Zoë Ångström & 東京', 'EUR', 'month', 7706,
    7951, 'active', %s, 3, %s)
"""
_OLD_EVENT = """
INSERT INTO log.events (originator_id, originator_version, topic, state, book) VALUES (%s, %s, %s, %s, %s)
RETURNING notification_id
"""


def an_old_installation(database: Database, folder: Path) -> None:
    """Make an installation of before: its migrations, an old event, and the row that was made of it."""
    folder.mkdir()
    for path in MIGRATIONS_DIRECTORY.glob("*.sql"):
        if int(path.name[:4]) < 12:
            shutil.copy(path, folder)
    migrate(database.owner_url, folder)
    golden = read_golden(golden_path("plan.created", 1))
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        event = (golden.stream, golden.stream_version, golden.topic, bytes(golden.state), golden.book)
        found = owner.execute(_OLD_EVENT, event).fetchone()
        assert found is not None
        created_at = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
        owner.execute(_OLD_PLAN, (golden.book, created_at, found[0]))
        owner.execute(
            "INSERT INTO daybook.tracking (projection, position) VALUES ('billing', %s)", (found[0],)
        )


def test_plans_listed_before_there_were_price_versions_read_as_a_rebuild_would(
    empty_database: Database, tmp_path: Path
) -> None:
    an_old_installation(empty_database, tmp_path / "migrations")
    migrate(empty_database.owner_url)
    (compared,) = verify(empty_database.owner_url, empty_database.follower_url, MASTER_KEY, ["billing"])
    assert compared.differences == ()
    assert (compared.equal, compared.rows) == (True, 1)


def test_an_owner_who_is_no_superuser_sees_the_plans_it_brings_up_to_date(
    empty_database: Database, tmp_path: Path
) -> None:
    """Row-level security is forced on the tables, and hides every row from an owner without a policy."""
    an_old_installation(empty_database, tmp_path / "migrations")
    role = f"daybook_test_owner_{token_hex(4)}"
    text = (MIGRATIONS_DIRECTORY / "0014_plan_versions.sql").read_bytes()
    with psycopg.connect(empty_database.owner_url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role}".encode())
        try:
            owner.execute(f"GRANT ALL ON SCHEMA billing TO {role}".encode())
            owner.execute(f"ALTER TABLE billing.plans OWNER TO {role}".encode())
            with owner.transaction():
                owner.execute(f"SET LOCAL ROLE {role}; SET LOCAL search_path = billing".encode())
                owner.execute(text)
            row = owner.execute("SELECT jsonb_array_length(versions) FROM billing.plans").fetchone()
            forced = owner.execute(
                "SELECT relforcerowsecurity FROM pg_class WHERE oid = 'billing.plans'::regclass"
            ).fetchone()
        finally:
            owner.execute(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}".encode())
            owner.execute(f"DROP ROLE {role}".encode())
    assert (row, forced) == ((1,), (True,))
