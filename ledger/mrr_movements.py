"""Movements of monthly recurring revenue: new, expansion, contraction, churn, reactivation, and fx apart.

Movements are an account's, by currency. An account's running revenue is rounded to minor units at each
change, and a movement is the difference of two such figures: that is why movements always sum to the change,
whatever stretch of time is looked at. The revenue of a book is the sum of its accounts'.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ledger.mrr_values import History, Step
    from ledger.policies import MrrPolicy

NEW: Final = "new"
EXPANSION: Final = "expansion"
CONTRACTION: Final = "contraction"
CHURN: Final = "churn"
REACTIVATION: Final = "reactivation"
FX: Final = "fx"
KINDS: Final = (NEW, EXPANSION, CONTRACTION, CHURN, REACTIVATION, FX)

_GROUPED_WITHIN: Final = timedelta(minutes=60)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an account's revenue in a currency came to be at an instant, and which events made it so.

    It is a movement where it has a kind; a move between plans of one price has none. `by_plan` adds up to
    `after_minor`; `trial_minor` is what the account's trials would be worth.
    """

    at: datetime
    account: str
    currency: str
    subscription: str
    position: int
    topic: str
    positions: tuple[int, ...]
    kind: str | None
    before: Fraction
    after: Fraction
    by_plan: Mapping[str, int]
    trial_minor: int

    @property
    def amount(self) -> Fraction:
        """The exact difference."""
        return self.after - self.before

    @property
    def amount_minor(self) -> int:
        """The difference of the two figures that are shown."""
        return rounded(self.after) - rounded(self.before)

    @property
    def after_minor(self) -> int:
        """The account's revenue from here on, as it is shown."""
        return rounded(self.after)


@dataclass(frozen=True)
class _Move:
    """A step of one subscription, with the step before it."""

    subscription: str
    before: Step | None
    step: Step
    # Whether the subscription was ever worth anything before.
    known: bool

    @property
    def lost(self) -> bool:
        return self.before is not None and bool(self.before.value) and not self.step.value

    @property
    def back(self) -> bool:
        return self.known and self.before is not None and not self.before.value


def rounded(value: Fraction) -> int:
    """Round what is never negative to minor units, half up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def changes(histories: Iterable[History], policy: MrrPolicy) -> list[Change]:
    """Give every change of every account's revenue, by time and position."""
    by_account: dict[tuple[str, str], list[_Move]] = defaultdict(list)
    for history in histories:
        by_account[history.account, history.currency] += _moves(history)
    found: list[Change] = []
    for (account, currency), moves in by_account.items():
        found += _of_account(account, currency, moves, policy)
    return sorted(found, key=attrgetter("at", "position", "account", "currency"))


def _moves(history: History) -> list[_Move]:
    moves = []
    before: Step | None = None
    known = False
    for step in history.steps:
        moves.append(_Move(history.subscription, before, step, known))
        before, known = step, known or bool(step.value)
    return moves


def _of_account(account: str, currency: str, moves: Iterable[_Move], policy: MrrPolicy) -> list[Change]:
    """Add up an account's subscriptions, change by change."""
    exact: dict[str, Fraction] = defaultdict(Fraction)
    before, trial, ever = Fraction(), Fraction(), False
    found = []
    in_order = sorted(moves, key=lambda move: (move.step.at, move.step.position))
    for group in _grouped(in_order, policy):
        for move in group:
            trial += move.step.trial - (move.before.trial if move.before else 0)
            _replace(exact, move)
        after = sum(exact.values(), Fraction())
        last = group[-1]
        found.append(
            Change(
                at=last.step.at,
                account=account,
                currency=currency,
                subscription=last.subscription,
                position=last.step.position,
                topic=last.step.topic,
                positions=tuple(move.step.position for move in group),
                kind=_kind(before, after, group, policy, ever=ever),
                before=before,
                after=after,
                by_plan=_shared_out(exact),
                trial_minor=rounded(trial),
            )
        )
        before, ever = after, ever or bool(after)
    return found


def _replace(exact: dict[str, Fraction], move: _Move) -> None:
    """Put what a subscription is worth by plan in the place of what it was worth."""
    for plan, value in (move.before.by_plan if move.before else {}).items():
        exact[plan] -= value
    for plan, value in move.step.by_plan.items():
        exact[plan] += value


