"""The process `daybook project`: it follows the log for the projections, and for what Stripe delivered."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from api.signals import stop_on_signals
from consumers.stripe_processor import StripeProcessor
from ledger.store import Log
from projections.applier import describe
from projections.follower import Follower
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.settings import Settings

_LOOK_SECONDS: Final = 0.1

logger = logging.getLogger("daybook.project")


def project_until_stopped(settings: Settings) -> bool:
    """Follow the log until told to stop; true when that is how it ended, false when a part of it failed."""
    url = settings.follower_url
    assert settings.app_url is not None, "the caller has looked"
    assert url is not None, "the caller has looked"
    stop = threading.Event()
    with stop_on_signals() as asked, closing(Log(settings.app_url, settings.master_key)) as log:
        follower = Follower(url, settings.master_key, PROJECTIONS.values())
        processor = StripeProcessor(log, url, settings, lambda: datetime.now(UTC))
        parts = [_Part("projections", follower.run, stop), _Part("stripe", processor.run, stop)]
        for part in parts:
            part.start()
        while not asked.requested and all(part.is_alive() for part in parts):
            time.sleep(_LOOK_SECONDS)
        # Each finishes the batch it is at; when one has failed, both stop, and the process is started again.
        stop.set()
        for part in parts:
            part.join()
    return not any(part.failed for part in parts)


class _Part(threading.Thread):
    """One loop on a thread of its own."""

    def __init__(self, name: str, run: Callable[[threading.Event], None], stop: threading.Event) -> None:
        super().__init__(name=name)
        self._run = run
        self._stop_event = stop
        self.failed = False

    def run(self) -> None:
        """Run the loop, and keep that it failed."""
        try:
            self._run(self._stop_event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process must not go on with half its work
            self.failed = True
            # Not the traceback: a message of the database may quote what is in an event.
            logger.error("%s failed: %s", self.name, describe(error))  # noqa: TRY400 - see above
