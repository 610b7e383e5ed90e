"""Finding the gap that stops a partition from being read: between where reading stands and what Kafka has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.topic_states import offsets_read, topic_states
from consumers.topics import missing
from ledger.errors import Conflict, NotFound
from ledger.events.feed import FeedGapAccepted

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

    from consumers.topic_states import PartitionState, TopicState
    from ledger.store import Log


def find_gap(admin: KafkaAdminClient, log: Log, topic: str, partition: int, reason: str) -> FeedGapAccepted:
    """Give the gap of a partition, to be accepted for a reason; a refusal when there is none.

    Where messages were deleted unread, reading goes on at the first that is left; where the topic is shorter
    than what was read of it, at its end.
    """
    for state in topic_states(admin, [topic]):
        found = _with_standing(log, state, partition)
        assert found.next_offset is not None, "it was looked for"
        if found.first_offset is None or found.end_offset is None:
            raise Conflict(f"partition {partition} of {topic} has no leader")
        to_offset = min(max(found.next_offset, found.first_offset), found.end_offset)
        if to_offset == found.next_offset:
            raise Conflict(f"there is no gap: offset {to_offset} is what {topic} {partition} gives next")
        return FeedGapAccepted(
            feed=state.feed,
            source_topic=topic,
            partition=partition,
            from_offset=found.next_offset,
            to_offset=to_offset,
            reason=reason,
        )
    raise missing(topic)


def _with_standing(log: Log, state: TopicState, partition: int) -> PartitionState:
    with log.connection() as connection:
        standing = offsets_read(connection, [state.feed])
    for found in state.partitions:
        if found.partition == partition and (state.feed, partition) in standing:
            return found.standing_at(standing[state.feed, partition])
    raise NotFound(f"partition {partition} of {state.topic} was never read")
