from __future__ import annotations

import hashlib
import hmac
import json
import re
import signal
import subprocess
from base64 import b64decode, b64encode
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from api.embedded_postgres import EmbeddedPostgres
from commands.accounts import register_account
from commands.context import Context
from commands.keys import check_key
from consumers.bad_share import stop_consumption
from ledger.events import Actor
from ledger.settings import VARIABLES, Settings
from ledger.store import Log
from projections.follower import Follower
from projections.migrate import read_migrations
from projections.registry import PROJECTIONS
from tests.e2e.running import ROOT, Served, command, daybook, environment, free_port, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Database

KEY = b64encode(b"k" * 32).decode()
SECRETS = {"DAYBOOK_MASTER_KEY": KEY, "DAYBOOK_PEPPERS": f"1:{KEY}"}
COMMANDS = (
    "consume",
    "dead-letters",
    "demo",
    "dev",
    "docs",
    "epoch",
    "init",
    "invoice",
    "migrate",
    "plans",
    "project",
    "publish",
    "rebuild",
    "schedule",
    "serve",
    "timeline",
    "topics",
    "verify",
)
# Enough to consume with, but for the secrets.
FED = {
    "DAYBOOK_APP_URL": "postgresql://a/b",
    "DAYBOOK_INGEST_URL": "postgresql://a/b",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}


def run_time(database: Database) -> dict[str, str]:
    """Give what the services that keep running are told: no owner."""
    return {
        **SECRETS,
        "DAYBOOK_APP_URL": database.app_url,
        "DAYBOOK_INGEST_URL": database.ingest_url,
        "DAYBOOK_FOLLOWER_URL": database.follower_url,
    }


def with_owner(database: Database) -> dict[str, str]:
    return {**run_time(database), "DATABASE_URL": database.owner_url}


@pytest.fixture
def founded(database: Database) -> dict[str, Any]:
    done = daybook("init", "Acme", "--json", variables=run_time(database))
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.fixture
def account(database: Database, founded: dict[str, Any]) -> str:
    """Give an account that the projections know."""
    settings = Settings.from_mapping(with_owner(database))
    with closing(Log(database.app_url, settings.master_key)) as log:
        now = datetime.now(UTC)
        opened = check_key(log, settings, founded["live_key"], now)
        actor = Actor(principal=opened.key.owner, kind="person")
        context = Context(log, settings, opened.book, actor, "test", now, lambda length: b"i" * length)
        state = register_account(context, "Ada", "ada@example.com").result.state
        assert state is not None
    with closing(Follower(database.follower_url, settings.master_key, PROJECTIONS.values())) as follower:
        follower.catch_up()
    return state.account


# -- help and settings ------------------------------------------------------------------------------


def test_help_names_every_command_and_every_setting() -> None:
    shown = daybook("--help").stdout
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in COMMANDS)
    assert all(name in shown for name in VARIABLES)


def test_the_pages_made_from_the_code_say_what_it_says() -> None:
    checked = daybook("docs", "--check", "--folder", str(ROOT / "docs"))
    assert checked.returncode == 0, checked.stderr


