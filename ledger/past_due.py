"""An invoice that may fall past due: how far dunning has come, and what is to be done next, and when.

Folded from the invoice's own events; the projection of what is due and the command that does it fold alike,
so that they never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ledger.events.invoice import (
    CreditApplied,
    DunningStepTaken,
    InvoiceFinalized,
    InvoiceVoided,
    PaymentApplied,
)
from ledger.periods import day_start, local_date
from ledger.streams.dunning import RESUME_KEYS, SUSPEND_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ledger.events import Event, Recorded
    from ledger.streams.dunning import Dunning

SUSPENDED: Final = "suspended"
SUSPENDED_BEFORE: Final = "suspended_before"


@dataclass(frozen=True, kw_only=True)
class PastDue:
    """How far dunning has come with a finalized invoice.

    `suspended` says that it keeps the account's keys suspended; `settled_at` is since when nothing is left of
    it, while they still are. What `is_over` stays so.
    """

    issued_on: date
    due_on: date
    booked_at: datetime
    owed: int
    suspended: bool = False
    settled_at: datetime | None = None
    # The instant of the last steps, and which they were.
    last_at: datetime | None = None
    last_actions: tuple[str, ...] = ()
    is_over: bool = False


@dataclass(frozen=True, order=True)
class DueStep:
    """Something that is to be done about an invoice at an instant."""

    due_at: datetime
    action: str


def past_due(state: PastDue | None, event: Event, booked_at: datetime) -> PastDue | None:
    """Apply one event; nothing is known of what is no finalized invoice."""
    if isinstance(event, InvoiceFinalized):
        begun = PastDue(
            issued_on=event.issued_on, due_on=event.due_on, booked_at=booked_at, owed=max(0, event.total)
        )
        return _settled(begun, booked_at)
    if state is None or state.is_over:
        return state
    match event:
        case PaymentApplied() | CreditApplied():
            return _settled(replace(state, owed=state.owed - event.amount), booked_at)
        case InvoiceVoided():
            return _settled(replace(state, owed=0), booked_at)
        case DunningStepTaken():
            return _settled(_stepped(state, event), booked_at)
        case _:
            return state


def _stepped(state: PastDue, event: DunningStepTaken) -> PastDue:
    if event.action == RESUME_KEYS:
        return replace(state, suspended=False)
    before = state.last_actions if state.last_at == event.due_at else ()
    holds = event.action == SUSPEND_KEYS and event.outcome in (SUSPENDED, SUSPENDED_BEFORE)
    return replace(
        state,
        suspended=state.suspended or holds,
        last_at=event.due_at,
        last_actions=(*before, event.action),
    )


def _settled(state: PastDue, booked_at: datetime) -> PastDue:
    """Note that nothing is left; it is over unless it keeps keys suspended."""
    if state.owed > 0:
        return replace(state, settled_at=None)
    if not state.suspended:
        return replace(state, is_over=True)
    return replace(state, settled_at=state.settled_at or booked_at)


def past_due_of(recorded: Iterable[Recorded]) -> PastDue | None:
    """Fold an invoice's stream."""
    state: PastDue | None = None
    for one in recorded:
        state = past_due(state, one.event, one.metadata.booked_at)
    return state


def due_steps(dunning: Dunning, state: PastDue | None) -> list[DueStep]:
    """Give what is to be done next: the steps of one instant, in order; nothing where there is nothing."""
    if state is None or state.is_over:
        return []
    if state.settled_at is not None:
        return [DueStep(state.settled_at, RESUME_KEYS)]
    coming = coming_steps(dunning, state)
    return [step for step in coming if step.due_at == coming[0].due_at]


def coming_steps(dunning: Dunning, state: PastDue) -> list[DueStep]:
    """Give the steps that are to come while nothing is paid and the policy stays, in order."""
    steps = [step for step in _steps(dunning, state) if not _is_behind(state, step)]
    # Stable: those of one instant stay in the order of the policy.
    return sorted(steps, key=lambda step: step.due_at)


def _steps(dunning: Dunning, state: PastDue) -> Iterator[DueStep]:
    """Give each version's steps that fall due while that version is in force."""
    for version, until in dunning.spans():
        counted_from = _counted_from(state, version.time_zone)
        for step in version.steps:
            due_at = day_start(counted_from + timedelta(days=step.days_after_due), version.time_zone)
            if version.in_force_from <= due_at < until:
                yield DueStep(due_at, step.action)


def _counted_from(state: PastDue, zone: str) -> date:
    """Give the day that days are counted from: the due day, or so much later as the invoice was written late.

    Who never had an invoice before is not past due with it from the first moment.
    """
    late = local_date(state.booked_at, zone) - state.issued_on
    return state.due_on + max(timedelta(0), late)


def _is_behind(state: PastDue, step: DueStep) -> bool:
    if state.last_at is None:
        return False
    return step.due_at < state.last_at or (step.due_at == state.last_at and step.action in state.last_actions)
