"""The feed as a consumer group reads it: which partitions are ours, from which offset on, and what comes."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import FencedInstanceIdError, IllegalStateError, KafkaError, OffsetOutOfRangeError
from msgspec import structs

from consumers.kafka_client import client_options
from consumers.message import Message
from consumers.offsets import Claim, Fenced, Held, look_again, take, taken_over
from consumers.topics import feed_name
from ledger.errors import DaybookError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from psycopg import Connection
    from psycopg.rows import DictRow

    from consumers.usage_batch import Record
    from ledger.feed_settings import FeedSettings

# What one fetch brings of a partition; four of these are a few batches, and the most that is held ahead.
_FETCH_BYTES: Final = 4 * 1024 * 1024
_FETCH_ALL_BYTES: Final = 16 * 1024 * 1024
_SESSION_TIMEOUT_MS: Final = 10_000
_HEARTBEAT_MS: Final = 2_000


class FeedGap(DaybookError):
    """Messages were deleted before they were read, or the topic is shorter than what was read of it."""

    code: ClassVar[str] = "feed_gap"


@dataclass(frozen=True)
class Slice:
    """Records of one partition, in order, and the claim that one transaction makes for them."""

    topic: str
    claim: Claim
    records: Sequence[Record]

    def pieces(self) -> Iterator[tuple[Slice, Record]]:
        """Cut it into one record each; together their claims are this one."""
        start = self.claim.start
        for record in self.records:
            claim = structs.replace(self.claim, start=start, end=record.offset + 1)
            yield Slice(self.topic, claim, [record]), record
            start = claim.end


@dataclass(frozen=True)
class Member:
    """A member of the group: which process it is, what it reads, and its name if it has one of its own.

    One that joins again under its name gets its partitions back at once.
    """

    owner: str
    topics: Sequence[str]
    instance: str | None = None


class KafkaSource:
    """Reads topics as a member of a group; which offsets are next is PostgreSQL's to say, never Kafka's."""

    def __init__(self, feed: FeedSettings, member: Member, on_revoked: Callable[[], None]) -> None:
        """Join the group; `on_revoked` is called before partitions go to another member."""
        self._owner = member.owner
        self._consumer = KafkaConsumer(
            **client_options(feed),
            client_id=member.owner,
            group_id=feed.group,
            group_instance_id=member.instance,
            enable_auto_commit=False,
            # No reset at all: an offset that is not there raises, and is never passed over.
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_bytes=_FETCH_ALL_BYTES,
            session_timeout_ms=_SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=_HEARTBEAT_MS,
        )
        self._lock = threading.Lock()
        self._new: set[TopicPartition] = set()
        self._held: dict[TopicPartition, Held] = {}
        self._consumer.subscribe(list(member.topics), listener=_Listener(self, on_revoked))

    # -- partitions -----------------------------------------------------------------------------------

    @property
    def unsettled(self) -> bool:
        """Whether partitions were assigned that have not been taken yet."""
        return bool(self._new)

    def settle(self, connection: Connection[DictRow]) -> None:
        """Take the partitions that were assigned, and read on from where the log says they stand."""
        with self._lock:
            new = sorted(self._new)
        for partition in new:
            feed = feed_name(self._consumer._cluster, partition.topic)  # noqa: SLF001 - nothing public has it
            held = take(connection, feed, partition.topic, partition.partition, self._owner)
            with self._lock:
                # It may have been revoked again meanwhile.
                if partition in self._new:
                    self._new.discard(partition)
                    self._begin(partition, held)

    def start_over(self, connection: Connection[DictRow]) -> None:
        """Throw away what was read ahead, and read on from where the log says that each partition stands."""
        for partition, held in list(self._held.items()):
            stands = look_again(connection, held)
            with self._lock:
                if partition in self._held:
                    self._begin(partition, stands)

    def require_ours(self, connection: Connection[DictRow]) -> None:
        """Refuse when another consumer has taken over one of our partitions.

        A claim finds that out too, but only once there is something to claim: Kafka may keep it from us that
        we are no member any more, and then nothing ever comes.
        """
        with self._lock:
            held = list(self._held.values())
        lost = taken_over(connection, held) if held else set()
        with self._lock:
            # Not those that were revoked meanwhile, as it should be.
            lost &= {(one.feed, one.partition) for one in self._held.values()}
        if lost:
            message = f"another consumer has taken over {len(lost)} of our partitions"
            raise Fenced(message)

    def _begin(self, partition: TopicPartition, held: Held) -> None:
        self._held[partition] = held
        self._consumer.seek(partition, held.next_offset)
        self._consumer.resume(partition)

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Note partitions that are ours now; they stay paused until they are taken."""
        with self._lock:
            for partition in partitions:
                # Kafka is not asked where to begin; where that is, is found out when it is taken.
                self._consumer.seek(partition, 0)
                self._consumer.pause(partition)
                self._new.add(partition)

    def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that are another member's now; what was read ahead of the others goes too."""
        with self._lock:
            for partition in partitions:
                self._new.discard(partition)
                self._held.pop(partition, None)
            for partition in self._held:
                self._consumer.pause(partition)
                self._new.add(partition)
            self._held.clear()

    # -- reading --------------------------------------------------------------------------------------

    def poll(self, timeout_seconds: float, max_records: int) -> list[Slice]:
        """Read what has come, at most so many records, each partition's with its claim."""
        try:
            polled = self._consumer.poll(int(timeout_seconds * 1000), max_records=max_records)
        except OffsetOutOfRangeError as error:
            raise self._gap(error) from error
        except FencedInstanceIdError as error:
            message = "another consumer has joined the group under this one's instance name"
            raise Fenced(message) from error
        with self._lock:
            slices = [self._slice(partition, records) for partition, records in polled.items() if records]
        return [one for one in slices if one is not None]

    def _slice(self, partition: TopicPartition, records: Sequence[Record]) -> Slice | None:
        held = self._held.get(partition)
        if held is None:
            # It was revoked meanwhile.
            return None
        if records[0].offset < held.next_offset:
            # Left out, they would be passed over: what comes next would be claimed from where they begin.
            message = f"{partition} was read from before where it stands"
            raise Unavailable(message)
        end = records[-1].offset + 1
        self._held[partition] = Held(held.feed, held.partition, held.epoch, end)
        claim = Claim(held.feed, held.partition, held.next_offset, end, held.epoch)
        return Slice(partition.topic, claim, records)

    def _gap(self, error: OffsetOutOfRangeError) -> FeedGap:
        places = []
        for partition, offset in error.args[0].items():
            first = self._consumer.beginning_offsets([partition])[partition]
            end = self._consumer.end_offsets([partition])[partition]
            places.append(
                f"partition {partition.partition} of {partition.topic}: {offset} is next,"
                f" but Kafka has {first} to {end}"
            )
        return FeedGap(
            f"{'; '.join(places)}. Nothing is passed over by itself:"
            " see `daybook topics accept-gap --help` for what can be done"
        )

    def pause(self) -> None:
        """Read nothing for now, and stay a member of the group."""
        self._consumer.pause(*self._consumer.assignment())

    def stay(self, timeout_seconds: float) -> None:
        """Stay a member of the group while nothing is read."""
        self.pause()
        self._consumer.poll(int(timeout_seconds * 1000))

    def lags(self, claimed: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        """Count what is not appended yet, by topic and partition, as far as Kafka has told."""
        with self._lock:
            held = dict(self._held)
        found = {}
        for partition, one in held.items():
            place = (partition.topic, partition.partition)
            # Revoked meanwhile, it is another member's to tell of.
            with suppress(IllegalStateError, KeyError):
                highwater = self._consumer.highwater(partition)
                if highwater is not None:
                    found[place] = max(0, highwater - claimed.get(place, one.next_offset))
        return found

    def close(self) -> None:
        """Leave the group."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=5_000)
        except KafkaError as error:
            message = "Kafka is out of reach"
            raise Unavailable(message) from error


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
    """What the group does with our partitions; called on the client's own thread."""

    def __init__(self, source: KafkaSource, on_revoked: Callable[[], None]) -> None:
        self._source = source
        self._on_revoked = on_revoked

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._source.assigned(assigned)

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if revoked:
            # What is being appended is finished first: the next owner then begins after it.
            self._source.revoked(revoked)
            self._on_revoked()

    def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)


def message_of(feed: str, record: Any) -> Message:  # noqa: ANN401 - the client's own record
    """Give a record as a message, with all of its parts."""
    return Message(
        feed=feed,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        key=record.key,
        value=record.value,
        headers=tuple((name, value or b"") for name, value in record.headers or ()),
    )
