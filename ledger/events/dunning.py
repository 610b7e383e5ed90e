"""Events of how a book goes after what is past due, and what it gives notice of; a stream a book."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class DunningStep:
    """What is done so many days after the day an invoice was due on."""

    days_after_due: int
    action: str


@dataclass(frozen=True, kw_only=True)
class DunningPolicyAdopted(Event):
    """From an instant on, these steps are taken and these notices given; days begin in the book's zone.

    What fell due before that instant was for the version before it, or for none.
    """

    topic: ClassVar[str] = "dunning_policy.adopted"

    policy_version: int
    in_force_from: datetime
    time_zone: str
    steps: tuple[DunningStep, ...] = ()
    # How many days ahead the account is told; none: it is not.
    renewal_days_before: int | None = None
    trial_end_days_before: int | None = None


DunningEvent = DunningPolicyAdopted
