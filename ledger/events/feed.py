"""Events of the feed: what people decided about messages that could not be applied as they came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ledger.events.base import Event


@dataclass(frozen=True, kw_only=True)
class DeadLetterDiscarded(Event):
    """A message that could not be applied never will be: what stood in its way, and why it was given up."""

    topic: ClassVar[str] = "feed.dead_letter_discarded"

    dead_letter: str
    source_topic: str
    partition: int
    offset: int
    value_digest: str
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FeedGapAccepted(Event):
    """Messages [from, to) of a partition are gone from Kafka unread; reading goes on behind them."""

    topic: ClassVar[str] = "feed.gap_accepted"

    feed: str
    source_topic: str
    partition: int
    from_offset: int
    to_offset: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class LogEpochRaised(Event):
    """The log was restored: positions behind this one may have been given out before, in an older epoch."""

    topic: ClassVar[str] = "feed.log_epoch_raised"

    epoch: int
    reason: str
