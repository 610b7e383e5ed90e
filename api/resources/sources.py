"""Sources: who may write into the book straight from Kafka, and on whose behalf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, instant, operation, page
from commands.sources import grant_source, withdraw_source
from ledger.streams import source as sources
from projections import sources as source_rows
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response

    from ledger.streams.base import Stream

_DEFAULT_SCOPES = ("usage:write",)


def _view(stream: Stream[sources.Source]) -> dict[str, Any]:
    state = sources.require(stream.state)
    last = state.last
    return {
        "source": state.source,
        "principal": last.principal,
        "principal_kind": last.principal_kind,
        "scopes": list(last.scopes),
        "status": state.status,
        "granted_at": instant(last.granted_at),
        "withdrawn_at": instant(last.withdrawn_at),
        "version": stream.version,
    }


def _row_view(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "source": row["source"],
        "principal": row["principal"],
        "principal_kind": row["principal_kind"],
        "scopes": list(row["scopes"]),
        "status": row["status"],
        "granted_at": instant(row["granted_at"]),
        "withdrawn_at": instant(row["withdrawn_at"]),
        "version": row["version"],
    }


@operation(
    "POST",
    "/v1/sources",
    scope="admin",
    body=requests.NewSource,
    answer=responses.SourceView,
    status=201,
    description=(
        "What it writes counts as done by the principal: the caller's own unless another is named."
        " Scopes are `usage:write`, the default, and `write`, for commands too."
        " To change a grant, withdraw it first."
    ),
)
def grant(call: Call) -> Response:
    """Take a source's messages from Kafka into the book from now on."""
    body = call.body
    principal = body["principal"] or call.checked.key.owner
    scopes = body["scopes"] or _DEFAULT_SCOPES
    return call.write(lambda context: grant_source(context, body["source"], principal, scopes), _view, 201)


@operation(
    "GET",
    "/v1/sources",
    scope="read",
    query=requests.SourcesPaged,
    answer=responses.page_of(responses.SourceView),
)
def list_sources(call: Call) -> Response:
    """List the book's sources, by name."""
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "sources")
        rows = source_rows.list_sources(connection, call.query.get("after"), limit + 1)
    rows, following = page(rows, limit, lambda row: row["source"])
    return answer({"data": [_row_view(row) for row in rows], "next": following})


@operation(
    "POST",
    "/v1/sources/withdraw",
    scope="admin",
    body=requests.SourceWithdrawal,
    answer=responses.SourceView,
)
def withdraw(call: Call) -> Response:
    """Take no more of a source's messages from now on; what the broker took before still counts."""
    body = call.body
    return call.write(lambda context: withdraw_source(context, body["source"], body["reason"]), _view)
