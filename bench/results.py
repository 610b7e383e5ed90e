"""What a benchmark found: kept in bench/results.json, and shown in docs/benchmarks.md between two markers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RESULTS: Final = Path(__file__).with_name("results.json")
PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_BEGIN: Final = "<!-- results: begin, written by `make bench` -->\n"
_END: Final = "<!-- results: end -->\n"


class Result(msgspec.Struct, frozen=True):
    """One figure; `limit` is what it is held against, `ratio` is value / limit, whichever way is better."""

    name: str
    value: int | float
    unit: str
    limit: int | float | None
    ratio: float | None


class Wanted(msgspec.Struct, frozen=True):
    """What a figure's value or ratio should be."""

    of: Literal["value", "ratio"]
    bound: Literal["at least", "at most"]
    number: float

    def met_by(self, found: Result) -> bool:
        """Say whether a figure is what was wanted."""
        number = found.value if self.of == "value" else found.ratio
        assert number is not None, "what has a wanted ratio has a limit"
        return number >= self.number if self.bound == "at least" else number <= self.number

    def __str__(self) -> str:
        """Write it as a table does."""
        sign = "≥" if self.bound == "at least" else "≤"
        return f"{self.of} {sign} {shown(self.number)}"


_WITHIN_LIMIT: Final = Wanted("ratio", "at most", 1)
# Every figure there is, in the order of the table.
FIGURES: Final[dict[str, Wanted | None]] = {
    "append_usage": Wanted("ratio", "at least", 0.5),
    "append_usage_with_building": None,
    "append_usage_memory": _WITHIN_LIMIT,
    "append_usage_growth": Wanted("ratio", "at least", 0.667),
    "append_usage_at_100m": None,
    "append_single": None,
    "follow_usage_totals": Wanted("value", "at least", 60_000),
    "rebuild_all": Wanted("value", "at least", 60_000),
    "get_balance": Wanted("value", "at least", 2_000),
    "get_balance_p95": _WITHIN_LIMIT,
    "get_timeline": None,
    "get_timeline_p95": _WITHIN_LIMIT,
    "measure_month_p50": None,
    "measure_month_p95": _WITHIN_LIMIT,
    "measure_from_events": None,
    "measure_accounts": None,
    "measure_accounts_from_events": None,
    "kafka_to_log": Wanted("ratio", "at least", 0.3),
    "kafka_to_log_memory": _WITHIN_LIMIT,
    "feed_freshness_p99": _WITHIN_LIMIT,
    "feed_freshness_load": None,
    "usage_producer": Wanted("value", "at least", 40_000),
    "usage_producer_processor": None,
    "http_usage_through_kafka": None,
    "http_usage_through_kafka_p95": None,
    "bill_subscriptions": _WITHIN_LIMIT,
    "bill_subscriptions_memory": _WITHIN_LIMIT,
    "preview_upcoming_p95": _WITHIN_LIMIT,
    "dev_ready": _WITHIN_LIMIT,
    "import_ledger": _WITHIN_LIMIT,
}
ROW: Final = ("figure", "value", "unit", "limit", "ratio", "wanted", "")


def result(name: str, value: float, unit: str, limit: float | None = None) -> Result:
    """Make a figure: three digits are as much as a measurement repeats."""
    ratio = None if limit is None else round(value / limit, 3)
    return Result(name, _rounded(value), unit, None if limit is None else _rounded(limit), ratio)


def _rounded(value: float) -> int | float:
    return round(value) if value >= 1_000 else float(f"{value:.3g}")


def read() -> list[Result]:
    """Read the figures kept so far."""
    if not RESULTS.exists():
        return []
    return msgspec.json.decode(RESULTS.read_bytes(), type=list[Result])


def keep(new: Iterable[Result]) -> None:
    """Put figures in the place of those of the same names, in the file and in the page."""
    kept = {each.name: each for each in (*read(), *new)}
    found = [kept[name] for name in FIGURES if name in kept]
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    after = rest.partition(_END)[2]
    PAGE.write_text(f"{before}{_BEGIN}{_markdown(found)}{_END}{after}", encoding="utf-8")


def row(found: Result) -> Sequence[str]:
    """Write a figure as a row of the table."""
    wanted = FIGURES[found.name]
    verdict = ("", "") if wanted is None else (str(wanted), "met" if wanted.met_by(found) else "missed")
    return (found.name, shown(found.value), found.unit, shown(found.limit), shown(found.ratio), *verdict)


def shown(number: float | None) -> str:
    """Write a number for people."""
    if number is None:
        return ""
    return f"{number:,.0f}" if number >= 1_000 else f"{number:g}"


def _markdown(found: Iterable[Result]) -> str:
    lines = [ROW, ("---", "---:", "---", "---:", "---:", "---", "---"), *(row(each) for each in found)]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"
