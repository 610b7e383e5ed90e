"""The producer for publishing services against a real Kafka that is killed, and processes that end."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from ledger.identifiers import public_id
from schemas.producer import Counts, Dropped, UsageProducer
from tests.kafka.broker import running_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster

# kafka-python (3.0.12) leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
ROOT: Final = Path(__file__).parents[2]
ACCOUNTS: Final = [public_id("acc", UUID(int=number)) for number in range(100)]
BOOK: Final = public_id("book", UUID(int=7))
FLUSH_SECONDS: Final = 60.0
PARTITIONS: Final = 4


@pytest.fixture(autouse=True)
def _collected_here() -> Iterator[None]:
    """Collect what the library left while its warnings are passed over, and not in anybody else's test."""
    yield
    gc.collect()


def new_topic(cluster: Cluster, **settings: str) -> str:
    name = f"usage-{uuid4().hex[:8]}"
    create_topic(cluster, name, **settings)
    return name


def create_topic(cluster: Cluster, name: str, **settings: str) -> None:
    topic = {"message.timestamp.type": "LogAppendTime"} | settings
    with closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=topic)])


def usage_producer(cluster: Cluster, topic: str, **options: Any) -> UsageProducer:
    return UsageProducer(cluster.bootstrap_servers, source="gateway", book=BOOK, topic=topic, **options)


