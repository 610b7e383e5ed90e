"""Usage measured straight from a log in memory, by going through all of it: slow, and plainly right."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from ledger.events.usage import UsageRecorded
from ledger.events.usage_correction import UsageCorrected
from ledger.measuring import MeasuredEvent, measure, usage_digest
from ledger.usage_corrections import CorrectedUse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from ledger.measuring import Ask, Measured
    from ledger.usage_corrections import Supposed
    from tests.memory_log import MemoryLog


class MemoryMeasure:
    """How much was used, as the log in memory has it at once."""

    def __init__(self, log: MemoryLog) -> None:
        """Measure what a log holds."""
        self._log = log

    def reached(self, book: UUID) -> int:  # noqa: ARG002 - the port's shape
        """Give the log's end."""
        return self._log.head()

    def wait_until(self, book: UUID, position: int, seconds: float) -> None:
        """Wait for nothing: the log is read as it is."""

    def measure(self, book: UUID, asked: Sequence[Ask]) -> list[list[Measured]]:
        """Measure what was asked."""
        return [measure(ask.definition, self._events(book, ask), ask.period) for ask in asked]

    def digests(self, book: UUID, asked: Sequence[Ask]) -> list[str]:
        """Give the digest of the events behind each ask."""
        return [usage_digest(self.behind(book, ask)) for ask in asked]

    def behind(self, book: UUID, ask: Ask) -> Iterator[MeasuredEvent]:
        """Give the events behind an ask."""
        return (one for one in self._events(book, ask) if one.occurred_at in ask.period)

    def corrected(
        self, book: UUID, accounts: Sequence[str], through_position: int
    ) -> dict[str, list[CorrectedUse]]:
        """Give where the usage of accounts was corrected."""
        found: dict[str, list[CorrectedUse]] = {}
        for one in self._log.recorded[:through_position]:
            event = one.event
            if isinstance(event, UsageCorrected) and one.metadata.book == book and event.account in accounts:
                found.setdefault(event.account, []).append(
                    CorrectedUse(event.meter, event.used_at, one.position)
                )
        return found

    def supposing(self, supposed: Sequence[Supposed]) -> NoReturn:
        """Refuse: what is supposed is for real databases."""
        raise AssertionError(supposed)

    def _events(self, book: UUID, ask: Ask) -> Iterator[MeasuredEvent]:
        facts = {
            one.event.original_position: one.event.becomes
            for one in self._log.recorded[: ask.through_position]
            if isinstance(one.event, UsageCorrected)
        }
        for one in self._log.recorded[ask.after_position : ask.through_position]:
            event = one.event
            if (
                isinstance(event, UsageRecorded)
                and one.metadata.book == book
                and (event.account, event.meter) == (ask.account, ask.definition.event_type)
            ):
                said = facts.get(one.position, event)
                if said is not None:
                    yield MeasuredEvent(
                        one.position, one.metadata.occurred_at, said.quantity, said.properties, said.digest
                    )
