"""Metrics of one scheduler, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from consumers.scheduler import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from consumers.jobs import Settled


class ScheduleMetrics(Report):
    """Counts what the scheduler tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Begin at zero."""
        self._leader = Gauge(
            "daybook_schedule_leader", "1 while this scheduler is the one that works.", registry=registry
        )
        self._jobs = Counter(
            "daybook_schedule_jobs",
            "Jobs, by kind and by how they ended: done, refused or failed.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._lag = Gauge(
            "daybook_schedule_lag_seconds",
            "How long the earliest job is due that may be done now.",
            registry=registry,
        )
        self._refused = Gauge(
            "daybook_schedule_refused_jobs",
            "Jobs that were not done and rest until they are tried again.",
            ["kind"],
            registry=registry,
        )

    def leads(self, *, leads: bool) -> None:
        """Set whether this scheduler works; what is due is then for the leader to tell."""
        self._leader.set(1 if leads else 0)
        if not leads:
            self._lag.set(0)
            self._refused.clear()

    def settled(self, settled: Settled) -> None:
        """Count a job."""
        self._jobs.labels(settled.job.kind, settled.outcome).inc()

    def waiting(self, lag_seconds: float, refused: Mapping[str, int]) -> None:
        """Set how far behind the work is, and how much of it rests."""
        self._lag.set(lag_seconds)
        self._refused.clear()
        for kind, jobs in refused.items():
            self._refused.labels(kind).set(jobs)
