"""Measured usage: how much of a meter accounts used, from the runs of the timeline where these are enough.

A count or a sum of quantities is added up from whole runs; of the few runs that a boundary of time or of
positions goes through the events are read. Whatever needs more than that (properties, filters, groups, the
latest value) is folded from the events themselves, which are read as a stream, never held all at once.

Corrections up to the position that is asked for are taken in: what they change is added to whole runs, and an
event that is read has the facts it was corrected to.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from decimal import Decimal
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from ledger.aggregates import EXACT, when
from ledger.errors import Unavailable
from ledger.measuring import Measured, Measurement, counting, group_of, usage_digest
from ledger.meters import carries, is_plain
from ledger.usage_corrections import CorrectedUse, behind, change_earlier, change_of, corrected, standing
from ledger.values import EARLIEST
from projections import corrections
from projections import measured_queries as queries
from projections.measured_queries import window_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from psycopg import Connection
    from psycopg.rows import DictRow

    from ledger.measuring import Ask, Group, MeasuredEvent
    from ledger.store import Log
    from ledger.usage_corrections import Change, Correction, Supposed
    from projections.measured_queries import Total, Window

_POLL_SECONDS: Final = 0.02
_ZERO: Final = Decimal(0)
# How many runs are looked through for the level before a period, and how many times more if it is not there.
_FIRST_RUNS: Final = 1
_MORE_RUNS: Final = 8
_PAGE_EVENTS: Final = 1_000
# A page for which more events than this would have to be read is a short one.
_MAX_EXAMINED: Final = 20_000

READ_MODELS: Final = ("timeline", "corrections")
_TRACKED: Final = (
    "SELECT projection, position, failure FROM daybook.tracking WHERE projection = ANY(%s) ORDER BY position"
)
_NEXT: Final = (
    "SELECT 1 AS found FROM log.events WHERE notification_id > %s AND notification_id <= %s"
    " ORDER BY notification_id LIMIT 1"
)


class ReadModelBehind(Unavailable):
    """The timeline, or the corrections, have not been read as far as the usage that was asked for."""

    code: ClassVar[str] = "read_model_behind"


class Listed(NamedTuple):
    """Positions in log order, and the cursor of the next page if there may be more: a page may be short."""

    positions: list[int]
    next: int | None


class _Asked(NamedTuple):
    """An ask, where it looks, how what it looks at was corrected, and what that is by now."""

    ask: Ask
    window: Window
    corrections: Sequence[Correction]
    standing: Mapping[int, MeasuredEvent | None]

    def corrected(self, events: Iterable[MeasuredEvent]) -> Iterable[MeasuredEvent]:
        """Give events with the facts they have by now."""
        return corrected(events, self.standing) if self.standing else events


class MeasuredUsage:
    """Measures usage of any book that the log's role may read."""

    def __init__(
        self,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        supposed: Sequence[Supposed] = (),
    ) -> None:
        """Name the log; what time it is and how to wait are given to be replaced in tests.

        What is supposed is measured as if it were in the log.
        """
        self._log = log
        self._clock = clock
        self._sleep = sleep
        self._supposed = supposed

    def supposing(self, supposed: Sequence[Supposed]) -> MeasuredUsage:
        """Measure as if corrections were in the log that are not."""
        return MeasuredUsage(self._log, self._clock, self._sleep, (*self._supposed, *supposed))

    def reached(self, book: UUID) -> int:
        """Give the position up to which usage of a book can be measured."""
        with self._log.reading(book) as connection:
            return _tracked(connection)[0]

    def wait_until(self, book: UUID, position: int, seconds: float) -> None:
        """Wait until usage of a book can be measured up to a position, or raise ReadModelBehind."""
        deadline = self._clock() + seconds
        with self._log.reading(book) as connection:
            while not _has_read(connection, position):
                if self._clock() > deadline:
                    raise _behind(position)
                # Asked again: the projection is another process's, and tells nobody that it has moved.
                self._sleep(_POLL_SECONDS)

    def corrected(
        self, book: UUID, accounts: Sequence[str], through_position: int
    ) -> dict[str, list[CorrectedUse]]:
        """Give where the usage of accounts was corrected, at positions up to one."""
        with self._reading(book, through_position) as connection:
            found = corrections.of_accounts(connection, accounts, through_position)
        for account, event_type, one in self._supposed:
            if account in accounts and one.position <= through_position:
                found.setdefault(account, []).append(CorrectedUse(event_type, one.used_at, one.position))
        return found

    def measure(self, book: UUID, asked: Sequence[Ask]) -> list[list[Measured]]:
        """Measure what was asked, each ask by its groups, in the order of the asks."""
        found: dict[int, list[Measured]] = {}
        with self._reading(book, _through(asked)) as connection:
            looked = self._looked_at(connection, asked)
            plain = {number: one for number, one in enumerate(looked) if is_plain(one.ask.definition)}
            others = {number: one for number, one in enumerate(looked) if number not in plain}
            if plain:
                found |= zip(plain, _added_up(connection, list(plain.values())), strict=True)
            if others:
                found |= zip(others, _folded(connection, list(others.values())), strict=True)
        return [found[number] for number in range(len(asked))]

    def digests(self, book: UUID, asked: Sequence[Ask]) -> list[str]:
        """Give, for each ask, the digest of the events behind it as they were recorded, and corrected."""
        found = [usage_digest(()) for _ in asked]
        with self._reading(book, _through(asked)) as connection:
            looked = self._looked_at(connection, asked)
            for number, events in groupby(_recorded_behind(connection, looked), itemgetter(0)):
                found[number] = usage_digest(event for _, event in events)
        return found

    def behind(self, book: UUID, ask: Ask) -> Iterator[MeasuredEvent]:
        """Read the events behind an ask, as they are by now, in log order, as a stream.

        Whoever takes them must not dawdle.
        """
        with self._reading(book, ask.through_position) as connection:
            for _, event in _events_behind(connection, self._looked_at(connection, [ask])):
                yield event

    def listing(self, book: UUID, ask: Ask, after: int = 0, limit: int = 100) -> Listed:
        """Page through the positions of the events behind an ask and of their corrections, in log order."""
        with self._reading(book, ask.through_position) as connection:
            (looked,) = self._looked_at(connection, [ask])
            return _listing(connection, looked, after, limit)

    def _looked_at(self, connection: Connection[DictRow], asked: Sequence[Ask]) -> list[_Asked]:
        """Find the corrections of what is asked for."""
        # A level may be carried into a period from any time before it.
        wide = [
            window_of(ask)._replace(starts=EARLIEST) if carries(ask.definition) else window_of(ask)
            for ask in asked
        ]
        made = corrections.within(connection, wide) if asked else []
        looked = []
        for ask, window, found in zip(asked, wide, made, strict=True):
            supposed = [one for one in self._supposed if _is_in(one, window)]
            together = [*found, *(one.correction for one in supposed)]
            looked.append(_Asked(ask, _window(ask), together, standing(together)))
        return looked

    @contextmanager
    def _reading(self, book: UUID, through: int) -> Iterator[Connection[DictRow]]:
        """Lend a connection in a transaction, once all there is to be measured has been read."""
        with self._log.reading(book) as connection:
            if not _has_read(connection, through):
                raise _behind(through)
            with connection.transaction():
                queries.plan(connection)
                yield connection


