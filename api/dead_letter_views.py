"""Dead letters as people see them: over HTTP and on the command line."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from api.edge import instant
from api.resources.events import event_view
from ledger.identifiers import public_id
from ledger.stamps import HEADER as STAMP

if TYPE_CHECKING:
    from consumers.dead_letter_reads import DeadLetter, DeadLetterRow
    from consumers.replaying import Replay
    from ledger.store import Log


def row_view(letter: DeadLetterRow) -> dict[str, Any]:
    """Show a dead letter of a list, without its value."""
    return {
        "id": letter.dead_letter,
        "number": letter.number,
        "status": letter.status,
        "code": letter.code,
        "reason": letter.reason,
        "book": None if letter.book is None else public_id("book", letter.book),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.record_offset,
        "timestamp": instant(letter.record_timestamp),
        "account": letter.account,
        "source": letter.source,
        "event_id": letter.event_id,
        "known_position": letter.known_position,
        "value_digest": letter.value_digest,
        "value_bytes": letter.value_bytes,
        "rejected_at": instant(letter.rejected_at),
        "attempts": letter.attempts,
        "retry_at": instant(letter.retry_at),
        "gives_up_at": instant(letter.gives_up_at),
        "relayed_at": instant(letter.relayed_at),
        "resolved_at": instant(letter.resolved_at),
        "resolved_by": letter.resolved_by,
        "resolution": letter.resolution,
    }


def letter_view(letter: DeadLetter, log: Log) -> dict[str, Any]:
    """Show all of a dead letter; of a conflict, beside it, the event that is known, as `log` sees it."""
    return {
        **row_view(letter),
        **_bytes_view("key", letter.record_key),
        # Our own stamp is nobody else's business.
        "headers": [
            {"name": name, **_bytes_view("value", value)} for name, value in letter.headers if name != STAMP
        ],
        **_bytes_view("value", letter.value(log)),
        "known": _known(letter, log),
    }


def replay_view(done: Replay) -> dict[str, Any]:
    """Show what became of a replay."""
    return {"id": done.dead_letter, "status": done.status, "code": done.code, "reason": done.reason}


def _bytes_view(name: str, value: bytes | None) -> dict[str, Any]:
    """Show bytes as text where they are UTF-8, and in base 64 where they are not."""
    try:
        text = None if value is None else value.decode()
    except UnicodeDecodeError:
        text = None
    encoded = None if value is None or text is not None else b64encode(value).decode()
    return {name: text, f"{name}_base64": encoded}


def _known(letter: DeadLetter, log: Log) -> dict[str, Any] | None:
    if letter.known_position is None or letter.book is None:
        return None
    found = log.at_positions(letter.book, [letter.known_position])
    return event_view(found[0]) if found else None
