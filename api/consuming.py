"""The process `daybook consume`: it reads Kafka into the log, and tells of what it could not apply."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry, start_http_server

from api.feed_metrics import FeedMetrics
from api.parts import run_until_stopped
from api.replaying import make_intakes
from consumers.bad_share import go_on, refuse_while_stopped
from consumers.consume import Consumer
from consumers.dead_letter_relay import relay, relay_producer
from consumers.kafka_client import close_producer
from consumers.kafka_source import Member
from ledger.store import Log
from projections.applier import UNREACHABLE, describe

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from kafka import KafkaProducer

    from ledger.settings import Settings

_RELAY_SECONDS: Final = 1.0
_SWITCH_SECONDS: Final = 0.0001
_COLLECT_AFTER_OBJECTS: Final = 50_000
# Longer than a batch takes, and than leaving the group does.
_STOP_SECONDS: Final = 20.0

logger = logging.getLogger("daybook.consume")


def consume_until_stopped(
    settings: Settings,
    topics: Sequence[str],
    *,
    metrics_port: int | None,
    instance: str | None,
    resume: bool,
) -> bool:
    """Consume until told to stop; true when that is how it ended, false when it failed."""
    assert settings.ingest_url is not None, "the caller has looked"
    assert settings.app_url is not None, "the caller has looked"
    # Its client warns of every connection and every wait for the interpreter; what matters is said by us.
    logging.getLogger("kafka").setLevel(logging.ERROR)
    registry = CollectorRegistry()
    _tune()
    with (
        closing(Log(settings.ingest_url, settings.master_key, pool_size=6)) as ingest_log,
        closing(Log(settings.app_url, settings.master_key)) as app_log,
    ):
        with ingest_log.connection() as connection:
            if resume:
                go_on(connection)
            refuse_while_stopped(connection)
        consumer = make_consumer(settings, topics, ingest_log, app_log, FeedMetrics(registry), instance)
        if metrics_port is not None:
            start_http_server(metrics_port, registry=registry)
        loops = {"consumer": consumer.run, "relay": _relay_loop(settings, ingest_log)}
        return run_until_stopped(logger, loops, _STOP_SECONDS)


def _tune() -> None:
    """Set the interpreter up for one thread that computes and two that mostly wait.

    A thread that has waited gets the interpreter only after the switch interval: with the usual five
    milliseconds, every answer of the database would wait that long for the thread that reads ahead.
    And what a batch is made of is let go of as a whole: looking for cycles in it again and again finds none.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_OBJECTS)


def make_consumer(
    settings: Settings,
    topics: Sequence[str],
    ingest_log: Log,
    app_log: Log,
    metrics: FeedMetrics,
    instance: str | None = None,
) -> Consumer:
    """Make the consumer of this process."""
    usage, messages = make_intakes(settings, ingest_log, app_log, _now)
    owner = f"daybook-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    return Consumer(
        log=ingest_log,
        usage=usage,
        messages=messages,
        settings=settings,
        clock=_now,
        member=Member(owner, topics, instance),
        report=metrics,
    )


def _relay_loop(settings: Settings, log: Log) -> Callable[[threading.Event], None]:
    """Make the loop that tells the topic of dead letters what needs a person."""

    def run(stop: threading.Event) -> None:
        producer: KafkaProducer | None = None
        while not stop.wait(_RELAY_SECONDS):
            try:
                producer = producer or relay_producer(settings.feed)
                while relay(log, producer, _now()) and not stop.is_set():
                    pass
            except (*UNREACHABLE, KafkaError) as error:
                logger.warning("dead letters wait to be told of: %s", describe(error))
        if producer is not None:
            close_producer(producer, 1)

    return run


def _now() -> datetime:
    return datetime.now(UTC)
