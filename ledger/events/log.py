"""Events about the log itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class EventSetAside(Event):
    """An event that no projection can apply is passed over by all of them, live and in every rebuild."""

    topic: ClassVar[str] = "log.event_set_aside"

    position: int
    reason: str
