"""Monthly recurring revenue of several currencies told in one, with what exchange rates alone moved apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

from ledger.errors import Invalid
from ledger.mrr_values import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from fractions import Fraction

    from ledger.mrr_values import History
    from ledger.policies import MrrPolicy


class NoRate(Invalid):
    """Revenue in a currency cannot be told in another one without a rate between the two."""

    code = "no_exchange_rate"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What one minor unit of a currency is worth from an instant on, in minor units of the target."""

    currency: str
    at: datetime
    rate: Fraction
    position: int
    topic: str


def converted(
    histories: Iterable[History], rates: Sequence[Rate], currency: str, policy: MrrPolicy
) -> list[History]:
    """Tell histories in one currency: a rate that changes is a step of its own, an fx movement.

    In constant currency every step is told at the newest rate, so that rates never move anything; where
    revenue is told by currency only, histories stay as they are. Rates may be averages of months: the
    definition asks for what is given here, it does not average.
    """
    if policy.currency_changes == "per_currency":
        return list(histories)
    result = []
    for history in histories:
        if history.currency == currency:
            result.append(history)
            continue
        known = sorted((rate for rate in rates if rate.currency == history.currency), key=attrgetter("at"))
        if not known:
            raise NoRate(f"there is no rate from {history.currency} to {currency}")
        steady = policy.currency_changes == "no_movement"
        steps = _converted(history.steps, known[-1:] if steady else known)
        result.append(replace(history, currency=currency, steps=tuple(steps)))
    return result


def _converted(steps: Sequence[Step], rates: Sequence[Rate]) -> list[Step]:
    """Tell steps at the rate of their day, with a step for each rate that came after the first."""
    result: list[Step] = []
    last: Step | None = None
    current = rates[0]
    # At one instant the rate comes first: what changes then is told at the new one.
    points: list[tuple[datetime, int, int, Rate | Step]] = sorted(
        [(rate.at, 0, rate.position, rate) for rate in rates[1:]]
        + [(step.at, 1, step.position, step) for step in steps],
        key=lambda point: point[:3],
    )
    for _, _, _, point in points:
        if isinstance(point, Step):
            last = point
            result.append(_at_rate(point, current.rate))
            continue
        current = point
        if last is not None and (last.by_plan or last.trial):
            told = _at_rate(last, current.rate)
            result.append(replace(told, at=point.at, position=point.position, topic=point.topic, fx=True))
    return result


def _at_rate(step: Step, rate: Fraction) -> Step:
    by_plan = {plan: value * rate for plan, value in step.by_plan.items()}
    return replace(step, by_plan=by_plan, trial=step.trial * rate)
