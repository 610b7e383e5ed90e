"""Commands from Kafka: carried out once, whatever they wait for, and refused without blocking the next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from ledger.identifiers import public_id
from schemas import topics
from tests.acme import a_plan
from tests.kafka.feed_world import SOURCE, FeedWorld, eventually, feed_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database


@pytest.fixture
def world(database: Database, kafka: Cluster) -> Iterator[FeedWorld]:
    with feed_world(database, kafka) as made:
        yield made


def command(world: FeedWorld, kind: str, event_id: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "book": world.book,
        "data": data,
        **more,
    }


def test_commands_in_any_order_are_carried_out_once_when_what_they_name_is_there(world: FeedWorld) -> None:
    account = public_id("acc", uuid4())
    plan = a_plan(replace(world.acme.live, now=datetime.now(UTC), cause="plan"))
    start = command(world, "daybook.subscription.start", "s1", {"plan": plan}, subject=account)
    register = command(world, "daybook.account.register", "a1", {"name": "Ada", "account": account})
    with world.consuming():
        world.send(start, topic=topics.SUBSCRIPTIONS)
        world.send(world.event(account, "early"))
        eventually(lambda: len(world.letters("parked")) == 2, "both to wait")
        world.send(register, register, topic=topics.ACCOUNTS)
        eventually(lambda: not world.letters("parked"), "both to be carried out")
        eventually(lambda: world.read_through() == 4, "everything to be read")
    assert world.stored() == {"early": "1"}
    assert [letter["status"] for letter in world.letters()] == ["replayed", "replayed"]
    with world.ingest_log.connection() as connection:
        rows = connection.execute(
            "SELECT topic, count(*) AS n FROM log.events WHERE topic IN"
            " ('account.registered', 'subscription.started', 'invoice.finalized') GROUP BY topic"
        ).fetchall()
    assert {row["topic"]: row["n"] for row in rows} == {
        "account.registered": 1,
        "subscription.started": 1,
        "invoice.finalized": 1,
    }


def test_a_command_that_the_rules_refuse_is_a_dead_letter_and_the_next_is_carried_out(
    world: FeedWorld,
) -> None:
    account = world.account()
    close = command(world, "daybook.account.close", "c1", {"reason": "asked for"}, subject=account)
    rename = command(world, "daybook.account.change", "c2", {"name": "Grace"}, subject=account)
    unknown = command(world, "daybook.account.explode", "c3", {}, subject=account)
    fine = command(world, "daybook.account.register", "c4", {"name": "Lin"})
    other = command(world, "daybook.account.register", "c4", {"name": "Lin again"})
    with world.consuming():
        world.send(close, rename, unknown, fine, other, topic=topics.ACCOUNTS)
        eventually(lambda: world.read_through() == 5, "everything to be read")
    codes = sorted(letter["code"] for letter in world.letters("open"))
    assert codes == ["account_closed", "message_conflict", "unknown_message_type"]
    assert all(letter["book"] == world.acme.live.book for letter in world.letters() if letter["source"])
