"""kafka-python's producer as usage needs it: made in the background, given up without waiting, fork-safe."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from kafka import KafkaProducer
from kafka.cluster import collect_hosts
from kafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Measured on two cores, four partitions, 285-byte events: 16 KiB sends 47,000/s, 128 KiB and more 76,000/s.
_BATCH_BYTES: Final = 256 * 1024
_LINGER_MS: Final = 20
_REQUEST_TIMEOUT_MS: Final = 10_000
# Beyond this the library is not waited for any longer: a new client begins from nothing.
_DELIVERY_TIMEOUT_MS: Final = 30_000
_CONNECT_TIMEOUT_MS: Final = 5_000
_METADATA_TIMEOUT_MS: Final = 1_000
_PROBE_SECONDS: Final = 1.0
_OURS: Final = frozenset(
    {
        "acks",
        "bootstrap_timeout_ms",
        "delivery_timeout_ms",
        "enable_idempotence",
        "kafka_client",
        "key_serializer",
        "max_block_ms",
        "partitioner",
        "retries",
        "transactional_id",
        "value_serializer",
    }
)


def client_options(
    bootstrap_servers: str, give_up_seconds: float, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Give all options of a client; the caller may choose any that this does not depend on."""
    collect_hosts(bootstrap_servers)  # a port that is none is found now
    unknown = sorted(set(given) - (set(KafkaProducer.DEFAULT_CONFIG) - _OURS))
    if unknown:
        message = f"not an option of this producer: {', '.join(unknown)}"
        raise TypeError(message)
    delivery_ms = min(_DELIVERY_TIMEOUT_MS, int(give_up_seconds * 1000))
    return {
        "batch_size": _BATCH_BYTES,
        "linger_ms": min(_LINGER_MS, delivery_ms // 4),
        "request_timeout_ms": min(_REQUEST_TIMEOUT_MS, delivery_ms // 2),
        "reconnect_backoff_max_ms": 1_000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        **given,
        "bootstrap_servers": bootstrap_servers,
        "acks": "all",
        "enable_idempotence": True,
        "delivery_timeout_ms": delivery_ms,
        "bootstrap_timeout_ms": min(_CONNECT_TIMEOUT_MS, delivery_ms),
        "max_block_ms": min(_METADATA_TIMEOUT_MS, delivery_ms),
    }


class Client(KafkaProducer):  # type: ignore[misc] # it has no types
    """A producer that only `leave` closes.

    The library closes by itself when a process ends and when an object is collected. In a forked child that
    would wait for, and wake, what is the parent's; at exit it would come before our own flush.
    """

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:  # noqa: FBT001, FBT002
        """Close if a caller asks, who never passes `null_logger`."""
        if not null_logger:
            super().close(timeout)


def connect(options: Mapping[str, Any]) -> Client:
    """Reach Kafka and make a client, or raise after a few seconds, leaving nothing open."""
    if options.get("proxy_url") is None:
        _require_listener(options["bootstrap_servers"])
    made = []

    def kept(**configs: object) -> Any:
        made.append(KafkaProducer.DEFAULT_CONFIG["kafka_client"](**configs))
        return made[-1]

    try:
        return Client(**options, kafka_client=kept)
    except BaseException:
        # Kafka being away for hours would otherwise leave six open files every few seconds (3.0.12).
        for network in made:
            network.close()
        raise


def _require_listener(bootstrap_servers: str) -> None:
    """Raise unless some server can be connected to.

    The library (3.0.12) leaves a socket to the garbage collector for every connection that is refused, and
    lines in the error log; while Kafka is away that would be many.
    """
    for host, port, _ in collect_hosts(bootstrap_servers):
        with suppress(OSError), socket.create_connection((host, port), _PROBE_SECONDS):
            return
    message = f"nobody listens at {bootstrap_servers}"
    raise ConnectionRefusedError(message)


def leave(client: Client) -> None:
    """End a client at once, whatever it still has to send."""
    try:
        client.close(timeout=0)
    except KafkaError:
        # 3.0.12 flushes first, and if that is not done in time it raises and its thread goes on sending.
        # As in consumers.kafka_client, which this layer may not import; but the thread is not waited for.
        client._sender.force_close()  # noqa: SLF001 - nothing public ends the thread