def _through(asked: Sequence[Ask]) -> int:
    return max((ask.through_position for ask in asked), default=0)


def _is_in(supposed: Supposed, window: Window) -> bool:
    account, event_type, one = supposed
    its = (account, event_type) == (window.account, window.event_type)
    return its and window.holds(one.used_at) and window.after < one.position <= window.through


def _behind(position: int) -> ReadModelBehind:
    return ReadModelBehind(f"the timeline has not reached position {position} yet: try again in a moment")


def _tracked(connection: Connection[DictRow]) -> tuple[int, str | None]:
    """Give how far all that is measured by has been read, and which of it has stopped, if any."""
    rows = connection.execute(_TRACKED, (list(READ_MODELS),)).fetchall()
    if len(rows) < len(READ_MODELS):
        return 0, None
    stopped = next((row["projection"] for row in rows if row["failure"] is not None), None)
    return rows[0]["position"], stopped


def _has_read(connection: Connection[DictRow], position: int) -> bool:
    """Say whether nothing of the book is left to read: other books' events, and gaps, need no waiting for."""
    reached, stopped = _tracked(connection)
    if reached >= position or connection.execute(_NEXT, (reached, position)).fetchone() is None:
        return True
    if stopped is not None:
        raise ReadModelBehind(f"the projection {stopped} has stopped before position {position}")
    return False


# -- from whole runs --------------------------------------------------------------------------------------


def _added_up(connection: Connection[Any], asked: Sequence[_Asked]) -> list[list[Measured]]:
    """Add whole runs up, the events of the runs that a boundary goes through, and what was corrected."""
    windows = [one.window for one in asked]
    whole = {total.number - 1: total for total in queries.totals(connection, windows)}
    rest = [Measurement(one.ask.definition, one.ask.period) for one in asked]
    # Of events that are read the corrections are taken in as they are.
    taken: list[set[int]] = [set() for _ in asked]
    cut = [number for number, total in whole.items() if total.has_cut_runs]
    if cut:
        cut_windows = [windows[number] for number in cut]
        for index, events in queries.events_of(connection, queries.CUT_RUNS, cut_windows):
            number = cut[index]
            taken[number].update(
                event.position for event in events if event.position in asked[number].standing
            )
            for event in asked[number].corrected(events):
                rest[number].add(event)
    found = []
    for number, one in enumerate(asked):
        left = [correction for correction in one.corrections if correction.original not in taken[number]]
        total = _corrected_total(connection, one, whole.get(number), left)
        found.append([_joined(one.ask, total, change_of(left), rest[number].result()[0])])
    return found


