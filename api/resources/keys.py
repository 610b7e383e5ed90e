"""API keys: issue, look at, rotate, suspend, resume, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.edge import Call, answer, operation, page
from api.resources.views import issued_view, key_row_view, key_view
from commands.keys import issue_key, resume_key, revoke_key, rotate_key, suspend_key
from commands.streams import account_stream, stream_or_not_found
from ledger.errors import NotFound
from ledger.streams import account as accounts
from ledger.streams import api_key as keys
from ledger.streams.base import Stream, fold
from projections import keys as key_rows
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response


@operation(
    "POST",
    "/v1/accounts/{account}/keys",
    scope="write",
    body=requests.NewKey,
    answer=responses.IssuedKeyView,
    status=201,
)
def issue(call: Call, account: str) -> Response:
    """Issue a key to an account; its secret is shown this once."""
    body = call.body
    account_stream(account)
    scopes = body["scopes"] or requests.DEFAULT_KEY_SCOPES
    return call.write(
        lambda context: issue_key(
            context, call.checked.mode, account, body["name"], scopes, body["expires_at"]
        ),
        lambda issued: issued_view(issued, call.now),
        201,
    )


@operation(
    "GET",
    "/v1/accounts/{account}/keys",
    scope="read",
    book_wide=False,
    query=requests.KeysPaged,
    answer=responses.page_of(responses.KeyView),
)
def list_keys(call: Call, account: str) -> Response:
    """List an account's keys, by id."""
    call.require_account(account)
    limit = call.query["limit"]
    with call.reading() as connection:
        call.wait_for(connection, "keys")
        rows = key_rows.of_owner(connection, account, call.query.get("after"), limit + 1)
    if not rows:
        accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    rows, following = page(rows, limit, lambda row: row["key"])
    return answer({"data": [key_row_view(row, call.now) for row in rows], "next": following})


def _load(call: Call, key: str) -> Stream[keys.ApiKey]:
    """Load a key the caller may see: an account's key sees its account's, and operator keys take an admin."""
    stream = fold(keys.evolve, call.log.load(call.book, stream_or_not_found("key", key)))
    state = keys.require(stream.state)
    if call.own_account not in (None, state.owner):
        message = "there is no such key"
        raise NotFound(message)
    if not state.owner.startswith("acc_"):
        call.require_scope("admin")
    return stream


@operation(
    "GET", "/v1/keys/{key}", scope="read", book_wide=False, query=requests.Read, answer=responses.KeyView
)
def get_key(call: Call, key: str) -> Response:
    """Show a key as the log has it now."""
    return answer(key_view(_load(call, key), call.now))


@operation("PATCH", "/v1/keys/{key}", scope="write", body=requests.KeyChange, answer=responses.KeyView)
def change_key(call: Call, key: str) -> Response:
    """Suspend or resume a key."""
    _load(call, key)
    if call.body["status"] == "suspended":
        return call.write(
            lambda context: suspend_key(context, key, call.body["reason"]), lambda s: key_view(s, call.now)
        )
    return call.write(lambda context: resume_key(context, key), lambda s: key_view(s, call.now))


@operation("DELETE", "/v1/keys/{key}", scope="write", answer=responses.KeyView)
def revoke(call: Call, key: str) -> Response:
    """Revoke a key for ever, from the next request on."""
    _load(call, key)
    return call.write(
        lambda context: revoke_key(context, key, "revoked by an operator"), lambda s: key_view(s, call.now)
    )


@operation("POST", "/v1/keys/{key}/rotate", scope="write", answer=responses.IssuedKeyView)
def rotate(call: Call, key: str) -> Response:
    """Give a key a new secret, shown this once; the old one stops at once."""
    _load(call, key)
    return call.write(
        lambda context: rotate_key(context, call.checked.mode, key),
        lambda issued: issued_view(issued, call.now),
    )


@operation("POST", "/v1/keys/{key}/suspend", scope="write", body=requests.Reason, answer=responses.KeyView)
def suspend(call: Call, key: str) -> Response:
    """Refuse a key until it is resumed."""
    _load(call, key)
    return call.write(
        lambda context: suspend_key(context, key, call.body["reason"]), lambda s: key_view(s, call.now)
    )


@operation("POST", "/v1/keys/{key}/resume", scope="write", answer=responses.KeyView)
def resume(call: Call, key: str) -> Response:
    """Let a suspended key open again."""
    _load(call, key)
    return call.write(lambda context: resume_key(context, key), lambda s: key_view(s, call.now))
