"""What every client of Kafka is given: where it is, and how we say who we are."""

from __future__ import annotations

from socket import IPPROTO_TCP, SOCK_STREAM, AddressFamily, SocketKind
from socket import socket as Socket  # noqa: N812 - the method below has the other name
from typing import TYPE_CHECKING, Any, Final

from kafka.errors import KafkaError
from kafka.net.inet import KafkaNetSocket

from ledger.settings import SettingsError

if TYPE_CHECKING:
    from kafka import KafkaProducer

    from ledger.feed_settings import FeedSettings

_BOOTSTRAP_TIMEOUT_MS: Final = 10_000
_FORCED_SECONDS: Final = 1.0


_READ_BYTES: Final = 256 * 1024


class _Socket(Socket):
    """A socket that is read in large pieces.

    kafka-python asks for 4 KiB at a time: a fetch of 4 MiB takes a thousand calls, and after each of them the
    thread waits for the interpreter again.
    """

    def recv(self, size_bytes: int, flags: int = 0, /) -> bytes:
        """Read what is there, up to 256 KiB."""
        return super().recv(max(size_bytes, _READ_BYTES), flags)


class _Direct(KafkaNetSocket):  # type: ignore[misc] # kafka-python has no types
    """A plain connection whose socket is read in large pieces, and closed when it cannot be made.

    kafka-python leaves such a socket to the collector: an outage that lasts would use up the process's files.
    It knows its own classes of connections by the scheme of a proxy's URL, and so it knows this one.
    """

    SCHEMES = ("direct",)

    def socket(
        self,
        family: AddressFamily | int = AddressFamily.AF_INET,
        sock_type: SocketKind | int = SOCK_STREAM,
        proto: int = IPPROTO_TCP,
    ) -> Socket:
        """Make the socket."""
        return _Socket(family, sock_type, proto)

    async def sock_connect(
        self, net: object, sock: Socket, address: object, timeout_at: float | None = None
    ) -> object:
        """Connect, or close the socket."""
        try:
            return await super().sock_connect(net, sock, address, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


def client_options(feed: FeedSettings) -> dict[str, Any]:
    """Give the options that reach the cluster, for any client of kafka-python."""
    if feed.bootstrap_servers is None:
        message = "KAFKA_BOOTSTRAP_SERVERS is not set; `daybook --help` says what it is for"
        raise SettingsError(message)
    options: dict[str, Any] = {
        "bootstrap_servers": feed.bootstrap_servers,
        "security_protocol": feed.security_protocol,
        "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
        "proxy_url": "direct://",
        # The clients' own metrics cost more than a tenth of their throughput, and nobody reads them.
        "metrics_enabled": False,
        "reconnect_backoff_max_ms": 1_000,
    }
    if feed.ca_file is not None:
        options["ssl_cafile"] = feed.ca_file
    if feed.sasl_mechanism is not None:
        options["sasl_mechanism"] = feed.sasl_mechanism
        options["sasl_plain_username"] = feed.sasl_username
        options["sasl_plain_password"] = feed.sasl_password
    return options


def close_producer(producer: KafkaProducer, patience_seconds: float) -> None:
    """Close a producer once all it has is acknowledged, or when patience ends, whatever it has left."""
    try:
        producer.close(timeout=patience_seconds)
    except KafkaError:
        # It flushes first; when that is not done in time it raises, and its thread goes on sending for ever.
        sender = producer._sender  # noqa: SLF001 - nothing public ends the thread
        sender.force_close()
        sender.join(_FORCED_SECONDS)
