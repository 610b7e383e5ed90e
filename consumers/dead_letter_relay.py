"""The topic of dead letters: what needs a person is told to whoever listens there, at least once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from consumers.dead_letter_reads import unrelayed
from consumers.dead_letters import clean
from consumers.kafka_client import client_options
from ledger.errors import Unavailable
from ledger.identifiers import public_id
from ledger.stamps import HEADER as STAMP
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from psycopg import Connection
    from psycopg.rows import DictRow

    from consumers.dead_letter_reads import DeadLetter
    from ledger.feed_settings import FeedSettings
    from ledger.store import Log

# One relay at a time, in the order of the letters. No row is locked while Kafka is waited for: a person who
# settles a letter, or an append that does, must not wait for Kafka.
_LOCK_KEY: Final = 4_412_027_010
_PATIENCE_MS: Final = 10_000
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)


def relay_producer(feed: FeedSettings) -> KafkaProducer:
    """Make a producer that acknowledges what every replica in sync has, and gives up soon enough."""
    return KafkaProducer(
        **client_options(feed),
        acks="all",
        enable_idempotence=True,
        max_block_ms=_PATIENCE_MS,
        request_timeout_ms=_PATIENCE_MS // 2,
        delivery_timeout_ms=_PATIENCE_MS,
    )


def relay(
    log: Log, producer: KafkaProducer, now: datetime, limit: int = 500, topic: str = topics.REJECTED
) -> int:
    """Produce open dead letters that were not yet, oldest first, and give how many were acknowledged.

    Raises Unavailable when Kafka took none of them. Nothing is done while somebody else relays.
    """
    with log.connection() as connection, _alone(connection) as alone:
        letters = unrelayed(connection, limit) if alone else []
        if not letters:
            return 0
        done = _produce(log, producer, topic, letters)
        connection.execute(
            "UPDATE daybook.dead_letters SET relayed_at = %s WHERE dead_letter = ANY(%s)", (now, done)
        )
        return len(done)


@contextmanager
def _alone(connection: Connection[DictRow]) -> Iterator[bool]:
    row = connection.execute("SELECT pg_try_advisory_lock(%s) AS taken", (_LOCK_KEY,)).fetchone()
    assert row is not None, "the query gives one row"
    try:
        yield row["taken"]
    finally:
        if row["taken"]:
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK_KEY,))


def _produce(log: Log, producer: KafkaProducer, topic: str, letters: Sequence[DeadLetter]) -> list[str]:
    """Produce letters, those that are too large in outline, and name those that arrived."""
    failures = _send(log, producer, topic, letters, whole=True)
    too_large = [one for one in letters if isinstance(failures.get(one.dead_letter), _TOO_LARGE)]
    if too_large:
        for one in too_large:
            del failures[one.dead_letter]
        failures |= _send(log, producer, topic, too_large, whole=False)
    if len(failures) == len(letters):
        raise Unavailable("Kafka takes no dead letters") from next(iter(failures.values()))
    return [one.dead_letter for one in letters if one.dead_letter not in failures]


def _send(
    log: Log, producer: KafkaProducer, topic: str, letters: Sequence[DeadLetter], *, whole: bool
) -> dict[str, BaseException]:
    """Send letters, wait for all, and give what failed by letter."""
    failures: dict[str, BaseException] = {}
    futures = {}
    for one in letters:
        value = one.value(log) if whole else None
        try:
            futures[one.dead_letter] = producer.send(
                topic, key=one.dead_letter.encode(), value=value, headers=headers_of(one, whole=whole)
            )
        except KafkaError as error:
            failures[one.dead_letter] = error
            if not isinstance(error, _TOO_LARGE):
                break  # it is out of reach, and each of the others would wait as long to find out
    try:
        producer.flush(timeout=_PATIENCE_MS / 1000)
    except KafkaError as error:
        failures |= {letter: error for letter, future in futures.items() if not future.is_done}
    failures |= {letter: future.exception for letter, future in futures.items() if future.failed()}
    unsent = KafkaError("not tried")
    return failures | {
        one.dead_letter: unsent
        for one in letters
        if one.dead_letter not in futures and one.dead_letter not in failures
    }


def headers_of(letter: DeadLetter, *, whole: bool = True) -> list[tuple[str, bytes]]:
    """Give the headers a letter is told with: why and from where, then those it had, without our stamp."""
    told = {
        "daybook-dead-letter": letter.dead_letter,
        "daybook-code": letter.code,
        "daybook-reason": clean(letter.reason),
        "daybook-topic": letter.topic,
        "daybook-partition": str(letter.partition),
        "daybook-offset": str(letter.record_offset),
        "daybook-book": None if letter.book is None else public_id("book", letter.book),
        "daybook-known-position": None if letter.known_position is None else str(letter.known_position),
        # Too large for the topic: it is in the table, where its digest tells it.
        "daybook-value-left-out": None if whole else letter.value_digest,
    }
    ours = [(name, text.encode()) for name, text in told.items() if text is not None]
    if not whole:
        return ours
    return ours + [(name, value) for name, value in letter.headers if name not in told and name != STAMP]
