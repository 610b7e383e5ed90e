"""The HTTP server: granian runs `api.wsgi:app` in worker processes, and starts a worker that dies again."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, Any, Final

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from api import resources
from api.logs import log_to_standard_error
from api.processes import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION: Final = "api.wsgi:app"
# Requests in flight are given this long when the server stops; each is far shorter.
STOP_SECONDS: Final = 10
# Python runs one at a time; more threads than this would only wait for one another.
_MOST_THREADS: Final = 16
_BACKLOG: Final = 2048


def serve_http(host: str, port: int, workers: int) -> None:
    """Serve until told to stop, then finish what is in flight."""
    Granian(
        APPLICATION,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=min(2 * (os.cpu_count() or 1) + 1, _MOST_THREADS),
        backlog=_BACKLOG,
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    ).serve(target_loader=load_application)


def import_application() -> None:
    """Import what the application is made of: workers, which are forked from this process, then have it."""
    importlib.import_module("api.app")
    resources.load()


def load_application(target: str) -> Callable[..., Any]:
    """Load the application in a worker, which ends with its server and leaves a Ctrl-C to it."""
    server = multiprocessing.parent_process()
    assert server is not None, "a worker has a server"
    assert server.pid is not None, "the server runs"
    end_with_parent(server.pid)
    log_to_standard_error()
    # At a terminal Ctrl-C reaches every process; a worker that took it would look crashed to its server.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    module, _, name = target.partition(":")
    application: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return application
