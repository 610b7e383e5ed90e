"""Events: one of the log, as it is stored, for those who trace a figure to its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from api.edge import Call, answer, instant, operation
from commands.log import set_event_aside
from ledger.errors import Conflict, NotFound
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response

    from ledger.events import Recorded

_MAX_POSITION = (1 << 63) - 1


@operation("GET", "/v1/events/{position}", scope="read", book_wide=False, answer=responses.EventView)
def get_event(call: Call, position: str) -> Response:
    """Show the event at a position of the log."""
    found: list[Recorded] = []
    if position.isascii() and position.isdecimal() and int(position[:20]) <= _MAX_POSITION:
        found = call.log.at_positions(call.book, [int(position[:20])])
    if (
        found
        and call.own_account is not None
        and getattr(found[0].event, "account", None) != call.own_account
    ):
        found = []
    if not found:
        message = "there is no event at this position"
        raise NotFound(message)
    return answer(event_view(found[0]))


@operation(
    "POST",
    "/v1/events/{position}/set-aside",
    scope="admin",
    body=requests.Reason,
    answer=responses.SetAsideView,
)
def set_aside(call: Call, position: str) -> Response:
    """Have every projection pass over an event that one has stopped at, live and in every rebuild."""
    if not (position.isascii() and position.isdecimal() and int(position[:20]) <= _MAX_POSITION):
        message = "there is no event at this position"
        raise NotFound(message)
    _require_stopped_at(call, int(position))
    return call.write(
        lambda context: set_event_aside(context, int(position), call.body["reason"]),
        lambda event: {"position": event.position, "reason": event.reason},
    )


def _require_stopped_at(call: Call, position: int) -> None:
    """Refuse what was applied already: aside, it would stop the projections of every book until a rebuild."""
    with call.reading() as connection:
        stopped = connection.execute(
            "SELECT 1 FROM daybook.tracking WHERE failed_position = %s AND failure IS NOT NULL", (position,)
        ).fetchone()
    if stopped is None and call.log.has_position(call.book, position):
        message = "no projection has stopped at this position"
        raise Conflict(message)


def event_view(recorded: Recorded) -> dict[str, Any]:
    """Show an event; what is kept only to check a secret is left out."""
    data = msgspec.to_builtins(recorded.event)
    data.pop("secret_hash", None)
    metadata = recorded.metadata
    return {
        "position": recorded.position,
        "type": recorded.event.topic,
        "version": recorded.event.version,
        "stream": str(recorded.stream),
        "stream_version": recorded.stream_version,
        "occurred_at": instant(metadata.occurred_at),
        "booked_at": instant(metadata.booked_at),
        "recorded_at": instant(recorded.recorded_at),
        "actor": msgspec.to_builtins(metadata.actor),
        "cause": metadata.cause,
        "data": data,
    }
