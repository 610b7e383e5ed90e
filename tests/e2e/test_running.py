"""What the other tests here stand on: asking a service that is killed meanwhile."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.e2e.running import Served


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 75\r\n\r\n", id="no body"),
        pytest.param(b'HTTP/1.1 200 OK\r\nContent-Length: 75\r\n\r\n{"accep', id="half a body"),
        pytest.param(b'HTTP/1.1 503 Later\r\nContent-Length: 75\r\n\r\n{"ti', id="half a refusal"),
        pytest.param(b"HTT", id="half a status line"),
    ],
)
def test_an_answer_that_is_cut_off_is_no_answer(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        answer = Served(server.getsockname()[1]).ask("/v1/usage", seconds=5)
        thread.join(5)
    assert answer.status == 0
