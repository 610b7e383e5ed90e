"""The processor: lets deliveries take effect at least once, and survives what may happen to it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from commands.accounts import register_account
from consumers import stripe_processor
from consumers.stripe_effects import apply_fact
from consumers.stripe_processor import TRACKING, StripeProcessor
from ledger.errors import Refusal, Unavailable
from ledger.events.journal import JournalEntryPosted
from ledger.events.payment import PaymentReceived
from ledger.events.stripe import StripeCustomerObserved, StripeEventNotApplied
from schemas.stripe_shapes import StripePayloadRefused
from tests.integration.stripe_world import NOW, OPERATOR, make_world
from tests.unit.stripe_bodies import CHARGE, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.stripe_world import World
    from tests.postgres import Database

CHARGED = event("charge.succeeded", {**CHARGE, "customer": "cus_1"})
DEADLINE_SECONDS = 20


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    made = make_world(database)
    yield made
    made.log.close()


@pytest.fixture
def processor(world: World) -> Iterator[StripeProcessor]:
    made = world.processor()
    yield made
    made.close()


def charged(number: int) -> dict[str, Any]:
    about = {**CHARGE, "id": f"ch_{number}", "customer": f"cus_{number}"}
    return {**event("charge.succeeded", about), "id": f"evt_{number}"}


def tracking(world: World) -> int:
    with psycopg.connect(world.database.follower_url) as connection:
        row = connection.execute(
            "SELECT position FROM daybook.tracking WHERE projection = %s", (TRACKING,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def head(world: World) -> int:
    with psycopg.connect(world.database.follower_url) as connection:
        row = connection.execute("SELECT max(notification_id) FROM log.events").fetchone()
    assert row is not None
    return int(row[0])


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_tracking_ends_at_the_logs_last_position(world: World, processor: StripeProcessor) -> None:
    world.deliver(CHARGED)
    register_account(world.context(), "Ada", None)
    while processor.step():
        pass
    assert tracking(world) == head(world)
    assert processor.step() == 0


def test_deliveries_of_all_books_take_effect_each_in_its_own(world: World) -> None:
    other = world.with_another_organisation()
    world.deliver(CHARGED)
    world.deliver({**CHARGED, "livemode": True})
    other.deliver(CHARGED)
    assert world.process() == 3
    expected = {("cus_1", "pending_cash", "USD"): 1000, ("cus_1", "receivable", "USD"): -1000}
    assert world.balances() == expected
    assert world.balances(world.live_book) == expected
    assert other.balances() == expected
    assert other.balances(other.live_book) == {}


def test_an_effect_names_the_delivery_that_caused_it(world: World) -> None:
    world.deliver(CHARGED)
    world.deliver(event("charge.updated", {**CHARGE, "id": "ch_2", "customer": "cus_1"}))
    world.process()
    entries = [one for one in world.recorded() if isinstance(one.event, JournalEntryPosted)]
    causes = [one.metadata.cause for one in entries]
    assert causes[0] == "stripe:evt_1"
    assert causes[1].startswith("stripe:evt_1#")
    assert {(one.metadata.actor.kind, one.metadata.booked_at) for one in entries} == {("stripe", NOW)}


def test_more_deliveries_than_a_batch_are_all_processed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_processor, "BATCH_DELIVERIES", 3)
    for number in range(8):
        world.deliver(charged(number))
    assert world.process() == 8
    assert len(world.events(PaymentReceived)) == 8


def test_a_long_stretch_without_deliveries_is_passed_piece_by_piece(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_processor, "_SCAN_POSITIONS", 2)
    for name in ("Ada", "Bea", "Cem", "Dov", "Eva"):
        register_account(world.context(), name, None)
    world.deliver(CHARGED)
    assert world.process() == 1
    assert tracking(world) == head(world)


def test_a_delivery_committed_behind_a_given_out_position_is_not_missed(
    world: World, processor: StripeProcessor
) -> None:
    # Positions are given out before they are committed: the tracking must not run ahead of a slow writer.
    world.deliver(CHARGED)
    with psycopg.connect(world.database.owner_url) as slow:
        slow.execute("SELECT nextval('log.position')")
        while processor.step():
            pass
        assert tracking(world) == head(world)
        slow.rollback()
    world.deliver(charged(2))
    assert processor.step() == 1


def test_a_crash_between_effects_and_tracking_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        world.deliver(charged(number))
    crashing = world.processor()
    monkeypatch.setattr(stripe_processor, "_MOVE", "SELECT crash(%s, %s, %s)")
    with pytest.raises(psycopg.errors.UndefinedFunction):
        crashing.step()
    crashing.close()
    monkeypatch.undo()
    assert tracking(world) == 0
    before = world.recorded()
    assert len(world.events(PaymentReceived)) == 4
    assert world.process() == 4
    assert world.recorded() == before


def test_two_processors_at_once_double_nothing(world: World) -> None:
    for number in range(12):
        world.deliver(charged(number % 6))
        world.deliver({**charged(number), "account": "acct_1"})
    processors = [world.processor() for _ in range(3)]
    threads = [threading.Thread(target=_drain, args=(one,)) for one in processors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in processors:
        one.close()
    payments = world.events(PaymentReceived)
    assert len(payments) == len({payment.payment for payment in payments}) == 18
    assert sum(world.balances().values()) == 0
    assert world.events(StripeEventNotApplied) == []


def _drain(processor: StripeProcessor) -> None:
    while processor.step():
        pass


# -- running --------------------------------------------------------------------------------------------


@pytest.fixture
def running(processor: StripeProcessor) -> Iterator[StripeProcessor]:
    stop = threading.Event()
    thread = threading.Thread(target=processor.run, args=(stop,))
    thread.start()
    yield processor
    stop.set()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


@pytest.mark.usefixtures("running")
def test_a_delivery_wakes_the_processor(world: World) -> None:
    world.deliver(CHARGED)
    wait_until(lambda: len(world.events(PaymentReceived)) == 1)
    world.deliver(charged(2))
    wait_until(lambda: len(world.events(PaymentReceived)) == 2)


@pytest.mark.usefixtures("running")
def test_a_lost_connection_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_processor, "_FIRST_DELAY_SECONDS", 0.01)
    world.deliver(CHARGED)
    wait_until(lambda: len(world.events(PaymentReceived)) == 1)
    with psycopg.connect(world.database.owner_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'daybook stripe'"
            " AND datname = current_database()"
        )
    world.deliver(charged(2))
    wait_until(lambda: len(world.events(PaymentReceived)) == 2)


@pytest.mark.usefixtures("running")
def test_an_unavailable_database_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_processor, "_FIRST_DELAY_SECONDS", 0.01)
    genuine, failures = apply_fact, iter(range(3))

    def failing(*arguments: Any) -> None:
        if next(failures, None) is not None:
            raise Unavailable("the database is out of reach")
        genuine(*arguments)

    monkeypatch.setattr("consumers.stripe_processor.apply_fact", failing)
    world.deliver(CHARGED)
    wait_until(lambda: len(world.events(PaymentReceived)) == 1)
    assert next(failures, None) is None
    assert world.events(StripeEventNotApplied) == []


# -- defects --------------------------------------------------------------------------------------------


def test_a_defect_holds_up_one_delivery_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    genuine = apply_fact

    def defective(context: Any, delivery: Any, fact: Any) -> None:
        if fact.customer == "cus_1":
            message = "ada@example.com"
            raise KeyError(message)
        genuine(context, delivery, fact)

    monkeypatch.setattr("consumers.stripe_processor.apply_fact", defective)
    world.deliver(charged(1))
    world.deliver(charged(2))
    with caplog.at_level(logging.ERROR):
        world.process()
    assert [note.reason for note in world.events(StripeEventNotApplied)] == ["a defect in Daybook: KeyError"]
    assert "KeyError in defective" in caplog.text
    assert "ada@example.com" not in caplog.text
    assert len(world.events(PaymentReceived)) == 1
    # Once it is mended, processing again is enough.
    monkeypatch.undo()
    world.forget_tracking()
    world.process()
    assert len(world.events(PaymentReceived)) == 2
    assert len(world.events(StripeEventNotApplied)) == 1


def test_a_kept_body_that_no_longer_reads_as_an_event_is_noted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(_body: bytes) -> None:
        raise StripePayloadRefused("data", "must be an object")

    world.deliver(event("customer.created", {"id": "cus_1", "object": "customer"}))
    monkeypatch.setattr(stripe_processor, "read_event", refusing)
    world.process()
    assert [note.reason for note in world.events(StripeEventNotApplied)] == ["data: must be an object"]
    assert world.events(StripeCustomerObserved) == []


def test_a_long_reason_is_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*_arguments: object) -> None:
        raise Refusal("x" * 5_000)

    monkeypatch.setattr("consumers.stripe_processor.apply_fact", refusing)
    world.deliver(CHARGED)
    world.process()
    assert [len(note.reason) for note in world.events(StripeEventNotApplied)] == [1_000]


def test_an_event_that_is_no_delivery_has_no_effect(world: World) -> None:
    register_account(world.context(), "Ada", None)
    assert world.process() == 0
    assert {one.metadata.actor for one in world.recorded()} >= {OPERATOR}
