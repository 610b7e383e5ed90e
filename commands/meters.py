"""Commands on meters: define, describe, retire; each is named by its id or by its code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from commands.catalogue import change
from commands.streams import meter_stream, stream_or_not_found
from ledger.identifiers import stream_of
from ledger.streams import meter as meters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from commands.catalogue import Desk
    from commands.context import Context, Done
    from ledger.meters import MeterDefinition
    from ledger.streams.base import Stream
    from ledger.streams.meter import Meter


def find_meter(book: UUID, meter: str) -> UUID:
    """Give the stream of a meter, named by its id or by its code."""
    if meter.startswith(f"{meters.PREFIX}_"):
        return stream_or_not_found(meters.PREFIX, meter)
    return meter_stream(book, meter)


def define_meter(
    context: Context,
    definition: MeterDefinition,
    external_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Done[Stream[Meter]]:
    """Define a meter under a code that is its for good."""
    meter = meters.meter_id(context.book, definition.code)

    def decide(desk: Desk) -> Stream[Meter]:
        events = meters.define(meter, definition, external_id, metadata)
        what = f"a meter with the code {definition.code}, {meter},"
        return desk.begin(stream_of(meters.PREFIX, meter), meters.evolve, events, what)

    return change(context, decide)


def describe_meter(
    context: Context, meter: str, name: str | None, metadata: Mapping[str, str] | None
) -> Done[Stream[Meter]]:
    """Give a meter another name or other metadata; what is not given stays."""
    stream = find_meter(context.book, meter)

    def decide(desk: Desk) -> Stream[Meter]:
        state = meters.require(desk.load(meters.evolve, stream).state)
        definition = replace(state.definition, name=name or state.definition.name)
        kept = state.metadata if metadata is None else metadata
        return desk.add(stream, meters.evolve, meters.describe(state, definition, kept))

    return change(context, decide)


def retire_meter(context: Context, meter: str, reason: str) -> Done[Stream[Meter]]:
    """Let no new plan charge by a meter."""
    stream = find_meter(context.book, meter)

    def decide(desk: Desk) -> Stream[Meter]:
        state = desk.load(meters.evolve, stream).state
        return desk.add(stream, meters.evolve, meters.retire(state, reason))

    return change(context, decide)
