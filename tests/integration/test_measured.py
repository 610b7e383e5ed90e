"""Measured usage: whatever is asked, the answer is that of going through every event of the log."""

from __future__ import annotations

import random
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import codec
from ledger.aggregates import when
from ledger.events import Actor
from ledger.events.usage import UsageRecorded
from ledger.measuring import Ask, Measured, MeasuredEvent, counting, group_of, measure, usage_digest
from ledger.meters import MeterDefinition, MeterFilter, carries, default_meter, is_plain
from ledger.store import Log
from ledger.usage_row import UsageFact, usage_row
from projections import measured, measured_queries
from projections.follower import Follower
from projections.measured import Listed, MeasuredUsage, ReadModelBehind
from projections.registry import PROJECTIONS
from tests.integration.log_events import MASTER_KEY, fact
from tests.postgres import temporary_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from commands.ports import Measure
    from tests.postgres import Database

BOOK, OTHER_BOOK = UUID(int=0xA), UUID(int=0xB)
ACCOUNTS = ("acc_busy", "acc_slow", "acc_both", "acc_none")
EVENT_TYPES = ("calls", "storage")
START = datetime(2026, 3, 1, tzinfo=UTC)
ACTOR = Actor(principal="prn_1", kind="service")
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)
# Instants on which periods begin and end: of a day, of an hour, within an hour.
BOUNDS = tuple(START + hours * HOUR for hours in (-700, 0, 1, 5.5, 24, 30, 31.25, 48, 700))
LAST = (1 << 63) - 1
# The type checker proves that commands can be handed what the projections have.
PORT: type[Measure] = MeasuredUsage


def meter(aggregation: str, **fields: Any) -> MeterDefinition:
    return MeterDefinition(code="m", name="M", event_type="calls", aggregation=aggregation, **fields)


EUROPE = (MeterFilter(property="region", values=("eu",)),)
METERS = (
    meter("sum"),
    meter("count"),
    meter("sum", filters=EUROPE),
    meter("sum", property="level", group_by=("region",)),
    meter("count", group_by=("region", "tier")),
    meter("max", property="level"),
    meter("unique_count", property="user", filters=EUROPE),
    meter("latest_in_period"),
    meter("latest_ever", property="level"),
    meter("latest_ever", filters=(MeterFilter(property="rare", values=("true",)),)),
    meter("latest_ever", property="level", group_by=("user",)),
    meter("time_weighted_sum"),
    meter("time_weighted_sum", property="level", group_by=("region",), filters=EUROPE),
    meter("time_weighted_sum", property="level", values="changes"),
)


@dataclass
class World:
    """A database with usage in it, and what that usage is."""

    database: Database
    log: Log
    usage: MeasuredUsage
    numbers: int = 0

    def use(self, book: UUID, facts: Sequence[tuple[str, str, datetime, str, dict[str, Any]]]) -> int:
        """Append usage events of account, type, instant, quantity and properties; give the last position."""
        rows = []
        for account, event_type, at, quantity, properties in facts:
            self.numbers += 1
            one = UsageFact(
                f"evt-{self.numbers}", "tests", event_type, account, Decimal(quantity), at, properties
            )
            rows.append(usage_row(one, book, ACTOR, f"usage-{self.numbers}", at, at))
        position = self.log.append_usage(rows).position
        assert position is not None
        return position

    def follow(self, batch_rows: int = 5_000) -> None:
        with closing(
            Follower(
                self.database.follower_url,
                MASTER_KEY,
                [PROJECTIONS[name] for name in measured.READ_MODELS],
                batch_rows=batch_rows,
            )
        ) as follower:
            follower.catch_up()

    def events(self, book: UUID, account: str, event_type: str) -> list[MeasuredEvent]:
        """Read an account's events of a type straight from the log, in the order of time."""
        query = (
            "SELECT notification_id, state FROM log.events WHERE book = %s AND topic = 'usage.recorded'"
            " AND convert_from(state, 'UTF8')::jsonb #>> '{data,account}' = %s"
            " AND convert_from(state, 'UTF8')::jsonb #>> '{data,meter}' = %s"
        )
        with psycopg.connect(self.database.owner_url) as owner:
            rows = owner.execute(query, (book, account, event_type)).fetchall()
        return sorted((_read(position, state) for position, state in rows), key=when)


def _read(position: int, state: bytes) -> MeasuredEvent:
    read = msgspec.json.decode(state)
    data = read["data"]
    at = datetime.fromisoformat(read["occurred_at"])
    return MeasuredEvent(position, at, Decimal(data["quantity"]), data["properties"], data["digest"])


