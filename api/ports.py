"""Whether a port is free, found out before anything is started on it."""

from __future__ import annotations

import socket
import time
from typing import ClassVar, Final

from ledger.errors import DaybookError

_POLL_SECONDS: Final = 0.05


class PortBusy(DaybookError):
    """Something else listens on the port."""

    code: ClassVar[str] = "port_busy"


def require_free_port(host: str, port: int, patience_seconds: float = 1.0) -> None:
    """Refuse when something listens there; one that is just ending is given a moment.

    The server shares its port between its workers, and the system would let a second server share it too.
    """
    deadline = time.monotonic() + patience_seconds
    while (reason := _refusal(host, port)) is not None:
        if time.monotonic() > deadline:
            raise PortBusy(f"Port {port} on {host} cannot be used ({reason}); choose another with --port.")
        # Nothing tells that a port has become free but trying it.
        time.sleep(_POLL_SECONDS)


def _refusal(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None