def _corrected_total(
    connection: Connection[Any], asked: _Asked, whole: Total | None, corrections_left: Sequence[Correction]
) -> Total | None:
    """Give what whole runs add up to, the first and last event of them that is not void."""
    void = [one.original for one in corrections_left if asked.standing[one.original] is None]
    if whole is None or not {whole.first_position, whole.last_position} & set(void):
        return whole
    first, last = queries.edges(connection, asked.window, void)
    return whole._replace(first_position=first, last_position=last)


def _joined(ask: Ask, whole: Total | None, change: Change, rest: Measured) -> Measured:
    events = (0 if whole is None else whole.events) + change.events + rest.events
    quantities = EXACT.add(EXACT.add(_ZERO if whole is None else whole.quantity, change.quantity), rest.sum)
    firsts = (None if whole is None else whole.first_position, rest.first_position)
    lasts = (None if whole is None else whole.last_position, rest.last_position)
    return Measured(
        group=(),
        quantity=EXACT.create_decimal(events) if ask.definition.aggregation == "count" else quantities,
        events=events,
        sum=quantities,
        first_position=min((position for position in firsts if position is not None), default=None),
        last_position=max((position for position in lasts if position is not None), default=None),
    )


# -- from events ------------------------------------------------------------------------------------------


def _folded(connection: Connection[Any], asked: Sequence[_Asked]) -> list[list[Measured]]:
    """Fold the events; asks that look at the same ones have them read once."""
    measurements = [Measurement(one.ask.definition, one.ask.period) for one in asked]
    for measurement, events in zip(measurements, _levels_before(connection, asked), strict=True):
        for event in events:
            measurement.add(event)
    by_window: dict[Window, list[tuple[_Asked, Measurement]]] = {}
    for one, measurement in zip(asked, measurements, strict=True):
        by_window.setdefault(one.window, []).append((one, measurement))
    windows = list(by_window)
    for number, events in queries.events_of(connection, queries.BY_HOUR, windows):
        for one, measurement in by_window[windows[number]]:
            for event in one.corrected(events):
                measurement.add(event)
    for one, measurement in zip(asked, measurements, strict=True):
        change_earlier(measurement, one.ask, one.corrections)
    return [measurement.result() for measurement in measurements]


def _window(ask: Ask) -> Window:
    """Give where an ask looks; a level made of changes is made of all there ever were."""
    window = window_of(ask)
    return window._replace(starts=EARLIEST) if ask.definition.values == "changes" else window


def _levels_before(connection: Connection[Any], asked: Sequence[_Asked]) -> list[list[MeasuredEvent]]:
    """Give, for each ask, the events that set the levels which its period begins with, one a group."""
    carried = {
        number: window_of(one.ask)._replace(starts=EARLIEST, ends=one.ask.period.start)
        for number, one in enumerate(asked)
        if carries(one.ask.definition) and one.ask.definition.values == "levels"
    }
    # Which groups there are is known only when all has been read.
    grouped = {number: window for number, window in carried.items() if asked[number].ask.definition.group_by}
    found = _latest(connection, asked, grouped)
    waiting = {number: window for number, window in carried.items() if number not in grouped}
    runs = _FIRST_RUNS
    while waiting:
        hours = queries.hours_before(connection, list(waiting.values()), runs)
        looked = {
            number: window._replace(starts=hour)
            for (number, window), hour in zip(waiting.items(), hours, strict=True)
            if hour is not None
        }
        found |= _latest(connection, asked, looked)
        waiting = {
            number: window._replace(starts=EARLIEST, ends=window.starts)
            for number, window in looked.items()
            if number not in found
        }
        runs *= _MORE_RUNS
    return [list(found.get(number, {}).values()) for number in range(len(asked))]


def _latest(
    connection: Connection[Any], asked: Sequence[_Asked], windows: Mapping[int, Window]
) -> dict[int, dict[Group, MeasuredEvent]]:
    """Give the last event of each group in each window, where there is any."""
    if not windows:
        return {}
    found: dict[int, dict[Group, MeasuredEvent]] = {}
    numbers = list(windows)
    counts = {number: counting(asked[number].ask.definition) for number in numbers}
    for index, events in queries.events_of(connection, queries.BY_HOUR, list(windows.values())):
        number = numbers[index]
        for event in asked[number].corrected(events):
            if not windows[number].holds(event.occurred_at) or not counts[number](event):
                continue
            latest = found.setdefault(number, {})
            group = group_of(asked[number].ask.definition, event)
            if group not in latest or when(event) > when(latest[group]):
                latest[group] = event
    return found


