"""The process `daybook publish`: it follows the log and writes it to Kafka, until it is told to stop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from api.parts import run_until_stopped
from consumers.publish import Publisher

if TYPE_CHECKING:
    from ledger.settings import Settings

# Longer than a batch takes; what waits for Kafka in an outage does not end by itself, nor needs it to.
_STOP_SECONDS: Final = 8.0

logger = logging.getLogger("daybook.publish")


def publish_until_stopped(settings: Settings) -> bool:
    """Publish until told to stop; true when that is how it ended, false when it failed."""
    assert settings.follower_url is not None, "the caller has looked"
    publisher = Publisher(settings.follower_url, settings.feed)
    return run_until_stopped(logger, {"publisher": publisher.run}, _STOP_SECONDS)
