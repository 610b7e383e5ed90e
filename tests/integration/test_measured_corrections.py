"""Measured usage that was corrected: what every event says by then, however it is asked for and found."""

from __future__ import annotations

import random
from bisect import insort
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.events import Metadata, NewEvent
from ledger.events.usage_correction import UsageCorrected, UsageFacts
from ledger.identifiers import usage_correction_stream
from ledger.measuring import MeasuredEvent, counting, group_of, usage_digest
from ledger.meters import adds_up, carries
from ledger.store import Log
from ledger.usage_corrections import CorrectedUse, Correction, Supposed
from ledger.usage_row import UsageFact, facts_digest
from projections import measured_queries
from projections.follower import Follower
from projections.registry import PROJECTIONS
from projections.scanned import ScannedUsage
from tests.integration.log_events import MASTER_KEY
from tests.integration.test_measured import (
    ACCOUNTS,
    ACTOR,
    BOOK,
    BOUNDS,
    EVENT_TYPES,
    HOUR,
    METERS,
    OTHER_BOOK,
    START,
    TICK,
    World,
    _facts,
    _pages,
    _properties,
    ask,
    expected,
    made,
    meter,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from ledger.measuring import Ask, Measured

_EVENTS = (
    "SELECT notification_id, state FROM log.events WHERE book = %s AND topic = 'usage.recorded'"
    " ORDER BY notification_id"
)


@dataclass
class Known:
    """One usage event as it was recorded, and all that was made of it since, in the order of the log."""

    account: str
    event_type: str
    event_id: str
    recorded: MeasuredEvent
    corrections: list[tuple[int, MeasuredEvent | None]] = field(default_factory=list)

    def at(self, position: int) -> MeasuredEvent | None:
        """Give the event as it is at a position, none where it is void or not there yet."""
        said: MeasuredEvent | None = self.recorded if self.recorded.position <= position else None
        for made_at, facts in self.corrections:
            said = facts if made_at <= position else said
        return said


class Corrected:
    """A world whose usage is corrected; it remembers by itself what was made of what."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.known: dict[tuple[UUID, int], Known] = {}

    def learn(self, book: UUID) -> None:
        """Take in the usage events that a book has by now."""
        with psycopg.connect(self.world.database.owner_url) as owner:
            rows = owner.execute(_EVENTS, (book,)).fetchall()
        for position, state in rows:
            read = msgspec.json.decode(state)
            data, at = read["data"], datetime.fromisoformat(read["occurred_at"])
            event = MeasuredEvent(position, at, Decimal(data["quantity"]), data["properties"], data["digest"])
            known = Known(data["account"], data["meter"], data["event_id"], event)
            self.known.setdefault((book, position), known)

    def correct(self, book: UUID, *positions: int, **facts: Any) -> int:
        """Replace the facts of events, or make them void where none are given; give the last position."""
        chosen = [self.known[book, position] for position in positions]
        said = [None if not facts else _said(one, facts) for one in chosen]
        return self.write(book, list(zip(chosen, said, strict=True)))

    def write(self, book: UUID, chosen: Sequence[tuple[Known, UsageFacts | None]]) -> int:
        """Append a correction for each."""
        last = (1 << 63) - 1
        events = []
        for known, facts in chosen:
            was = known.at(last)
            stream = usage_correction_stream(book, "tests", known.event_id)
            correction = UsageCorrected(
                account=known.account,
                meter=known.event_type,
                source="tests",
                event_id=known.event_id,
                original_position=known.recorded.position,
                used_at=known.recorded.occurred_at,
                void=facts is None,
                was=None if was is None else _facts_of(was),
                becomes=facts,
                reason="a test",
            )
            metadata = Metadata(book=book, occurred_at=START, booked_at=START, actor=ACTOR, cause="a test")
            version = len(known.corrections) + 1
            events.append(
                NewEvent(stream=stream, stream_version=version, event=correction, metadata=metadata)
            )
        with closing(Log(self.world.database.app_url, MASTER_KEY)) as log:
            positions = log.append(book, events)
        for (known, facts), position in zip(chosen, positions, strict=True):
            one = known.recorded
            event = None
            if facts is not None:
                event = replace_facts(one, facts)
            insort(known.corrections, (position, event), key=lambda made: made[0])
        return positions[-1]

    def follow(self, batch_rows: int = 5_000) -> None:
        self.world.follow(batch_rows)

    def events(self, book: UUID, asked: Ask) -> list[Known]:
        """Give what is known of the events of an ask's account and type, in the order of time."""
        found = [
            one
            for (its_book, _), one in self.known.items()
            if (its_book, one.account, one.event_type) == (book, asked.account, asked.definition.event_type)
        ]
        return sorted(found, key=lambda one: (one.recorded.occurred_at, one.recorded.position))


def _facts_of(event: MeasuredEvent) -> UsageFacts:
    return UsageFacts(quantity=event.quantity, properties=event.properties, digest=event.digest)


def replace_facts(event: MeasuredEvent, facts: UsageFacts) -> MeasuredEvent:
    return MeasuredEvent(event.position, event.occurred_at, facts.quantity, facts.properties, facts.digest)


def _said(known: Known, facts: dict[str, Any]) -> UsageFacts:
    quantity, properties = Decimal(facts["quantity"]), facts.get("properties", {})
    at = known.recorded.occurred_at
    fact = UsageFact(known.event_id, "tests", known.event_type, known.account, quantity, at, properties)
    return UsageFacts(quantity=quantity, properties=properties, digest=facts_digest(fact))


# -- going through every event ----------------------------------------------------------------------------


def as_of(events: Sequence[Known], asked: Ask) -> list[MeasuredEvent]:
    """Give the events at an ask's positions with the facts they have at the last of these."""
    within = [one for one in events if one.recorded.position > asked.after_position]
    return [said for one in within if (said := one.at(asked.through_position)) is not None]


def right(events: Sequence[Known], asked: Ask) -> Any:
    """Answer an ask the slow way; what adds up is, from a position on, the difference of two answers."""
    if not asked.after_position or not adds_up(asked.definition):
        return expected(as_of(events, asked), asked)
    before = replace(
        asked, after_position=0, through_position=min(asked.after_position, asked.through_position)
    )
    through = replace(asked, after_position=0)
    if asked.after_position > asked.through_position:
        return {}
    less = _sums(expected(as_of(events, before), before))
    more = _sums(expected(as_of(events, through), through))
    groups = less.keys() | more.keys()
    found = {group: tuple(a - b for a, b in zip(more[group], less[group], strict=True)) for group in groups}
    return {group: sums for group, sums in found.items() if any(sums)}


def _sums(found: Sequence[Measured]) -> defaultdict[Any, tuple[Any, ...]]:
    sums: defaultdict[Any, tuple[Any, ...]] = defaultdict(lambda: (0, 0, Decimal(0), 0))
    sums.update({one.group: (one.quantity, one.events, one.sum, one.left_out) for one in found})
    return sums


def comparable(found: Sequence[Measured], asked: Ask) -> Any:
    """Write an answer as the slow way does."""
    if not asked.after_position or not adds_up(asked.definition):
        return list(found)
    return {group: sums for group, sums in _sums(found).items() if any(sums)}


def right_behind(events: Sequence[Known], asked: Ask) -> list[MeasuredEvent]:
    """Find the events behind an ask the slow way, as they are by then, in log order."""
    definition, counts = asked.definition, counting(asked.definition)
    counted = [one for one in as_of(events, asked) if counts(one)]
    before = [one for one in counted if one.occurred_at < asked.period.start]
    if definition.values == "levels":
        before = list({group_of(definition, one): one for one in before}.values())
    behind = [one for one in counted if one.occurred_at in asked.period]
    return sorted([*behind, *(before if carries(definition) else ())], key=lambda one: one.position)


def right_recorded(events: Sequence[Known], asked: Ask) -> list[tuple[int, str]]:
    """Find what the log holds behind an ask the slow way: positions, each with the digest of its facts."""
    counts = counting(asked.definition)
    levels = {one.position for one in right_behind(events, asked) if one.occurred_at not in asked.period}
    found = []
    for one in events:
        made = [
            (at, facts)
            for at, facts in one.corrections
            if asked.after_position < at <= asked.through_position
        ]
        states = [one.at(asked.after_position), one.recorded, *(facts for _, facts in made)]
        if one.recorded.position <= asked.after_position:
            states.pop(1)
        if not made and one.recorded.position <= asked.after_position:
            continue
        if one.recorded.position > asked.through_position:
            continue
        carried = asked.definition.values == "changes" and one.recorded.occurred_at < asked.period.start
        in_time = one.recorded.occurred_at in asked.period or carried
        counted = in_time and any(state is not None and counts(state) for state in states)
        if counted or one.recorded.position in levels:
            if one.recorded.position > asked.after_position:
                found.append((one.recorded.position, one.recorded.digest))
            found += [(at, "" if facts is None else facts.digest) for at, facts in made]
    return sorted(found)


# -- any usage, any corrections, any ask ------------------------------------------------------------------


@dataclass(frozen=True)
class Played:
    """Usage and corrections at random, and where runs and corrections begin and end."""

    corrected: Corrected
    head: int
    positions: list[int]
    instants: list[datetime]


@pytest.fixture(scope="module", params=[(1, 5_000), (2, 7), (3, 400)], ids=lambda param: f"seed {param[0]}")
def played(server_url: str, template_database: str, request: pytest.FixtureRequest) -> Iterator[Played]:
    """Let two books' accounts use two meters, and correct what they used, at random."""
    seed, batch_rows = request.param
    rng = random.Random(seed)  # noqa: S311 - the same history in every run
    with made(server_url, template_database) as world:
        corrected = Corrected(world)
        for _ in range(10):
            book = rng.choice((BOOK, BOOK, OTHER_BOOK))
            world.use(book, _facts(rng, rng.randrange(1, 700), book))
            corrected.learn(book)
            _correct_some(corrected, rng, book)
            if rng.random() < 0.5:
                world.follow(batch_rows)
        world.follow(batch_rows)
        with closing(Log(world.database.app_url, MASTER_KEY)) as log:
            head = log.head()
        yield Played(corrected, head, *_edges(corrected))


def _correct_some(corrected: Corrected, rng: random.Random, book: UUID) -> None:
    mine = [position for its_book, position in corrected.known if its_book == book]
    chosen = [corrected.known[book, one] for one in rng.sample(mine, min(len(mine), rng.randrange(60)))]
    if chosen:
        corrected.write(book, [(one, _anything(rng, one)) for one in chosen])


def _anything(rng: random.Random, known: Known) -> UsageFacts | None:
    if rng.random() < 0.4:
        return None
    return _said(known, {"quantity": str(rng.randrange(5)), "properties": _properties(rng)})


def _edges(corrected: Corrected) -> tuple[list[int], list[datetime]]:
    query = "SELECT first_position, last_position, first_occurred_at, last_occurred_at FROM timeline.runs"
    with psycopg.connect(corrected.world.database.owner_url) as owner:
        runs = owner.execute(query).fetchall()
    positions = {edge + by for run in runs for edge in run[:2] for by in (-1, 0, 1)}
    positions |= {at + by for one in corrected.known.values() for at, _ in one.corrections for by in (-1, 0)}
    instants = {edge.astimezone(UTC) + by for run in runs for edge in run[2:] for by in (0 * TICK, TICK)}
    return sorted(positions), sorted(instants)


@st.composite
def asks(draw: st.DrawFn, played: Played) -> Ask:
    instants = st.one_of(st.sampled_from(BOUNDS), st.sampled_from(played.instants))
    period = sorted(draw(st.lists(instants, min_size=2, max_size=2, unique=True)))
    positions = st.one_of(st.integers(0, played.head), st.sampled_from(played.positions))
    return ask(
        replace(draw(st.sampled_from(METERS)), event_type=draw(st.sampled_from(EVENT_TYPES))),
        draw(st.sampled_from(ACCOUNTS)),
        period_from=period[0],
        period_to=period[1],
        after_position=draw(st.one_of(st.just(0), positions)),
        through_position=min(draw(st.one_of(st.just(played.head), positions)), played.head),
    )


@settings(max_examples=120)
@given(data=st.data(), book=st.sampled_from((BOOK, OTHER_BOOK)))
def test_whatever_is_asked_is_measured_as_if_every_event_said_what_it_was_corrected_to(
    played: Played, data: st.DataObject, book: UUID
) -> None:
    asked = data.draw(st.lists(asks(played), min_size=1, max_size=8))
    answers = [right(played.corrected.events(book, one), one) for one in asked]
    found = played.corrected.world.usage.measure(book, asked)
    assert [comparable(its, one) for its, one in zip(found, asked, strict=True)] == answers


@settings(max_examples=15)
@given(data=st.data())
def test_the_log_alone_gives_the_same(played: Played, data: st.DataObject) -> None:
    asked = data.draw(st.lists(asks(played), min_size=1, max_size=4))
    with closing(Log(played.corrected.world.database.app_url, MASTER_KEY)) as log:
        scanned = ScannedUsage(log)
        answers = [right(played.corrected.events(BOOK, one), one) for one in asked]
        found = scanned.measure(BOOK, asked)
        assert [comparable(its, one) for its, one in zip(found, asked, strict=True)] == answers
        # A level from before the period is not among the events that the log alone names.
        one = replace(asked[0], definition=METERS[2])
        of = played.corrected.events(BOOK, one)
        assert list(scanned.behind(BOOK, one)) == right_behind(of, one)
        assert scanned.digests(BOOK, [one]) == [_digest(right_recorded(of, one))]
        uses = scanned.corrected(BOOK, ACCOUNTS, played.head)
        assert uses.keys() == played.corrected.world.usage.corrected(BOOK, ACCOUNTS, played.head).keys()


def _digest(recorded: Sequence[tuple[int, str]]) -> str:
    return usage_digest(MeasuredEvent(at, START, Decimal(0), {}, digest) for at, digest in recorded)


@settings(max_examples=40)
@given(data=st.data(), limit=st.sampled_from((15, 90, 700)))
def test_what_was_recorded_and_corrected_is_digested_and_listed_in_log_order(
    played: Played, data: st.DataObject, limit: int
) -> None:
    asked = data.draw(st.lists(asks(played), min_size=1, max_size=3))
    usage = played.corrected.world.usage
    of = [played.corrected.events(BOOK, one) for one in asked]
    recorded = [right_recorded(its, one) for its, one in zip(of, asked, strict=True)]
    assert usage.digests(BOOK, asked) == [_digest(its) for its in recorded]
    assert list(usage.behind(BOOK, asked[0])) == right_behind(of[0], asked[0])
    pages = _pages(usage, asked[0], limit)
    assert [position for page in pages for position in page] == [at for at, _ in recorded[0]]
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)


