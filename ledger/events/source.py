"""Events of a source: what a producer writes as, straight to Kafka, and on whose behalf."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class _OfSource(Event):
    source: str


@dataclass(frozen=True, kw_only=True)
class SourceGranted(_OfSource):
    """The source's messages are taken from an instant on, as done by the principal within the scopes."""

    topic: ClassVar[str] = "source.granted"

    principal: str
    principal_kind: str
    scopes: tuple[str, ...]
    granted_at: datetime


@dataclass(frozen=True, kw_only=True)
class SourceWithdrawn(_OfSource):
    """The source's messages are taken no more from an instant on; what the broker took before it counts."""

    topic: ClassVar[str] = "source.withdrawn"

    reason: str
    withdrawn_at: datetime


SourceEvent = SourceGranted | SourceWithdrawn
