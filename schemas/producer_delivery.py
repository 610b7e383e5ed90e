"""The thread that brings a buffer's messages to Kafka, and keeps at it while Kafka is away."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from kafka.errors import InvalidRecordError, MessageSizeTooLargeError, RecordListTooLargeError

from schemas.producer_client import Client, connect, leave
from schemas.producer_flights import Flight, Flights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.producer_buffer import Buffer, Reason
    from schemas.producer_flights import Failure
    from schemas.producer_message import Message

_log: Final = logging.getLogger(__name__)
# What the library holds at once: enough for full batches on every partition, little to send twice.
_WIDEST: Final = 20_000
_MOST_AT_ONCE: Final = 1_000
# How often the library is given what waits and asked what has arrived, unless there is plenty to give.
_TURN_SECONDS: Final = 0.01
# The library itself gives up on a message after its timeout; after this many of them it is given up on.
_PATIENCE: Final = 1.5
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
# For so long a topic is not asked again whether it takes a message as large as one it refused.
_TOO_LARGE_SECONDS: Final = 60.0
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
# What may be wrong with a message itself; anything else may pass.
_FINAL: Final = (*_TOO_LARGE, InvalidRecordError)


class Delivery:
    """One thread and one client at a time; the buffer is told of each message's end exactly once."""

    def __init__(
        self, buffer: Buffer, topic: str, give_up_seconds: float, options: Mapping[str, Any]
    ) -> None:
        """Know what to send, and where; `start` begins."""
        self._buffer, self._topic = buffer, topic
        self._give_up_seconds, self._options = give_up_seconds, options
        self._client: Client | None = None
        self._flights = Flights()
        self._width = _WIDEST
        self._patience_seconds = _PATIENCE * options["delivery_timeout_ms"] / 1_000
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._too_large_bytes, self._too_large_until_seconds = 0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daybook-usage-producer", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop sending; the thread is waited for, but not for ever: it may be waiting for Kafka itself."""
        self._stop.set()
        self._buffer.wake()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 - whatever it is: without this thread nothing is sent
                _log.warning("usage is kept and sent again, since Kafka did not take it: %r", error)
                self._begin_anew()
                self._stop.wait(self._pause_seconds)
                self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._begin_anew()

    def _turn(self) -> None:
        """Send what waits, as far as there is room for it, and see what has arrived."""
        given_up = self._buffer.drop_older_than(monotonic() - self._give_up_seconds)
        if given_up:
            _log.error("%d usage events are lost: Kafka did not take them in time", given_up)
        most = min(_MOST_AT_ONCE, self._width - len(self._flights))
        taken = self._send(most) if most and self._buffer.has_waiting else 0
        self._see_what_arrived()
        if taken == _MOST_AT_ONCE:
            return
        if taken or self._flights:
            # Not until the next message arrives: a turn for each would cost more than the messages.
            self._stop.wait(_TURN_SECONDS)
        else:
            self._buffer.wait_for_messages()

    def _send(self, most: int) -> int:
        """Hand messages to the library, each to the partition that its account's key belongs to."""
        if self._client is None:
            self._client = connect(self._options)
        partitions = sorted(self._client.partitions_for(self._topic))
        send, topic, count, add = self._client.send, self._topic, len(partitions), self._flights.add
        now_seconds = monotonic()
        messages = self._buffer.take(most)
        if now_seconds < self._too_large_until_seconds:
            messages = self._without_too_large(messages)
        for number, message in enumerate(messages):
            partition = partitions[message.place % count]
            try:
                # Naming the partition spares the library most of a third of its work for a message.
                future = send(topic, message.value, message.key, partition=partition)
            except MessageSizeTooLargeError:
                self._lose([message], "too_large")
                continue
            except Exception:
                self._buffer.give_back(messages[number:], retried=False)
                raise
            add(partition, Flight(future, message, now_seconds))
        return len(messages)

    def _without_too_large(self, messages: list[Message]) -> list[Message]:
        """Drop what is as large as what the topic refused lately."""
        self._lose([each for each in messages if each.size_bytes >= self._too_large_bytes], "too_large")
        return [each for each in messages if each.size_bytes < self._too_large_bytes]

    def _see_what_arrived(self) -> None:
        """Tell the buffer what is acknowledged; after a failure all else is sent again by another client."""
        was_alone = len(self._flights) == 1
        arrived, failed = self._flights.landed()
        self._buffer.delivered(arrived)
        if arrived:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
            if not self._flights:
                self._width = min(2 * self._width, _WIDEST)
        if failed:
            self._judge(failed, was_alone=was_alone)
            raise failed[0].error
        if self._flights.sent_before(monotonic() - self._patience_seconds):
            message = "the client does not say what became of it"
            raise TimeoutError(message)

    def _judge(self, failed: list[Failure], *, was_alone: bool) -> None:
        """Drop a message only for what is proven against it, which takes that it was alone.

        When a topic refuses one message, the library (3.0.12) fails all others that are under way with the
        same error, as fatal. So fewer and fewer are sent at once, until the one to blame is by itself.
        """
        error = failed[0].error
        if was_alone and isinstance(error, _TOO_LARGE):
            self._too_large_bytes = failed[0].message.size_bytes
            self._too_large_until_seconds = monotonic() + _TOO_LARGE_SECONDS
            self._lose([failed[0].message], "too_large")
        elif was_alone and isinstance(error, InvalidRecordError):
            self._lose([failed[0].message], "refused")
        else:
            self._buffer.give_back([failure.message for failure in failed], retried=True)
            if any(isinstance(failure.error, _FINAL) for failure in failed):
                self._width = max(1, self._width // 8)
                self._pause_seconds = _FIRST_PAUSE_SECONDS

    def _lose(self, messages: list[Message], reason: Reason) -> None:
        if messages:
            _log.error("%d usage events are lost: %s", len(messages), reason)
            self._buffer.drop(messages, reason)

    def _begin_anew(self) -> None:
        """Leave the client; what it may not have delivered is sent again by the next one.

        Some of it may be in Kafka already: the consumer knows it by book, source and id.
        """
        if self._client is not None:
            leave(self._client)
            self._client = None
        arrived, failed = self._flights.landed()
        self._buffer.delivered(arrived)
        again = [*(failure.message for failure in failed), *self._flights.clear()]
        self._buffer.give_back(again, retried=True)
