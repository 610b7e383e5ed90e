"""The service about itself: whether it is up and ready, its metrics, its documentation."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import psycopg
from flask import Response, current_app

from api.edge import Edge, answer, operation
from api.errors import problem
from api.openapi import document
from api.reference import readable
from ledger.errors import Unavailable
from projections.migrate import read_migrations
from projections.registry import PROJECTIONS

if TYPE_CHECKING:
    from api.metrics import Metrics


@operation("GET", "/healthz", refusals=())
def healthz(edge: Edge) -> Response:  # noqa: ARG001 - the process answers, and that is the answer
    """Say that the process is up."""
    return answer({"status": "ok"})


@cache
def _newest_migration() -> int:
    return read_migrations()[-1].number


@operation("GET", "/readyz", refusals=(503,))
def readyz(edge: Edge) -> Response:
    """Say whether requests can be carried out: database, migrations, projections, and Kafka if used."""
    try:
        with edge.log.connection() as connection:
            newest = connection.execute("SELECT max(number) AS number FROM daybook.migrations").fetchone()
            tracking = connection.execute(
                "SELECT projection, failed_position, failure IS NOT NULL AS stopped FROM daybook.tracking"
                " WHERE right(projection, 8) <> '_rebuild'"
            ).fetchall()
    except (Unavailable, psycopg.Error):
        return problem(503, "unavailable", "the database is out of reach, or has not been migrated")
    wanted = _newest_migration()
    if newest is None or newest["number"] is None or newest["number"] < wanted:
        return problem(503, "migrations_missing", "run `daybook migrate`")
    stopped = [f"{row['projection']} at {row['failed_position']}" for row in tracking if row["stopped"]]
    if stopped:
        return problem(503, "projection_stopped", f"stopped: {', '.join(stopped)}")
    missing = sorted(PROJECTIONS.keys() - {row["projection"] for row in tracking})
    if missing:
        return problem(
            503, "projection_not_started", f"never started: {', '.join(missing)}; run `daybook project`"
        )
    if edge.feed is not None:
        try:
            edge.feed.check()
        except Unavailable as error:
            return problem(503, "kafka_unavailable", str(error))
    return answer({"status": "ready"})


@operation("GET", "/metrics", refusals=())
def metrics(edge: Edge) -> Response:
    """Give this process's figures, as Prometheus reads them."""
    figures: Metrics = current_app.extensions["daybook"]["metrics"]
    # Without the database there are still the requests that it failed.
    with suppress(Unavailable):
        head = edge.log.head()
        with edge.log.connection() as connection:
            figures.read_log(connection, head)
    return Response(figures.text(), 200, content_type="text/plain; version=0.0.4; charset=utf-8")


@operation("GET", "/openapi.json", refusals=())
def openapi(edge: Edge) -> Response:  # noqa: ARG001 - the same for every installation
    """Give the OpenAPI description of this API."""
    return answer(document())


@operation("GET", "/docs", refusals=())
def docs(edge: Edge) -> Response:  # noqa: ARG001 - the same for every installation
    """Show the reference as a page."""
    return Response(readable(), 200, content_type="text/html; charset=utf-8")
