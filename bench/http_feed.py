"""How fast single usage events are taken over HTTP through Kafka, against the direct path in the same run."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.database import MASTER_KEY
from bench.feed_world import FeedWorld, feed_world
from bench.load import Measured
from bench.processes import ROOT, daybook, free_port, wait_until_ready
from bench.results import Result, result
from commands.accounts import register_account
from commands.bootstrap import Founding, found_organisation
from commands.context import Context
from commands.keys import check_key
from ledger.events import Actor
from ledger.settings import Settings
from projections.follower import Follower
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

_ACCOUNTS: Final = 50
_CONNECTIONS: Final = 50
_SECONDS: Final = 10.0
_WORKERS: Final = 2


def http_usage_through_kafka(scale: float) -> list[Result]:
    """Post single events directly, through Kafka, and directly again: the limit is of the same minute."""
    with feed_world(1) as world:
        key, accounts = _organisation(world)
        through = world.variables
        direct = {name: value for name, value in through.items() if not name.startswith("KAFKA_")}
        before = _posted(direct, key, accounts, scale)
        measured = _posted(through, key, accounts, scale)
        after = _posted(direct, key, accounts, scale)
    print(f"http_usage_through_kafka: {measured}; directly: {before}, {after}", file=sys.stderr)
    limit = (before.requests + after.requests) / (before.seconds + after.seconds)
    return [
        result("http_usage_through_kafka", measured.rate, "requests/s", limit),
        result("http_usage_through_kafka_p95", measured.p95, "ms", (before.p95 + after.p95) / 2),
    ]


def _posted(variables: Mapping[str, str], key: str, accounts: list[str], scale: float) -> Measured:
    """Serve with these settings, and post for a while."""
    port = free_port()
    with daybook("serve", "--port", str(port), "--workers", str(_WORKERS), variables=variables):
        wait_until_ready(port)
        load = [str(port), str(_CONNECTIONS), str(_SECONDS * scale), "/v1/usage", key, ",".join(accounts)]
        command = [sys.executable, "-m", "bench.load", *load]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(done.stdout, type=Measured)


def _organisation(world: FeedWorld) -> tuple[str, list[str]]:
    """Found an organisation whose key is known, with accounts; projections have to have run to be ready."""
    settings = Settings.from_mapping(world.variables)
    now, random_bytes = datetime.now(UTC), Random(3).randbytes
    with world.database.log("app") as log:
        founded = found_organisation(log, settings, Founding(name="Beta"), now, random_bytes)
        checked = check_key(log, settings, founded.live_key, now)
        actor = Actor(principal=checked.key.owner, kind="person", key=checked.key.key)
        context = Context(log, settings, checked.book, actor, "bench", now, random_bytes)
        registered: list[Any] = [
            register_account(context, "Ada", None).result.state for _ in range(_ACCOUNTS)
        ]
    with closing(Follower(world.database.url("follower"), MASTER_KEY, PROJECTIONS.values())) as follower:
        follower.catch_up()
    return founded.live_key, [str(account.account) for account in registered]
