"""Commands on corrections: usage events made void or replaced, all or none, and what that does to money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands.context import Done, Unit, execute
from commands.correction_effects import Effects, effects_of
from commands.late_billing import bill_late_usage
from ledger.aggregates import MeasuredEvent
from ledger.errors import Invalid
from ledger.identifiers import derive, usage_correction_stream, usage_stream
from ledger.streams import usage_correction as corrections
from ledger.streams.usage_correction import MAX_CORRECTIONS, CorrectionsRefused
from ledger.usage_corrections import Correction, Supposed
from ledger.values import MAX_IDENTITY_CHARACTERS, MAX_REASON_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from commands.context import Context
    from commands.correction_effects import SubscriptionsOf
    from commands.subscriptions import Billed
    from ledger.events import Recorded
    from ledger.events.usage import UsageRecorded
    from ledger.events.usage_correction import UsageCorrected, UsageFacts
    from ledger.streams.base import Stream
    from ledger.streams.usage_correction import Corrected, Correcting


@dataclass(frozen=True)
class Made:
    """One correction: the event it is of, what that said before, and what it says now.

    Without `correction` the event says so already; else that is a version of a stream.
    """

    original: Recorded
    event: UsageRecorded
    was: UsageFacts | None
    becomes: UsageFacts | None
    correction: UsageCorrected | None
    stream: UUID
    version: int


@dataclass(frozen=True)
class CorrectedUsage:
    """What was corrected, in the order it was asked for, why, and what that does to money and quotas."""

    made: tuple[Made, ...]
    reason: str
    effects: Effects


def correct_usage(
    context: Context, wishes: Sequence[Correcting], reason: str, subscriptions_of: SubscriptionsOf
) -> Done[CorrectedUsage]:
    """Correct usage events, all or none; the difference is issued with what is billed next."""
    return execute(context, lambda unit: _correct(unit, wishes, reason, subscriptions_of))


def preview_corrections(
    context: Context, wishes: Sequence[Correcting], reason: str, subscriptions_of: SubscriptionsOf
) -> CorrectedUsage:
    """Work out what corrections would do; nothing is appended."""
    return _correct(Unit(context), wishes, reason, subscriptions_of)


def settle_ended(context: Context, corrected: CorrectedUsage) -> dict[str, Done[Billed]]:
    """Bill what is late of subscriptions that have ended, once the corrections are appended.

    Asked again, it does what is still to do, and nothing else.
    """
    return {one: bill_late_usage(context, one) for one in corrected.effects.ended}


def positions_of(context: Context, made: Sequence[Made]) -> list[int | None]:
    """Give where in the log each correction stands, once they are appended."""
    loaded = context.log.load_streams(
        context.book, {one.stream for one in made if one.correction is not None}
    )
    return [None if one.correction is None else loaded[one.stream][one.version - 1].position for one in made]


def _correct(
    unit: Unit, wishes: Sequence[Correcting], reason: str, subscriptions_of: SubscriptionsOf
) -> CorrectedUsage:
    _check(wishes, reason)
    made = _made(unit, wishes, reason)
    for one in made:
        if one.correction is not None:
            known = unit.load(corrections.evolve, one.stream)
            unit.add(one.stream, known, corrections.evolve, [one.correction])
    supposed = [_supposed(unit, one) for one in made if one.correction is not None]
    effects = effects_of(unit, {one.event.account for one in made}, supposed, subscriptions_of)
    return CorrectedUsage(tuple(made), reason, effects)


def _check(wishes: Sequence[Correcting], reason: str) -> None:
    checked_text(reason, MAX_REASON_CHARACTERS, "reason")
    if not 1 <= len(wishes) <= MAX_CORRECTIONS:
        problem = f"must be from 1 to {MAX_CORRECTIONS}"
        raise CorrectionsRefused(f"corrections: {problem}", {"corrections": [problem]})


def _made(unit: Unit, wishes: Sequence[Correcting], reason: str) -> list[Made]:
    """Decide every correction, or refuse them all, saying what is wrong with each."""
    streams = _streams(unit, wishes)
    errors: dict[str, list[str]] = {}
    made: list[Made] = []
    first: dict[UUID, int] = {}
    for index, (wish, (used, corrected)) in enumerate(zip(wishes, streams, strict=True)):
        if first.setdefault(corrected, index) != index:
            reasons = [
                f"is the event of corrections.{first[corrected]}: correct each event once in a request"
            ]
            errors[f"corrections.{index}.id"] = reasons
            continue
        try:
            made.append(_decide(unit, wish, unit.recorded(used), corrected, reason))
        except Invalid as refusal:
            errors |= {f"corrections.{index}.{name}": why for name, why in refusal.errors.items()}
    if errors:
        field, reasons = next(iter(errors.items()))
        raise CorrectionsRefused(f"nothing was corrected: {field}: {reasons[0]}", errors)
    return made


def _streams(unit: Unit, wishes: Sequence[Correcting]) -> list[tuple[UUID, UUID]]:
    """Read, in few queries, the events, their corrections so far, and whether they were set aside."""
    book = unit.context.book
    for index, wish in enumerate(wishes):
        checked_text(wish.source, MAX_IDENTITY_CHARACTERS, f"corrections.{index}.source")
        checked_text(wish.event_id, MAX_IDENTITY_CHARACTERS, f"corrections.{index}.id")
    streams = [
        (
            usage_stream(book, wish.source, wish.event_id),
            usage_correction_stream(book, wish.source, wish.event_id),
        )
        for wish in wishes
    ]
    unit.prefetch(stream for both in streams for stream in both)
    unit.prefetch(_set_aside(book, one.position) for used, _ in streams for one in unit.recorded(used)[:1])
    return streams


def _set_aside(book: UUID, position: int) -> UUID:
    return derive("set-aside", book.bytes, str(position))


def _decide(unit: Unit, wish: Correcting, recorded: Sequence[Recorded], stream: UUID, reason: str) -> Made:
    original = corrections.require_usage(recorded[0] if recorded else None)
    if unit.recorded(_set_aside(unit.context.book, original.position)):
        problem = "the event was set aside: no figure counts it, so there is nothing to correct"
        raise Invalid(f"id: {problem}", {"id": [problem]})
    loaded: Stream[Corrected] = unit.load(corrections.evolve, stream)
    event = corrections.usage_of(original)
    was = corrections.facts_of(event) if loaded.state is None else loaded.state.facts
    found = corrections.correct(loaded.state, original, wish, reason)
    correction = found[0] if found else None
    becomes = was if correction is None else correction.becomes
    return Made(original, event, was, becomes, correction, stream, loaded.version + 1)


def _supposed(unit: Unit, made: Made) -> Supposed:
    """Give a correction as if it stood at the log's end."""
    used_at = made.original.metadata.occurred_at

    def said(facts: UsageFacts | None) -> MeasuredEvent | None:
        if facts is None:
            return None
        return MeasuredEvent(made.original.position, used_at, facts.quantity, facts.properties, facts.digest)

    correction = Correction(unit.head(), made.original.position, used_at, said(made.was), said(made.becomes))
    return Supposed(made.event.account, made.event.meter, correction)
