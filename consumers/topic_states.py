"""What there is of the topics: replicas, retention, and where each partition begins, ends and is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from consumers.topics import configs_of, described
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kafka import KafkaAdminClient
    from psycopg import Connection

_STANDING: Final = "SELECT feed, partition, next_offset FROM daybook.feed_offsets WHERE feed = ANY(%s)"


@dataclass(frozen=True)
class PartitionState:
    """Where a partition begins and ends, and the offset that will be read next, as far as that is known."""

    partition: int
    replicas: int
    in_sync: int
    first_offset: int | None
    end_offset: int | None
    next_offset: int | None = None

    @property
    def lag(self) -> int | None:
        """Count what is not read yet."""
        if self.end_offset is None or self.next_offset is None:
            return None
        return self.end_offset - self.next_offset

    def standing_at(self, next_offset: int) -> PartitionState:
        """Give the same partition as read up to an offset."""
        return replace(self, next_offset=next_offset)


@dataclass(frozen=True)
class TopicState:
    """A topic that is there; no retention means that messages are kept for ever."""

    topic: str
    feed: str
    retention_seconds: int | None
    partitions: tuple[PartitionState, ...]

    def standing_at(self, standing: Mapping[tuple[str, int], int]) -> TopicState:
        """Give the same topic with what `offsets_read` knows of its partitions."""
        partitions = tuple(
            replace(one, next_offset=standing.get((self.feed, one.partition))) for one in self.partitions
        )
        return replace(self, partitions=partitions)


def topic_states(
    admin: KafkaAdminClient,
    names: Sequence[str] | None = None,
) -> list[TopicState]:
    """Describe the topics that are there, all of ours by default."""
    wanted = list((*topics.INBOUND, *topics.OUTBOUND) if names is None else names)
    there = set(admin.list_topics())
    known = described(admin, [name for name in wanted if name in there])
    if not known:
        return []
    cluster = admin.describe_cluster()["cluster_id"]
    configs = configs_of(admin, [found["name"] for found in known])
    led = [
        TopicPartition(found["name"], partition["partition_index"])
        for found in known
        for partition in found["partitions"]
        if partition["leader_id"] >= 0
    ]
    first = admin.list_partition_offsets(dict.fromkeys(led, OffsetSpec.EARLIEST))
    end = admin.list_partition_offsets(dict.fromkeys(led, OffsetSpec.LATEST))
    return [
        _topic_state(found, f"{cluster}/{found['topic_id']}", configs[found["name"]], (first, end))
        for found in sorted(known, key=lambda found: wanted.index(found["name"]))
    ]


def _topic_state(
    found: Mapping[str, Any],
    feed: str,
    configs: Mapping[str, str],
    offsets: tuple[Mapping[TopicPartition, Any], Mapping[TopicPartition, Any]],
) -> TopicState:
    partitions = []
    for partition in sorted(found["partitions"], key=lambda partition: partition["partition_index"]):
        number = partition["partition_index"]
        first, end = (offset.get(TopicPartition(found["name"], number)) for offset in offsets)
        partitions.append(
            PartitionState(
                partition=number,
                replicas=len(partition["replica_nodes"]),
                in_sync=len(partition["isr_nodes"]),
                first_offset=None if first is None else first.offset,
                end_offset=None if end is None else end.offset,
            )
        )
    retention_ms = int(configs["retention.ms"])
    retention_seconds = None if retention_ms < 0 else retention_ms // 1000
    return TopicState(found["name"], feed, retention_seconds, tuple(partitions))


def offsets_read(connection: Connection[Any], feeds: Iterable[str]) -> dict[tuple[str, int], int]:
    """Give the offset that is read next, by feed and partition."""
    rows = connection.execute(_STANDING, (list(feeds),))
    return {(row["feed"], row["partition"]): row["next_offset"] for row in rows}
