"""Writing to one topic in transactions: a batch as a whole or not, by the newest writer of a name only."""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from kafka import KafkaProducer
from kafka.errors import InvalidProducerEpochError, KafkaError, KafkaTimeoutError, ProducerFencedError
from kafka.partitioner.default import murmur2

from consumers.kafka_client import client_options, close_producer
from consumers.topics import MAX_OUTBOUND_BYTES, feed_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafka.producer.future import FutureRecordMetadata

    from consumers.published_event import Outgoing
    from ledger.feed_settings import FeedSettings

_BLOCK_MS: Final = 10_000
_REQUEST_MS: Final = 10_000
# How long a message is tried before its transaction is given up; shorter than a transaction may last.
_DELIVERY_MS: Final = 30_000
_TRANSACTION_MS: Final = 60_000
# One request a partition is under way at a time, so a large one is what makes it fast.
_BATCH_BYTES: Final = 512 * 1024
_CLOSE_SECONDS: Final = 2.0
_FENCED: Final = (ProducerFencedError, InvalidProducerEpochError)

logger = logging.getLogger("daybook.publish")


@lru_cache(maxsize=65_536)
def _hash_of(key: bytes) -> int:
    """Hash a key as every client of Kafka's does: the partition of a key never depends on who wrote it."""
    return int(murmur2(key)) & 0x7FFF_FFFF


class TransactionalWriter:
    """One producer from its start to its end; after any error it is closed and another one is opened."""

    def __init__(self, feed: FeedSettings, topic: str, transactional_id: str) -> None:
        """Reach the cluster and learn about the topic; KafkaError when that fails."""
        self._topic = topic
        self._began_at = 0.0
        self._producer = KafkaProducer(
            **client_options(feed),
            transactional_id=transactional_id,
            transaction_timeout_ms=_TRANSACTION_MS,
            delivery_timeout_ms=_DELIVERY_MS,
            request_timeout_ms=_REQUEST_MS,
            max_block_ms=_BLOCK_MS,
            batch_size=_BATCH_BYTES,
            max_request_size=MAX_OUTBOUND_BYTES,
            allow_auto_create_topics=False,
        )
        # What it does by itself as the process ends may fail, with a traceback; it is closed, or left.
        self._producer._unregister_cleanup()  # noqa: SLF001 - nothing public does it
        try:
            self._producer.partitions_for(topic)
        except BaseException:
            self.close()
            raise

    @property
    def feed(self) -> str:
        """Name the cluster's topic for ever; another name than before means that it was made again."""
        return feed_name(self._producer._metadata, self._topic)  # noqa: SLF001 - nothing public tells it

    def take_over(self) -> None:
        """Fence every earlier writer of the name, and have what it left undone aborted."""
        self._began_at = time.monotonic()
        self._producer.init_transactions()

    def begin(self, messages: Sequence[Outgoing]) -> list[FutureRecordMetadata]:
        """Begin a transaction and hand it the messages, which are sent meanwhile."""
        self._began_at = time.monotonic()
        self._producer.begin_transaction()
        partitions = sorted(self._producer.partitions_for(self._topic))
        count, send, topic = len(partitions), self._producer.send, self._topic
        return [
            send(topic, message.value, message.key, partition=partitions[_hash_of(message.key) % count])
            for message in messages
        ]

    def commit(self, sent: Sequence[FutureRecordMetadata]) -> None:
        """Wait for all of it to be acknowledged, and commit; readers of what is committed see it now."""
        self._producer.flush(_DELIVERY_MS / 1000)
        # Looked at one by one, for a producer that mends itself may lose some and still commit the others.
        for future in sent:
            if not future.succeeded():
                raise future.exception or KafkaTimeoutError("a message was not acknowledged")
        self._producer.commit_transaction()

    def fenced_by(self, error: KafkaError) -> bool:
        """Say whether an error means that another writer took over.

        Kafka itself fences whoever keeps a transaction open for too long; that one may begin anew.
        """
        last = self._producer._transaction_manager.last_error  # noqa: SLF001 - what is raised may hide it
        fenced = isinstance(error, _FENCED) or isinstance(last, _FENCED)
        return fenced and time.monotonic() - self._began_at < _TRANSACTION_MS / 1000

    def close(self) -> None:
        """Give it up: what was not committed never will be."""
        close_producer(self._producer, _CLOSE_SECONDS)
