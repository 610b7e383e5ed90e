"""The thread that brings a buffer's messages to Kafka, and keeps at it while Kafka is away."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from kafka.errors import InvalidRecordError, MessageSizeTooLargeError, RecordListTooLargeError

from schemas.producer_client import Client, connect, leave

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafka.producer.future import FutureRecordMetadata

    from schemas.producer_buffer import Buffer, Reason
    from schemas.producer_message import Message

_log: Final = logging.getLogger(__name__)
# What the library holds at once: enough for full batches on every partition, little to send twice.
_MOST_UNDER_WAY: Final = 20_000
_MOST_AT_ONCE: Final = 1_000
# How often the library is asked what has arrived.
_TURN_SECONDS: Final = 0.005
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 2.0
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
# What is wrong with the message itself; anything else may pass.
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
        # By partition, since a partition's batches are acknowledged in the order in which they were sent.
        self._flights: defaultdict[int, deque[tuple[FutureRecordMetadata, Message]]] = defaultdict(deque)
        self._under_way = 0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
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
        most = min(_MOST_AT_ONCE, _MOST_UNDER_WAY - self._under_way)
        sent = self._send(most) if most and self._buffer.has_waiting else 0
        self._see_what_arrived()
        if sent:
            return
        if self._under_way == _MOST_UNDER_WAY:
            self._stop.wait(_TURN_SECONDS)
        else:
            self._buffer.wait_for_messages(_TURN_SECONDS if self._under_way else None)

    def _send(self, most: int) -> int:
        """Hand messages to the library, each to the partition that its account's key belongs to."""
        if self._client is None:
            self._client = connect(self._options)
        partitions = sorted(self._client.partitions_for(self._topic))
        send, topic, count, flights = self._client.send, self._topic, len(partitions), self._flights
        messages = self._buffer.take(most)
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
            flights[partition].append((future, message))
            self._under_way += 1
        return len(messages)

    def _see_what_arrived(self) -> None:
        """Tell the buffer what is acknowledged; whatever failed goes back to it, and the client is left."""
        arrived, failed = self._landed()
        self._buffer.delivered(arrived)
        self._under_way -= len(arrived) + len(failed)
        if arrived:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._lose([message for message, error in failed if isinstance(error, _TOO_LARGE)], "too_large")
        self._lose([message for message, error in failed if isinstance(error, InvalidRecordError)], "refused")
        again = [(message, error) for message, error in failed if not isinstance(error, _FINAL)]
        if again:
            self._buffer.give_back([message for message, _ in again], retried=True)
            raise again[0][1]

    def _landed(self) -> tuple[list[Message], list[tuple[Message, Exception]]]:
        """Take out the messages that the library is done with."""
        arrived, failed = [], []
        for flights in self._flights.values():
            while flights and flights[0][0].is_done:
                future, message = flights.popleft()
                if future.exception is None:
                    arrived.append(message)
                else:
                    failed.append((message, future.exception))
        return arrived, failed

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
        arrived, failed = self._landed()
        unknown = [message for flights in self._flights.values() for _, message in flights]
        self._buffer.delivered(arrived)
        self._buffer.give_back([*(message for message, _ in failed), *unknown], retried=True)
        self._flights.clear()
        self._under_way = 0