@contextmanager
def made(server_url: str, template: str) -> Iterator[World]:
    with (
        temporary_database(server_url, template) as database,
        closing(Log(database.ingest_url, MASTER_KEY)) as ingest,
        closing(Log(database.app_url, MASTER_KEY)) as app,
    ):
        yield World(database, ingest, MeasuredUsage(app))


@pytest.fixture
def world(server_url: str, template_database: str) -> Iterator[World]:
    with made(server_url, template_database) as one:
        yield one


def ask(definition: MeterDefinition | None = None, account: str = "acc_busy", **fields: Any) -> Ask:
    asked: dict[str, Any] = {
        "account": account,
        "definition": definition or default_meter("calls"),
        "period_from": START,
        "period_to": START + 24 * HOUR,
        "through_position": LAST,
    }
    return Ask(**asked | fields)


# -- going through every event ----------------------------------------------------------------------------


def expected(events: Sequence[MeasuredEvent], asked: Ask) -> list[Measured]:
    """Answer an ask the slow way."""
    within = [one for one in events if asked.after_position < one.position <= asked.through_position]
    if not is_plain(asked.definition):
        return measure(asked.definition, within, asked.period)
    counted = [one for one in within if one.occurred_at in asked.period]
    total = sum((one.quantity for one in counted), start=Decimal(0))
    positions = [one.position for one in counted]
    return [
        Measured(
            group=(),
            quantity=Decimal(len(counted)) if asked.definition.aggregation == "count" else total,
            events=len(counted),
            sum=total,
            first_position=min(positions, default=None),
            last_position=max(positions, default=None),
        )
    ]


def expected_behind(events: Sequence[MeasuredEvent], asked: Ask) -> list[MeasuredEvent]:
    """Find the events behind an ask the slow way, in log order."""
    definition, counts = asked.definition, counting(asked.definition)
    counted = [
        one for one in events if asked.after_position < one.position <= asked.through_position and counts(one)
    ]
    before = [one for one in counted if one.occurred_at < asked.period.start]
    if definition.values == "levels":
        before = list({group_of(definition, one): one for one in before}.values())
    behind = [one for one in counted if one.occurred_at in asked.period]
    return sorted([*behind, *(before if carries(definition) else ())], key=lambda one: one.position)


# -- any usage, any ask -----------------------------------------------------------------------------------


def _facts(
    rng: random.Random, count: int, book: UUID
) -> list[tuple[str, str, datetime, str, dict[str, Any]]]:
    accounts = ("acc_busy", "acc_busy", "acc_busy", "acc_slow", "acc_both")
    owned = accounts if book == BOOK else ("acc_both", "acc_other")
    return [
        (rng.choice(owned), rng.choice(EVENT_TYPES), _instant(rng), str(rng.randrange(5)), _properties(rng))
        for _ in range(count)
    ]


def _instant(rng: random.Random) -> datetime:
    near = rng.choice(BOUNDS) + rng.choice((-HOUR, -TICK, 0 * TICK, TICK, HOUR - TICK))
    anywhere = START + timedelta(minutes=rng.randrange(-600, 3_000))
    # One hour of each account holds more than a run does.
    busy = START + 24 * HOUR + timedelta(seconds=rng.randrange(3_600))
    return rng.choices((near, anywhere, busy), (2, 3, 5))[0]


def _properties(rng: random.Random) -> dict[str, Any]:
    drawn = {
        "region": rng.choice(("eu", "us", None)),
        "user": f"u{rng.randrange(9)}",
        "level": rng.choice((0, 3, -2, "7.25", "none")),
        "tier": rng.choice((1, "1", True)),
        "rare": rng.random() < 0.005,
    }
    return {name: value for name, value in drawn.items() if rng.random() < 0.9}


@dataclass(frozen=True)
class Used:
    """Usage at random: its world, its events, and where runs begin and end, with what is next to it."""

    world: World
    events: dict[tuple[UUID, str, str], list[MeasuredEvent]]
    head: int
    positions: list[int]
    instants: list[datetime]


@pytest.fixture(scope="module", params=[(1, 5_000), (2, 7), (3, 400)], ids=lambda param: f"seed {param[0]}")
def used(server_url: str, template_database: str, request: pytest.FixtureRequest) -> Iterator[Used]:
    """Let two books' accounts use two meters at random, followed in batches of some size."""
    seed, batch_rows = request.param
    rng = random.Random(seed)  # noqa: S311 - the same usage in every run
    with made(server_url, template_database) as world:
        for _ in range(12):
            book = rng.choice((BOOK, BOOK, OTHER_BOOK))
            head = world.use(book, _facts(rng, rng.randrange(1, 900), book))
            if rng.random() < 0.5:
                world.follow(batch_rows)
        world.follow(batch_rows)
        events = {
            (book, account, event_type): world.events(book, account, event_type)
            for book in (BOOK, OTHER_BOOK)
            for account in ACCOUNTS
            for event_type in EVENT_TYPES
        }
        yield Used(world, events, head, *_edges(world))


