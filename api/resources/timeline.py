"""Timelines: an account's life, row by row, and the account as it was."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from flask import Response

from api.edge import Call, answer, operation, page
from api.resources.events import event_view
from api.resources.views import state_view
from commands.streams import account_stream
from ledger.errors import Invalid, NotFound
from ledger.events import EVENT_CLASSES
from ledger.streams import account as accounts
from ledger.streams.base import fold
from ledger.values import checked_time
from projections import timeline_queries as timeline
from projections.state import account_state
from schemas import requests, responses, responses_billing

if TYPE_CHECKING:
    from collections.abc import Sequence


@operation(
    "GET",
    "/v1/accounts/{account}/timeline",
    scope="read",
    book_wide=False,
    query=requests.TimelineQuery,
    answer=responses.page_of(responses.TimelineRowView),
)
def get_timeline(call: Call, account: str) -> Response:
    """Show an account's life, newest or oldest first, with usage folded into runs that can be expanded."""
    call.require_account(account)
    query = call.query
    with call.reading() as connection:
        call.wait_for(connection, "timeline")
        found = timeline.page(
            connection,
            account,
            query.get("after"),
            query["limit"],
            newest_first=query["order"] == "newest",
            types=_types(query.get("type")),
            since=query.get("since"),
            until=query.get("until"),
        )
    if not found.rows:
        accounts.require(fold(accounts.evolve, call.log.load(call.book, account_stream(account))).state)
    following = "null" if found.next is None else f'"{found.next}"'
    # The rows are JSON already: written when they were projected, or a run's line.
    body = f'{{"data":[{",".join(found.rows)}],"next":{following}}}'
    return Response(body, 200, content_type="application/json")


def _instant(text: str) -> datetime:
    try:
        return checked_time(datetime.fromisoformat(text), "at")
    except ValueError:
        message = "at: must be a position or an RFC 3339 instant"
        raise Invalid(message, {"at": ["must be a position or an RFC 3339 instant"]}) from None


def _types(text: str | None) -> Sequence[str] | None:
    if text is None:
        return None
    topics = text.split(",")
    unknown = [topic for topic in topics if topic not in EVENT_CLASSES]
    if unknown:
        reason = f"there is no type {unknown[0]!r}"
        message = f"type: {reason}"
        raise Invalid(message, {"type": [reason]})
    return topics


@operation(
    "GET",
    "/v1/accounts/{account}/timeline/runs/{run}",
    scope="read",
    book_wide=False,
    query=requests.PositionPaged,
    answer=responses.page_of(responses.EventView),
)
def expand_run(call: Call, account: str, run: str) -> Response:
    """Show the usage events that a run of the timeline folds together; `run` is the run's position."""
    call.require_account(account)
    limit = call.query["limit"]
    positions: list[int] = []
    if run.isascii() and run.isdecimal() and len(run) < 19:  # noqa: PLR2004 - 64 bits
        with call.reading() as connection:
            call.wait_for(connection, "timeline")
            positions = timeline.expand(connection, account, int(run), call.query.get("after", 0), limit + 1)
    if not positions:
        message = "there is no such run, or nothing of it beyond this"
        raise NotFound(message)
    shown, following = page(positions, limit, lambda position: position)
    events = call.log.at_positions(call.book, shown)
    return answer({"data": [event_view(recorded) for recorded in events], "next": following})


@operation(
    "GET",
    "/v1/accounts/{account}/state",
    scope="read",
    book_wide=False,
    query=requests.StateQuery,
    answer=responses_billing.StateView,
)
def get_state(call: Call, account: str) -> Response:
    """Show the account as it was at a position of the log, or at a time."""
    call.require_account(account)
    text = call.query.get("at")
    at: int | datetime
    if text is None:
        at = call.log.head()
    elif text.isdecimal():
        at = int(text)
        if at > call.log.head():
            message = "at: there is no such position yet"
            raise Invalid(message, {"at": ["there is no such position yet"]})
    else:
        at = _instant(text)
    with call.reading() as connection:
        call.wait_for(connection, "timeline", "balances")
    state = account_state(call.log, call.book, account, at)
    if state is None:
        message = "there was no such account"
        raise NotFound(message)
    return answer(state_view(state, at))
