"""Dead letters: messages of the book's that could not be applied, to be looked at, replayed or discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api.dead_letter_views import letter_view, replay_view, row_view
from api.edge import Call, answer, operation, page
from api.idempotency import StoredAnswer
from api.replaying import make_intakes
from commands.dead_letters import DISCARDED, AlreadySettled, Letter, discard_dead_letter
from commands.streams import stream_or_not_found
from consumers import dead_letter_reads
from consumers.replaying import Replayer, replay
from ledger.errors import NotFound
from ledger.stamps import stamp_key
from schemas import requests, responses

if TYPE_CHECKING:
    from flask import Response

    from consumers.dead_letter_reads import DeadLetter
    from consumers.replaying import Applier
    from ledger.events.feed import DeadLetterDiscarded


@operation(
    "GET",
    "/v1/dead-letters",
    scope="read",
    query=requests.DeadLettersPaged,
    answer=responses.page_of(responses.DeadLetterView),
    description=(
        "Without their values. `parked` ones wait for what they name and are tried again by themselves;"
        " `open` ones wait for a person."
    ),
)
def list_dead_letters(call: Call) -> Response:
    """List messages of the book that could not be applied, newest first."""
    query = call.query
    limit = query["limit"]
    given = {name: [query[name]] if name in query else [] for name in ("status", "code")}
    with call.reading() as connection:
        rows = dead_letter_reads.page(
            connection,
            book=call.book,
            statuses=given["status"],
            codes=given["code"],
            topic=query.get("topic"),
            after=query.get("after"),
            limit=limit + 1,
        )
    rows, following = page(rows, limit, lambda row: row.number)
    return answer({"data": [row_view(row) for row in rows], "next": following})


@operation("GET", "/v1/dead-letters/{dead_letter}", scope="admin", answer=responses.DeadLetterDetailView)
def get_dead_letter(call: Call, dead_letter: str) -> Response:
    """Show a message that could not be applied; of a conflict, also the event that is known."""
    return answer(letter_view(_find(call, dead_letter), call.log))


@operation(
    "POST",
    "/v1/dead-letters/{dead_letter}/replay",
    scope="admin",
    body=requests.Replay,
    answer=responses.DeadLetterOutcomeView,
    description=(
        "With `value` a corrected message, still of this book. The status says what became of it: `replayed`,"
        " or what it was before, with the reason for which it was refused again."
    ),
)
def replay_dead_letter(call: Call, dead_letter: str) -> Response:
    """Apply the message again, as it came or corrected."""
    letter = _find(call, dead_letter)
    corrected = call.body["value"]
    replayer = Replayer(
        log=call.log,
        apply=_applier(call),
        key=stamp_key(call.edge.settings.master_key),
        by=call.checked.key.owner,
        now=call.now,
        book=call.book,
    )
    done = replay(replayer, letter, None if corrected is None else corrected.encode())
    if done.status == DISCARDED:
        raise AlreadySettled(done.reason)
    response = answer(replay_view(done), 200, done.position)
    if call.slot is not None:
        # After the events, not with them: were this lost, replaying again would change nothing.
        stored = StoredAnswer(call.slot, 200, response.get_data(), done.position)
        call.log.append(call.book, [], extra=stored)
    return response


@operation(
    "POST",
    "/v1/dead-letters/{dead_letter}/discard",
    scope="admin",
    body=requests.Discard,
    answer=responses.DeadLetterOutcomeView,
)
def discard(call: Call, dead_letter: str) -> Response:
    """Give the message up for good; its value is erased, and the discarding is an event."""
    found = letter_of(_find(call, dead_letter))
    reason = call.body["reason"]
    return call.write(lambda context: discard_dead_letter(context, found, reason), _discarded_view)


def _applier(call: Call) -> Applier:
    """Make what applies a message under the role that sees one book."""
    _, intake = make_intakes(call.edge.settings, call.log, call.log, call.edge.clock)
    return intake.apply


def letter_of(letter: DeadLetter) -> Letter:
    """Give what a discarding says of a dead letter."""
    return Letter(
        dead_letter=letter.dead_letter,
        source_topic=letter.topic,
        partition=letter.partition,
        offset=letter.record_offset,
        value_digest=letter.value_digest,
        code=letter.code,
    )


def _discarded_view(event: DeadLetterDiscarded) -> dict[str, Any]:
    return {"id": event.dead_letter, "status": DISCARDED, "code": event.code, "reason": event.reason}


def _find(call: Call, dead_letter: str) -> DeadLetter:
    stream_or_not_found("dlt", dead_letter)
    with call.reading() as connection:
        letter = dead_letter_reads.find(connection, dead_letter)
    # The book too: row-level security is the second of two walls.
    if letter is None or letter.book != call.book:
        raise NotFound("there is no dead letter of this id")
    return letter