def messages(cluster: Cluster, topic: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Read all there is of a topic: id, key and value of each message."""
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    consumer = KafkaConsumer(bootstrap_servers=cluster.bootstrap_servers, auto_offset_reset="earliest")
    with closing(consumer):
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=1_000).values():
                for record in records:
                    yield msgspec.json.decode(record.value)["id"], record.key, record.value


def test_what_is_recorded_is_in_kafka_once_flushed_keyed_by_its_account(kafka: Cluster) -> None:
    topic = new_topic(kafka)
    with usage_producer(kafka, topic) as producer:
        ids = {
            producer.record(account, "api_calls", number, region="eu")
            for number, account in enumerate(ACCOUNTS * 20)
        }
        assert producer.flush(FLUSH_SECONDS)
        assert producer.counts() == Counts(2_000, 2_000, 0, 0, Dropped())
        found = list(messages(kafka, topic))
        assert len(found) == 2_000
        assert {event_id for event_id, _, _ in found} == ids
        assert all(msgspec.json.decode(value)["subject"].encode() == key for _, key, value in found)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Cluster]:
    """Run a broker that may be killed; whoever kills it starts it again."""
    with running_cluster() as cluster:
        yield cluster


def test_nothing_is_lost_while_the_broker_is_killed_under_it_again_and_again(mortal: Cluster) -> None:
    topic, broker = new_topic(mortal), mortal.brokers[0]
    ids: list[str | None] = []
    enough = threading.Event()
    with usage_producer(mortal, topic) as producer:
        recorder = threading.Thread(target=record_until, args=(producer, enough, ids))
        recorder.start()
        for away_seconds in (0.0, 1.0, 3.0):
            wait_for_delivered(producer, producer.counts().delivered + 2_000)
            broker.kill()
            time.sleep(away_seconds)  # so that connections are refused for a while, too
            mortal.restart(broker)
        wait_for_delivered(producer, producer.counts().delivered + 2_000)
        enough.set()
        recorder.join()
        assert producer.flush(FLUSH_SECONDS)
        counts = producer.counts()
    assert counts.dropped == Dropped()
    assert counts.recorded == counts.delivered == len(ids)
    values: dict[str, bytes] = {}
    for event_id, _, value in messages(mortal, topic):
        assert values.setdefault(event_id, value) == value, "a repeated event is the same to the byte"
    assert values.keys() == set(ids)


def test_while_kafka_is_away_events_are_kept_and_old_ones_given_up(mortal: Cluster) -> None:
    topic, broker = new_topic(mortal), mortal.brokers[0]
    broker.kill()
    with (
        usage_producer(mortal, topic, give_up_seconds=2.0) as hasty,
        usage_producer(mortal, topic) as patient,
    ):
        hasty.record(ACCOUNTS[0], "api_calls", 1)
        kept = [patient.record(account, "api_calls", 1) for account in ACCOUNTS]
        assert hasty.flush(FLUSH_SECONDS)
        assert hasty.counts() == Counts(1, 0, 0, 0, Dropped(gave_up=1))
        assert patient.counts() == Counts(100, 0, 100, 0, Dropped())
        mortal.restart(broker)
        kept.append(hasty.record(ACCOUNTS[0], "api_calls", 1))
        assert hasty.flush(FLUSH_SECONDS)
        assert patient.flush(FLUSH_SECONDS)
        assert hasty.counts() == Counts(2, 1, 0, 0, Dropped(gave_up=1))
        assert patient.counts() == Counts(100, 100, 0, 0, Dropped())
    assert Counter(event_id for event_id, _, _ in messages(mortal, topic)) == Counter(kept)


def record_until(producer: UsageProducer, enough: threading.Event, ids: list[str | None]) -> None:
    """Record a few thousand events a second."""
    while not enough.wait(0.01):
        ids += [producer.record(account, "api_calls", 1) for account in ACCOUNTS[:50]]


def wait_for_delivered(producer: UsageProducer, count: int) -> None:
    deadline = time.monotonic() + FLUSH_SECONDS
    while producer.counts().delivered < count:
        assert time.monotonic() < deadline, producer.counts()
        time.sleep(0.01)


def test_a_topic_that_is_not_there_yet_is_waited_for(kafka: Cluster) -> None:
    topic = f"usage-{uuid4().hex[:8]}"
    with usage_producer(kafka, topic) as producer:
        producer.record(ACCOUNTS[0], "api_calls", 1)
        assert not producer.flush(1.5)
        create_topic(kafka, topic)
        assert producer.flush(FLUSH_SECONDS)
        assert producer.counts() == Counts(1, 1, 0, 0, Dropped())


def test_what_the_broker_finds_too_large_is_dropped_and_takes_nothing_else_with_it(kafka: Cluster) -> None:
    topic = new_topic(kafka, **{"max.message.bytes": "2000"})
    page: dict[str, Any] = {f"p{number}": "x" * 500 for number in range(5)}
    with usage_producer(kafka, topic) as producer:
        ids = [producer.record(account, "api_calls", 1) for account in ACCOUNTS]
        large = producer.record(ACCOUNTS[0], "api_calls", 1, **page)
        ids += [producer.record(account, "api_calls", 1) for account in ACCOUNTS]
        assert producer.flush(FLUSH_SECONDS)
        counts = producer.counts()
        assert counts == Counts(201, 200, 0, counts.retried, Dropped(too_large=1))
    # What the library gave up beside it may have been sent twice.
    found = {event_id for event_id, _, _ in messages(kafka, topic)}
    assert found == set(ids)
    assert large not in found


SCRIPT: Final = """
import sys
from schemas.producer import UsageProducer

def main() -> None:
    usage = UsageProducer(sys.argv[1], source="gateway", book=sys.argv[2], topic=sys.argv[3])
    for number in range(int(sys.argv[5])):
        usage.record(sys.argv[4], "api_calls", number, event_id=f"event-{number}")
"""
ENDS: Final = {
    "by itself": "main()",
    "by sys.exit": "main(); sys.exit(3)",
    "by an error": "main(); 1 / 0",
    "in another thread": "import threading; threading.Thread(target=main).start()",
    "after a fork": "import os; main(); os.fork() and os.wait()",
    "in a forked child": "import os\nif os.fork(): os.wait()\nelse: main()",
}


@pytest.mark.parametrize(
    ("end", "events"), [("by itself", 1), ("by itself", 50_000), *((end, 2_000) for end in ENDS)]
)
def test_a_process_that_ends_delivers_what_it_recorded(kafka: Cluster, end: str, events: int) -> None:
    topic = new_topic(kafka)
    arguments = [kafka.bootstrap_servers, BOOK, topic, ACCOUNTS[0], str(events)]
    begin = time.monotonic()
    command = [sys.executable, "-c", SCRIPT + ENDS[end], *arguments]
    subprocess.run(command, cwd=ROOT, timeout=60, check=False, stderr=subprocess.DEVNULL)
    assert time.monotonic() - begin < 20
    found = Counter(event_id for event_id, _, _ in messages(kafka, topic))
    assert found == Counter(f"event-{number}" for number in range(events))


def test_a_process_that_ends_while_kafka_is_away_does_not_stay_for_long() -> None:
    command = [sys.executable, "-c", SCRIPT + "main()", "127.0.0.1:1", BOOK, "usage", ACCOUNTS[0], "10"]
    begin = time.monotonic()
    subprocess.run(command, cwd=ROOT, timeout=60, check=True)
    assert 10 < time.monotonic() - begin < 20, "it is tried for ten seconds, and once more for one"


REPORTING: Final = """
    while True:
        for number in range(500):
            usage.record(sys.argv[4], "api_calls", number)
        print(usage.counts().delivered, flush=True)
"""


@pytest.mark.parametrize("after_delivered", [1, 3_000, 20_000])
def test_a_killed_process_has_delivered_what_it_said_it_had(kafka: Cluster, after_delivered: int) -> None:
    topic = new_topic(kafka)
    script = SCRIPT + REPORTING + "main()"
    arguments = [kafka.bootstrap_servers, BOOK, topic, ACCOUNTS[0], "0"]
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = 0
        while said < after_delivered:
            said = int(process.stdout.readline())
        process.kill()
        # The last line may have been cut.
        *whole, _ = [str(said), *process.stdout.read().split("\n")]
        said = int(whole[-1])
    assert len({event_id for event_id, _, _ in messages(kafka, topic)}) >= said