@settings(max_examples=40)
@given(data=st.data())
def test_what_is_supposed_is_measured_as_if_it_were_written(played: Played, data: st.DataObject) -> None:
    corrected, head = played.corrected, played.head
    rng = random.Random(data.draw(st.integers(0, 1_000)))  # noqa: S311 - hypothesis chooses
    mine = [one for (book, _), one in corrected.known.items() if book == BOOK]
    chosen = {one.recorded.position: _anything(rng, one) for one in rng.sample(mine, 30)}
    supposed = []
    for event in mine:
        if event.recorded.position in chosen:
            was, at = event.at(head), event.recorded.occurred_at
            correction = Correction(head, event.recorded.position, at, was, _made(event, chosen))
            supposed.append(Supposed(event.account, event.event_type, correction))
    asked = [
        replace(one, after_position=0, through_position=head)
        for one in data.draw(st.lists(asks(played), min_size=1, max_size=5))
    ]
    found = corrected.world.usage.supposing(supposed).measure(BOOK, asked)
    for one, its in zip(asked, found, strict=True):
        events = [
            replace(event, corrections=[*event.corrections, (head, _made(event, chosen))])
            if event.recorded.position in chosen
            else event
            for event in corrected.events(BOOK, one)
        ]
        assert its == expected(as_of(events, one), one)


