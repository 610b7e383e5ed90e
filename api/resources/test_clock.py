"""The clock of a test book: look at it, and move it through a year in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.edge import Call, answer, instant, operation
from commands.clock import load_clock
from consumers.clock_moves import ClockMove
from ledger.streams import clock as clocks
from schemas import requests_clock, responses_clock

if TYPE_CHECKING:
    from flask import Response

    from consumers.jobs import Settled
    from ledger.streams.clock import Clock

_DESCRIPTION: Final = (
    "Only of a test book; a live one answers 409. The first call on a book without accounts and plans may set"
    " any instant, all others move the clock forward. Before it answers, everything that falls due until then"
    " is done, in order, each thing at its own time: periods close, invoices are finalized, keys expire. From"
    " the first call on, the book's time is what its clock says: for every request, and for the limits on the"
    " times of usage. The scheduler leaves the book alone: what falls due is done by the next call, also by"
    " one with the time that the clock stands at. Of two calls at once, one is answered 409. A call that is"
    " answered 503 has moved the clock to where it got; the same call again goes on from there."
)


@operation("GET", "/v1/test-clock", scope="read", answer=responses_clock.ClockView, refusals=(409,))
def get_test_clock(call: Call) -> Response:
    """Show the time in a test book."""
    clocks.require_test_book(call.checked.mode)
    return answer(_view(load_clock(call.log, call.book).state, call))


@operation(
    "PUT",
    "/v1/test-clock",
    scope="write",
    body=requests_clock.ClockTarget,
    answer=responses_clock.ClockMovedView,
    description=_DESCRIPTION,
)
def put_test_clock(call: Call) -> Response:
    """Move the clock of a test book, and do everything that falls due on the way."""
    clocks.require_test_book(call.checked.mode)
    moved = ClockMove(call.context(), call.edge.clock()).to(call.body["now"])
    body = _view(moved.clock.state, call)
    body |= {"jobs": moved.done, "refused": [_refused_view(one) for one in moved.refused]}
    return answer(body, position=moved.position)


def _view(clock: Clock | None, call: Call) -> dict[str, Any]:
    return {"now": instant(clocks.time_of(clock, call.now)), "set": clock is not None}


def _refused_view(one: Settled) -> dict[str, Any]:
    return {
        "kind": one.job.kind,
        "subject": one.job.subject,
        "due_at": instant(one.job.due_at),
        "code": one.code,
        "detail": one.reason,
    }
