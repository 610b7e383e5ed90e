from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from api.cli_dev import _curl
from tests.e2e.running import Dev, alive, daybook, free_port, running_dev, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psutil

# What the line must say; the rest of it may grow.
PROMISED = {"url", "book", "live_key", "test_key", "stripe_webhook_secret"}
SECRETS = ("live_key", "test_key", "stripe_webhook_secret")


@pytest.fixture
def dev(data_folder: Path) -> Iterator[Dev]:
    with running_dev(data_folder / "data") as started:
        yield started


def pids(processes: list[psutil.Process]) -> list[int]:
    return [process.pid for process in processes]


def test_dev_starts_everything_says_one_line_and_ctrl_c_leaves_nothing(dev: Dev) -> None:
    line = dev.ready()
    assert line.keys() >= PROMISED
    assert all(line[name] for name in PROMISED)
    assert line["book"] == line["live_book"] != line["test_book"]
    assert dev.ask("/readyz").status == 200
    assert dev.ask("/v1/accounts", line["test_key"]).status == 200
    # Everything but PostgreSQL, which a Ctrl-C must not reach before the rest, is in one process group.
    assert {os.getpgid(pid) for pid in pids(_children(dev))} == {dev.process.pid}
    family = dev.family()
    assert dev.ctrl_c() == 0
    assert alive(family) == []
    assert dev.rest_of_output() == b""
    assert all(str(line[name]) not in dev.said() for name in SECRETS)
    assert all(str(line[name]) not in _postgres_log(dev) for name in SECRETS)
    assert "Traceback" not in dev.said()


def test_the_curl_that_dev_prints_registers_an_account(dev: Dev) -> None:
    line = dev.ready()
    printed = _curl(str(line["url"]), str(line["live_key"]))
    arguments = shlex.split(printed.replace("\\\n", " "))
    done = subprocess.run([*arguments, "--silent"], capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(done.stdout)["name"] == "Ada Lovelace"


def test_a_later_start_knows_its_books_and_shows_no_secret(data_folder: Path) -> None:
    with running_dev(data_folder / "data") as first:
        founded = first.ready()
        account = first.ask("/v1/accounts", founded["live_key"], {"name": "Ada"}).body["id"]
    with running_dev(data_folder / "data") as later:
        line = later.ready()
        assert {name: line[name] for name in SECRETS} == dict.fromkeys(SECRETS)
        assert line["book"] == founded["book"]
        # The keys still open, and what was there is there.
        assert later.ask(f"/v1/accounts/{account}", founded["live_key"]).status == 200


def test_a_second_dev_on_the_same_folder_says_so_and_stops(dev: Dev) -> None:
    dev.ready()
    second = daybook("dev", "--json", "--port", str(free_port()), "--data", str(dev.folder))
    assert (second.returncode, second.stdout) == (1, "")
    assert f"is in use by process {dev.process.pid}" in second.stderr
    assert dev.ask("/readyz").status == 200


def test_a_port_in_use_is_said_before_anything_is_started(data_folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = daybook("dev", "--port", str(port), "--data", str(data_folder / "data"))
    assert refused.returncode == 1
    assert f"Port {port}" in refused.stderr
    assert "--port" in refused.stderr
    assert not (data_folder / "data" / "postgres").exists()


def test_secrets_are_kept_for_their_owner_only_and_never_made_anew_for_a_database_that_exists(
    data_folder: Path,
) -> None:
    folder = data_folder / "data"
    with running_dev(folder) as dev:
        dev.ready()
    kept = folder / "secrets.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.rename(folder / "elsewhere")
    refused = daybook("dev", "--port", str(free_port()), "--data", str(folder))
    assert refused.returncode == 1
    assert "secrets" in refused.stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_supervisor_and_a_closed_terminal_stop_it_cleanly_too(dev: Dev, how: signal.Signals) -> None:
    dev.ready()
    family = dev.family()
    dev.process.send_signal(how)
    assert dev.process.wait(30) == 0
    assert alive(family) == []


def test_a_child_that_dies_is_started_again(dev: Dev) -> None:
    dev.ready()
    for subcommand in ("serve", "project", "schedule"):
        child = dev.child(subcommand)
        assert child is not None
        workers = child.children()
        child.kill()
        until(partial(_is_replaced, dev, subcommand, child), 20, subcommand)
        until(partial(_are_gone, workers), 10, "the workers of the killed server to end")
    until(lambda: dev.ask("/readyz").status == 200, 20, "readiness")


def test_after_kill_dash_nine_no_child_is_left_and_the_next_start_recovers(data_folder: Path) -> None:
    folder = data_folder / "data"
    with running_dev(folder) as dev:
        line = dev.ready()
        account = dev.ask("/v1/accounts", line["live_key"], {"name": "Ada"}).body["id"]
        children = _children(dev)
        assert len(children) >= 4  # serve, its worker, project, schedule
        dev.kill()
        until(lambda: alive(children) == [], 10, "the children to end")
        # At once, on the same port: nothing of the first one may be in the way.
        again = Dev(folder, dev.port)
        try:
            assert again.ready()["book"] == line["book"]
            assert again.ask(f"/v1/accounts/{account}", line["live_key"]).status == 200
        finally:
            family = again.family()
            assert again.ctrl_c() == 0
            assert again.process.stdout is not None
            again.process.stdout.close()
        assert alive(family) == []


def _is_replaced(dev: Dev, subcommand: str, former: psutil.Process) -> bool:
    return dev.child(subcommand) not in (None, former)


def _are_gone(processes: list[psutil.Process]) -> bool:
    return alive(processes) == []


def _children(dev: Dev) -> list[psutil.Process]:
    postgres = dev.postmaster()
    inside = {postgres.pid, *pids(postgres.children())} if postgres else set()
    return [process for process in dev.family() if process.pid not in inside]


def _postgres_log(dev: Dev) -> str:
    return (dev.folder / "postgres.log").read_text(errors="replace")