def _made(event: Known, chosen: dict[int, UsageFacts | None]) -> MeasuredEvent | None:
    facts = chosen[event.recorded.position]
    return None if facts is None else replace_facts(event.recorded, facts)


def test_what_is_drawn_at_random_holds_all_that_may_matter(played: Played) -> None:
    known = [one for (book, _), one in played.corrected.known.items() if book == BOOK]
    assert any(len(one.corrections) > 1 for one in known), "an event that is corrected twice"
    assert any(
        before is None and since is not None
        for one in known
        for (_, before), (_, since) in pairwise(one.corrections)
    ), "one that was void and is stated anew"


# -- what is worth saying by itself -----------------------------------------------------------------------


@pytest.fixture
def corrected(server_url: str, template_database: str) -> Iterator[Corrected]:
    with made(server_url, template_database) as world:
        yield Corrected(world)


def _use(corrected: Corrected, *instants: datetime, quantity: str = "1", **properties: Any) -> int:
    head = corrected.world.use(BOOK, [("acc_busy", "calls", at, quantity, properties) for at in instants])
    corrected.learn(BOOK)
    return head


def test_a_correction_counts_from_its_position_on_and_never_before(corrected: Corrected) -> None:
    recorded = _use(corrected, START, START + HOUR)
    void = corrected.correct(BOOK, 1)
    anew = corrected.correct(BOOK, 1, quantity="7")
    corrected.follow()
    found = [
        corrected.world.usage.measure(BOOK, [ask(through_position=through)])[0][0]
        for through in (recorded, void, anew)
    ]
    assert [(one.quantity, one.events, one.first_position) for one in found] == [
        (Decimal(2), 2, 1),
        (Decimal(1), 1, 2),
        (Decimal(8), 2, 1),
    ]


