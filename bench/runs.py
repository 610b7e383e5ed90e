"""Every benchmark there is, and how one is run in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bench.results import Result

# The module of each benchmark, which is its function of the same name; in the order in which they run.
BENCHMARKS: Final = {
    "append_usage": "bench.append",
    "append_usage_growth": "bench.growth",
    "append_single": "bench.append",
    "follow_usage_totals": "bench.follow",
    "rebuild_all": "bench.follow",
    "get_balance": "bench.serve",
    "get_timeline": "bench.serve",
    "measure_month": "bench.measure",
    "measure_accounts": "bench.measure",
    "kafka_to_log": "bench.feed",
    "feed_freshness": "bench.freshness",
    "usage_producer": "bench.producer",
    "http_usage_through_kafka": "bench.http_feed",
    "bill_subscriptions": "bench.billing",
    "preview_upcoming": "bench.billing",
    "dev_ready": "bench.start",
    "import_ledger": "bench.start",
}
# Run only by name: it takes 30 GB of disk and half an hour.
ON_DEMAND: Final = {"append_usage_at_100m": "bench.growth"}


def run(name: str, scale: float) -> list[Result]:
    """Run one benchmark in a fresh process, so that none counts another's memory as its own."""
    print(f"{name}: load average {os.getloadavg()[0]:.2f}", file=sys.stderr)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, name, scale).result()


def _measure(name: str, scale: float) -> list[Result]:
    module = importlib.import_module((BENCHMARKS | ON_DEMAND)[name])
    found: list[Result] = getattr(module, name)(scale)
    return found
