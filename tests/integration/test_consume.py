"""Usage from Kafka to the log: exactly once, whatever comes, and nothing blocked."""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from kafka import TopicPartition
from kafka.admin import OffsetSpec

from commands.accounts import close_account, register_account
from commands.keys import issue_key, revoke_key
from commands.sources import grant_source, withdraw_source
from consumers import usage_batch
from consumers.bad_share import TooMuchBad, go_on, refuse_while_stopped
from consumers.dead_letter_reads import find
from consumers.kafka_source import FeedGap
from consumers.offsets import Fenced
from consumers.standing import Accounts
from consumers.topics import admin_client
from ledger import bulk
from ledger.errors import Unstorable
from ledger.events.usage import UsageRecorded
from ledger.identifiers import public_id
from ledger.stamps import HEADER, Stamp, sign_stamp, stamp_key
from schemas import topics
from tests.acme import MASTER_KEY, a_plan, an_account, known
from tests.kafka.feed_world import SOURCE, FeedWorld, InProcess, eventually, feed_world, remake_topics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

Headers = list[tuple[str, bytes]]
SEED = int(os.environ.get("DAYBOOK_FEED_SEED") or random.SystemRandom().randrange(1_000_000))


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


# -- what cannot be applied ---------------------------------------------------------------------------


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


# -- who may write ------------------------------------------------------------------------------------


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
    value = as_bytes(world.event(account, "acknowledged", source="anyone", book=None))
    assert value is not None
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
    value, other = (as_bytes(world.event(account, name)) for name in ("forged", "moved"))
    assert value is not None
    assert other is not None
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
        grant_source(
            replace(live, now=datetime.now(UTC), cause="again"), SOURCE, live.actor.principal, ["usage:write"]
        )
        eventually(lambda: datetime.now(UTC).microsecond % 1000 >= 0, "the next millisecond")
        world.send(world.event(account, "granted again"))
        eventually(lambda: len(world.stored()) == 2, "the third to be stored")
    assert set(world.stored()) == {"before", "granted again"}


# -- offsets, gaps and owners -------------------------------------------------------------------------


def test_messages_deleted_before_they_were_read_are_a_gap_that_stops_the_consumer(world: FeedWorld) -> None:
    account = world.account()
    world.send(*(world.event(account, f"event {number}") for number in range(10)))
    with admin_client(world.settings.feed) as admin:
        partitions = [TopicPartition(topics.USAGE, number) for number in range(4)]
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
        partition = next(one for one in partitions if ends[one].offset == 10)
        admin.delete_records({partition: 4})
    with world.consuming() as running:
        eventually(lambda: running.failure, "the gap to be found")
    assert isinstance(running.failure, FeedGap)
    assert "0 is next, but Kafka has 4 to 10" in str(running.failure)
    assert world.stored() == {}


def test_a_topic_that_was_made_again_is_read_from_its_beginning(world: FeedWorld) -> None:
    account = world.account()
    world.send(world.event(account, "a"), world.event(account, "b"))
    with world.consuming():
        eventually(lambda: len(world.stored()) == 2, "both to be stored")
    remake_topics(world.settings.feed, [topics.USAGE])
    world.send(world.event(account, "b"), world.event(account, "c"))
    with world.consuming():
        eventually(lambda: len(world.stored()) == 3, "the new one to be stored")
    assert world.letters() == []


def test_of_two_consumers_on_the_same_partitions_the_older_is_fenced_and_stops(world: FeedWorld) -> None:
    account = world.account()
    world.send(*(world.event(account, f"event {number}") for number in range(100)))
    with world.consuming() as older:
        eventually(lambda: len(world.stored()) == 100, "the first to be read")
        # Another group gets the same partitions: a mistake that costs nothing but the older consumer.
        with world.consuming(group="another") as newer:
            eventually(lambda: owners(world) == 2, "the newer to take over")
            world.send(*(world.event(account, f"event {number}") for number in range(50, 200)))
            eventually(lambda: len(world.stored()) == 200, "the rest to be read")
            eventually(lambda: older.failure, "the older to be fenced")
            assert newer.failure is None
    assert isinstance(older.failure, Fenced)
    assert world.letters() == []


def test_of_two_consumers_under_one_instance_name_the_older_is_fenced_and_stops(world: FeedWorld) -> None:
    account = world.account()
    with world.consuming(instance="one") as older:
        world.send(*(world.event(account, f"event {number}") for number in range(20)))
        eventually(lambda: len(world.stored()) == 20, "the first to be read")
        with world.consuming(instance="one") as newer:
            world.send(*(world.event(account, f"event {number}") for number in range(10, 40)))
            eventually(lambda: older.failure, "the older to be fenced")
            eventually(lambda: len(world.stored()) == 40, "the rest to be read")
            assert newer.failure is None
    assert isinstance(older.failure, Fenced)


def owners(world: FeedWorld) -> int:
    with world.ingest_log.connection() as connection:
        row = connection.execute(
            "SELECT min(owner_epoch) AS epoch FROM daybook.feed_offsets WHERE topic = 'daybook.usage'"
        ).fetchone()
    assert row is not None
    return int(row["epoch"])


@pytest.mark.parametrize("seed", [SEED + number for number in range(3)])
def test_a_rebalance_storm_loses_nothing_and_doubles_nothing(world: FeedWorld, seed: int) -> None:
    print(f"DAYBOOK_FEED_SEED={seed}")  # noqa: T201 - shown when the test fails, to play it again
    choose = random.Random(seed)  # noqa: S311 - it chooses moments
    accounts = [world.account(f"Ada {number}") for number in range(8)]
    sent: set[str] = set()
    running: list[AbstractContextManager[InProcess]] = []
    with ExitStack() as stack:
        stack.enter_context(world.consuming())
        for turn in range(12):
            names = [f"{turn} {number}" for number in range(100)]
            world.send(*(world.event(choose.choice(accounts), name) for name in names))
            sent.update(names)
            if running and choose.random() < 0.5:
                running.pop(choose.randrange(len(running))).__exit__(None, None, None)
            else:
                another = world.consuming()
                another.__enter__()
                running.append(another)
                stack.push(another)
            time.sleep(choose.uniform(0, 0.4))  # the moment of a change is what is random here
        eventually(lambda: len(world.stored()) >= len(sent), "everything to be stored", 120)
    assert world.stored() == dict.fromkeys(sent, "1")
    assert world.letters() == []


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


# -- commands and webhooks ----------------------------------------------------------------------------


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


def test_the_lag_of_every_partition_is_told(world: FeedWorld) -> None:
    account = world.account()
    with world.consuming() as running:
        world.send(*(world.event(account, f"{number}") for number in range(10)))
        eventually(lambda: len(world.stored()) == 10, "everything to be stored")
        eventually(lambda: lag(running) == 0, "the lag to be told")
        seen = running.metrics.get_sample_value("daybook_feed_messages_total", {"outcome": "accepted"})
    assert seen == 10


def lag(running: InProcess) -> float | None:
    found = [
        running.metrics.get_sample_value(
            "daybook_feed_lag_messages", {"topic": topics.USAGE, "partition": str(number)}
        )
        for number in range(4)
    ]
    return sum(one for one in found if one is not None) if None not in found else None