def test_whole_runs_are_corrected_without_reading_their_events(corrected: Corrected) -> None:
    _use(corrected, *(START + TICK * number for number in range(1_200)))
    head = corrected.correct(BOOK, 5, 1_100)
    corrected.follow()
    with psycopg.connect(corrected.world.database.owner_url) as owner:
        owner.execute("ALTER TABLE log.events DISABLE TRIGGER USER")
        owner.execute("DELETE FROM log.events WHERE notification_id < %s", (head,))
        owner.commit()
    ((found,),) = corrected.world.usage.measure(BOOK, [ask(through_position=head)])
    assert (found.quantity, found.events) == (Decimal(1_198), 1_198)
    assert (found.first_position, found.last_position) == (1, 1_200)


def test_a_level_that_was_void_gives_way_to_the_one_before_it(corrected: Corrected) -> None:
    _use(corrected, START - 500 * HOUR, quantity="3")
    _use(corrected, *(START - HOUR * number for number in range(1, 20)), quantity="9")
    head = corrected.correct(BOOK, *range(2, 21))
    corrected.follow()
    asked = ask(meter("latest_ever"), through_position=head)
    ((found,),) = corrected.world.usage.measure(BOOK, [asked])
    assert (found.quantity, found.events, found.first_position) == (Decimal(3), 1, 1)


