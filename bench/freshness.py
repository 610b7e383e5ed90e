"""How soon usage that is published shows in the totals that are read, under a steady load."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import psycopg

from bench.feed_world import feed_world, wait_for
from bench.processes import daybook
from bench.results import Result, result
from schemas import topics

if TYPE_CHECKING:
    from bench.feed_world import FeedWorld

_ACCOUNTS: Final = 40
_EVENTS_A_SECOND: Final = 20_000
_SECONDS: Final = 60
_TURN_SECONDS: Final = 0.01
_LOOK_SECONDS: Final = 0.02
_PATIENCE_SECONDS: Final = 60.0
_LIMIT_MS: Final = 2_000.0


def feed_freshness(scale: float) -> list[Result]:
    """Publish 20,000 events/s for a minute, and time each from its sending until a total has it."""
    with (
        feed_world(_ACCOUNTS) as world,
        daybook("consume", variables=world.variables),
        daybook("project", variables=world.variables),
        psycopg.connect(world.database.owner_url, autocommit=True) as owner,
    ):
        _warm_up(world, owner)
        sent: dict[str, list[float]] = defaultdict(list)
        load = threading.Thread(target=_publish, args=(world, sent, _SECONDS * scale))
        load.start()
        ages = _watch(owner, sent, load)
        load.join()
    events = sum(map(len, sent.values()))
    assert len(ages) == events, f"{len(ages)} of {events} events were seen"
    rate = events / (_SECONDS * scale)
    cuts = statistics.quantiles(ages, n=100)
    print(
        f"feed_freshness: {rate:,.0f} events/s, p50 {cuts[49] * 1e3:.0f} ms, p99 {cuts[98] * 1e3:.0f} ms,"
        f" longest {max(ages) * 1e3:.0f} ms",
        file=sys.stderr,
    )
    return [
        result("feed_freshness_p99", cuts[98] * 1e3, "ms", _LIMIT_MS),
        result("feed_freshness_load", rate, "events/s", _EVENTS_A_SECOND),
    ]


def _warm_up(world: FeedWorld, owner: psycopg.Connection[Any]) -> None:
    """See one event of another account arrive, so that every process is there."""
    with closing(world.producer()) as producer:
        producer.send(topics.USAGE, world.event(0, world.accounts[0]), world.accounts[0].encode())
        producer.flush(timeout=60)
    wait_for(lambda: _totals(owner), _PATIENCE_SECONDS)


def _publish(world: FeedWorld, sent: dict[str, list[float]], seconds: float) -> None:
    """Publish at the rate wanted, noting for each account when each of its events was sent."""
    events, began = 0, time.perf_counter()
    with closing(world.producer()) as producer:
        while (elapsed := time.perf_counter() - began) < seconds:
            due = int(elapsed * _EVENTS_A_SECOND)
            while events < due:
                events += 1
                account = world.accounts[events % _ACCOUNTS]
                value = world.event(events, account)
                sent[account].append(time.perf_counter())
                producer.send(topics.USAGE, value, account.encode())
            time.sleep(_TURN_SECONDS)  # the load's pace: what is due by then is sent at once
        producer.flush(timeout=60)


def _watch(
    owner: psycopg.Connection[Any], sent: dict[str, list[float]], load: threading.Thread
) -> list[float]:
    """Look at the totals again and again: an account's events arrive in order, so its total counts them."""
    before = _totals(owner)
    seen: dict[str, int] = defaultdict(int)
    ages: list[float] = []
    deadline = None
    while deadline is None or (time.perf_counter() < deadline and len(ages) < sum(map(len, sent.values()))):
        if deadline is None and not load.is_alive():
            deadline = time.perf_counter() + _PATIENCE_SECONDS
        totals, now = _totals(owner), time.perf_counter()
        for account, total in totals.items():
            arrived = total - before.get(account, 0)
            ages += [now - at for at in sent[account][seen[account] : arrived]]
            seen[account] = arrived
        time.sleep(_LOOK_SECONDS)  # as a reader who looks again would; an age is found this much too high
    return ages


def _totals(owner: psycopg.Connection[Any]) -> dict[str, int]:
    query = "SELECT account, sum(quantity)::bigint FROM usage.totals GROUP BY account"
    return dict(owner.execute(query).fetchall())
