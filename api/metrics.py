"""Metrics of one HTTP process, for Prometheus; labels are routes and statuses, never ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from psycopg import Connection

# Without those that a rebuild makes on the side, which are gone a moment later.
_TRACKING = (
    "SELECT projection, position, failure FROM daybook.tracking WHERE right(projection, 8) <> '_rebuild'"
)
# A caller may make up any method, and must not make up a figure with it.
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """A registry of its own, so that two applications in one process do not share figures."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self._requests = Counter(
            "daybook_http_requests", "Requests answered.", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "daybook_http_request_seconds",
            "Seconds a request took.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._position = Gauge(
            "daybook_projection_position",
            "Position a projection has read to.",
            ["projection"],
            registry=self.registry,
        )
        self._lag = Gauge(
            "daybook_projection_lag_positions",
            "Positions between the log's head and a projection.",
            ["projection"],
            registry=self.registry,
        )
        self._stopped = Gauge(
            "daybook_projection_stopped",
            "1 while a projection stands still on an error.",
            ["projection"],
            registry=self.registry,
        )
        # Finding a figure by its labels costs more than counting up; there are few of them.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._head = Gauge("daybook_log_head_position", "The log's last position.", registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = (method if method in _METHODS else "other", route, status)
        figures = self._known.get(key)
        if figures is None:
            figures = self._requests.labels(*key), self._seconds.labels(*key[:2])
            self._known[key] = figures
        figures[0].inc()
        figures[1].observe(seconds)

    def read_log(self, connection: Connection[Any], head: int) -> None:
        """Read how far the projections are."""
        self._head.set(head)
        for row in connection.execute(_TRACKING):
            self._position.labels(row["projection"]).set(row["position"])
            self._lag.labels(row["projection"]).set(max(0, head - row["position"]))
            self._stopped.labels(row["projection"]).set(1 if row["failure"] else 0)

    def text(self) -> bytes:
        """Write the figures as Prometheus reads them."""
        return generate_latest(self.registry)
