"""How long one waits: for `daybook dev` on a folder it knows, and for Python to import the ledger."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from bench.database import temporary_folder
from bench.processes import ROOT, daybook, free_port, wait_until_ready
from bench.progress import counted
from bench.results import Result, result

if TYPE_CHECKING:
    from pathlib import Path

_READY_LIMIT_SECONDS: Final = 3.0
_IMPORT_LIMIT_SECONDS: Final = 0.3
_STARTS: Final = 5
_IMPORTS: Final = 7
_IMPORT: Final = """
import time
began = time.perf_counter()
import ledger
import ledger.store
print(time.perf_counter() - began)
"""


def dev_ready(scale: float) -> list[Result]:
    """Start `daybook dev` on an existing data folder until `/readyz` answers: the median of five."""
    del scale  # a start is a start
    with temporary_folder() as folder:
        _seconds_until_ready(folder)  # the first start makes the database, and is not counted
        seconds = [_seconds_until_ready(folder) for _ in counted("dev_ready", range(_STARTS))]
    return [result("dev_ready", statistics.median(seconds), "s", _READY_LIMIT_SECONDS)]


def _seconds_until_ready(folder: Path) -> float:
    port = free_port()
    began = time.perf_counter()
    with daybook("dev", "--json", "--port", str(port), "--data", str(folder)):
        wait_until_ready(port)
        return time.perf_counter() - began


def import_ledger(scale: float) -> list[Result]:
    """Import `ledger` and `ledger.store` in a fresh process: the median of seven."""
    del scale  # an import is an import
    seconds = [_seconds_to_import() for _ in counted("import_ledger", range(_IMPORTS))]
    return [result("import_ledger", statistics.median(seconds), "s", _IMPORT_LIMIT_SECONDS)]


def _seconds_to_import() -> float:
    done = subprocess.run([sys.executable, "-c", _IMPORT], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return float(done.stdout)