def _grouped(moves: Sequence[_Move], policy: MrrPolicy) -> list[list[_Move]]:
    """Put together what the definition takes as one change, which is then dated by its last."""
    groups: list[list[_Move]] = []
    for move in moves:
        together = (
            policy.grouping == "within_60_minutes"
            and groups
            and move.step.at - groups[-1][0].step.at <= _GROUPED_WITHIN
            and move.step.fx == groups[-1][0].step.fx
        )
        if together:
            groups[-1].append(move)
        else:
            groups.append([move])
    return groups


def _kind(
    before: Fraction, after: Fraction, group: Sequence[_Move], policy: MrrPolicy, *, ever: bool
) -> str | None:
    """Name a change of an account's revenue; nothing where it stays the same."""
    if before == after:
        return None
    each = policy.second_subscription == "expansion"
    if all(move.step.fx for move in group):
        return FX
    if not after or (each and all(move.lost for move in group)):
        return CHURN
    if not before:
        return REACTIVATION if ever else NEW
    if each and all(move.back for move in group):
        return REACTIVATION
    return EXPANSION if after > before else CONTRACTION


def _shared_out(exact: Mapping[str, Fraction]) -> dict[str, int]:
    """Round revenue by plan so that it adds up to the rounded whole: by largest remainder."""
    shares = {plan: value.numerator // value.denominator for plan, value in exact.items() if value}
    left = rounded(sum(exact.values(), Fraction())) - sum(shares.values())
    for plan in sorted(shares, key=lambda plan: (shares[plan] - exact[plan], plan))[:left]:
        shares[plan] += 1
    return shares


# -- by period ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Roll:
    """A currency's revenue from one instant up to another: how it stood, what moved it, how it then stood."""

    currency: str
    from_at: datetime
    to_at: datetime
    opening_minor: int
    movements: Mapping[str, int]
    closing_minor: int
    by_plan: Mapping[str, int]
    trial_minor: int
    accounts: int


def totals(found: Iterable[Change]) -> dict[str, dict[str, int]]:
    """Add movements up, by currency and kind."""
    sums: dict[str, dict[str, int]] = {}
    for change in found:
        by_kind = sums.setdefault(change.currency, dict.fromkeys(KINDS, 0))
        if change.kind is not None:
            by_kind[change.kind] += change.amount_minor
    return sums


class _Running:
    """A currency's revenue as changes are added to it."""

    def __init__(self) -> None:
        self.total_minor = 0
        self.trial_minor = 0
        self.accounts = 0
        self.by_plan: dict[str, int] = defaultdict(int)
        self.movements: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._last: dict[str, Change] = {}

    def add(self, change: Change) -> None:
        """Put the account's figures in the place of its former ones."""
        last = self._last.get(change.account)
        self._last[change.account] = change
        self._count(change, 1)
        if last is not None:
            self._count(last, -1)
        if change.kind is not None:
            self.movements[change.kind] += change.amount_minor

    def _count(self, change: Change, sign: int) -> None:
        self.total_minor += sign * change.after_minor
        self.trial_minor += sign * change.trial_minor
        self.accounts += sign if change.after else 0
        for plan, amount in change.by_plan.items():
            self.by_plan[plan] += sign * amount


def roll(in_order: Sequence[Change], boundaries: Sequence[datetime], default: str) -> list[Roll]:
    """Give each currency's revenue between each two boundaries; a change at a boundary is the later one's.

    Where nothing ever changed, it is nothing in the default currency.
    """
    rolls = []
    for currency in sorted({change.currency for change in in_order} or {default}):
        running = _Running()
        rest = iter([change for change in in_order if change.currency == currency])
        change = next(rest, None)
        for number, boundary in enumerate(boundaries):
            opening, running.movements = running.total_minor, dict.fromkeys(KINDS, 0)
            while change is not None and change.at < boundary:
                running.add(change)
                change = next(rest, None)
            if number:
                rolls.append(_rolled(currency, boundaries[number - 1], boundary, opening, running))
    return rolls


def _rolled(currency: str, from_at: datetime, to_at: datetime, opening: int, running: _Running) -> Roll:
    assert opening + sum(running.movements.values()) == running.total_minor, "movements sum to the change"
    by_plan = {plan: amount for plan, amount in sorted(running.by_plan.items()) if amount}
    assert sum(by_plan.values()) == running.total_minor, "plans sum to the whole"
    return Roll(
        currency=currency,
        from_at=from_at,
        to_at=to_at,
        opening_minor=opening,
        movements=running.movements,
        closing_minor=running.total_minor,
        by_plan=by_plan,
        trial_minor=running.trial_minor,
        accounts=running.accounts,
    )
