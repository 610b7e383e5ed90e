"""The load generator: `python -m bench.load PORT CONNECTIONS SECONDS PATH [KEY]`, a process of its own.

Requests are sent as bytes made beforehand over connections that stay open, each with one request in flight;
answers are read just far enough to know where they end. So it takes little from the server it shares the
machine with: it says itself how much, in `cpu_seconds`.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Final

import msgspec

_WARM_UP_SECONDS: Final = 1.0
_LENGTH: Final = b"\r\ncontent-length: "


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

    request: bytes
    counts_from: float
    latencies: list[float] = field(default_factory=list)

    def send(self, line: _Line) -> None:
        """Send the request; it is small enough for the socket to take at once."""
        line.received = b""
        line.sent_at = time.perf_counter()
        line.socket.sendall(self.request)

    def receive(self, line: _Line) -> None:
        """Take what has come, and send the next request once the answer is whole."""
        piece = line.socket.recv(1 << 18)
        assert piece, "the server keeps connections open"
        line.received += piece
        if not _is_whole(line.received):
            return
        assert line.received.startswith(b"HTTP/1.1 200 "), line.received[:200]
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


def measure(port: int, connections: int, seconds: float, path: str, key: str | None = None) -> Measured:
    """Ask for one path over and over, and measure after a second of warm-up."""
    began = time.perf_counter()
    run = _Run(_request(port, path, key), began + _WARM_UP_SECONDS)
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


def _request(port: int, path: str, key: str | None) -> bytes:
    authorization = "" if key is None else f"Authorization: Bearer {key}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}\r\n".encode()


def _summary(latencies: list[float], seconds: float) -> Measured:
    latencies.sort()

    def at(share: float) -> float:
        return round(latencies[int(len(latencies) * share)] * 1_000, 2)

    return Measured(len(latencies), seconds, at(0.50), at(0.95), at(0.99), round(time.process_time(), 2))


def main() -> None:
    """Measure what the command line says, and print it as JSON."""
    port, connections, seconds, path, *key = sys.argv[1:]
    measured = measure(int(port), int(connections), float(seconds), path, *key)
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
