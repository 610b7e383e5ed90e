"""The messages that kafka-python has and has not yet told the end of."""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
from kafka.producer.future import FutureRecordMetadata

from schemas.producer_message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator


class Flight(msgspec.Struct, frozen=True, gc=False):
    """One of them."""

    future: FutureRecordMetadata
    message: Message
    sent_at_seconds: float


class Failure(msgspec.Struct, frozen=True):
    """A message that the library could not deliver, and what it says of it."""

    message: Message
    error: Exception


class Flights:
    """All of them, by partition, since a partition's messages arrive in the order they were sent in.

    The library would call back for each message; asking the first of each partition costs far less.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._by_partition: defaultdict[int, deque[Flight]] = defaultdict(deque)
        self._count = 0

    def __len__(self) -> int:
        """Count them."""
        return self._count

    def add(self, partition: int, flight: Flight) -> None:
        """Add one that was just sent."""
        self._by_partition[partition].append(flight)
        self._count += 1

    def landed(self) -> tuple[list[Message], list[Failure]]:
        """Take out those that the library is done with: what arrived, and what failed."""
        arrived, failed = [], []
        for flight in self._done():
            if flight.future.exception is None:
                arrived.append(flight.message)
            else:
                failed.append(Failure(flight.message, flight.future.exception))
        self._count -= len(arrived) + len(failed)
        return arrived, failed

    def _done(self) -> Iterator[Flight]:
        for flights in self._by_partition.values():
            while flights and flights[0].future.is_done:
                yield flights.popleft()

    def clear(self) -> list[Message]:
        """Take out all that is left."""
        left = [flight.message for flight in chain.from_iterable(self._by_partition.values())]
        self._by_partition.clear()
        self._count = 0
        return left

    def sent_before(self, seconds: float) -> bool:
        """Say whether any was sent before then."""
        return any(
            flights and flights[0].sent_at_seconds < seconds for flights in self._by_partition.values()
        )
