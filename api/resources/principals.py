"""Principals: the people and services that own operator keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.edge import Call, answer, operation, page
from api.resources.views import issued_view, key_row_view
from commands.keys import issue_key
from commands.principals import register_principal, require_principal
from commands.streams import stream_or_not_found
from projections import keys as key_rows
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response

    from ledger.events.principal import PrincipalRegistered

_DEFAULT_SCOPES = ("read",)


def _view(event: PrincipalRegistered) -> dict[str, Any]:
    return {"id": event.principal, "kind": event.kind, "name": event.name}


@operation(
    "POST",
    "/v1/principals",
    scope="admin",
    body=requests.NewPrincipal,
    answer=responses.PrincipalView,
    status=201,
)
def register(call: Call) -> Response:
    """Register a person or a service that will work with the book."""
    return call.write(
        lambda context: register_principal(context, call.body["kind"], call.body["name"]), _view, 201
    )


@operation("GET", "/v1/principals/{principal}", scope="admin", answer=responses.PrincipalView)
def get_principal(call: Call, principal: str) -> Response:
    """Show a principal."""
    return answer(_view(require_principal(call.log, call.book, principal)))


@operation(
    "POST",
    "/v1/principals/{principal}/keys",
    scope="admin",
    body=requests.NewKey,
    answer=responses.IssuedKeyView,
    status=201,
)
def issue_operator_key(call: Call, principal: str) -> Response:
    """Issue an operator key to a principal; its secret is shown this once."""
    body = call.body
    stream_or_not_found("prn", principal)
    scopes = body["scopes"] or _DEFAULT_SCOPES
    return call.write(
        lambda context: issue_key(
            context, call.checked.mode, principal, body["name"], scopes, body["expires_at"]
        ),
        lambda issued: issued_view(issued, call.now),
        201,
    )


@operation(
    "GET",
    "/v1/principals/{principal}/keys",
    scope="admin",
    query=requests.KeysPaged,
    answer=responses.page_of(responses.KeyView),
)
def list_operator_keys(call: Call, principal: str) -> Response:
    """List a principal's keys, by id."""
    require_principal(call.log, call.book, principal)
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "keys")
        rows = key_rows.of_owner(connection, principal, call.query.get("after"), limit + 1)
    rows, following = page(rows, limit, lambda row: row["key"])
    return answer({"data": [key_row_view(row, call.now) for row in rows], "next": following})
