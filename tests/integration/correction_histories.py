"""Corrections of usage, in histories to try projections on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledger.events import NewEvent
from ledger.identifiers import usage_correction_stream, usage_stream
from ledger.streams import usage_correction as corrections
from ledger.streams.base import fold

if TYPE_CHECKING:
    from tests.integration.histories import Writer


def correct(writer: Writer, number: int, quantity: str | None, region: str | None = None) -> int:
    """Correct the usage event of a number, or make it void; give the last position."""
    event_id = f"evt-{number}"
    (original,) = writer.log.load(writer.book, usage_stream(writer.book, "tests", event_id))
    stream = usage_correction_stream(writer.book, "tests", event_id)
    known = fold(corrections.evolve, writer.log.load(writer.book, stream))
    properties = None if region is None else {"region": region}
    wish = corrections.Correcting(source="tests", event_id=event_id, quantity=quantity, properties=properties)
    made = corrections.correct(known.state, original, wish, "a test")
    if not made:
        return known.position
    (event,) = made
    placed = writer.new(f"correction-{number}", event)
    version = known.version + 1
    new = NewEvent(stream=stream, stream_version=version, event=event, metadata=placed.metadata)
    return writer.append([new])
