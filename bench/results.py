"""What a benchmark found: kept in bench/results.json, and shown in docs/benchmarks.md between two markers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

RESULTS: Final = Path(__file__).with_name("results.json")
PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_BEGIN: Final = "<!-- results: begin (written by `make bench`) -->\n"
_END: Final = "<!-- results: end -->\n"


class Result(msgspec.Struct, frozen=True):
    """One figure; `limit` is what it is held against, and `ratio` is always value / limit."""

    name: str
    value: float
    unit: str
    limit: float | None
    ratio: float | None


def result(name: str, value: float, unit: str, limit: float | None = None) -> Result:
    """Round a figure to three significant digits or whole numbers, and give its ratio to its limit."""
    ratio = None if limit is None else round(value / limit, 3)
    return Result(name, _rounded(value), unit, None if limit is None else _rounded(limit), ratio)


def _rounded(value: float) -> float:
    return round(value) if value >= 1_000 else float(f"{value:.3g}")


def read() -> list[Result]:
    """Read the results kept so far."""
    if not RESULTS.exists():
        return []
    return msgspec.json.decode(RESULTS.read_bytes(), type=list[Result])


def keep(new: Iterable[Result], order: Iterable[str]) -> None:
    """Put new figures in the place of those of the same names, in one order, here and in the page."""
    kept = {each.name: each for each in (*read(), *new)}
    results = [kept[name] for name in order if name in kept]
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(before + _BEGIN + _markdown(results) + _END + after, encoding="utf-8")


def shown(number: float | None) -> str:
    """Write a number for people."""
    if number is None:
        return "–"
    return f"{number:,.0f}" if number >= 1_000 else f"{number:g}"


def _markdown(results: Iterable[Result]) -> str:
    lines = ["", "| figure | value | unit | limit | ratio |", "|---|---:|---|---:|---:|"]
    lines += [
        f"| `{each.name}` | {shown(each.value)} | {each.unit} | {shown(each.limit)} | {shown(each.ratio)} |"
        for each in results
    ]
    return "\n".join([*lines, "", ""])
