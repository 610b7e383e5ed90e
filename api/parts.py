"""A process made of loops: each on a thread of its own, all stopped together when one ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from api.signals import stop_on_signals
from projections.applier import describe

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

_LOOK_SECONDS: Final = 0.1


def run_until_stopped(
    logger: logging.Logger, loops: Mapping[str, Callable[[threading.Event], None]], patience_seconds: float
) -> bool:
    """Run loops until told to stop; true when that is how it ended, false when one of them failed.

    Each finishes what it is at. One that waits for what is out of reach is left to end with the process.
    """
    stop = threading.Event()
    with stop_on_signals() as asked:
        parts = [_Part(name, run, stop, logger) for name, run in loops.items()]
        for part in parts:
            part.start()
        # Looked at: a handler of signals may set no event (see `Stop`), and a thread's end sets none.
        while not asked.requested and all(part.is_alive() for part in parts):
            time.sleep(_LOOK_SECONDS)
        # When one has failed, all stop, and whoever looks after the process starts it again.
        stop.set()
        deadline = time.monotonic() + patience_seconds
        for part in parts:
            part.join(max(0.0, deadline - time.monotonic()))
    if any(part.is_alive() for part in parts):
        logger.warning("stopped in the middle of a batch, which is done again: something did not answer")
    return not any(part.failed for part in parts)


class _Part(threading.Thread):
    """One loop."""

    def __init__(
        self,
        name: str,
        run: Callable[[threading.Event], None],
        stop: threading.Event,
        logger: logging.Logger,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._run = run
        self._stop_event = stop
        self._logger = logger
        self.failed = False

    def run(self) -> None:
        """Run the loop, and keep that it failed."""
        try:
            self._run(self._stop_event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process must not go on with half its work
            self.failed = True
            # Not the traceback: a message of the database may quote what is in an event.
            self._logger.error("%s stopped: %s", self.name, describe(error))  # noqa: TRY400 - see above