def test_a_group_of_which_all_is_void_is_gone(corrected: Corrected) -> None:
    _use(corrected, START, region="eu")
    _use(corrected, START, region="us")
    head = corrected.correct(BOOK, 1)
    corrected.follow()
    found = corrected.world.usage.measure(
        BOOK, [ask(meter("sum", group_by=("region",)), through_position=head)]
    )
    assert [one.group for one in found[0]] == [("us",)]


def test_an_event_moves_to_the_group_it_was_corrected_to_and_is_listed_behind_both(
    corrected: Corrected,
) -> None:
    _use(corrected, START, region="eu")
    head = corrected.correct(BOOK, 1, quantity="2", properties={"region": "us"})
    corrected.follow()
    usage = corrected.world.usage
    for region, sums in (("eu", 0), ("us", 2)):
        filters = replace(METERS[2].filters[0], values=(region,))
        asked = ask(meter("sum", filters=(filters,)), through_position=head)
        assert usage.measure(BOOK, [asked])[0][0].quantity == sums
        assert usage.listing(BOOK, asked).positions == [1, head]


def test_where_usage_was_corrected_is_told_up_to_a_position(corrected: Corrected) -> None:
    _use(corrected, START, START + HOUR)
    first = corrected.correct(BOOK, 1)
    second = corrected.correct(BOOK, 2)
    corrected.follow()
    usage = corrected.world.usage
    uses = [CorrectedUse("calls", START, first), CorrectedUse("calls", START + HOUR, second)]
    assert usage.corrected(BOOK, ["acc_busy", "acc_none"], second) == {"acc_busy": uses}
    assert usage.corrected(BOOK, ["acc_busy"], first) == {"acc_busy": uses[:1]}
    assert usage.corrected(OTHER_BOOK, ["acc_busy"], second) == {}


def test_nothing_is_measured_before_its_corrections_are_read(corrected: Corrected) -> None:
    _use(corrected, START)
    head = corrected.correct(BOOK, 1)
    follower = Follower(corrected.world.database.follower_url, MASTER_KEY, [PROJECTIONS["timeline"]])
    with closing(follower):
        follower.catch_up()
    usage = corrected.world.usage
    assert usage.reached(BOOK) == 0
    with pytest.raises(Exception, match=f"has not reached position {head} yet"):
        usage.measure(BOOK, [ask(through_position=head)])
    corrected.follow()
    assert usage.reached(BOOK) == head


def test_a_run_that_grows_while_it_is_measured_counts_once(
    corrected: Corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The period begins within one run, and holds another whole.
    head = _use(corrected, START, START + HOUR / 2, START + HOUR)
    corrected.follow()
    real = measured_queries.totals

    def meanwhile(connection: Any, windows: Any) -> Any:
        found = real(connection, windows)
        _use(corrected, START + HOUR)
        corrected.follow()
        return found

    monkeypatch.setattr(measured_queries, "totals", meanwhile)
    ((found,),) = corrected.world.usage.measure(BOOK, [ask(period_from=START + TICK, through_position=head)])
    assert (found.quantity, found.events) == (Decimal(2), 2)
