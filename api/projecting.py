"""The process `daybook project`: it follows the log for the projections, and for what Stripe delivered."""

from __future__ import annotations

import logging
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from api.parts import run_until_stopped
from consumers.stripe_processor import StripeProcessor
from ledger.store import Log
from projections.follower import Follower
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from ledger.settings import Settings

# Far longer than a batch takes, of events or of deliveries.
_STOP_SECONDS: Final = 60.0

logger = logging.getLogger("daybook.project")


def project_until_stopped(settings: Settings) -> bool:
    """Follow the log until told to stop; true when that is how it ended, false when a part of it failed."""
    url = settings.follower_url
    assert settings.app_url is not None, "the caller has looked"
    assert url is not None, "the caller has looked"
    with closing(Log(settings.app_url, settings.master_key)) as log:
        follower = Follower(url, settings.master_key, PROJECTIONS.values())
        processor = StripeProcessor(log, url, settings, lambda: datetime.now(UTC))
        loops = {"projections": follower.run, "stripe": processor.run}
        return run_until_stopped(logger, loops, _STOP_SECONDS)
