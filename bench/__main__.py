"""`python -m bench [NAME] [--scale S]`: run the benchmarks, or one of them, and show what they found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from bench import results
from bench.runs import BENCHMARKS, ON_DEMAND, run

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.command()
@click.argument("name", type=click.Choice([*BENCHMARKS, *ON_DEMAND]), required=False)
@click.option("--scale", default=1.0, help="Shorten the run to this share; what it finds is shown, not kept.")
def main(name: str | None, scale: float) -> None:
    """Run all benchmarks, or one, each in a process and on a PostgreSQL of its own."""
    found: list[results.Result] = []
    for each in BENCHMARKS if name is None else [name]:
        new = run(each, scale)
        found += new
        if scale == 1:
            results.keep(new)
    _show(found)


def _show(found: Iterable[results.Result]) -> None:
    table = Table()
    for heading in results.ROW:
        numeric = heading in {"value", "limit", "ratio"}
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for each in found:
        table.add_row(*results.row(each))
    # A pipe has no width: the names must not be cut to the 80 columns taken for one.
    Console(width=max(Console().width, 100)).print(table)


if __name__ == "__main__":
    main()
