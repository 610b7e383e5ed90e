"""The process `daybook publish`: it follows the log and writes it to Kafka, until it is told to stop."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from api.signals import stop_on_signals
from consumers.publish import Publisher
from projections.applier import describe

if TYPE_CHECKING:
    from ledger.settings import Settings

_LOOK_SECONDS: Final = 0.1
# Longer than a batch takes; what waits for Kafka in an outage does not end by itself, nor needs it to.
_STOP_SECONDS: Final = 8.0

logger = logging.getLogger("daybook.publish")


def publish_until_stopped(settings: Settings) -> bool:
    """Publish until told to stop; true when that is how it ended, false when it failed."""
    assert settings.follower_url is not None, "the caller has looked"
    work = _Work(Publisher(settings.follower_url, settings.feed))
    with stop_on_signals() as asked:
        work.start()
        while not asked.requested and work.is_alive():
            time.sleep(_LOOK_SECONDS)
        work.stop.set()
        work.join(_STOP_SECONDS)
    if work.is_alive():
        logger.warning("stopped in the middle of a batch, which is published again: Kafka did not answer")
    return not work.failed


class _Work(threading.Thread):
    """The publisher on a thread of its own, for a signal must be heard while Kafka is waited for."""

    def __init__(self, publisher: Publisher) -> None:
        super().__init__(name="publish", daemon=True)
        self._publisher = publisher
        self.stop = threading.Event()
        self.failed = False

    def run(self) -> None:
        """Publish, and keep that it failed."""
        try:
            self._publisher.run(self.stop)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process must end and say so
            self.failed = True
            # Not the traceback: a message of the database may quote what is in an event.
            logger.error("stopped: %s", describe(error))  # noqa: TRY400 - see above
