"""What the server loads: the application made from the process's environment."""

from __future__ import annotations

import atexit
import os
from datetime import UTC, datetime

from api.app import create_app
from consumers.feed_producer import FeedProducer
from ledger.settings import Settings, SettingsError
from ledger.store import Log

# Requests wait for a connection rather than ask PostgreSQL for more than a few a core.
_POOL_SIZE = 8


def _now() -> datetime:
    return datetime.now(UTC)


def _build() -> object:
    settings = Settings.from_mapping(os.environ)
    if settings.app_url is None or not settings.master_key:
        message = "serving needs DAYBOOK_APP_URL (or DATABASE_URL) and DAYBOOK_MASTER_KEY"
        raise SettingsError(message)
    settings.current_pepper_version()
    log = Log(settings.app_url, settings.master_key, pool_size=_POOL_SIZE)
    return create_app(log, settings, _now, os.urandom, _feed(settings))


def _feed(settings: Settings) -> FeedProducer | None:
    if settings.feed.bootstrap_servers is None:
        return None
    feed = FeedProducer(settings.feed)
    atexit.register(feed.close)
    return feed


app = _build()