def _edges(world: World) -> tuple[list[int], list[datetime]]:
    query = "SELECT first_position, last_position, first_occurred_at, last_occurred_at FROM timeline.runs"
    with psycopg.connect(world.database.owner_url) as owner:
        runs = owner.execute(query).fetchall()
    positions = {edge + by for run in runs for edge in run[:2] for by in (-1, 0, 1)}
    instants = {edge.astimezone(UTC) + by for run in runs for edge in run[2:] for by in (0 * TICK, TICK)}
    return sorted(positions), sorted(instants)


@st.composite
def asks(draw: st.DrawFn, used: Used) -> Ask:
    instants = st.one_of(st.sampled_from(BOUNDS), st.sampled_from(used.instants))
    period = sorted(draw(st.lists(instants, min_size=2, max_size=2, unique=True)))
    positions = st.one_of(st.integers(0, used.head), st.sampled_from(used.positions))
    return ask(
        replace(draw(st.sampled_from(METERS)), event_type=draw(st.sampled_from(EVENT_TYPES))),
        draw(st.sampled_from(ACCOUNTS)),
        period_from=period[0],
        period_to=period[1],
        after_position=draw(st.one_of(st.just(0), positions)),
        through_position=min(draw(st.one_of(st.just(used.head), positions)), used.head),
    )


@settings(max_examples=100)
@given(data=st.data(), book=st.sampled_from((BOOK, OTHER_BOOK)))
def test_whatever_is_asked_is_measured_as_if_every_event_were_looked_at(
    used: Used, data: st.DataObject, book: UUID
) -> None:
    asked = data.draw(st.lists(asks(used), min_size=1, max_size=8))
    of = [used.events[book, one.account, one.definition.event_type] for one in asked]
    answers = [expected(its, one) for its, one in zip(of, asked, strict=True)]
    assert used.world.usage.measure(book, asked) == answers


@settings(max_examples=30)
@given(data=st.data(), limit=st.sampled_from((15, 90, 700)))
def test_the_events_behind_an_ask_are_digested_and_listed_in_log_order(
    used: Used, data: st.DataObject, limit: int
) -> None:
    asked = data.draw(st.lists(asks(used), min_size=1, max_size=3))
    of = [used.events[BOOK, one.account, one.definition.event_type] for one in asked]
    behind = [expected_behind(its, one) for its, one in zip(of, asked, strict=True)]
    assert used.world.usage.digests(BOOK, asked) == [usage_digest(its) for its in behind]
    assert list(used.world.usage.behind(BOOK, asked[0])) == behind[0]
    pages = _pages(used.world.usage, asked[0], limit)
    assert [position for page in pages for position in page] == [one.position for one in behind[0]]
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1] or pages == [[]]


def _pages(usage: MeasuredUsage, asked: Ask, limit: int) -> list[list[int]]:
    pages = [usage.listing(BOOK, asked, 0, limit)]
    while pages[-1].next is not None:
        assert len(pages) < 1_000, "it never ends"
        pages.append(usage.listing(BOOK, asked, pages[-1].next, limit))
    return [page.positions for page in pages]


def test_every_cut_through_a_few_runs_is_exact(world: World) -> None:
    rng = random.Random(4)  # noqa: S311 - the same usage in every run
    minutes = [-61, -60, -1, 0, 59, 60, 90, 119, 120, 120]
    rng.shuffle(minutes)
    head = world.use(BOOK, _calls(*(START + timedelta(minutes=minute) for minute in minutes)))
    world.follow()
    events = world.events(BOOK, "acc_busy", "calls")
    cuts = [(after, through) for through in range(head + 1) for after in range(through + 1)]
    edges = [START + timedelta(minutes=minute) for minute in (-60, 0, 60, 90, 120)]
    whole = ask()
    for definition in (default_meter("calls"), meter("latest_ever")):
        asked = [
            replace(
                whole,
                definition=definition,
                period_from=period[0],
                period_to=period[1],
                after_position=after,
                through_position=through,
            )
            for period in combinations(edges, 2)
            for after, through in cuts
        ]
        assert world.usage.measure(BOOK, asked) == [expected(events, one) for one in asked]
        for one in asked[::7]:
            behind = [event.position for event in expected_behind(events, one)]
            for limit in (1, 2, len(behind) or 1):
                pages = _pages(world.usage, one, limit)
                assert pages == ([behind[n : n + limit] for n in range(0, len(behind), limit)] or [[]])


