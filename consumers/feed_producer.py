"""What the HTTP edge hands to Kafka: acknowledged before the caller is answered, or sent no more.

The client's own retries would go on behind the back of a caller who was told that it failed; even a message
that it gives up on is still sent when the broker comes back in that very turn. So patience is kept here: when
it ends, the line is shut, nothing leaves through it any more, and the next caller gets another line. What had
left before, the broker may have: that is why an event has an identity, and is counted once however often it
is sent.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.protocol.producer import ProduceRequest

from consumers.kafka_client import client_options, close_producer
from consumers.message import MAX_VALUE_BYTES
from ledger.errors import TooLarge, Unavailable
from schemas.topics import STRIPE, USAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumers.outgoing import Outgoing
    from ledger.feed_settings import FeedSettings

PATIENCE_SECONDS: Final = 4.0
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
# A file of certificates that is not there is an OSError.
_NO_CONNECTION: Final = (KafkaError, OSError)
# An answer must come well within the caller's patience: first to a connection, then to what is asked.
_CONNECT_TIMEOUT_MS: Final = 1_500
_METADATA_TIMEOUT_MS: Final = 2_000
_REQUEST_TIMEOUT_MS: Final = 3_000
# Longer than any caller's patience: until then a line is shut already, and what expires cannot be sent.
_DELIVERY_TIMEOUT_MS: Final = 6_000
# A request of many events fills batches; one alone is sent as soon as its partition has nothing in flight.
_BATCH_BYTES: Final = 128 * 1024
# After a connection was refused, callers are told so at once for this long.
_REST_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 10.0
_OUT_OF_REACH: Final = "Kafka is out of reach; nothing was acknowledged"


class FeedProducer:
    """The edge's way into the feed: one connected producer a process, made when it is first needed."""

    def __init__(self, feed: FeedSettings) -> None:
        """Remember where Kafka is; nothing is connected yet, so that a process may still fork."""
        self._feed = feed
        self._making = threading.Lock()
        self._swapping = threading.Lock()
        self._line: _Line | None = None
        self._closing: list[threading.Thread] = []
        self._failed = False
        self._rests_until = 0.0
        self._probing = threading.Lock()
        self._probed_at = float("-inf")
        self._problem: str | None = None

    def send_all(self, messages: Sequence[Outgoing], timeout_seconds: float = PATIENCE_SECONDS) -> None:
        """Return once every message is acknowledged; when this refuses, none leaves any more."""
        assert timeout_seconds * 1_000 < _DELIVERY_TIMEOUT_MS, "patience ends before the client's own retries"
        if any(len(message.value) > MAX_VALUE_BYTES for message in messages):
            reason = f"a message must have at most {MAX_VALUE_BYTES} bytes"
            raise TooLarge(reason)
        deadline = time.monotonic() + timeout_seconds
        line = self._open_line()
        try:
            line.send_all(messages, deadline)
        except BaseException as error:
            # The client may be in no state to go on: after a refusal by the broker it is not.
            self._retire(line)
            if isinstance(error, _TOO_LARGE):
                reason = "a message is larger than Kafka takes"
                raise TooLarge(reason) from error
            if isinstance(error, KafkaError):
                raise Unavailable(_OUT_OF_REACH) from error
            raise

    def check(self) -> None:
        """Refuse when Kafka does not answer or lacks a topic we write to; it is asked once a second."""
        with self._probing:
            if time.monotonic() - self._probed_at > _REST_SECONDS:
                self._problem = _probed(self._feed)
                self._probed_at = time.monotonic()
            problem = self._problem
        if problem is not None:
            raise Unavailable(problem)

    def close(self) -> None:
        """Close the line; whoever still waits for an acknowledgement is given the time for it."""
        with self._making, self._swapping:
            line, self._line = self._line, None
        if line is not None:
            line.close()
        for closing in self._closing:
            closing.join(_CLOSE_SECONDS)

    def _open_line(self) -> _Line:
        """Give the line; while it is being made again after a failure, nobody else waits for it."""
        line = self._line
        if line is not None:
            return line
        if time.monotonic() < self._rests_until or not self._making.acquire(blocking=not self._failed):
            raise Unavailable(_OUT_OF_REACH)
        try:
            if self._line is None:
                self._line = self._made()
            return self._line
        finally:
            self._making.release()

    def _made(self) -> _Line:
        if time.monotonic() < self._rests_until:
            # Whoever was before us has just found out.
            raise Unavailable(_OUT_OF_REACH)
        try:
            line = _Line(self._feed)
        except _NO_CONNECTION as error:
            self._failed = True
            self._rests_until = time.monotonic() + _REST_SECONDS
            raise Unavailable(_OUT_OF_REACH) from error
        self._failed = False
        return line

    def _retire(self, line: _Line) -> None:
        """Shut a line before anybody is told that it failed; it closes once what is in flight has landed."""
        line.shut()
        with self._swapping:
            if self._line is not line:
                return
            self._line = None
            self._failed = True
        closing = threading.Thread(target=line.close, daemon=True, name="a line to Kafka closes")
        self._closing = [one for one in self._closing if one.is_alive()] + [closing]
        closing.start()


