"""The notice that a subscription's account is given of what comes: that its trial ends, or that it renews.

Folded from the subscription's own events; the projection of what is due and the command that gives the notice
fold alike, so that they never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ledger.events.subscription import (
    CancellationScheduled,
    CancellationWithdrawn,
    NoticeGiven,
    PeriodOpened,
    SubscriptionCancelled,
    SubscriptionPaused,
    SubscriptionReactivated,
    SubscriptionResumed,
    SubscriptionStarted,
)
from ledger.periods import local_day_start

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from ledger.events import Event, Recorded
    from ledger.events.dunning import DunningPolicyAdopted
    from ledger.streams.dunning import Dunning

RENEWAL: Final = "renewal"
TRIAL_END: Final = "trial_end"


@dataclass(frozen=True, kw_only=True)
class Coming:
    """What comes at the end of a subscription's present period, and whether the account was told."""

    zone: str
    contract_ends_at: datetime | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    trial: bool = False
    booked_at: datetime | None = None
    paused: bool = False
    ending: bool = False
    told_of: datetime | None = None

    @property
    def kind(self) -> str:
        """What the account is told of."""
        return TRIAL_END if self.trial else RENEWAL


@dataclass(frozen=True)
class DueNotice:
    """A notice that is to be given: of what, at which instant, and when that of which it tells happens."""

    kind: str
    due_at: datetime
    happens_at: datetime


def coming(state: Coming | None, event: Event, booked_at: datetime) -> Coming | None:
    """Apply one event."""
    if isinstance(event, SubscriptionStarted):
        return Coming(zone=event.time_zone, contract_ends_at=event.ends_at)
    if state is None:
        return None
    if isinstance(event, PeriodOpened):
        return _opened(state, event, booked_at)
    return _changed(state, event)


def _opened(state: Coming, event: PeriodOpened, booked_at: datetime) -> Coming:
    return replace(
        state,
        starts_at=event.starts_at,
        ends_at=event.ends_at,
        trial=event.trial,
        booked_at=booked_at,
        ending=False,
    )


def _changed(state: Coming, event: Event) -> Coming:  # noqa: PLR0911 - a case each
    match event:
        case SubscriptionPaused():
            return replace(state, paused=True)
        case SubscriptionResumed():
            return replace(state, paused=False, ends_at=event.period_ends_at or state.ends_at)
        case CancellationScheduled():
            return replace(state, ending=True)
        case CancellationWithdrawn():
            return replace(state, ending=False)
        case SubscriptionCancelled():
            return replace(state, starts_at=None, ends_at=None, paused=False, ending=False)
        case SubscriptionReactivated():
            return Coming(zone=state.zone)
        case NoticeGiven():
            return replace(state, told_of=event.due_at)
        case _:
            return state


def coming_of(recorded: Iterable[Recorded]) -> Coming | None:
    """Fold a subscription's stream."""
    state: Coming | None = None
    for one in recorded:
        state = coming(state, one.event, one.metadata.booked_at)
    return state


def due_notice(dunning: Dunning, state: Coming | None) -> DueNotice | None:
    """Give the notice that is to be given in the present period, if one is, and it was not given."""
    if state is None or state.ends_at is None or not _goes_on(state, state.ends_at):
        return None
    for version, until in dunning.spans():
        due_at = _due_at(version, state)
        if due_at is not None and version.in_force_from <= due_at < until:
            return DueNotice(state.kind, due_at, state.ends_at)
    return None


def _goes_on(state: Coming, ends_at: datetime) -> bool:
    """Say whether something comes of which the account is still to be told.

    A period that was over before it was written down renewed long ago.
    """
    if state.paused or state.ending or state.told_of == ends_at:
        return False
    if state.contract_ends_at is not None and ends_at >= state.contract_ends_at:
        return False
    assert state.booked_at is not None, "a period was opened"
    return state.booked_at < ends_at


def _due_at(version: DunningPolicyAdopted, state: Coming) -> datetime | None:
    """Say when a version has the notice given: as a local day begins, and never before the period does."""
    days = version.trial_end_days_before if state.trial else version.renewal_days_before
    if days is None:
        return None
    assert state.ends_at is not None, "a period was opened"
    assert state.starts_at is not None, "a period was opened"
    return max(local_day_start(state.ends_at, state.zone, -days), state.starts_at)
