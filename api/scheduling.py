"""The process `daybook schedule`: it does what is due as its time comes, or says what would be done."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server

from api.parts import run_until_stopped
from api.schedule_metrics import ScheduleMetrics
from commands.context import Context
from consumers.forecast import forecast
from consumers.job_batches import BATCH_HANDLERS
from consumers.jobs import SCHEDULER
from consumers.scheduler import Scheduler
from ledger.errors import Conflict
from ledger.identifiers import INSTALLATION_BOOK
from ledger.store import Log
from projections.applier import connect
from projections.measured import MeasuredUsage

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from uuid import UUID

    from consumers.forecast import Expected
    from ledger.settings import Settings

# Longer than a job takes, and than waiting for the projections does.
_STOP_SECONDS: Final = 20.0

logger = logging.getLogger("daybook.schedule")


class AnotherLeads(Conflict):
    """Another scheduler leads, and does what is due."""

    code = "another_leads"


def schedule_until_stopped(settings: Settings, *, metrics_port: int | None) -> bool:
    """Do what is due as its time comes until told to stop; true when that is how it ended."""
    # It tells of every look; what matters is said by us.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    registry = CollectorRegistry()
    with _log_of(settings) as log:
        scheduler = make_scheduler(settings, log, ScheduleMetrics(registry))
        if metrics_port is not None:
            start_http_server(metrics_port, registry=registry)
        return run_until_stopped(logger, {"scheduler": scheduler.run}, _STOP_SECONDS)


def schedule_once(settings: Settings, until: datetime) -> Counter[str]:
    """Do what is due until an instant, or until now if that is sooner, and give how many jobs ended how."""
    with _log_of(settings) as log, closing(make_scheduler(settings, log)) as scheduler:
        if not scheduler.leader.take():
            message = "another scheduler leads, and does what is due as its time comes"
            raise AnotherLeads(message)
        return scheduler.work(threading.Event(), until)


def would_happen(settings: Settings, until: datetime, book: UUID | None) -> Iterator[Expected]:
    """Tell what would happen until an instant, without doing any of it."""
    assert settings.follower_url is not None, "the caller has looked"
    with _log_of(settings) as log, connect(settings.follower_url, "daybook forecast") as connection:
        yield from forecast(connection, _base(settings, log), until, book)


def make_scheduler(settings: Settings, log: Log, report: ScheduleMetrics | None = None) -> Scheduler:
    """Make the scheduler of this process."""
    assert settings.follower_url is not None, "the caller has looked"
    return Scheduler(
        _base(settings, log), settings.follower_url, clock=_now, handlers=BATCH_HANDLERS, report=report
    )


@contextmanager
def _log_of(settings: Settings) -> Iterator[Log]:
    assert settings.app_url is not None, "the caller has looked"
    with closing(Log(settings.app_url, settings.master_key)) as log:
        yield log


def _base(settings: Settings, log: Log) -> Context:
    """Give the context that a job's is made from: its book, cause and time are the job's own."""
    return Context(
        log,
        settings,
        INSTALLATION_BOOK,
        SCHEDULER,
        "scheduler",
        _now(),
        os.urandom,
        measure=MeasuredUsage(log),
    )


def _now() -> datetime:
    return datetime.now(UTC)
