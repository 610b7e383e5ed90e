"""Fail when the tests leave too many branches of the ledger or the commands untried."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

LIMIT_PERCENT = 95
PACKAGES = ("ledger", "commands")


# path -> section -> figure; coverage keeps some figures as text
Files = dict[str, dict[str, dict[str, int | float | str]]]


def report() -> Files:
    """Return coverage's own summary of the last run, file by file."""
    with TemporaryDirectory() as folder:
        target = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(target)]
        subprocess.run(command, check=True)  # noqa: S603 (our own interpreter, fixed arguments)
        files: Files = json.loads(target.read_text())["files"]
    return files


def totals(files: Files) -> dict[str, Counter[str]]:
    """Add up lines and branches by top-level package."""
    sums: dict[str, Counter[str]] = {package: Counter() for package in PACKAGES}
    for path, entry in files.items():
        package = Path(path).parts[0]
        if package in sums:
            counts = {name: count for name, count in entry["summary"].items() if isinstance(count, int)}
            sums[package].update(counts)
    return sums


def percent(covered: int, whole: int) -> float:
    """Return a share in percent; nothing to cover counts as covered."""
    return 100 * covered / whole if whole else 100.0


def main() -> int:
    """Print what is not covered and one line a package; return 1 when a package is under the limit."""
    subprocess.run([sys.executable, "-m", "coverage", "report"], check=True)
    failed = False
    for package, counts in totals(report()).items():
        branches = percent(counts["covered_branches"], counts["num_branches"])
        lines = percent(counts["covered_lines"], counts["num_statements"])
        under = min(branches, lines) < LIMIT_PERCENT
        failed = failed or under
        verdict = f"UNDER {LIMIT_PERCENT} %" if under else "ok"
        print(f"coverage of {package}: {branches:.1f} % of branches, {lines:.1f} % of lines: {verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
