"""Lists of the catalogue: one page of one kind of object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, page
from projections import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Response


def catalogue_page(
    call: Call, kind: str, view: Callable[[dict[str, Any]], dict[str, Any]], only: str | None = None
) -> Response:
    """Answer with a page of a kind; `only` is the id of the one that was asked for by another name."""
    query = call.query
    with call.reading() as connection:
        call.wait_for(connection, "catalogue")
        rows = catalogue.list_objects(
            connection,
            kind,
            query.get("after"),
            query["limit"] + 1,
            only=only,
            status=query.get("status"),
        )
    rows, following = page(rows, query["limit"], lambda row: row["id"])
    return answer({"data": [view(row) for row in rows], "next": following})