# -- the events behind ------------------------------------------------------------------------------------


def _events_behind(
    connection: Connection[Any], asked: Sequence[_Asked]
) -> Iterator[tuple[int, MeasuredEvent]]:
    """Give the events behind each ask in turn, in log order, with those that set levels before its period."""
    before = [
        (number, event) for number, events in enumerate(_levels_before(connection, asked)) for event in events
    ]
    return _merged(_events_counted(connection, asked), before)


def _recorded_behind(
    connection: Connection[Any], asked: Sequence[_Asked]
) -> Iterator[tuple[int, MeasuredEvent]]:
    """Give what the log holds behind each ask: events as they were recorded, and their corrections."""
    levels = _levels_before(connection, asked)
    beside = [
        (number, entry)
        for number, (one, events) in enumerate(zip(asked, levels, strict=True))
        for entry in (*_levels_recorded(one, events), *_corrections_behind(one)[1])
    ]
    return _merged(_events_recorded(connection, asked), beside)


def _merged(
    events: Iterator[tuple[int, MeasuredEvent]], others: list[tuple[int, MeasuredEvent]]
) -> Iterator[tuple[int, MeasuredEvent]]:
    return merge(events, sorted(others, key=_order), key=_order) if others else events


def _order(found: tuple[int, MeasuredEvent]) -> tuple[int, int]:
    return found[0], found[1].position


def _events_counted(
    connection: Connection[Any], asked: Sequence[_Asked]
) -> Iterator[tuple[int, MeasuredEvent]]:
    counts = [_does_count(one) for one in asked]
    windows = [one.window for one in asked]
    for number, events in queries.events_of(connection, queries.IN_LOG_ORDER, windows):
        for event in asked[number].corrected(events):
            if counts[number](event):
                yield number, event


def _events_recorded(
    connection: Connection[Any], asked: Sequence[_Asked]
) -> Iterator[tuple[int, MeasuredEvent]]:
    counts = [_does_count(one) for one in asked]
    originals = [_corrections_behind(one)[0] for one in asked]
    windows = [one.window for one in asked]
    for number, events in queries.events_of(connection, queries.IN_LOG_ORDER, windows):
        for event in events:
            if counts[number](event) or event.position in originals[number]:
                yield number, event


def _does_count(asked: _Asked) -> Callable[[MeasuredEvent], bool]:
    """Give what says whether an event is in the window and counts."""
    holds, counts = asked.window.holds, counting(asked.ask.definition)
    return lambda event: holds(event.occurred_at) and counts(event)


def _corrections_behind(asked: _Asked) -> tuple[set[int], list[MeasuredEvent]]:
    """Name the corrected events that are behind an ask, and give their corrections as what is behind it."""
    originals, made = behind(asked.corrections, _does_count(asked))
    return originals, [one.facts for one in made]


def _levels_recorded(asked: _Asked, levels: Iterable[MeasuredEvent]) -> Iterator[MeasuredEvent]:
    """Give the events that set levels before a period as they were recorded, and their corrections."""
    for level in levels:
        made = [one for one in asked.corrections if one.original == level.position]
        recorded = made[0].was if made else level
        assert recorded is not None, "what was recorded was not void"
        yield recorded
        yield from (one.facts for one in made)


def _listing(connection: Connection[Any], asked: _Asked, after: int, limit: int) -> Listed:
    window, does_count = asked.window, _does_count(asked)
    originals, made = _corrections_behind(asked)
    levels = _levels_recorded(asked, _levels_before(connection, [asked])[0])
    beside = [entry.position for entry in (*levels, *made) if entry.position > after]
    found: list[int] = []
    examined, through = 0, after
    while examined < _MAX_EXAMINED and len(found) <= limit:
        rest = window._replace(after=max(through, window.after))
        positions = queries.page(connection, rest, max(limit, _PAGE_EVENTS))
        if not positions:
            through = asked.ask.through_position
            break
        events = queries.read_events(connection, positions)
        kept = (events[position] for position in positions)
        found += [one.position for one in kept if does_count(one) or one.position in originals]
        examined, through = examined + len(positions), positions[-1]
    found = sorted([*found, *(position for position in beside if position <= through)])
    if len(found) > limit:
        return Listed(found[:limit], found[limit - 1])
    return Listed(found, None if through == asked.ask.through_position else through)
