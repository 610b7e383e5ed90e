"""`daybook invoice verify`: an invoice made again from the log alone, and a log that was tampered with."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.e2e.running import daybook
from tests.integration.http_world import MASTER_KEY, Caller, http_world, ok
from tests.integration.schedule_world import following
from tests.integration.test_http_explanations import billed, move, newest_invoice, use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Database


@pytest.fixture
def operator(database: Database) -> Iterator[Caller]:
    with http_world(database) as world, following(database):
        caller = world.test_operator
        move(caller, "2027-01-01T00:00:00Z")
        yield caller


def verify(database: Database, invoice: str, *options: str) -> tuple[int, str, str]:
    variables = {
        "DATABASE_URL": database.owner_url,
        "DAYBOOK_APP_URL": database.app_url,
        "DAYBOOK_FOLLOWER_URL": database.follower_url,
        "DAYBOOK_MASTER_KEY": b64encode(MASTER_KEY).decode(),
    }
    done = daybook("invoice", "verify", invoice, *options, variables=variables)
    return done.returncode, done.stdout, done.stderr


def forget_usage(database: Database, position: int) -> None:
    """Take an event out of the log, as only a superuser can who silences every trigger."""
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("SET session_replication_role = replica")
        gone = connection.execute("DELETE FROM log.events WHERE notification_id = %s", [position])
        assert gone.rowcount == 1


def test_an_invoice_equals_what_the_log_gives(database: Database, operator: Caller) -> None:
    account, invoice = billed(operator)
    use(operator, account, "100", at="2027-01-15T00:00:00Z")
    move(operator, "2027-03-01T00:00:00Z")
    for one in (invoice, newest_invoice(operator, account)):
        code, _, said = verify(database, one)
        assert code == 0, said
        assert f"{one} is equal to what the log gives" in said


def test_an_invoice_whose_usage_was_tampered_with_differs_line_by_line(
    database: Database, operator: Caller
) -> None:
    _, invoice = billed(operator)
    explained = ok(operator.get(f"/v1/invoices/{invoice}/explain"))
    line = next(one for one in explained["lines"] if one["line"]["kind"] == "usage")
    events = ok(operator.get(line["usage"]["events_url"]))["data"]
    forget_usage(database, events[0]["position"])
    code, printed, said = verify(database, invoice, "--json")
    assert code == 1, said
    result = json.loads(printed)
    assert result["equal"] is False
    assert any(line["line"]["id"] in difference for difference in result["differences"])


@pytest.mark.parametrize("invoice", ["inv_01h455vb4pex5vsknk084sn02q", "nothing"])
def test_an_invoice_that_is_not_there_is_refused_in_one_line(database: Database, invoice: str) -> None:
    code, printed, said = verify(database, invoice)
    assert (code, printed) == (1, "")
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