class _Line:
    """A connected producer, and the gate that everything it sends goes through."""

    def __init__(self, feed: FeedSettings) -> None:
        # Taken again by what is handed over while it is handed over, should that fail.
        self._gate = threading.RLock()
        self._shut = False
        self._networks: list[KafkaNetClient] = []
        options = {**client_options(feed), "bootstrap_timeout_ms": _CONNECT_TIMEOUT_MS}
        try:
            self._producer = KafkaProducer(
                **options,
                enable_idempotence=True,
                acks="all",
                allow_auto_create_topics=False,
                batch_size=_BATCH_BYTES,
                max_block_ms=_METADATA_TIMEOUT_MS,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
                delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
                kafka_client=self._make_network,
            )
        except BaseException:
            # The producer was never made, and so will never close this.
            for network in self._networks:
                network.close()
            raise

    def send_all(self, messages: Sequence[Outgoing], deadline: float) -> None:
        """Send messages and wait for every acknowledgement, or raise what the client says."""
        send = self._producer.send
        futures = [
            send(message.topic, message.value, message.key, list(message.headers)) for message in messages
        ]
        for future in futures:
            future.get(max(0.0, deadline - time.monotonic()))

    def has_topic(self, topic: str) -> bool:
        """Say whether Kafka has a topic."""
        try:
            return bool(self._producer.partitions_for(topic))
        except KafkaError:
            return False

    def shut(self) -> None:
        """Let nothing leave any more; acknowledgements of what has left may still come."""
        with self._gate:
            self._shut = True

    def close(self) -> None:
        """Close the connections, once what is in flight is acknowledged or given up."""
        close_producer(self._producer, _CLOSE_SECONDS)
        for network in self._networks:
            network.close()

    def _make_network(self, **options: object) -> KafkaNetClient:
        """Make the producer's network client, with our gate before its way out."""
        network = KafkaNetClient(**options)
        hand_over = network.send

        def send(node: object, request: object, **more: object) -> Future:
            with self._gate:
                if self._shut and isinstance(request, ProduceRequest):
                    # Retried until it expires, which disturbs nothing that is in flight.
                    return Future().failure(KafkaTimeoutError("the line is shut"))
                return hand_over(node, request, **more)

        network.send = send
        self._networks.append(network)
        return network


def _probed(feed: FeedSettings) -> str | None:
    """Say what is wrong with Kafka as a connection of its own finds it, if anything is."""
    try:
        line = _Line(feed)
    except _NO_CONNECTION:
        return "Kafka is out of reach"
    try:
        for topic in (USAGE, STRIPE):
            if not line.has_topic(topic):
                return f"Kafka has no topic {topic}, or does not say; run `daybook topics create`"
    finally:
        line.close()
    return None
