"""What every event is: a frozen fact with a permanent topic, a class version and who and when around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import msgspec

FORGOTTEN = "[forgotten]"


@dataclass(frozen=True, kw_only=True)
class Event:
    """A fact in the past tense; `topic` and `version` are permanent once a golden file holds them."""

    topic: ClassVar[str]
    version: ClassVar[int] = 1
    # The fields that hold personal data: text that is sealed in the log under the subject's data key.
    personal: ClassVar[tuple[str, ...]] = ()

    def subject(self) -> str:
        """Name whose data key seals the personal fields."""
        raise LookupError(self.topic)


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who did it: a principal (person, service, account, stripe, scheduler or system) and the key it used."""

    principal: str
    kind: str
    key: str | None = None


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds every event: the book, when it happened and was booked, who did it and why."""

    book: UUID
    occurred_at: datetime
    booked_at: datetime
    actor: Actor
    cause: str


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event about to be appended at a version of its stream."""

    stream: UUID
    stream_version: int
    event: Event
    metadata: Metadata


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the log, with its position and the log's own time."""

    position: int
    stream: UUID
    stream_version: int
    recorded_at: datetime
    event: Event
    metadata: Metadata
