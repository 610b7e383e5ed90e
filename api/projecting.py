"""The process `daybook project`: the follower of all projections and what applies Stripe's deliveries, until told to stop."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from api.signals import stop_on_signals
from consumers.stripe_processor import StripeProcessor
from projections.follower import Follower, describe
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ledger.settings import Settings

_LOOK_SECONDS: Final = 0.1

logger = logging.getLogger("daybook.project")


def project_until_stopped(settings: Settings) -> bool:
    """Follow the log until told to stop; true when that is how it ended, false when a part of it failed."""
    assert settings.follower_url is not None, "the caller has looked"
    stop = threading.Event()
    parts = [
        _Part("projections", Follower(settings.follower_url, settings.master_key, PROJECTIONS).run, stop),
        _Part("stripe", StripeProcessor(settings).run, stop),
    ]
    with stop_on_signals() as asked:
        for part in parts:
            part.start()
        while not asked.requested and all(part.is_alive() for part in parts):
            time.sleep(_LOOK_SECONDS)
        # Each finishes the batch it is at; when one has failed the other stops too, and both are started again.
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
