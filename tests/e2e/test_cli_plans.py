"""`daybook plans` as a process of its own: a catalogue is shown, applied and listed, and only once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from api.embedded_postgres import EmbeddedPostgres
from api.secrets_file import ensure_secrets
from ledger.settings import Settings
from projections.follower import Follower
from projections.migrate import migrate
from projections.registry import PROJECTIONS
from tests.e2e.running import ROOT, command, daybook, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Database

KEY = b"k" * 32
EXAMPLE = str(ROOT / "docs" / "examples" / "plans.toml")
PLAN = '[[plan]]\ncode = "pro"\nname = "Pro"\ncurrency = "USD"\namount = {amount}\n'


@pytest.fixture
def variables(database: Database) -> dict[str, str]:
    encoded = b64encode(KEY).decode()
    return {
        "DAYBOOK_APP_URL": database.app_url,
        "DAYBOOK_FOLLOWER_URL": database.follower_url,
        "DAYBOOK_MASTER_KEY": encoded,
        "DAYBOOK_PEPPERS": f"1:{encoded}",
    }


@pytest.fixture
def founded(variables: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(daybook("init", "Acme", "--json", variables=variables).stdout)
    return made


def follow(database: Database) -> None:
    with closing(Follower(database.follower_url, KEY, PROJECTIONS.values())) as follower:
        follower.catch_up()


def actions(shown: dict[str, Any]) -> dict[str, str]:
    return {f"{one['kind']} {one['code']}": one["action"] for one in shown["changes"]}


@pytest.mark.usefixtures("founded")
def test_the_example_is_shown_applied_listed_and_applied_only_once(
    database: Database, variables: dict[str, str]
) -> None:
    shown = daybook("plans", "apply", EXAMPLE, "--dry-run", variables=variables)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Acme, live book book_")
    assert "+ plan pro: created" in shown.stdout
    assert "    charges.api_calls.prices.USD.tiers.2.unit_amount: 0.5" in shown.stdout
    applied = daybook("plans", "apply", EXAMPLE, "--yes", variables=variables)
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout == shown.stdout
    assert "Applied, at position" in applied.stderr
    again = daybook("plans", "apply", EXAMPLE, variables=variables)
    assert (again.returncode, again.stderr) == (0, "")
    assert "Nothing to change." in again.stdout
    follow(database)
    listed = [
        json.loads(line)
        for line in daybook("plans", "list", "--json", variables=variables).stdout.splitlines()
    ]
    assert {one["external_id"]: one["currency"] for one in listed} == {"starter": "USD", "pro": None}
    table = daybook("plans", "list", variables=variables).stdout
    assert "USD 9.00" in table
    assert "several currencies" in table


def test_another_price_shows_old_and_new_and_is_applied_to_the_book_that_is_named(
    tmp_path: Path, variables: dict[str, str], founded: dict[str, Any]
) -> None:
    file = tmp_path / "plans.toml"
    file.write_text(PLAN.format(amount=2900))
    for book in ("test", founded["test_book"]):
        done = daybook("plans", "apply", str(file), "--book", book, "--yes", "--json", variables=variables)
        assert json.loads(done.stdout)["book"] == founded["test_book"], done.stderr
    assert actions(json.loads(done.stdout)) == {"plan pro": "unchanged"}
    file.write_text(PLAN.format(amount=3900))
    told = daybook("plans", "apply", str(file), "--book", "test", "--yes", variables=variables)
    assert "~ plan pro: new price version from " in told.stdout
    assert "    fees.fee.amounts.USD: 2900 -> 3900" in told.stdout
    # The live book has none of it.
    live = json.loads(daybook("plans", "apply", str(file), "--dry-run", "--json", variables=variables).stdout)
    assert (actions(live), live["applied"], live["position"]) == ({"plan pro": "created"}, False, None)


@pytest.mark.usefixtures("founded")
def test_what_the_file_has_no_more_is_retired_where_it_says_so(
    tmp_path: Path, database: Database, variables: dict[str, str]
) -> None:
    file = tmp_path / "plans.toml"
    file.write_text(
        '[[meter]]\ncode = "calls"\n[[product]]\ncode = "api"\nname = "API"\n' + PLAN.format(amount=1)
    )
    assert daybook("plans", "apply", str(file), "--yes", variables=variables).returncode == 0
    follow(database)
    file.write_text('[[product]]\ncode = "api"\nname = "API"\n')
    kept = daybook("plans", "apply", str(file), variables=variables)
    assert "Nothing to change." in kept.stdout
    file.write_text('retire_missing = true\n[[product]]\ncode = "api"\nname = "API"\n')
    gone = daybook("plans", "apply", str(file), "--yes", "--json", variables=variables)
    assert actions(json.loads(gone.stdout)) == {
        "product api": "unchanged",
        "plan pro": "retired",
        "meter calls": "retired",
    }
    follow(database)
    again = daybook("plans", "apply", str(file), variables=variables)
    assert "Nothing to change." in again.stdout


@pytest.mark.usefixtures("founded")
def test_a_meter_that_a_plan_of_the_file_charges_by_is_not_gone(
    tmp_path: Path, database: Database, variables: dict[str, str]
) -> None:
    file = tmp_path / "plans.toml"
    file.write_text('[[meter]]\ncode = "calls"\naggregation = "count"\n')
    assert daybook("plans", "apply", str(file), "--yes", variables=variables).returncode == 0
    follow(database)
    charge = (
        'charges = [{ meter = "calls", prices = [{ model = "flat", currency = "USD", flat_amount = 1 }] }]\n'
    )
    file.write_text("retire_missing = true\n" + PLAN.format(amount=1) + charge)
    shown = daybook("plans", "apply", str(file), "--yes", "--json", variables=variables)
    assert actions(json.loads(shown.stdout)) == {"plan pro": "created"}


@pytest.mark.usefixtures("founded")
def test_lists_that_trail_the_log_are_waited_for_and_not_believed(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    file = tmp_path / "plans.toml"
    file.write_text("retire_missing = true\n" + PLAN.format(amount=1))
    refused = daybook("plans", "apply", str(file), "--yes", variables=variables)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "`daybook project`" in refused.stderr


@pytest.mark.usefixtures("founded")
def test_where_nobody_can_be_asked_nothing_is_applied(variables: dict[str, str]) -> None:
    for options in ((), ("--json",)):
        refused = daybook("plans", "apply", EXAMPLE, *options, variables=variables)
        assert refused.returncode == 2
        assert "--yes" in refused.stderr
    shown = daybook("plans", "apply", EXAMPLE, "--dry-run", "--json", variables=variables)
    assert set(actions(json.loads(shown.stdout)).values()) == {"created", "changed"}


@pytest.mark.usefixtures("founded")
@pytest.mark.parametrize(("said", "applied"), [(b"n\n", False), (b"y\n", True)])
def test_whoever_is_at_the_terminal_is_asked(
    variables: dict[str, str], *, said: bytes, applied: bool
) -> None:
    terminal, end = pty.openpty()
    try:
        os.write(terminal, said)
        done = subprocess.run(
            command("plans", "apply", EXAMPLE),
            cwd=ROOT,
            env=environment(**variables),
            stdin=end,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(end)
        os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert "Apply this? [y/N]" in done.stderr
    assert ("Applied, at position" in done.stderr) == applied


@pytest.mark.usefixtures("founded")
def test_what_is_wrong_is_one_line_with_file_object_and_field(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(PLAN.format(amount=-1) + 'interval = "day"\n[[coupon]]\ncode = "C"')
    refused = daybook("plans", "apply", str(file), "--yes", variables=variables)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    for told in (
        "wrong.toml: plan pro: amount: ",
        "plan pro: interval: ",
        "wrong.toml: coupon C: percent_off",
    ):
        assert told in refused.stderr


@pytest.mark.parametrize(
    ("book", "words"),
    [
        ("live", "daybook init"),
        ("book_00000000000000000000000000", "there is no book"),
        ("nonsense", "live or test"),
    ],
)
def test_a_book_that_there_is_not_is_refused_by_name(
    variables: dict[str, str], book: str, words: str
) -> None:
    refused = daybook("plans", "list", "--book", book, variables=variables)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert words in refused.stderr


@pytest.mark.usefixtures("founded")
def test_with_two_organisations_the_book_must_be_named(variables: dict[str, str]) -> None:
    other = json.loads(daybook("init", "Beta", "--json", variables=variables).stdout)
    refused = daybook("plans", "list", variables=variables)
    assert refused.returncode == 1
    assert f"{other['live_book']} (Beta)" in refused.stderr
    assert daybook("plans", "list", "--book", other["live_book"], variables=variables).returncode == 0


def test_the_data_folder_of_dev_is_loaded_too(data_folder: Path) -> None:
    secrets = ensure_secrets(data_folder)
    with EmbeddedPostgres(data_folder) as server:
        migrate(server.url)
        settings = Settings.from_mapping({**secrets, "DATABASE_URL": server.url})
        assert settings.app_url is not None
        made = daybook("init", "Acme", "--json", variables={**secrets, "DATABASE_URL": server.url})
        assert made.returncode == 0, made.stderr
    applied = daybook("plans", "apply", EXAMPLE, "--yes", "--json", "--data", str(data_folder))
    assert applied.returncode == 0, applied.stderr
    assert json.loads(applied.stdout)["applied"]
