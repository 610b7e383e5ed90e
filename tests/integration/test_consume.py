"""Usage from Kafka to the log: once, and only for accounts that it may be billed to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from commands.accounts import close_account, register_account
from consumers.standing import Accounts
from ledger.identifiers import public_id
from tests.acme import an_account
from tests.kafka.feed_world import FeedWorld, eventually, feed_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database


@pytest.fixture
def world(database: Database, kafka: Cluster) -> Iterator[FeedWorld]:
    with feed_world(database, kafka) as made:
        yield made


def test_usage_is_appended_once_however_often_it_is_published(world: FeedWorld) -> None:
    account = world.account()
    events = [world.event(account, f"event {number}") for number in range(50)]
    with world.consuming():
        world.send(*events, *events[:10])
        eventually(lambda: world.read_through() == 60, "everything to be read")
    assert world.stored() == {f"event {number}": "1" for number in range(50)}
    assert world.letters() == []


def test_usage_of_an_account_that_registers_later_waits_and_is_counted_then(world: FeedWorld) -> None:
    early = public_id("acc", uuid4())
    world.send(*(world.event(early, f"early {number}") for number in range(20)))
    world.send(world.event(early, "early 0", "9"))
    with world.consuming():
        eventually(lambda: len(world.letters("parked")) == 21, "usage to be parked")
        assert world.stored() == {}
        live = replace(world.acme.live, now=datetime.now(UTC), cause="registering")
        register_account(live, "Ada", None, chosen=early)
        eventually(lambda: len(world.stored()) == 20, "parked usage to be counted")
    assert world.stored() == {f"early {number}": "1" for number in range(20)}
    assert len(world.letters("replayed")) == 20
    (conflict,) = world.letters("open")
    assert conflict["code"] == "conflict"
    assert conflict["known_position"] is not None


def test_usage_of_an_account_that_never_registers_is_handed_to_a_person_in_the_end(world: FeedWorld) -> None:
    world.send(world.event(public_id("acc", uuid4()), "lost"))
    with world.consuming(parked_seconds=0):
        eventually(lambda: world.letters("open"), "the wait to end")
    (letter,) = world.letters()
    assert (letter["code"], letter["status"]) == ("unknown_account", "open")


def test_an_account_of_another_book_is_waited_for_like_one_that_is_not_there(world: FeedWorld) -> None:
    other = an_account(replace(world.acme.test, now=datetime.now(UTC), cause="elsewhere"))
    world.send(world.event(other, "foreign"))
    with world.consuming():
        eventually(world.letters, "the message to be refused")
    (letter,) = world.letters()
    assert (letter["code"], letter["status"]) == ("unknown_account", "parked")
    assert world.stored() == {}


def test_what_happened_before_an_account_was_closed_still_counts(world: FeedWorld) -> None:
    account = world.account()
    closed_at = datetime.now(UTC)
    close_account(replace(world.acme.live, now=closed_at, cause="closing"), account, "asked for")
    before = (closed_at - timedelta(seconds=1)).isoformat()
    world.send(
        world.event(account, "before", time=before), world.event(account, "at", time=closed_at.isoformat())
    )
    with world.consuming():
        eventually(lambda: world.read_through() == 2, "both to be read")
    assert world.stored() == {"before": "1"}
    assert [letter["code"] for letter in world.letters()] == ["account_closed"]


def test_a_closing_between_the_look_and_the_append_is_seen_under_the_lock(
    world: FeedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.account()
    look_up = Accounts.look_up
    closings = iter([True])

    def and_close(self: Accounts, cursor: Any, about: Any) -> Any:
        found = look_up(self, cursor, about)
        if next(closings, False):
            an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
            close_account(replace(world.acme.live, now=an_hour_ago, cause="race"), account, "asked for")
        return found

    monkeypatch.setattr(Accounts, "look_up", and_close)
    world.send(world.event(account, "late"))
    with world.consuming():
        eventually(world.letters, "the message to be refused")
    assert world.stored() == {}
    assert [letter["code"] for letter in world.letters()] == ["account_closed"]
