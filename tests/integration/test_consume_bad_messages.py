"""What cannot be applied is kept with its reason and blocks nothing, until there is too much of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from commands.accounts import close_account
from consumers import usage_batch
from consumers.bad_share import TooMuchBad, go_on, refuse_while_stopped
from consumers.dead_letter_reads import find
from ledger import bulk
from ledger.errors import Unstorable
from ledger.events.usage import UsageRecorded
from ledger.identifiers import public_id
from tests.kafka.feed_world import FeedWorld, eventually, feed_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database


@pytest.fixture
def world(database: Database, kafka: Cluster) -> Iterator[FeedWorld]:
    with feed_world(database, kafka) as made:
        yield made


def poison(
    world: FeedWorld, account: str, closed: str
) -> dict[str, tuple[bytes | dict[str, Any] | None, str]]:
    """Give every kind of bad message by a name, with the code it must be refused with."""
    long_ago, far_ahead = "1970-01-01T00:00:00Z", "2970-01-01T00:00:00Z"

    def event(name: str, **changes: Any) -> dict[str, Any]:
        return world.event(account, name, **changes)

    def of_quantity(name: str, quantity: object) -> dict[str, Any]:
        return world.event(account, name, quantity)

    return {
        "nothing": (None, "no_value"),
        "empty": (b"", "payload_refused"),
        "not JSON": (b"{not json", "payload_refused"),
        "not UTF-8": (b'{"id": "\xff\xfe"}', "payload_refused"),
        "deep": (b"[" * 60_000, "payload_refused"),
        "an array": (b"[1, 2, 3]", "payload_refused"),
        "a number": (b"42", "payload_refused"),
        "NUL": (event("NUL", source="a\x00b"), "invalid"),
        "huge": (event("huge", data={"quantity": "1", "note": "x" * 200_000}), "too_large"),
        "many properties": (
            event("many", data={"quantity": "1", **{f"p{n}": n for n in range(60)}}),
            "invalid",
        ),
        "wrong types": (event("wrong types", type=7), "invalid"),
        "no identity": ({**event("x"), "id": None}, "invalid"),
        "no subject": ({name: value for name, value in event("x").items() if name != "subject"}, "invalid"),
        "another version": (event("another version", specversion="0.3"), "invalid"),
        "negative": (of_quantity("negative", "-1"), "invalid"),
        "absurd": (of_quantity("absurd", "1" * 30), "invalid"),
        "not a number": (of_quantity("not a number", "NaN"), "invalid"),
        "infinite": (of_quantity("infinite", "1e999999999"), "invalid"),
        "a fraction too fine": (of_quantity("too fine", "0." + "0" * 20 + "1"), "invalid"),
        "a list": (of_quantity("a list", [1]), "invalid"),
        "1970": (event("1970", time=long_ago), "invalid"),
        "2970": (event("2970", time=far_ahead), "invalid"),
        "no zone": (event("no zone", time="2026-11-21T08:00:00"), "invalid"),
        "no such account": (world.event("acc_0000000000000000000000000z", "unknown"), "unknown_account"),
        "no account at all": (world.event("Ada", "no account"), "invalid"),
        "closed": (world.event(closed, "closed"), "account_closed"),
        "another source": (event("another source", source="somebody/else"), "not_admitted"),
        "another book": (event("another book", book=public_id("book", world.acme.test.book)), "not_admitted"),
        "no book": (event("no book", book=None), "not_admitted"),
        "no such book": (event("no such book", book=public_id("book", UUID(int=1))), "not_admitted"),
        "other facts": (of_quantity("good 0", "2"), "conflict"),
    }


def test_every_kind_of_bad_message_is_kept_with_its_reason_and_blocks_nothing(world: FeedWorld) -> None:
    account, closed = world.account(), world.account("Grace")
    live = replace(world.acme.live, now=datetime.now(UTC), cause="closing")
    close_account(live, closed, "asked for")
    bad = poison(world, account, closed)
    world.send(world.event(account, "good 0"))
    for number, (value, _) in enumerate(bad.values(), 1):
        world.send(value, world.event(account, f"good {number}"))
    with world.consuming(max_bad_share=Decimal(1), parked_seconds=3600) as running:
        eventually(lambda: world.read_through() == 2 * len(bad) + 1, "everything to be read")
        assert running.failure is None
    assert world.stored() == {f"good {number}": "1" for number in range(len(bad) + 1)}
    letters = world.letters()
    kept = {bytes_of(world, letter): letter["code"] for letter in letters}
    assert kept == {as_bytes(value): code for value, code in bad.values()}
    assert all(letter["reason"] for letter in letters)
    assert {letter["code"] for letter in world.letters("parked")} == {"unknown_account"}


def bytes_of(world: FeedWorld, letter: dict[str, Any]) -> bytes | None:
    with world.ingest_log.connection() as connection:
        found = find(connection, letter["dead_letter"])
    assert found is not None
    return found.value(world.ingest_log)


def as_bytes(value: bytes | dict[str, Any] | None) -> bytes | None:
    return json.dumps(value).encode() if isinstance(value, dict) else value


def test_a_known_identity_with_other_facts_is_a_dead_letter_that_points_at_the_known_one(
    world: FeedWorld,
) -> None:
    account = world.account()
    world.send(world.event(account, "a"))
    with world.consuming():
        eventually(lambda: world.stored() == {"a": "1"}, "the first to be stored")
        # Once against the log, and once within a batch.
        world.send(world.event(account, "a", "2"), world.event(account, "b"), world.event(account, "b", "3"))
        eventually(lambda: len(world.letters()) == 2, "both conflicts to be kept")
    assert world.stored() == {"a": "1", "b": "1"}
    for letter, first in zip(world.letters("open"), ("a", "b"), strict=True):
        (event,) = world.acme.log.at_positions(world.acme.live.book, [letter["known_position"]])
        assert isinstance(event.event, UsageRecorded)
        assert (event.event.event_id, event.event.quantity) == (first, Decimal(1))
        assert letter["code"] == "conflict"


def test_what_postgresql_cannot_hold_is_kept_out_alone(
    world: FeedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits keep such values out; were one to slip through, it must not stop the others."""
    copy = bulk.copy_usage

    def refuse(cursor: Any, rows: Any) -> Any:
        if any(b"unstorable" in row.state for row in rows):
            raise Unstorable
        return copy(cursor, rows)

    monkeypatch.setattr(usage_batch, "copy_usage", refuse)
    account = world.account()
    names = [f"event {number}" for number in range(20)]
    names[7] = names[13] = "unstorable"
    world.send(*(world.event(account, f"{name} {number}") for number, name in enumerate(names)))
    with world.consuming():
        eventually(lambda: world.read_through() == 20, "everything to be read")
    assert len(world.stored()) == 18
    assert [letter["code"] for letter in world.letters("open")] == ["internal"] * 2


# -- too much of it --------------------------------------------------------------------------------------


def test_too_much_that_is_bad_stops_the_consumer_until_a_person_has_it_go_on(world: FeedWorld) -> None:
    account = world.account()
    world.send(*(b"not json" for _ in range(150)), *(world.event(account, f"{n}") for n in range(50)))
    with world.consuming(max_bad_share=Decimal("0.5")) as running:
        eventually(lambda: running.failure, "the consumer to stop")
    assert isinstance(running.failure, TooMuchBad)
    with world.ingest_log.connection() as connection:
        with pytest.raises(TooMuchBad, match="--resume"):
            refuse_while_stopped(connection)
        go_on(connection)
        refuse_while_stopped(connection)
    with world.consuming(max_bad_share=Decimal(1)):
        eventually(lambda: world.read_through() == 200, "the rest to be read")
    assert len(world.stored()) == 50
    assert len(world.letters("open")) == 150


def test_half_that_is_bad_is_not_too_much(world: FeedWorld) -> None:
    account = world.account()
    for number in range(150):
        world.send(b"not json", world.event(account, f"{number}"))
    with world.consuming(max_bad_share=Decimal("0.5")) as running:
        eventually(lambda: world.read_through() == 300, "everything to be read")
        assert running.failure is None
