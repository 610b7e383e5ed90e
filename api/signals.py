"""Being told to stop: by Ctrl-C, by a supervisor, or by a terminal that goes away."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# A supervisor may signal the process and then its group.
_ECHO_SECONDS: Final = 1.0
_REQUESTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether a stop was asked for.

    A plain value, looked at in a loop: a handler that set a threading.Event could wait for ever for the lock
    of the very wait it interrupts.
    """

    def __init__(self) -> None:
        """Begin with no request."""
        self.requested = False
        self._requested_at = 0.0

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Note the first request; another one, unless it is an echo of the first, means now."""
        now = time.monotonic()
        if not self.requested:
            self.requested, self._requested_at = True, now
        elif now - self._requested_at > _ECHO_SECONDS:
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turn the signals that ask for an end into a value to look at."""
    stop = Stop()
    former = {request: signal.signal(request, stop.on_signal) for request in _REQUESTS}
    try:
        yield stop
    finally:
        for request, handler in former.items():
            signal.signal(request, handler)
