"""Dunning: the steps a book takes after what is past due, the notices it gives, and which version says so.

The version in force at the instant something falls due decides, however late it is done: adopting a policy
never makes up for what lies behind, and giving one up takes nothing back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ledger.errors import Invalid
from ledger.events.dunning import DunningEvent, DunningPolicyAdopted, DunningStep
from ledger.identifiers import derive
from ledger.streams.base import begins_with
from ledger.values import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

REMIND: Final = "remind"
RETRY: Final = "retry"
SUSPEND_KEYS: Final = "suspend_keys"
MARK_UNCOLLECTIBLE: Final = "mark_uncollectible"
CANCEL_SUBSCRIPTION: Final = "cancel_subscription"
# What a policy may ask for; keys that it had suspended are resumed without being asked.
ACTIONS: Final = (REMIND, RETRY, SUSPEND_KEYS, MARK_UNCOLLECTIBLE, CANCEL_SUBSCRIPTION)
RESUME_KEYS: Final = "resume_keys"
MAX_STEPS: Final = 50
MAX_DAYS: Final = 3_650


class UnusableDunning(Invalid):
    """These steps cannot be taken, or these notices not given; `errors` says what to do, field by field."""

    code = "unusable_dunning"


@dataclass(frozen=True, kw_only=True)
class DunningTerms:
    """What a policy says: steps in the order they are taken, and how many days ahead notice is given."""

    steps: tuple[DunningStep, ...] = ()
    renewal_days_before: int | None = None
    trial_end_days_before: int | None = None


@dataclass(frozen=True)
class Dunning:
    """Every version of a book's dunning policy, the oldest first; none was adopted in most books."""

    versions: tuple[DunningPolicyAdopted, ...] = field(default=())

    @property
    def last(self) -> DunningPolicyAdopted | None:
        """The version in force, if one was ever adopted."""
        return self.versions[-1] if self.versions else None

    def spans(self) -> Iterator[tuple[DunningPolicyAdopted, datetime]]:
        """Give each version with the instant from which it is in force no more."""
        for version, following in pairwise(self.versions):
            yield version, following.in_force_from
        if self.versions:
            yield self.versions[-1], LATEST


def dunning_stream(book: UUID) -> UUID:
    """Give the stream of a book's dunning policy."""
    return derive("dunning", book.bytes)


def adopt(state: Dunning | None, terms: DunningTerms, time_zone: str, now: datetime) -> list[DunningEvent]:
    """Go by other terms from now on; adopting those in force again changes nothing."""
    checked_terms(terms)
    last = None if state is None else state.last
    if terms_of(last) == terms and (last is None or last.time_zone == time_zone):
        return []
    return [
        DunningPolicyAdopted(
            policy_version=1 if last is None else last.policy_version + 1,
            # Two machines' clocks differ: no version is in force before the one it follows.
            in_force_from=now if last is None else max(now, last.in_force_from),
            time_zone=time_zone,
            steps=terms.steps,
            renewal_days_before=terms.renewal_days_before,
            trial_end_days_before=terms.trial_end_days_before,
        )
    ]


def terms_of(version: DunningPolicyAdopted | None) -> DunningTerms:
    """Give what a version says; before the first, nothing is done."""
    if version is None:
        return DunningTerms()
    return DunningTerms(
        steps=version.steps,
        renewal_days_before=version.renewal_days_before,
        trial_end_days_before=version.trial_end_days_before,
    )


def checked_terms(terms: DunningTerms) -> DunningTerms:
    """Return terms that can be gone by, or refuse them with what to do about each field."""
    reasons: dict[str, list[str]] = {}
    for path, reason in (*_step_problems(terms.steps), *_notice_problems(terms)):
        reasons.setdefault(path, []).append(reason)
    if reasons:
        path, (reason, *_) = next(iter(reasons.items()))
        raise UnusableDunning(f"{path}: {reason}", reasons)
    return terms


def _step_problems(steps: Sequence[DunningStep]) -> Iterator[tuple[str, str]]:
    if len(steps) > MAX_STEPS:
        yield "steps", f"must be at most {MAX_STEPS}"
        return
    for number, step in enumerate(steps):
        if step.action not in ACTIONS:
            yield f"steps.{number}.action", f"must be one of {', '.join(ACTIONS)}"
        if not 0 <= step.days_after_due <= MAX_DAYS:
            yield f"steps.{number}.days_after_due", f"must be from 0 to {MAX_DAYS}"
        if number and step.days_after_due < steps[number - 1].days_after_due:
            yield f"steps.{number}.days_after_due", "must not be less than that of the step before"
        if step in steps[:number]:
            yield f"steps.{number}", "is there before: leave it out"


def _notice_problems(terms: DunningTerms) -> Iterator[tuple[str, str]]:
    for name in ("renewal_days_before", "trial_end_days_before"):
        days = getattr(terms, name)
        if days is not None and not 0 <= days <= MAX_DAYS:
            yield name, f"must be from 0 to {MAX_DAYS}, or null for no notice"


@begins_with(DunningPolicyAdopted)
def evolve(state: Dunning | None, event: DunningEvent) -> Dunning:
    """Apply one event."""
    return Dunning((*(state or Dunning()).versions, event))
