"""`python -m bench [NAME] [--scale S]`: run the benchmarks, or one of them, and show what they found."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

from bench import results

if TYPE_CHECKING:
    from collections.abc import Iterable

# The module of each benchmark, which is its function of the same name; in the order in which they run.
BENCHMARKS: Final = {
    "append_usage": "bench.append",
    "append_usage_growth": "bench.growth",
    "append_single": "bench.append",
    "follow_usage_totals": "bench.follow",
    "rebuild_all": "bench.follow",
    "get_balance": "bench.serve",
    "get_timeline": "bench.serve",
    "dev_ready": "bench.start",
    "import_ledger": "bench.start",
}
# Run only by name: it takes 30 GB of disk and half an hour.
ON_DEMAND: Final = {"append_usage_at_100m": "bench.growth"}


@click.command()
@click.argument("name", type=click.Choice([*BENCHMARKS, *ON_DEMAND]), required=False)
@click.option("--scale", default=1.0, help="Shorten the run to this share; what it finds is shown, not kept.")
def main(name: str | None, scale: float) -> None:
    """Run all benchmarks, or one, each in a process and on a PostgreSQL of its own."""
    found: list[results.Result] = []
    for each in BENCHMARKS if name is None else [name]:
        new = _run(each, scale)
        found += new
        if scale == 1:
            results.keep(new)
    _show(found)


def _run(name: str, scale: float) -> list[results.Result]:
    """Run one benchmark in a fresh process, so that none counts another's memory as its own."""
    print(f"{name}: load average {os.getloadavg()[0]:.2f}", file=sys.stderr)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, name, scale).result()


def _measure(name: str, scale: float) -> list[results.Result]:
    module = importlib.import_module((BENCHMARKS | ON_DEMAND)[name])
    found: list[results.Result] = getattr(module, name)(scale)
    return found


def _show(found: Iterable[results.Result]) -> None:
    table = Table()
    for heading in results.ROW:
        table.add_column(heading, justify="right" if heading in {"value", "limit", "ratio"} else "left")
    for each in found:
        table.add_row(*results.row(each))
    Console().print(table)


if __name__ == "__main__":
    main()