# -- what is worth saying by itself -----------------------------------------------------------------------


def _calls(*instants: datetime, **properties: Any) -> list[tuple[str, str, datetime, str, dict[str, Any]]]:
    return [("acc_busy", "calls", at, "1", properties) for at in instants]


def test_what_was_measured_up_to_a_position_stays_whatever_comes_later(world: World) -> None:
    early = world.use(BOOK, _calls(*(START + timedelta(seconds=n) for n in range(1_400))))
    world.follow()
    asked = ask(through_position=early)
    before = world.usage.measure(BOOK, [asked])
    late = world.use(BOOK, _calls(*(START + timedelta(seconds=n) for n in range(300))))
    world.follow()
    assert world.usage.measure(BOOK, [asked]) == before
    rest = ask(after_position=early, through_position=late)
    measured_now = world.usage.measure(BOOK, [asked, rest])
    assert [one.events for (one,) in measured_now] == [1_400, 300]


def test_whole_runs_are_added_up_without_reading_their_events(world: World) -> None:
    head = world.use(BOOK, _calls(*(START + timedelta(seconds=7 * n) for n in range(1_200))))
    world.follow()
    with psycopg.connect(world.database.owner_url) as owner:
        owner.execute("ALTER TABLE log.events DISABLE TRIGGER USER")
        owner.execute("DELETE FROM log.events WHERE notification_id < %s", (head,))
        owner.commit()
    ((found,),) = world.usage.measure(BOOK, [ask(through_position=head)])
    assert (found.quantity, found.events, found.last_position) == (Decimal(1_200), 1_200, head)


def test_the_level_before_a_period_is_found_however_long_ago_it_was_set(world: World) -> None:
    years = (START - timedelta(days=400), START - timedelta(days=399))
    world.use(BOOK, _calls(*years, kind="set"))
    # Much that does not count lies between.
    world.use(BOOK, _calls(*(START - timedelta(minutes=33 * n) for n in range(1, 500)), kind="other"))
    head = world.use(BOOK, _calls(START + 25 * HOUR, kind="set"))
    world.follow()
    definition = meter("latest_ever", filters=(MeterFilter(property="kind", values=("set",)),))
    asked = ask(definition, through_position=head)
    ((found,),) = world.usage.measure(BOOK, [asked])
    assert (found.quantity, found.events, found.first_position) == (Decimal(1), 1, 2)
    assert world.usage.listing(BOOK, asked) == Listed([2], None)
    nothing = replace(asked, after_position=2)
    ((found,),) = world.usage.measure(BOOK, [nothing])
    assert (found.quantity, found.events) == (Decimal(0), 0)


def test_the_level_before_a_period_is_found_without_reading_all_there_was(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = world.use(BOOK, _calls(*(START - timedelta(minutes=n) for n in range(1, 3_000))))
    world.follow()
    read: list[int] = []
    real = measured_queries.read_events

    def counted(connection: Any, positions: Any) -> Any:
        read.extend(positions)
        return real(connection, positions)

    monkeypatch.setattr(measured_queries, "read_events", counted)
    ((found,),) = world.usage.measure(BOOK, [ask(meter("latest_ever"), through_position=head)])
    assert (found.quantity, found.events, found.last_position) == (Decimal(1), 1, 1)
    assert len(read) <= 60, "no more than the hour before"


def test_a_page_that_would_take_too_long_is_a_short_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "_MAX_EXAMINED", 1_500)
    instants = [START + timedelta(seconds=n) for n in range(2_500)]
    world.use(BOOK, _calls(*instants, kind="other"))
    head = world.use(BOOK, _calls(START + HOUR, kind="set"))
    world.follow()
    asked = ask(
        meter("count", filters=(MeterFilter(property="kind", values=("set",)),)), through_position=head
    )
    first = world.usage.listing(BOOK, asked)
    assert (first.positions, first.next) == ([], 2_000)
    assert world.usage.listing(BOOK, asked, 2_000) == Listed([head], None)


def test_a_stream_of_events_may_be_left_early(world: World) -> None:
    head = world.use(BOOK, _calls(*(START + timedelta(seconds=n) for n in range(50))))
    world.follow()
    with closing(world.usage.behind(BOOK, ask(through_position=head))) as behind:  # type: ignore[type-var]
        assert [one.position for one in islice(behind, 3)] == [1, 2, 3]
    assert world.usage.reached(BOOK) == head


