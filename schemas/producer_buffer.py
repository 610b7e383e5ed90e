"""What a producer holds until Kafka has it: bounded, counted, and shared by all of a service's threads."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.producer_message import Message

Reason = Literal["full", "gave_up", "too_large", "refused", "closed"]


class Dropped(msgspec.Struct, frozen=True):
    """Events that were recorded and are not going to be sent, by what kept them."""

    full: int = 0
    gave_up: int = 0
    too_large: int = 0
    refused: int = 0
    closed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.full + self.gave_up + self.too_large + self.refused + self.closed


class Counts(msgspec.Struct, frozen=True):
    """What became of every event; recorded == delivered + pending + dropped.total, always."""

    recorded: int
    delivered: int
    pending: int
    retried: int
    dropped: Dropped


class Buffer:
    """Messages that wait, and how many are under way; every method may be called from any thread."""

    def __init__(self, max_pending: int, max_pending_bytes: int) -> None:
        """Hold at most so many messages and bytes, those under way included."""
        self._max_pending, self._max_pending_bytes = max_pending, max_pending_bytes
        # Re-entrant: a signal's handler may record while its thread is in here.
        lock = threading.RLock()
        self._arrived, self._settled = threading.Condition(lock), threading.Condition(lock)
        self._lock = lock
        self._waiting: deque[Message] = deque()
        self._recorded = self._delivered = self._retried = 0
        self._pending = self._pending_bytes = 0
        self._dropped: Counter[Reason] = Counter()
        # Nothing has left since a caller waited in vain: the next ones need not wait to know.
        self._stuck = False
        self._asleep = self._awake = False
        self._closed = self._finished = False

    def put(self, message: Message, max_block_seconds: float) -> bool:
        """Take a message, waiting for room if there is none; say no if it had to be dropped."""
        with self._lock:
            self._recorded += 1
            if self._closed:
                self._dropped["closed"] += 1
                return False
            if not self._has_room(message) and not self._wait_for_room(message, max_block_seconds):
                self._dropped["full"] += 1
                return False
            self._pending += 1
            self._pending_bytes += message.size_bytes
            self._waiting.append(message)
            if self._asleep:
                self._arrived.notify()
            return True

    def _has_room(self, message: Message) -> bool:
        return (
            self._pending < self._max_pending
            and self._pending_bytes + message.size_bytes <= self._max_pending_bytes
        )

    def _wait_for_room(self, message: Message, seconds: float) -> bool:
        if self._stuck or seconds <= 0:
            return False
        has_room = self._settled.wait_for(lambda: self._closed or self._has_room(message), seconds)
        self._stuck = not has_room
        return has_room and not self._closed

    def wait_for_messages(self) -> None:
        """Sleep until a message waits or `wake` was called."""
        with self._lock:
            if self._waiting or self._awake:
                return
            self._asleep = True
            try:
                self._arrived.wait()
            finally:
                self._asleep = False

    @property
    def has_waiting(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._waiting)

    def wake(self) -> None:
        """End the sleep of who waits for messages."""
        with self._lock:
            self._awake = True
            self._arrived.notify_all()

    def take(self, most: int) -> list[Message]:
        """Take the oldest messages out to send them; they stay pending."""
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def give_back(self, messages: Sequence[Message], *, retried: bool) -> None:
        """Put messages that were taken before all others, the oldest first."""
        with self._lock:
            if self._finished:
                return
            self._waiting.extendleft(sorted(messages, key=_age, reverse=True))
            self._retried += len(messages) if retried else 0

    def drop_older_than(self, recorded_at_seconds: float) -> int:
        """Give up on messages that wait and were recorded before then; say how many."""
        with self._lock:
            old = []
            while self._waiting and self._waiting[0].recorded_at_seconds < recorded_at_seconds:
                old.append(self._waiting.popleft())
            self.drop(old, "gave_up")
            return len(old)

    def drop(self, messages: Sequence[Message], reason: Reason) -> None:
        """Count messages that were taken as lost."""
        with self._lock:
            self._dropped[reason] += self._settle(messages)

    def delivered(self, messages: Sequence[Message]) -> None:
        """Count messages that were taken as acknowledged."""
        with self._lock:
            self._delivered += self._settle(messages)

    def _settle(self, messages: Sequence[Message]) -> int:
        """Let messages go, and tell who waits for that; once finished, all were counted already."""
        if self._finished or not messages:
            return 0
        self._pending -= len(messages)
        self._pending_bytes -= sum(message.size_bytes for message in messages)
        self._stuck = False
        self._settled.notify_all()
        return len(messages)

    def wait_until_empty(self, seconds: float) -> bool:
        """Wait until nothing is pending, but not for ever; say whether it came to that."""
        with self._lock:
            return self._settled.wait_for(lambda: self._pending == 0, seconds)

    def close(self) -> None:
        """Take no more messages."""
        with self._lock:
            self._closed = True
            self._settled.notify_all()

    def finish(self) -> None:
        """Count what is still pending as lost; nothing is counted after this."""
        with self._lock:
            self._closed = self._finished = True
            self._dropped["closed"] += self._pending
            self._pending = self._pending_bytes = 0
            self._waiting.clear()
            self._settled.notify_all()

    def counts(self) -> Counts:
        """Say what became of every event so far."""
        with self._lock:
            dropped = msgspec.convert(self._dropped, Dropped)
            counts = Counts(self._recorded, self._delivered, self._pending, self._retried, dropped)
        assert counts.recorded == counts.delivered + counts.pending + counts.dropped.total, counts
        return counts


def _age(message: Message) -> float:
    return message.recorded_at_seconds
