"""Being told to stop: by Ctrl-C, by a supervisor, or by a terminal that goes away."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_REQUESTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether a stop was asked for.

    A plain value, looked at in a loop: a handler that set a threading.Event could wait for ever for the lock of the
    very wait it interrupts.
    """

    def __init__(self) -> None:
        """Begin with no request."""
        self.requested = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Note the first request; a second one means now."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


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
