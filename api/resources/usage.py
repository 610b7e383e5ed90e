"""Usage: CloudEvents in, what became of each out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from flask import request

from api.edge import Call, answer, operation
from api.idempotency import StoredAnswer
from commands.usage import judge_standing, record_usage
from consumers.outgoing import Outgoing
from consumers.usage_batch import MAX_USAGE_BYTES
from ledger.errors import UnsupportedContent
from ledger.identifiers import public_id
from ledger.stamps import HEADER, Stamp, sign_stamp, stamp_key
from ledger.streams.clock import TEST
from schemas import responses
from schemas.topics import USAGE
from schemas.usage_wire import CONTENT_TYPES, ENVELOPE, Malformed, read_batch, read_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import msgspec
    from flask import Response

    from commands.usage import Rejection
    from consumers.feed_producer import FeedProducer
    from ledger.usage_row import UsageFact
    from schemas.usage_wire import Errors


_DESCRIPTION: Final = (
    'One CloudEvent, a batch of them, or {"events": [...]}; each is judged for itself.'
    " Where usage goes through Kafka, the answer is 202 once the brokers have acknowledged every event that"
    " is `accepted`; whether some are duplicates or conflicts, and their position, is not known yet, so"
    " `duplicates` and `position` are null. It is 200 when no event was left to hand on. After a 503 some of"
    " the events may have been taken all the same: send them again with the same ids, and each is counted"
    " once."
)


@dataclass(frozen=True)
class _Judged:
    """A request's events: what may be recorded as far as it tells, with texts and indexes, and the others."""

    facts: list[UsageFact] = field(default_factory=list)
    texts: list[bytes | msgspec.Raw] = field(default_factory=list)
    # Which of the request's events each of the facts is.
    indexes: list[int] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def admit(self, index: int, fact: UsageFact, text: bytes | msgspec.Raw) -> None:
        """Keep an event that may be recorded as far as it tells."""
        self.facts.append(fact)
        self.texts.append(text)
        self.indexes.append(index)

    def reject(self, index: int, event_id: str | None, errors: Errors) -> None:
        """Leave an event out, and say why."""
        self.rejected.append({"index": index, "id": event_id, "errors": errors})

    def refuse(self, refusals: Iterable[Rejection]) -> list[dict[str, Any]]:
        """Give everything that was left out, in the events' order, once the accounts were looked at too."""
        for refusal in refusals:
            event_id = self.facts[refusal.index].event_id
            self.reject(self.indexes[refusal.index], event_id, {"subject": [refusal.reason]})
        return sorted(self.rejected, key=lambda one: int(one["index"]))


@operation(
    "POST",
    "/v1/usage",
    scope="usage:write",
    book_wide=False,
    answer=responses.UsageResultView,
    also=(202,),
    content=CONTENT_TYPES,
    description=_DESCRIPTION,
)
def post_usage(call: Call) -> Response:
    """Record usage events; what is sent again is counted as a duplicate, never twice."""
    content_type = request.mimetype or ENVELOPE
    if content_type not in CONTENT_TYPES:
        message = f"send {', '.join(CONTENT_TYPES)}"
        raise UnsupportedContent(message)
    judged = _judge(call, read_batch(request.get_data(cache=True), content_type))
    if call.edge.feed is None:
        return _record(call, judged)
    return _hand_on(call, call.edge.feed, judged)


def _judge(call: Call, events: Sequence[bytes | msgspec.Raw]) -> _Judged:
    judged = _Judged()
    for index, raw in enumerate(events):
        event = read_event(raw)
        if isinstance(event, Malformed):
            judged.reject(index, event.event_id, event.errors)
            continue
        errors = _admission(call, event) | _size(call, raw)
        if errors:
            judged.reject(index, event.event_id, errors)
        else:
            judged.admit(index, event, raw)
    return judged


def _size(call: Call, raw: bytes | msgspec.Raw) -> Errors:
    """Judge an event's size, which is limited only where each event becomes a message of its own."""
    if call.edge.feed is None or len(memoryview(raw)) <= MAX_USAGE_BYTES:
        return {}
    return {"event": [f"must have at most {MAX_USAGE_BYTES} bytes"]}


def _admission(call: Call, event: UsageFact) -> Errors:
    """Judge what depends on the book and the clock: how far off the time may lie, whose account it is."""
    errors: Errors = {}
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


def _record(call: Call, judged: _Judged) -> Response:
    """Record the events now, and answer with what became of each."""
    result = record_usage(call.context(), judged.facts)
    body = {
        "accepted": result.accepted,
        "duplicates": result.duplicates,
        "conflicts": [
            {
                "index": judged.indexes[conflict.index],
                "id": judged.facts[conflict.index].event_id,
                "source": judged.facts[conflict.index].source,
                "position": conflict.position,
            }
            for conflict in result.conflicts
        ],
        "rejected": judged.refuse(result.rejected),
        "position": result.position,
    }
    return _answered(call, body, 200, result.position)


def _hand_on(call: Call, feed: FeedProducer, judged: _Judged) -> Response:
    """Hand the events to Kafka, and answer once it has every one."""
    context = call.context()
    admitted, refused = judge_standing(context, judged.facts)
    if admitted:
        stamp = Stamp(
            accepted_at=call.now,
            book=call.book,
            actor=context.actor,
            cause=call.cause,
            book_time=call.checked.mode == TEST,
        )
        key = stamp_key(context.settings.master_key)
        feed.send_all([_message(judged.facts[at], judged.texts[at], stamp, key) for at in admitted])
    body = {
        "accepted": len(admitted),
        "duplicates": None if admitted else 0,
        "conflicts": [],
        "rejected": judged.refuse(refused),
        "position": None,
    }
    return _answered(call, body, 202 if admitted else 200)


def _message(fact: UsageFact, text: bytes | msgspec.Raw, stamp: Stamp, key: bytes) -> Outgoing:
    value = bytes(text)
    return Outgoing(USAGE, fact.account.encode(), value, ((HEADER, sign_stamp(stamp, USAGE, value, key)),))


def _answered(call: Call, body: dict[str, Any], status: int, position: int | None = None) -> Response:
    response = answer(body, status, position)
    if call.slot is not None:
        # After the events, not with them: were this lost, sending them again would only count duplicates.
        stored = StoredAnswer(call.slot, status, response.get_data(), position)
        call.log.append(call.book, [], extra=stored)
    return response
