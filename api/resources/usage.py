"""Usage: CloudEvents in, what became of each out."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flask import request

from api.edge import Call, answer, operation
from api.idempotency import StoredAnswer
from commands.usage import UsageFact, record_usage
from ledger.errors import UnsupportedContent
from ledger.identifiers import public_id
from schemas import responses
from schemas.usage_wire import CONTENT_TYPES, ENVELOPE, Malformed, WellFormed, read_batch, read_event

if TYPE_CHECKING:
    from flask import Response

    from commands.usage import UsageResult


@operation(
    "POST",
    "/v1/usage",
    scope="usage:write",
    book_wide=False,
    answer=responses.UsageResultView,
    content=CONTENT_TYPES,
    description='One CloudEvent, a batch of them, or {"events": [...]}; each is judged for itself.',
)
def post_usage(call: Call) -> Response:
    """Record usage events; what is sent again is counted as a duplicate, never twice."""
    content_type = request.mimetype or ENVELOPE
    if content_type not in CONTENT_TYPES:
        message = f"send {', '.join(CONTENT_TYPES)}"
        raise UnsupportedContent(message)
    facts: list[UsageFact] = []
    rejected: list[dict[str, Any]] = []
    for index, raw in enumerate(read_batch(request.get_data(cache=True), content_type)):
        event = read_event(raw)
        if isinstance(event, Malformed):
            rejected.append({"index": index, "id": event.event_id, "errors": event.errors})
            continue
        errors = _admission(call, event)
        if errors:
            rejected.append({"index": index, "id": event.event_id, "errors": errors})
        else:
            facts.append(_fact(index, event))
    result = record_usage(call.context(), facts)
    return _answer(call, facts, result, rejected)


def _admission(call: Call, event: WellFormed) -> dict[str, list[str]]:
    """Judge what depends on the book and the clock: how far off the time may lie, whose account it is."""
    errors: dict[str, list[str]] = {}
    settings = call.edge.settings
    if event.occurred_at < call.now - timedelta(seconds=settings.usage_max_past_seconds):
        errors["time"] = [f"must not lie more than {settings.usage_max_past_seconds} seconds in the past"]
    elif event.occurred_at > call.now + timedelta(seconds=settings.usage_max_future_seconds):
        errors["time"] = [f"must not lie more than {settings.usage_max_future_seconds} seconds in the future"]
    if event.book is not None and event.book != public_id("book", call.book):
        errors["book"] = ["is not the book of this key"]
    if call.own_account not in (None, event.account):
        errors["subject"] = [f"there is no account {event.account}"]
    return errors


def _fact(index: int, event: WellFormed) -> UsageFact:
    return UsageFact(
        index=index,
        event_id=event.event_id,
        source=event.source,
        meter=event.meter,
        account=event.account,
        quantity=event.quantity,
        occurred_at=event.occurred_at,
        properties=event.properties,
    )


def _answer(
    call: Call, facts: list[UsageFact], result: UsageResult, rejected: list[dict[str, Any]]
) -> Response:
    by_index = {fact.index: fact for fact in facts}
    for refusal in result.rejected:
        fact = by_index[refusal.index]
        rejected.append(
            {"index": refusal.index, "id": fact.event_id, "errors": {"subject": [refusal.reason]}}
        )
    body = {
        "accepted": result.accepted,
        "duplicates": result.duplicates,
        "conflicts": [
            {
                "index": conflict.index,
                "id": by_index[conflict.index].event_id,
                "source": by_index[conflict.index].source,
                "position": conflict.position,
            }
            for conflict in result.conflicts
        ],
        "rejected": sorted(rejected, key=lambda one: one["index"]),
        "position": result.position,
    }
    response = answer(body, 200, result.position)
    if call.slot is not None:
        # After the events, not with them: were this lost, sending them again would only count duplicates.
        stored = StoredAnswer(call.slot, 200, response.get_data(), result.position)
        call.log.append(call.book, [], extra=stored)
    return response
