"""Small instruments: rates over timed pieces of work, percentiles, the memory of this process."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Timing:
    """Seconds spent on one kind of work, and how many things were done in them."""

    seconds: float = 0.0
    things: int = 0

    @property
    def rate(self) -> float:
        """Things a second."""
        return self.things / self.seconds

    @contextmanager
    def of(self, things: int) -> Iterator[None]:
        """Add what is done inside."""
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began
        self.things += things


def peak_memory_mib() -> float:
    """Give the most memory this process ever held; the system's unit is bytes on macOS, KiB elsewhere."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
