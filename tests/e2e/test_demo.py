from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

import api.demo
from api.cli import daybook as commands
from projections.rebuild import Comparison, Difference
from projections.registry import PROJECTIONS
from tests.e2e.running import daybook, running_dev

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    import pytest

SMALL = ("--accounts", "24", "--events", "600")


def play(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return daybook("demo", "--data", str(folder), *SMALL, *more, seconds=120)


def played(folder: Path, *more: str) -> dict[str, Any]:
    done = play(folder, "--json", *more)
    assert done.returncode == 0, done.stderr
    month: dict[str, Any] = json.loads(done.stdout)
    return month


def test_the_same_seed_plays_the_same_month_and_another_seed_another(data_folder: Path) -> None:
    first, again, other = (played(data_folder / "demo", "--seed", seed) for seed in ("7", "7", "8"))
    for month in (first, again, other):
        assert month.pop("seconds").keys() == {"play", "project", "verify"}
    assert first == again
    assert first != other


def test_the_month_adds_up_and_can_be_opened_afterwards(data_folder: Path) -> None:
    folder = data_folder / "demo"
    month = played(folder)
    assert month["identical"] == dict.fromkeys(PROJECTIONS, True)
    debits, credits_ = (sum(row[side] for row in month["balances"]) for side in ("debits", "credits"))
    assert debits == credits_ > 0
    happened = month["happened"]
    assert happened["usage accepted"] + happened["usage rejected"] == 600
    assert happened["usage duplicates"] > 0
    topics = {row["topic"]: row["events"] for row in month["topics"]}
    assert topics["usage.recorded"] == happened["usage accepted"]
    # Each delivery is kept once, however often it came.
    assert topics["stripe.event_received"] == (
        happened["webhooks delivered"] - happened["webhooks delivered again"]
    )
    assert "stripe.event_not_applied" not in topics
    assert month["head"] >= max(row["last_position"] for row in month["topics"])
    assert daybook("verify", "--data", str(folder)).returncode == 0
    life = daybook("timeline", month["account"], "--data", str(folder), "--json", "--oldest-first")
    assert json.loads(life.stdout.splitlines()[0])["type"] == "account.registered"
    with running_dev(folder) as dev:
        assert dev.ready()["book"] == month["book"]
        answer = dev.ask(f"/v1/accounts/{month['account']}/timeline", month["live_key"])
        assert answer.status == 200


def test_a_person_sees_the_month_as_tables_and_what_to_open_next(data_folder: Path) -> None:
    done = play(data_folder / "demo")
    assert done.returncode == 0, done.stderr
    for expected in (
        "Who called most",
        "Invoices of January",
        "debits = credits",
        "The life of",
        "The log, up to position",
        "the same as its rebuild",
        f"daybook dev --data {data_folder / 'demo'}",
        "curl -H 'Authorization: Bearer dbk_live_",
    ):
        assert expected in done.stdout


def test_a_folder_with_anything_else_in_it_is_never_wiped(data_folder: Path) -> None:
    precious = data_folder / "thesis.txt"
    precious.write_text("ten years of work")
    refused = play(data_folder)
    assert refused.returncode == 1
    assert "choose another folder" in refused.stderr
    assert precious.read_text() == "ten years of work"


def test_a_demo_that_is_open_is_not_played_over(data_folder: Path) -> None:
    folder = data_folder / "demo"
    played(folder)
    with running_dev(folder) as dev:
        dev.ready()
        refused = play(folder)
        assert refused.returncode == 1
        assert "is in use" in refused.stderr
        assert dev.ask("/readyz").status == 200


def test_no_keep_leaves_nothing(data_folder: Path) -> None:
    played(data_folder / "demo", "--no-keep")
    assert not (data_folder / "demo").exists()


def test_a_projection_that_differs_makes_the_demo_fail(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(*_arguments: object, **_options: object) -> list[Comparison]:
        return [
            Comparison("accounts", 1, 1, equal=False, differences=(Difference("accounts", "live", "()"),))
        ]

    monkeypatch.setattr(api.demo, "verify", verify)
    done = CliRunner().invoke(commands, ["demo", "--data", str(data_folder / "demo"), *SMALL])
    assert done.exit_code == 1
    assert "differs from its rebuild" in done.stdout
