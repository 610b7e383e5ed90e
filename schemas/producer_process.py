"""What a process owes its producers: at its end they are flushed, and in a forked child they begin anew."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Final, Protocol

_FLUSH_SECONDS: Final = 10.0
# For what was recorded after Kafka had already been waited for in vain.
_HURRIED_SECONDS: Final = 1.0


class Producer(Protocol):
    """What is kept of a producer here."""

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is pending; say whether it came to that."""
        ...

    def close(self, timeout: float) -> bool:
        """Flush, and count what is left as dropped."""
        ...

    def begin(self) -> None:
        """Begin with nothing recorded."""
        ...


class OpenProducers:
    """The producers of this process that are not closed."""

    def __init__(self) -> None:
        """Know of none."""
        self._producers: set[Producer] = set()
        self._watching = threading.Event()
        self._last_seconds = _FLUSH_SECONDS

    def add(self, producer: Producer) -> None:
        """See to a producer from now on."""
        self._producers.add(producer)

    def discard(self, producer: Producer) -> None:
        """See to it no longer."""
        self._producers.discard(producer)

    def watch(self) -> None:
        """Flush once the main thread has ended, in a thread that the interpreter waits for.

        Functions of `atexit` come too late for a process that is done before Kafka was reached: from Python
        3.12 on no thread can be started in them, and the library needs one of its own.
        """
        if not self._watching.is_set():
            self._watching.set()
            threading.Thread(
                target=self._flush_after_main, name="daybook-usage-at-exit", daemon=False
            ).start()

    def _flush_after_main(self) -> None:
        threading.main_thread().join()
        # Not closed: other threads may go on, and record, for as long as they like.
        for producer in tuple(self._producers):
            if not producer.flush(_FLUSH_SECONDS):
                self._last_seconds = _HURRIED_SECONDS

    def close(self) -> None:
        """Close all, at the very end."""
        for producer in tuple(self._producers):
            producer.close(self._last_seconds)

    def begin_in_child(self) -> None:
        """Begin anew in a forked child: it has no threads, and what was recorded is the parent's to send."""
        self._watching = threading.Event()
        for producer in tuple(self._producers):
            producer.begin()


OPEN: Final = OpenProducers()
atexit.register(OPEN.close)
os.register_at_fork(after_in_child=OPEN.begin_in_child)
