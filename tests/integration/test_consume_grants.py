"""Who may write: what the edge has stamped, and what a granted source sent while it was granted."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from commands.keys import issue_key, revoke_key
from commands.sources import grant_source, withdraw_source
from ledger.events.usage import UsageRecorded
from ledger.stamps import HEADER, Stamp, sign_stamp, stamp_key
from schemas import topics
from tests.acme import MASTER_KEY, known
from tests.kafka.feed_world import SOURCE, FeedWorld, eventually, feed_world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

Headers = list[tuple[str, bytes]]


@pytest.fixture
def world(database: Database, kafka: Cluster) -> Iterator[FeedWorld]:
    with feed_world(database, kafka) as made:
        yield made


def stamped(world: FeedWorld, value: bytes, accepted_at: datetime, key: bytes = MASTER_KEY) -> Headers:
    stamp = Stamp(
        accepted_at=accepted_at, book=world.acme.live.book, actor=world.acme.live.actor, cause="http:1"
    )
    return [(HEADER, sign_stamp(stamp, topics.USAGE, value, stamp_key(key)))]


def test_what_the_edge_took_counts_although_its_key_was_revoked_since(world: FeedWorld) -> None:
    account = world.account()
    live = replace(world.acme.live, now=datetime.now(UTC), cause="issuing")
    issued = issue_key(live, "live", account, "gateway", ["usage:write"]).result
    taken_at = datetime.now(UTC)
    value = json.dumps(world.event(account, "acknowledged", source="anyone", book=None)).encode()
    revoke_key(replace(live, now=datetime.now(UTC), cause="revoking"), known(issued.stream).key, "lost")
    world.send(value, headers=stamped(world, value, taken_at))
    with world.consuming():
        eventually(lambda: world.read_through() == 1, "the message to be read")
    assert world.stored() == {"acknowledged": "1"}
    (recorded,) = world.acme.log.at_positions(world.acme.live.book, [world.ingest_log.head()])
    assert isinstance(recorded.event, UsageRecorded)
    assert recorded.event.accepted_at == taken_at
    assert (recorded.metadata.actor, recorded.metadata.cause) == (world.acme.live.actor, "http:1")


def test_a_stamp_that_is_not_ours_or_of_another_message_is_refused(world: FeedWorld) -> None:
    account = world.account()
    now = datetime.now(UTC)
    value, other = (json.dumps(world.event(account, name)).encode() for name in ("forged", "moved"))
    world.send(value, headers=stamped(world, value, now, key=b"x" * 32))
    world.send(other, headers=stamped(world, value, now))
    world.send(value, headers=[(HEADER, b"")])
    with world.consuming():
        eventually(lambda: world.read_through() == 3, "all to be read")
    assert world.stored() == {}
    assert [letter["code"] for letter in world.letters()] == ["not_admitted"] * 3


def test_a_source_that_is_withdrawn_keeps_what_the_broker_took_before(world: FeedWorld) -> None:
    account = world.account()
    world.send(world.event(account, "before"))
    live = replace(world.acme.live, now=datetime.now(UTC), cause="withdrawing")
    with world.consuming():
        eventually(lambda: len(world.stored()) == 1, "the first to be stored")
        withdraw_source(live, SOURCE, "replaced")
        world.send(world.event(account, "after"))
        eventually(world.letters, "the second to be refused")
        granted_at = datetime.now(UTC)
        again = replace(live, now=granted_at, cause="again")
        grant_source(again, SOURCE, live.actor.principal, ["usage:write"])
        # The broker's times are whole milliseconds, cut off.
        eventually(lambda: datetime.now(UTC) - granted_at > timedelta(milliseconds=1), "the next millisecond")
        world.send(world.event(account, "granted again"))
        eventually(lambda: len(world.stored()) == 2, "the third to be stored")
    assert set(world.stored()) == {"before", "granted again"}