def test_no_book_measures_what_another_used(world: World) -> None:
    head = world.use(BOOK, _calls(START))
    world.follow()
    assert [one.quantity for one in world.usage.measure(BOOK, [ask(through_position=head)])[0]] == [1]
    for definition in (None, meter("max"), meter("latest_ever")):
        ((found,),) = world.usage.measure(OTHER_BOOK, [ask(definition, through_position=head)])
        assert (found.quantity, found.events) == (Decimal(0), 0)


def test_an_event_of_an_older_version_is_measured_as_it_reads_today(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = world.use(BOOK, _calls(START))
    world.follow()
    monkeypatch.setattr(UsageRecorded, "version", 2)
    lifted = {**codec.UPCASTS, ("usage.recorded", 1): lambda data: {**data, "quantity": "5"}}
    monkeypatch.setattr(codec, "UPCASTS", lifted)
    ((found,),) = world.usage.measure(BOOK, [ask(meter("max"), through_position=head)])
    assert found.quantity == 5


def test_nothing_asked_is_nothing_measured(world: World) -> None:
    assert world.usage.measure(BOOK, []) == []
    assert world.usage.digests(BOOK, []) == []


def test_runs_are_found_by_their_hour_on_a_table_that_the_planner_knows_nothing_of(world: World) -> None:
    head = world.use(BOOK, _calls(*(START + n * HOUR for n in range(100))))
    world.follow()
    window = measured_queries.window_of(ask(through_position=head))
    bounds = {**measured_queries._columns([window]), "runs": 1, "limit": 9}
    with closing(Log(world.database.app_url, MASTER_KEY)) as log, log.reading(BOOK) as connection:
        for name in ("_TOTALS", "CUT_RUNS", "BY_HOUR", "IN_LOG_ORDER", "_HOUR_BEFORE", "_PAGE_END", "_PAGE"):
            with connection.transaction():
                measured_queries.plan(connection)
                rows = connection.execute(f"EXPLAIN {getattr(measured_queries, name)}", bounds).fetchall()
            plan = "\n".join(row["QUERY PLAN"] for row in rows)
            assert "using runs_hour on runs" in plan, name
            assert "Seq Scan" not in plan, name


# -- a model that trails the log --------------------------------------------------------------------------


def test_usage_that_was_not_read_yet_is_never_left_out_silently(world: World) -> None:
    reached = world.use(BOOK, _calls(START))
    world.follow()
    head = world.use(BOOK, _calls(START))
    assert world.usage.reached(BOOK) == reached
    for call in (world.usage.measure, world.usage.digests):
        with pytest.raises(ReadModelBehind, match=f"has not reached position {head} yet"):
            call(BOOK, [ask(through_position=reached), ask(through_position=head)])
    with pytest.raises(ReadModelBehind):
        world.usage.listing(BOOK, ask(through_position=head))
    assert world.usage.measure(BOOK, [ask(through_position=reached)])[0][0].quantity == 1


def test_a_book_waits_for_nothing_that_is_not_its_own(world: World) -> None:
    head = world.use(BOOK, _calls(START))
    world.follow()
    later = world.use(OTHER_BOOK, _calls(START))
    for position in (later, later + 1_000):
        world.usage.wait_until(BOOK, position, 0)
        assert world.usage.measure(BOOK, [ask(through_position=position)])[0][0].last_position == head


def test_waiting_ends_when_the_model_is_there_or_the_time_is_up(world: World) -> None:
    head = world.use(BOOK, _calls(START))
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            world.follow()

    with closing(Log(world.database.app_url, MASTER_KEY)) as log:
        MeasuredUsage(log, lambda: 0.0, sleep).wait_until(BOOK, head, 1)
        assert len(slept) == 3
        head = world.use(BOOK, _calls(START))
        ticking = iter(range(10))
        with pytest.raises(ReadModelBehind):
            MeasuredUsage(log, lambda: float(next(ticking)), slept.append).wait_until(BOOK, head, 3)
        assert len(slept) == 6


def test_waiting_for_a_model_that_has_stopped_is_not_begun(world: World) -> None:
    reached = world.use(BOOK, _calls(START))
    world.follow()
    with closing(Log(world.database.app_url, MASTER_KEY)) as log:
        (head,) = log.append(BOOK, [fact(uuid4(), book=BOOK)])
    with psycopg.connect(world.database.owner_url) as owner:
        owner.execute("UPDATE daybook.tracking SET failure = 'broken' WHERE projection = 'timeline'")
    with pytest.raises(ReadModelBehind, match="has stopped"):
        world.usage.wait_until(BOOK, head, 60)
    assert world.usage.measure(BOOK, [ask(through_position=reached)])[0][0].quantity == 1