def test_docs_writes_its_pages_and_then_has_nothing_to_write(tmp_path: Path) -> None:
    assert daybook("docs", "--check", "--folder", str(tmp_path)).returncode == 1
    assert daybook("docs", "--folder", str(tmp_path)).returncode == 0
    assert {"cli.md", "events.md"} <= {path.name for path in tmp_path.iterdir()}
    assert daybook("docs", "--check", "--folder", str(tmp_path)).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "missing"),
    [
        (("migrate",), {}, "DATABASE_URL"),
        (("verify",), {}, "DATABASE_URL"),
        (("init", "Acme"), {}, "DAYBOOK_APP_URL"),
        (("init", "Acme"), {"DAYBOOK_APP_URL": "postgresql://a/b"}, "DAYBOOK_MASTER_KEY"),
        (("serve",), {"DAYBOOK_APP_URL": "postgresql://a/b", "DAYBOOK_MASTER_KEY": KEY}, "DAYBOOK_PEPPERS"),
        (("project",), {"DAYBOOK_APP_URL": "postgresql://a/b"}, "DAYBOOK_FOLLOWER_URL"),
        (("project",), {"DAYBOOK_FOLLOWER_URL": "postgresql://a/b"}, "DAYBOOK_APP_URL"),
        (("schedule",), {"DAYBOOK_APP_URL": "postgresql://a/b"}, "DAYBOOK_FOLLOWER_URL"),
        (("schedule",), {"DAYBOOK_FOLLOWER_URL": "postgresql://a/b"}, "DAYBOOK_APP_URL"),
        (("serve",), {"DAYBOOK_MASTER_KEY": "short"}, "DAYBOOK_MASTER_KEY"),
        (("consume",), {}, "KAFKA_BOOTSTRAP_SERVERS"),
        (("consume",), {"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS"),
        (("consume",), {"KAFKA_BOOTSTRAP_SERVERS": "a:1"}, "DAYBOOK_INGEST_URL"),
        (("consume",), {**FED, "DAYBOOK_APP_URL": ""}, "DAYBOOK_APP_URL"),
        (("consume",), FED, "DAYBOOK_MASTER_KEY"),
        (("consume",), {**FED, "DAYBOOK_MASTER_KEY": KEY}, "DAYBOOK_PEPPERS"),
        (("consume",), {**FED, "DAYBOOK_MAX_BAD_SHARE": "a half"}, "DAYBOOK_MAX_BAD_SHARE"),
        (("consume",), {**FED, "DAYBOOK_PARKED_SECONDS": "-1"}, "DAYBOOK_PARKED_SECONDS"),
        (("consume",), {**FED, "KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        (("consume",), {**FED, "KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
    ],
)
def test_a_setting_that_is_missing_or_malformed_is_named_in_one_line(
    arguments: tuple[str, ...], variables: dict[str, str], missing: str
) -> None:
    refused = daybook(*arguments, variables=variables)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("Error: ")
    assert missing in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_database_out_of_reach_is_said_without_its_password() -> None:
    url = f"postgresql://owner:hunter2@127.0.0.1:{free_port()}/daybook"
    refused = daybook("migrate", variables={"DATABASE_URL": url})
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: the database is out of reach")
    assert "hunter2" not in refused.stderr


# -- migrate and init -------------------------------------------------------------------------------


def test_migrate_applies_what_is_missing_and_then_nothing(empty_database: Database) -> None:
    first = daybook("migrate", "--json", variables={"DATABASE_URL": empty_database.owner_url})
    assert json.loads(first.stdout) == {"applied": [each.name for each in read_migrations()]}
    second = daybook("migrate", variables={"DATABASE_URL": empty_database.owner_url})
    assert (second.returncode, second.stdout) == (0, "")
    assert "up to date" in second.stderr


def test_two_migrates_at_once_both_succeed_and_do_the_work_once(empty_database: Database) -> None:
    running = [
        subprocess.Popen(
            command("migrate", "--json"),
            cwd=ROOT,
            env=environment(DATABASE_URL=empty_database.owner_url),
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    applied = [json.loads(process.communicate(timeout=60)[0])["applied"] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(map(len, applied)) == [0, len(read_migrations())]


def test_migrate_gives_the_roles_their_password_whatever_is_in_it(data_folder: Path) -> None:
    password = 'it\'s "quoted"; \\ 100% §'
    with EmbeddedPostgres(data_folder) as server:
        done = daybook("migrate", variables={"DATABASE_URL": server.url, "DAYBOOK_ROLE_PASSWORD": password})
        assert done.returncode == 0, done.stderr
        assert password not in done.stdout + done.stderr
        with psycopg.connect(server.url) as connection:
            stored = connection.execute(
                "SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'daybook%' ORDER BY rolname"
            ).fetchall()
        log = server.log_path.read_text(errors="replace")
    assert len(stored) == 3
    assert all(_scram_holds(verifier, password) for (verifier,) in stored)
    assert "SCRAM" not in log


def _scram_holds(verifier: str, password: str) -> bool:
    """Check a password against PostgreSQL's verifier (RFC 5802)."""
    _, iterations_salt, keys = verifier.split("$")
    iterations, salt = iterations_salt.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return b64decode(keys.split(":")[0]) == hashlib.sha256(client_key).digest()


def test_init_founds_an_organisation_whose_keys_open_its_books(
    database: Database, founded: dict[str, Any]
) -> None:
    settings = Settings.from_mapping(run_time(database))
    with closing(Log(database.app_url, settings.master_key)) as log:
        opened = check_key(log, settings, founded["test_key"], datetime.now(UTC))
    assert opened.mode == "test"
    assert founded["book"] == founded["live_book"]
    assert founded["stripe_webhook_secret"].startswith("whsec_")


def test_init_says_everything_once_to_a_person_too(database: Database) -> None:
    done = daybook("init", "Acme", variables=run_time(database))
    assert done.returncode == 0
    for secret in (r"dbk_live_\w+", r"dbk_test_\w+", r"whsec_\w+"):
        assert len(re.findall(secret, done.stdout)) == 1
    assert "dbk_" not in done.stderr


def test_init_refuses_a_currency_that_there_is_not(database: Database) -> None:
    refused = daybook("init", "Acme", "--currency", "XXQ", variables=run_time(database))
    assert refused.returncode == 1
    assert "urrency" in refused.stderr


# -- timeline, rebuild, verify ----------------------------------------------------------------------


def test_timeline_prints_a_life_for_a_person_and_for_a_program(database: Database, account: str) -> None:
    shown = daybook("timeline", account, variables=with_owner(database))
    assert "Signed up" in shown.stdout
    assert "Ada" not in shown.stdout
    rows = daybook(
        "timeline", account, "--json", "--oldest-first", "--limit", "1", variables=with_owner(database)
    )
    assert [json.loads(row)["type"] for row in rows.stdout.splitlines()] == ["account.registered"]


@pytest.mark.parametrize("unknown", ["acc_00000000000000000000000000", "nobody"])
def test_timeline_of_nobody_is_refused(database: Database, unknown: str) -> None:
    refused = daybook("timeline", unknown, variables=with_owner(database))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert unknown in refused.stderr


def test_verify_tells_a_tampered_projection_and_rebuild_mends_it(database: Database, account: str) -> None:
    variables = with_owner(database)
    green = daybook("verify", "--json", variables=variables)
    assert green.returncode == 0, green.stderr
    verdicts = [json.loads(line) for line in green.stdout.splitlines()]
    assert {each["projection"]: each["equal"] for each in verdicts} == dict.fromkeys(PROJECTIONS, True)
    with psycopg.connect(database.owner_url) as connection:
        connection.execute("UPDATE accounts.accounts SET status = 'closed'")
    different = daybook("verify", "accounts", variables=variables)
    assert different.returncode == 1
    assert "DIFFERS" in different.stdout
    assert account in different.stdout
    assert "DIFFERS" in daybook("rebuild", "accounts", variables=variables).stdout
    assert daybook("verify", "accounts", variables=variables).returncode == 0


def test_rebuild_wants_names_or_all_and_knows_its_projections(database: Database) -> None:
    variables = with_owner(database)
    assert daybook("rebuild", variables=variables).returncode == 2
    assert daybook("rebuild", "accounts", "--all", variables=variables).returncode == 2
    unknown = daybook("rebuild", "moods", variables=variables)
    assert unknown.returncode == 1
    assert "moods" in unknown.stderr or "must be one of" in unknown.stderr
    assert daybook("rebuild", "--all", variables=variables).returncode == 0


# -- serve and project ------------------------------------------------------------------------------


@contextmanager
def service(database: Database, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service under the run-time roles, and end it as a supervisor does."""
    process = subprocess.Popen(
        command(*arguments), cwd=ROOT, env=environment(**run_time(database)), stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 0, said.decode()


def test_serve_and_project_work_without_the_owner_and_stop_when_asked(
    database: Database, founded: dict[str, Any]
) -> None:
    port = free_port()
    asked = Served(port)
    with service(database, "serve", "--port", str(port), "--workers", "1"), service(database, "project"):
        until(lambda: asked.ask("/readyz").status == 200, 30, "readiness")
        made = asked.ask("/v1/accounts", founded["live_key"], {"name": "Ada"})
        assert made.status == 201
        until(lambda: asked.ask("/v1/accounts", founded["live_key"]).body["data"], 20, "the projection")
        second = daybook("serve", "--port", str(port), variables=run_time(database))
        assert second.returncode == 1
        assert f"Port {port}" in second.stderr


# -- consume ----------------------------------------------------------------------------------------


@pytest.fixture
def stopped(database: Database) -> dict[str, str]:
    """Stop consumption, and give the settings of a consumer whose Kafka is out of reach."""
    reason = "600 of the last 1000 messages were bad"
    with psycopg.connect(database.owner_url, row_factory=dict_row) as connection:
        stop_consumption(connection, datetime(2027, 1, 31, tzinfo=UTC), reason)
    return {**run_time(database), "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"}


def is_stopped(database: Database) -> bool:
    with psycopg.connect(database.owner_url) as connection:
        return connection.execute("SELECT 1 FROM daybook.feed_stop").fetchone() is not None


def test_consume_refuses_in_one_line_while_consumption_is_stopped(
    database: Database, stopped: dict[str, str]
) -> None:
    for _ in range(2):
        refused = daybook("consume", variables=stopped)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith("Error: consumption was stopped at 2027-01-31T00:00:00")
        assert "600 of the last 1000 messages were bad" in refused.stderr
        assert "--resume" in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert is_stopped(database)


def test_consume_goes_on_once_a_person_says_so_and_waits_for_kafka(
    database: Database, stopped: dict[str, str], tmp_path: Path
) -> None:
    said = tmp_path / "consume.log"
    with said.open("wb") as errors:
        process = subprocess.Popen(
            command("consume", "--resume"), cwd=ROOT, env=environment(**stopped), stderr=errors
        )
    try:
        until(lambda: not is_stopped(database), 30, "consumption to go on")
        until(lambda: "paused: " in said.read_text(), 30, "the consumer to say that Kafka is out of reach")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, said.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in said.read_text()


def test_consume_refuses_a_topic_that_is_not_read() -> None:
    refused = daybook("consume", "--topic", "daybook.events", variables=FED)
    assert refused.returncode == 2
    assert "daybook.events" in refused.stderr
