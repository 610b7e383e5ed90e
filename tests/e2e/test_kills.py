"""Processes killed while usage streams in: nothing acknowledged is lost, nothing is counted twice."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from api.embedded_postgres import DATABASE
from api.postgres_cluster import Cluster
from tests.e2e.running import Dev, alive, daybook, running_dev, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KILLS = 20
BATCH = 40
WRITERS = 2
SEED = int(os.environ.get("DAYBOOK_KILL_SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture
def dev(data_folder: Path) -> Iterator[Dev]:
    with running_dev(data_folder / "data") as started:
        yield started


class Writer(threading.Thread):
    """A client that sends each batch again until it is acknowledged, as the contract asks of it."""

    def __init__(self, dev: Dev, key: str, account: str, number: int) -> None:
        super().__init__(name=f"writer {number}")
        self._dev = dev
        self._key = key
        self._account = account
        self._stop_asked = threading.Event()
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()
        self.failures: list[str] = []

    def run(self) -> None:
        batch = 0
        while not self._stop_asked.is_set():
            ids = [f"{self.name} {batch} {index}" for index in range(BATCH)]
            if self._send(ids):
                self.acknowledged += ids
            batch += 1

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(30)
        assert not self.is_alive()

    def _send(self, ids: list[str]) -> bool:
        """Send a batch until it is acknowledged; a batch given up on at the end was never acknowledged."""
        time_text = datetime.now(UTC).isoformat()
        events = [
            {
                "specversion": "1.0",
                "id": event_id,
                "source": "kills",
                "type": "api_calls",
                "subject": self._account,
                "time": time_text,
                "data": {"quantity": "1"},
            }
            for event_id in ids
        ]
        while not self._stop_asked.is_set():
            answer = self._dev.ask("/v1/usage", self._key, {"events": events}, seconds=5)
            self.statuses.add(answer.status)
            if answer.status == 200:
                self._judge(answer.body)
                return True
            self._stop_asked.wait(0.05)
        return False

    def _judge(self, body: dict[str, object]) -> None:
        counted = (body["accepted"], body["duplicates"])
        if sum(map(int, map(str, counted))) != BATCH or body["conflicts"] or body["rejected"]:
            self.failures.append(json.dumps(body))


def sign_up(dev: Dev, key: str) -> str:
    account = dev.ask("/v1/accounts", key, {"name": "Ada"})
    assert account.status == 201
    return str(account.body["id"])


def victims(dev: Dev) -> dict[str, Callable[[], psutil.Process | None]]:
    def worker() -> psutil.Process | None:
        server = dev.child("serve")
        workers = server.children() if server else []
        return workers[0] if workers else None

    return {
        "worker": worker,
        "serve": lambda: dev.child("serve"),
        "project": lambda: dev.child("project"),
        "postgres": dev.postmaster,
    }


def kill_one(dev: Dev, name: str) -> None:
    """Kill a process as soon as there is one of its kind; one that ends meanwhile is as good as killed."""
    find = victims(dev)[name]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            victim = find()
            if victim is not None:
                victim.kill()
                return
        except psutil.Error:
            pass
        time.sleep(0.05)
    pytest.fail(f"there is no {name} to kill: {dev.said()}")


def stored(dev: Dev, account: str) -> tuple[set[str], int]:
    """Give the ids of the usage events in the log, and how many rows there are."""
    url = Cluster(dev.folder / "postgres", user=None).url(DATABASE)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT convert_from(state, 'UTF8')::json #>> '{data,event_id}' FROM log.events"
            " WHERE topic = 'usage.recorded' AND convert_from(state, 'UTF8')::json #>> '{data,account}' = %s",
            [account],
        ).fetchall()
    return {event_id for (event_id,) in rows}, len(rows)


def counted(dev: Dev, key: str, account: str) -> int:
    """Give what the projection of usage counts, 0 while it does not answer."""
    answer = dev.ask(f"/v1/accounts/{account}/usage", key)
    return sum(int(row["quantity"]) for row in answer.body["totals"]) if answer.status == 200 else 0


def test_twenty_random_kills_lose_nothing_acknowledged_and_double_nothing(dev: Dev) -> None:
    print(f"DAYBOOK_KILL_SEED={SEED}")  # noqa: T201 - shown when the test fails, to play it again
    choose = random.Random(SEED)  # noqa: S311 - it chooses victims
    line = dev.ready()
    key = str(line["live_key"])
    account = sign_up(dev, key)
    writers = [Writer(dev, key, account, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    # Each kind is killed for sure, the rest as chance has it.
    order = [*victims(dev), *choose.choices([*victims(dev)], k=KILLS - len(victims(dev)))]
    choose.shuffle(order)
    for name in order:
        time.sleep(choose.uniform(0.1, 0.9))  # the moment of a kill is what is random here
        kill_one(dev, name)
    until(lambda: dev.ask("/readyz").status == 200, 30, "readiness after the kills")
    for writer in writers:
        writer.stop()

    acknowledged = [event_id for writer in writers for event_id in writer.acknowledged]
    assert len(acknowledged) > KILLS * BATCH, "the writers hardly got through"
    assert [failure for writer in writers for failure in writer.failures] == []
    ids, rows = stored(dev, account)
    assert set(acknowledged) <= ids
    assert rows == len(ids)
    until(lambda: counted(dev, key, account) == len(ids), 30, "the projections to catch up")
    verified = daybook("verify", "--data", str(dev.folder))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert_no_secret_was_written(dev, line)


def test_requests_fail_with_503_while_postgres_restarts_and_recover(dev: Dev) -> None:
    line = dev.ready()
    key = str(line["live_key"])
    account = sign_up(dev, key)
    writers = [Writer(dev, key, account, number) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    until(lambda: all(writer.acknowledged for writer in writers), 20, "the first acknowledgements")
    for how in (signal.SIGINT, signal.SIGQUIT):  # a fast shutdown, and one as in a crash
        postmaster = dev.postmaster()
        assert postmaster is not None
        postmaster.send_signal(how)
        until(lambda former=postmaster: alive([former]) == [], 20, "PostgreSQL to end")  # type: ignore[misc]
        # While it starts again, or once it has: an answer either way, never a hanging request.
        assert dev.ask(f"/v1/accounts/{account}", key).status in (200, 503)
        until(lambda: dev.ask(f"/v1/accounts/{account}", key).status == 200, 20, "recovery")
        before = [len(writer.acknowledged) for writer in writers]
        until(lambda b=before: _all_went_on(writers, b), 20, "the writers to go on")  # type: ignore[misc]
    for writer in writers:
        writer.stop()
    statuses = set[int]().union(*(writer.statuses for writer in writers))
    assert statuses == {200, 503}
    acknowledged = {event_id for writer in writers for event_id in writer.acknowledged}
    ids, rows = stored(dev, account)
    assert acknowledged <= ids
    assert rows == len(ids)
    assert_no_secret_was_written(dev, line)


def _all_went_on(writers: list[Writer], before: list[int]) -> bool:
    return all(len(writer.acknowledged) > count for writer, count in zip(writers, before, strict=True))


def assert_no_secret_was_written(dev: Dev, line: dict[str, str | None]) -> None:
    """Look for every secret of the installation in everything that was written while it ran."""
    kept = json.loads((dev.folder / "secrets.json").read_text())
    secrets = [str(line[name]) for name in ("live_key", "test_key", "stripe_webhook_secret")]
    secrets += [kept["master_key"], kept["peppers"].partition(":")[2]]
    written = dev.said() + (dev.folder / "postgres.log").read_text(errors="replace")
    assert [secret[:12] for secret in secrets if secret in written] == []
