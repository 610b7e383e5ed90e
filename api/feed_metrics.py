"""Metrics of one consumer, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from consumers.appending import Report

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from consumers.usage_intake import Outcome

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class FeedMetrics(Report):
    """Counts what the consumer tells."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Begin at zero."""
        self._messages = Counter(
            "daybook_feed_messages", "Messages read, by what became of them.", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "daybook_feed_batch_seconds", "Seconds a batch took.", buckets=_BUCKETS, registry=registry
        )
        self._lag = Gauge(
            "daybook_feed_lag_messages",
            "Messages of a partition that are not appended yet.",
            ["topic", "partition"],
            registry=registry,
        )
        self._outages = Counter(
            "daybook_feed_outages", "Times reading paused for what was out of reach.", registry=registry
        )

    def appended(self, outcome: Outcome, seconds: float) -> None:
        """Count a batch."""
        for name in ("accepted", "duplicates", "rejected", "parked"):
            self._messages.labels(name).inc(getattr(outcome, name))
        self._seconds.observe(seconds)

    def lags(self, lags: dict[tuple[str, int], int]) -> None:
        """Set the lag of the partitions that are ours, and forget the others."""
        self._lag.clear()
        for (topic, partition), messages in lags.items():
            self._lag.labels(topic, str(partition)).set(messages)

    def outage(self, reason: str) -> None:  # noqa: ARG002 - the log says why
        """Count a pause."""
        self._outages.inc()
