"""Usage measured from the log alone: every usage event up to a position is read, and no read model is asked.

The log is read twice: for the corrections first, so that each event then has the facts that it has by now.
Slow on purpose: it is for whoever wants to see that an invoice follows from the log and from nothing else.
"""

from __future__ import annotations

from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NoReturn

from psycopg.rows import tuple_row

from ledger.codec import decode_event, decode_state
from ledger.events.usage import UsageRecorded
from ledger.events.usage_correction import UsageCorrected
from ledger.measuring import MeasuredEvent, Measurement, counting, usage_digest
from ledger.meters import adds_up
from ledger.usage_corrections import (
    CorrectedUse,
    Correction,
    behind,
    change_earlier,
    corrected,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from ledger.events import Event
    from ledger.measuring import Ask, Measured
    from ledger.store import Log
    from ledger.usage_corrections import Supposed

_BATCH: Final = 50_000
# The account's id is found in every event of its: what it is found in is decoded and looked at.
_SCAN: Final = """
SELECT notification_id, originator_id, originator_version, state
FROM log.events WHERE notification_id > %(after)s AND notification_id <= %(through)s
    AND topic = %(topic)s AND position(%(account)s::bytea IN state) > 0
ORDER BY notification_id
"""


class ScannedUsage:
    """Measures usage by reading the log from its beginning, each time; `progress` is told how far."""

    def __init__(self, log: Log, progress: Callable[[int], None] = lambda _: None) -> None:
        """Name the log."""
        self._log = log
        self._progress = progress

    def reached(self, book: UUID) -> int:  # noqa: ARG002 - the log is never behind itself
        """Give the log's head: nothing is waited for."""
        return self._log.head()

    def wait_until(self, book: UUID, position: int, seconds: float) -> None:
        """Wait for nothing: the log is never behind itself."""

    def corrected(
        self, book: UUID, accounts: Sequence[str], through_position: int
    ) -> dict[str, list[CorrectedUse]]:
        """Give where the usage of accounts was corrected, at positions up to one."""
        return {
            account: [CorrectedUse(event_type, one.used_at, one.position) for event_type, one in found]
            for account in accounts
            if (found := list(self._corrections_of(book, account, through_position)))
        }

    def measure(self, book: UUID, asked: Sequence[Ask]) -> list[list[Measured]]:
        """Measure what was asked, all of it in two readings of the log."""
        measurements = [Measurement(ask.definition, ask.period) for ask in asked]
        in_order: list[tuple[Measurement, list[MeasuredEvent]]] = []
        adders: list[Callable[[MeasuredEvent], None]] = []
        for ask, measurement in zip(asked, measurements, strict=True):
            if adds_up(ask.definition):
                adders.append(measurement.add)
            else:
                # A level held wants its events in the order of time.
                in_order.append((measurement, []))
                adders.append(in_order[-1][1].append)
        corrections = self._corrections(book, asked)
        now = [standing(one) for one in corrections]
        for account, event_type, event in self._events(book, asked):
            for number, ask in enumerate(asked):
                if _is_of(ask, account, event_type, event):
                    found = now[number].get(event.position, event)
                    if found is not None:
                        adders[number](found)
        for measurement, events in in_order:
            for event in sorted(events, key=attrgetter("occurred_at", "position")):
                measurement.add(event)
        for ask, measurement, made in zip(asked, measurements, corrections, strict=True):
            change_earlier(measurement, ask, made)
        return [measurement.result() for measurement in measurements]

    def digests(self, book: UUID, asked: Sequence[Ask]) -> list[str]:
        """Give, for each ask, the digest of the events behind it as they were recorded, and corrected."""
        return [usage_digest(self._recorded_behind(book, ask)) for ask in asked]

    def behind(self, book: UUID, ask: Ask) -> Iterator[MeasuredEvent]:
        """Read the events behind an ask, as they are by now, in log order."""
        counts = _counting(ask)
        now = standing(self._corrections(book, [ask])[0])
        for account, event_type, event in self._events(book, [ask]):
            if _is_of(ask, account, event_type, event):
                yield from (one for one in corrected([event], now) if counts(one))

    def supposing(self, supposed: Sequence[Supposed]) -> NoReturn:
        """Refuse: only the log counts here."""
        raise AssertionError(supposed)

    def _recorded_behind(self, book: UUID, ask: Ask) -> Iterator[MeasuredEvent]:
        """Read what the log holds behind an ask, in its order: events as recorded, and their corrections."""
        counts = _counting(ask)
        originals, made = behind(self._corrections(book, [ask])[0], counts)
        events = (
            event
            for account, event_type, event in self._events(book, [ask])
            if _is_of(ask, account, event_type, event) and (counts(event) or event.position in originals)
        )
        return merge(events, (one.facts for one in made), key=attrgetter("position"))

    def _corrections(self, book: UUID, asked: Sequence[Ask]) -> list[list[Correction]]:
        """Read the corrections at the positions of asks, in log order."""
        of_account = {
            account: list(self._corrections_of(book, account, through))
            for account, through in _accounts(asked)
        }
        return [
            [
                one
                for event_type, one in of_account[ask.account]
                if event_type == ask.definition.event_type
                and ask.after_position < one.position <= ask.through_position
            ]
            for ask in asked
        ]

    def _corrections_of(self, book: UUID, account: str, through: int) -> Iterator[tuple[str, Correction]]:
        for position, _, event in self._read(book, UsageCorrected.topic, account, through):
            assert isinstance(event, UsageCorrected), "the topic names the class"
            if event.account == account:
                yield event.meter, _correction(position, event)

    def _events(self, book: UUID, asked: Sequence[Ask]) -> Iterator[tuple[str, str, MeasuredEvent]]:
        """Read the usage events of the asks' accounts, in log order, each with its account and type."""
        for account, through in _accounts(asked):
            for position, used_at, event in self._read(book, UsageRecorded.topic, account, through):
                assert isinstance(event, UsageRecorded), "the topic names the class"
                facts = (event.quantity, event.properties, event.digest)
                yield event.account, event.meter, MeasuredEvent(position, used_at, *facts)

    def _read(
        self, book: UUID, topic: str, account: str, through: int
    ) -> Iterator[tuple[int, datetime, Event]]:
        """Read the events of a topic in which an account's id is found, with their positions and times."""
        parameters = {"topic": topic, "account": account.encode(), "after": 0, "through": through}
        with (
            self._log.reading(book) as connection,
            connection.transaction(),
            connection.cursor("scanned_usage", row_factory=tuple_row) as cursor,
        ):
            cursor.execute(_SCAN, parameters, binary=True)
            while rows := cursor.fetchmany(_BATCH):
                yield from _decoded(topic, rows)
                # The corrections before them are few.
                if topic == UsageRecorded.topic:
                    self._progress(rows[-1][0])


def _accounts(asked: Sequence[Ask]) -> list[tuple[str, int]]:
    """Name the accounts of asks, each with the last position that is asked for."""
    through: dict[str, int] = {}
    for ask in asked:
        through[ask.account] = max(ask.through_position, through.get(ask.account, 0))
    return sorted(through.items())


def _decoded(
    topic: str, rows: Iterable[tuple[int, UUID, int, bytes]]
) -> Iterator[tuple[int, datetime, Event]]:
    for position, stream, version, state_bytes in rows:
        state = decode_state(state_bytes)
        yield position, state.occurred_at, decode_event(topic, state, stream, version, {})


def _correction(position: int, event: UsageCorrected) -> Correction:
    was, becomes = (
        None
        if facts is None
        else MeasuredEvent(
            event.original_position, event.used_at, facts.quantity, facts.properties, facts.digest
        )
        for facts in (event.was, event.becomes)
    )
    return Correction(position, event.original_position, event.used_at, was, becomes)


def _counting(ask: Ask) -> Callable[[MeasuredEvent], bool]:
    """Give what says whether an event is in the period of an ask and counts."""
    counts = counting(ask.definition)
    return lambda event: ask.period_from <= event.occurred_at < ask.period_to and counts(event)


def _is_of(ask: Ask, account: str, event_type: str, event: MeasuredEvent) -> bool:
    return (account, event_type) == (ask.account, ask.definition.event_type) and (
        ask.after_position < event.position <= ask.through_position
    )
