"""The topics: named for ever, made as the settings say, and compared with what is there."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from consumers.kafka_client import client_options
from ledger.errors import DaybookError, NotFound, Unavailable
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kafka.cluster import ClusterMetadata

    from ledger.feed_settings import FeedSettings

_REQUEST_TIMEOUT_MS: Final = 10_000
_READY_TIMEOUT_MS: Final = 10_000
_MOST_REPLICAS: Final = 3
# A record batch of what comes in is as large as producers make one by default.
_INBOUND_BATCH_BYTES: Final = 1_048_588
# What goes out is one message an event, and an event may hold a whole request.
MAX_OUTBOUND_BYTES: Final = 16 * 1024 * 1024


class TopicRefused(DaybookError):
    """Kafka refuses to make a topic."""

    code: ClassVar[str] = "topic_refused"


@dataclass(frozen=True)
class Plan:
    """A topic as the settings want it."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


@dataclass(frozen=True)
class Made:
    """What became of a plan: whether the topic was made now, and how one that was there differs."""

    topic: str
    created: bool
    differences: tuple[str, ...] = ()


def feed_name(cluster: ClusterMetadata, topic: str) -> str:
    """Name a cluster's topic for ever: one that is made again under its name is another feed.

    `cluster` is what a client knows of its cluster (`consumer._cluster`, `producer._metadata`) once it knows
    the topic; NotFound when it does not.
    """
    topic_id = cluster.topic_id(topic)
    if cluster.cluster_id is None or topic_id is None:
        raise missing(topic)
    return f"{cluster.cluster_id}/{topic_id}"


@contextmanager
def admin_client(feed: FeedSettings) -> Iterator[KafkaAdminClient]:
    """Lend a client for what is asked once; a cluster out of reach is `Unavailable`, in a bounded time."""
    options = client_options(feed)
    # The metrics of this one cannot be left out.
    del options["metrics_enabled"]
    try:
        admin = KafkaAdminClient(**options, request_timeout_ms=_REQUEST_TIMEOUT_MS)
        try:
            yield admin
        finally:
            admin.close()
    except KafkaError as error:
        message = f"Kafka is out of reach or refuses: {error}"
        raise Unavailable(message) from error


# -- making -------------------------------------------------------------------------------------------


def planned_topics(feed: FeedSettings, brokers: int, names: Sequence[str] | None = None) -> list[Plan]:
    """Say how every topic (or those named) is made on a cluster of so many brokers."""
    replication = feed.replication or min(_MOST_REPLICAS, brokers)
    wanted = (*topics.INBOUND, *topics.OUTBOUND) if names is None else names
    return [Plan(name, feed.partitions, replication, _configs(feed, name, replication)) for name in wanted]


def _configs(feed: FeedSettings, name: str, replication: int) -> dict[str, str]:
    outbound = name in topics.OUTBOUND
    retention_seconds = feed.events_retention_seconds if outbound else feed.retention_seconds
    configs = {
        "cleanup.policy": "delete",
        "min.insync.replicas": "2" if replication >= _MOST_REPLICAS else "1",
        "retention.ms": str(retention_seconds * 1000),
        "max.message.bytes": str(MAX_OUTBOUND_BYTES if outbound else _INBOUND_BATCH_BYTES),
    }
    if not outbound:
        # What is admitted is judged by when the broker took it: a producer must not choose that time.
        configs["message.timestamp.type"] = "LogAppendTime"
    return configs


def broker_count(admin: KafkaAdminClient) -> int:
    """Count the brokers of the cluster."""
    return len(admin.describe_cluster()["brokers"])


def create_topics(admin: KafkaAdminClient, plans: Sequence[Plan]) -> list[Made]:
    """Make the topics that are not there; the others are left as they are, and compared."""
    there = set(admin.list_topics())
    created = _create(admin, [plan for plan in plans if plan.name not in there])
    admin.wait_for_topics(sorted(created), timeout_ms=_READY_TIMEOUT_MS)
    differences = _differences(admin, [plan for plan in plans if plan.name not in created])
    return [Made(plan.name, plan.name in created, differences.get(plan.name, ())) for plan in plans]


def _create(admin: KafkaAdminClient, plans: Sequence[Plan]) -> set[str]:
    if not plans:
        return set()
    wanted = {
        plan.name: {
            "num_partitions": plan.partitions,
            "replication_factor": plan.replication,
            "configs": plan.configs,
        }
        for plan in plans
    }
    created = set()
    for answer in admin.create_topics(wanted, raise_errors=False)["topics"]:
        error = for_code(answer["error_code"])
        if answer["error_code"] == 0:
            created.add(answer["name"])
        elif error is not TopicAlreadyExistsError:  # somebody else was first: as good as there before
            raise TopicRefused(f"{answer['name']}: {answer['error_message'] or error.__name__}")
    return created


def _differences(admin: KafkaAdminClient, plans: Sequence[Plan]) -> dict[str, tuple[str, ...]]:
    if not plans:
        return {}
    found = {known["name"]: known for known in described(admin, [plan.name for plan in plans])}
    configs = configs_of(admin, [plan.name for plan in plans])
    return {plan.name: tuple(_compared(plan, found[plan.name], configs[plan.name])) for plan in plans}


def _compared(plan: Plan, found: Mapping[str, Any], configs: Mapping[str, str]) -> Iterator[str]:
    partitions = found["partitions"]
    if len(partitions) != plan.partitions:
        yield f"{len(partitions)} partitions, not {plan.partitions}"
    replicas = min((len(partition["replica_nodes"]) for partition in partitions), default=0)
    if replicas != plan.replication:
        yield f"{replicas} replicas, not {plan.replication}"
    for name, wanted in plan.configs.items():
        if configs.get(name) != wanted:
            yield f"{name} {configs.get(name)}, not {wanted}"


def described(admin: KafkaAdminClient, names: Sequence[str]) -> list[Any]:
    """Describe topics that are there."""
    if not names:
        return []
    found = list(admin.describe_topics(list(names)))
    for topic in found:
        if topic["error_code"] != 0:
            raise for_code(topic["error_code"])(topic["name"])
    return found


def configs_of(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Give every setting of these topics."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answer = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        topic: {name: config["value"] for name, config in configs.items()}
        for topic, configs in answer.items()
    }


def missing(topic: str) -> NotFound:
    """Say that a topic is not there, and how to make it."""
    return NotFound(f"there is no topic {topic}; make it with: daybook topics create")
