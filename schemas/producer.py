"""For publishing services: record usage, and let it reach Daybook through Kafka without waiting for it.

    with UsageProducer("kafka:9092", source="gateway/eu-1", book="book_…") as usage:
        usage.record("acc_…", "api_calls", 1, region="eu")

An event has one id and one form for ever, so that Daybook drops what Kafka was given twice. docs/producing.md
is the page for who uses this.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from schemas.producer_buffer import Buffer, Counts, Dropped
from schemas.producer_client import client_options
from schemas.producer_delivery import Delivery
from schemas.producer_message import EventIds, Letterhead, Message, key_of
from schemas.producer_process import OPEN
from schemas.topics import USAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from schemas.producer_message import Property

__all__ = ["Counts", "Dropped", "UsageProducer"]

_log: Final = logging.getLogger(__name__)
_MIB: Final = 2**20
_SMALLEST_BUFFER_BYTES: Final = _MIB
_CLOSE_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 1.0


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class UsageProducer:
    """Records usage of one source in one book, from any thread, without waiting for Kafka.

    `record` waits only when `max_pending` events or `max_pending_bytes` are under way, at most
    `max_block_seconds`. What Kafka did not take within `give_up_seconds` is dropped. Nothing is dropped
    without being counted: see `counts`. Other options (TLS, SASL, batches) are kafka-python's own.
    """

    def __init__(  # noqa: PLR0913 - named, and all but three have a default
        self,
        bootstrap_servers: str,
        *,
        source: str,
        book: str,
        topic: str = USAGE,
        max_pending: int = 100_000,
        max_pending_bytes: int = 128 * _MIB,
        max_block_seconds: float = 0.05,
        give_up_seconds: float = 120.0,
        clock: Callable[[], datetime] = _wall_clock,
        **kafka_options: Any,
    ) -> None:
        """Connect to nothing yet: that happens in the background once there is something to send."""
        if not bootstrap_servers or max_pending < 1 or max_pending_bytes < _SMALLEST_BUFFER_BYTES:
            message = "a producer needs a server, and room for an event and for 1 MiB"
            raise ValueError(message)
        if max_block_seconds < 0 or give_up_seconds <= 0:
            message = "seconds to wait are not negative, and those to give up after are some"
            raise ValueError(message)
        self._letterhead = Letterhead(source, book)
        self._max_block_seconds = max_block_seconds
        self._clock = clock
        options = client_options(bootstrap_servers, give_up_seconds, kafka_options)
        self._new_buffer = partial(Buffer, max_pending, max_pending_bytes)
        self._new_delivery = partial(Delivery, topic=topic, give_up_seconds=give_up_seconds, options=options)
        self.begin()
        OPEN.add(self)

    def begin(self) -> None:
        """Begin with nothing recorded; so does a forked child, whose parent sends what it recorded itself."""
        self._event_ids = EventIds()
        self._buffer = self._new_buffer()
        self._delivery: Delivery | None = None
        self._starting = threading.Lock()

    def record(
        self,
        account: str,
        meter: str,
        quantity: str | int | Decimal,
        *,
        event_id: str | None = None,
        time: datetime | None = None,
        **properties: Property,
    ) -> str | None:
        """Record that an account used a quantity of a meter; give the event's id, or None if it was dropped.

        Whoever may record the same fact twice passes an `event_id` of the fact itself; otherwise the event
        gets a random one. Raises `Invalid` for what Daybook would refuse.
        """
        key, place = key_of(account)
        event_id = self._event_ids.new() if event_id is None else event_id
        time = self._clock() if time is None else time
        value = self._letterhead.cloud_event(event_id, account, meter, quantity, time, properties)
        message = Message(value, key, place, monotonic())
        if not self._buffer.put(message, self._max_block_seconds):
            return None
        if self._delivery is None:
            self._start()
        return event_id

    def _start(self) -> None:
        with self._starting:
            if self._delivery is None:
                delivery = self._new_delivery(self._buffer)
                try:
                    delivery.start()
                    self._delivery = delivery
                    OPEN.watch()
                except RuntimeError as error:
                    # No thread can be started: the next call tries again, unless the interpreter is ending.
                    _log.warning("usage is kept, and nothing can send it yet: %s", error)

    def counts(self) -> Counts:
        """Say what became of every event recorded so far by this process."""
        return self._buffer.counts()

    def flush(self, timeout: float = _CLOSE_SECONDS) -> bool:
        """Wait until nothing is pending, at most `timeout` seconds; say whether it came to that."""
        return self._buffer.wait_until_empty(timeout)

    def close(self, timeout: float = _CLOSE_SECONDS) -> bool:
        """Take no more events, and flush; what is still pending then is dropped. Once is enough."""
        self._buffer.close()
        is_empty = self.flush(timeout)
        if self._delivery is not None:
            self._delivery.stop(_STOP_SECONDS)
        self._buffer.finish()
        OPEN.discard(self)
        return is_empty

    def __enter__(self) -> Self:
        """Lend itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
