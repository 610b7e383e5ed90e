"""A message as Kafka has it: where it stands, when the broker took it, and its bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from ledger.identifiers import derived_id

Headers = tuple[tuple[str, bytes], ...]
# A message of usage or a command is far smaller; a webhook of Stripe's is smaller too.
MAX_VALUE_BYTES: Final = 256 * 1024


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a partition; `feed` names cluster and topic for ever."""

    feed: str
    topic: str
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def dead_letter(self) -> str:
        """The id it has as a dead letter: a place in a feed is one, however often it is read."""
        return derived_id("dlt", "dead-letter", self.feed, str(self.partition), str(self.offset))

    def header(self, name: str) -> bytes | None:
        """Give the last header of a name."""
        return next((value for known, value in reversed(self.headers) if known == name), None)
