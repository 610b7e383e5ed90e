"""A progress bar on standard error, so that standard output holds the table alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")


def counted(name: str, steps: Sequence[T], step_size: int = 1) -> Iterator[T]:
    """Go through steps under a bar that counts `step_size` things a step."""
    columns = (TextColumn(name), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), refresh_per_second=2) as progress:
        task = progress.add_task(name, total=len(steps) * step_size)
        for step in steps:
            yield step
            progress.advance(task, step_size)
