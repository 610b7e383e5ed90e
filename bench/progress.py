"""Progress bars on standard error, so that standard output holds the table alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; what is lent takes how much is done and how much there is."""
    columns = (TextColumn(name), BarColumn(), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), refresh_per_second=2
    ) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def counted(name: str, steps: Sequence[T], step_size: int = 1) -> Iterator[T]:
    """Go through steps under a bar that counts `step_size` things a step."""
    with bar(name) as report:
        for number, step in enumerate(steps, 1):
            yield step
            report(number * step_size, len(steps) * step_size)
