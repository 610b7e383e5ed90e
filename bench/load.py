"""The load generator, a process: `python -m bench.load PORT CONNECTIONS SECONDS PATH [KEY [ACCOUNTS]]`.

Requests are sent as bytes over connections that stay open, each with one request in flight; answers are read
just far enough to know where they end. So it takes little from the server it shares the machine with: it says
itself how much, in `cpu_seconds`. With accounts (separated by commas) it posts a usage event a request, each
of another id; without, it asks for one path over and over.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, repeat
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WARM_UP_SECONDS: Final = 1.0
_LENGTH: Final = b"\r\ncontent-length: "
_DONE: Final = (b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")


class Measured(msgspec.Struct, frozen=True):
    """What was measured: latencies in milliseconds, and the processor time the generator took itself."""

    requests: int
    seconds: float
    p50: float
    p95: float
    p99: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


@dataclass
class _Line:
    """One connection, and the request in flight on it."""

    socket: socket.socket
    sent_at: float = 0.0
    received: bytes = b""


@dataclass
class _Run:
    """Latencies in seconds of the answers that came after the warm-up."""

    requests: Iterator[bytes]
    counts_from: float
    latencies: list[float] = field(default_factory=list)

    def send(self, line: _Line) -> None:
        """Send the next request; it is small enough for the socket to take at once."""
        line.received = b""
        line.sent_at = time.perf_counter()
        line.socket.sendall(next(self.requests))

    def receive(self, line: _Line) -> None:
        """Take what has come, and send the next request once the answer is whole."""
        piece = line.socket.recv(1 << 18)
        assert piece, "the server keeps connections open"
        line.received += piece
        if not _is_whole(line.received):
            return
        assert line.received.startswith(_DONE), line.received[:200]
        if line.sent_at >= self.counts_from:
            self.latencies.append(time.perf_counter() - line.sent_at)
        self.send(line)


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    _, known, rest = head.lower().partition(_LENGTH)
    assert known, "every answer says how long it is"
    return len(body) >= int(rest.partition(b"\r\n")[0])


def measure(port: int, connections: int, seconds: float, requests: Iterator[bytes]) -> Measured:
    """Send one request after another over each connection, and measure after a second of warm-up."""
    began = time.perf_counter()
    run = _Run(requests, began + _WARM_UP_SECONDS)
    until = run.counts_from + seconds
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            line = _Line(socket.create_connection(("127.0.0.1", port)))
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(line.socket, selectors.EVENT_READ, line)
            run.send(line)
        while (now := time.perf_counter()) < until:
            for ready, _ in selector.select(until - now):
                run.receive(ready.data)
        for open_key in list(selector.get_map().values()):
            open_key.data.socket.close()
    return _summary(run.latencies, seconds)


def asking(port: int, path: str, key: str | None) -> Iterator[bytes]:
    """Ask for one path over and over."""
    authorization = "" if key is None else f"Authorization: Bearer {key}\r\n"
    return repeat(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}\r\n".encode())


def posting(port: int, path: str, key: str, accounts: Sequence[str]) -> Iterator[bytes]:
    """Post one usage event after another, each of another id, for one account after another."""
    source, now = f"bench/{os.urandom(4).hex()}", datetime.now(UTC).isoformat()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/cloudevents+json\r\n"
    )
    for number in count():
        body = (
            f'{{"specversion":"1.0","id":"evt-{number:012}","source":"{source}","type":"api_calls",'
            f'"subject":"{accounts[number % len(accounts)]}","time":"{now}","data":{{"quantity":"1"}}}}'
        )
        yield f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _summary(latencies: list[float], seconds: float) -> Measured:
    latencies.sort()

    def at(share: float) -> float:
        return round(latencies[int(len(latencies) * share)] * 1_000, 2)

    return Measured(len(latencies), seconds, at(0.50), at(0.95), at(0.99), round(time.process_time(), 2))


def main() -> None:
    """Measure what the command line says, and print it as JSON."""
    port, connections, seconds, path, *more = sys.argv[1:]
    key, accounts = (*more, None, None)[:2]
    if key is not None and accounts is not None:
        requests = posting(int(port), path, key, accounts.split(","))
    else:
        requests = asking(int(port), path, key)
    measured = measure(int(port), int(connections), float(seconds), requests)
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
