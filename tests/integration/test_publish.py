"""Publishing the log: every event, in order, sealed; and never beside another log or another publisher."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from consumers.publish import EventUnpublishable, LogRestored, Publisher
from consumers.published import Fenced
from consumers.published_event import Epoch, Outgoing, PublishedEvent, outgoing
from consumers.topic_tail import last_values
from consumers.transactional_writer import TransactionalWriter
from ledger.errors import NotFound
from ledger.feed_settings import FeedSettings
from tests.golden.golden_event import golden_path, read_golden
from tests.integration.histories import NOON, Writer, write_everything
from tests.integration.log_events import wait_until
from tests.integration.outbound_world import (
    assert_in_order,
    new_topic,
    positions_of,
    published_through,
    publishing,
    read_all,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from tests.kafka.broker import Cluster
    from tests.postgres import Database

ACCOUNTS = 7
LOST = str(UUID(int=9))


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    with closing(Writer(database)) as one:
        yield one


@pytest.fixture
def outbound(kafka: Cluster) -> tuple[FeedSettings, str]:
    return new_topic(kafka)


def until_published(owner: Connection[Any]) -> None:
    wait_until(lambda: published_through(owner) == positions_of(owner)[-1])


def publish_all(database: Database, owner: Connection[Any], outbound: tuple[FeedSettings, str]) -> None:
    with publishing(database, *outbound) as thread:
        wait_until(lambda: published_through(owner) == positions_of(owner)[-1] or thread.error)
    if thread.error is not None:
        raise thread.error


def raise_epoch(owner: Connection[Any], epoch: int = 2) -> None:
    owner.execute("INSERT INTO daybook.log_epochs (epoch, reason) VALUES (%s, 'restored')", (epoch,))


# -- what readers get ---------------------------------------------------------------------------------


def test_every_event_of_every_book_is_published_in_order(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    write_everything(writer)
    with closing(Writer(database, UUID(int=2))) as other:
        for number in range(ACCOUNTS):
            account = other.account(f"account-{number}")
            other.usage(account, *[NOON] * 50)
            other.rename(f"account-{number}", "Countess")
    with publishing(database, *outbound, batch_rows=17):
        until_published(owner)
    messages = read_all(*outbound)
    assert sorted(int(message.event.position) for message in messages) == positions_of(owner)
    assert {message.event.logepoch for message in messages} == {1}
    assert {message.partition for message in messages} == {0, 1, 2}
    assert_in_order(messages)


def test_personal_data_leaves_sealed(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account(email="ada.lovelace@example.com")
    writer.rename("ada", "Ada Lovelace")
    publish_all(database, owner, outbound)
    registered, renamed = read_all(*outbound)
    for message in (registered, renamed):
        assert b"Lovelace" not in message.value
        assert b"ada.lovelace" not in message.value
    data = msgspec.json.decode(registered.event.data)
    assert data["name"].keys() == data["email"].keys() == {"subject", "sealed"}


def test_an_append_is_published_at_once(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account()
    with publishing(database, *outbound):
        until_published(owner)
        writer.rename("ada", "Countess")
        until_published(owner)
    assert [message.event.type for message in read_all(*outbound)] == [
        "account.registered",
        "account.renamed",
    ]


def test_publishing_goes_on_where_it_stopped(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account()
    publish_all(database, owner, outbound)
    writer.rename("ada", "Countess")
    publish_all(database, owner, outbound)
    assert sorted(int(message.event.position) for message in read_all(*outbound)) == positions_of(owner)


def test_a_topic_that_is_made_again_gets_everything_again(
    database: Database, writer: Writer, owner: Connection[Any], kafka: Cluster
) -> None:
    writer.account()
    publish_all(database, owner, new_topic(kafka))
    another = new_topic(kafka)
    with publishing(database, *another):
        wait_until(lambda: len(read_all(*another)) == 1)


def test_without_its_topic_publishing_stops_and_says_how_to_make_it(
    database: Database, kafka: Cluster
) -> None:
    feed = FeedSettings(bootstrap_servers=kafka.bootstrap_servers)
    with publishing(database, feed, "no-such-topic") as thread:
        thread.join(30)
    assert isinstance(thread.error, NotFound)
    assert "daybook topics create" in str(thread.error)


# -- events that cannot be read -----------------------------------------------------------------------


def append_unreadable(database: Database, writer: Writer) -> int:
    with psycopg.connect(database.app_url, row_factory=dict_row) as connection:
        connection.execute("SELECT set_config('daybook.book', %s, true)", (str(writer.book),))
        row = connection.execute(
            "INSERT INTO log.events (originator_id, originator_version, topic, state)"
            " VALUES (gen_random_uuid(), 1, 'account.renamed', '{}') RETURNING notification_id AS position"
        ).fetchone()
    assert row is not None
    return int(row["position"])


def test_an_event_that_cannot_be_read_stops_publishing_until_it_is_set_aside(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account()
    bad = append_unreadable(database, writer)
    writer.rename("ada", "Countess")
    with pytest.raises(EventUnpublishable, match=f"event {bad} "):
        publish_all(database, owner, outbound)
    writer.set_aside(bad)
    publish_all(database, owner, outbound)
    published = sorted(int(message.event.position) for message in read_all(*outbound))
    assert published == [position for position in positions_of(owner) if position != bad]


# -- two publishers -----------------------------------------------------------------------------------


def test_a_newer_publisher_takes_the_place_of_the_older_which_ends(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account()
    with publishing(database, *outbound) as older:
        until_published(owner)
        with publishing(database, *outbound) as newer:
            wait_until(lambda: newer_is_at_work(owner, newer.publisher))
            writer.rename("ada", "Countess")
            older.join(30)
            assert isinstance(older.error, Fenced)
            until_published(owner)
            assert newer.error is None
    messages = read_all(*outbound)
    assert {int(message.event.position) for message in messages} == set(positions_of(owner))
    assert_in_order(messages)


def newer_is_at_work(owner: Connection[Any], publisher: Publisher) -> bool:
    row = owner.execute("SELECT publisher FROM daybook.published").fetchone()
    return row is not None and row["publisher"] == publisher.name


def test_what_an_older_publisher_had_under_way_is_never_seen_after_a_newer_ones(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    """The older one has sent its batch and not committed it as the newer one begins."""
    writer.account()
    feed, topic = outbound
    with closing(TransactionalWriter(feed, topic, f"daybook-publish-{feed.group}-{topic}")) as older:
        older.take_over()
        sent = older.begin([Outgoing(99, b"acc", b"{}")])
        publish_all(database, owner, outbound)
        with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is for the writer to judge
            older.commit(sent)
        assert older.fenced_by(raised.value)
    assert [int(message.event.position) for message in read_all(*outbound)] == positions_of(owner)


# -- another log --------------------------------------------------------------------------------------


def publish_from_a_later_life(outbound: tuple[FeedSettings, str], epoch: int, position: int) -> None:
    """Publish an event that the database has lost: it was restored from a backup made before."""
    golden = read_golden(golden_path("account.renamed", 1))
    row = (position, LOST, 1, golden.topic, bytes(golden.state), str(golden.book), NOON)
    feed, topic = outbound
    with closing(TransactionalWriter(feed, topic, "a later life")) as lost:
        lost.take_over()
        lost.commit(lost.begin([outgoing(row, Epoch(epoch, 0))]))


@pytest.mark.parametrize("ahead", [1000, 0], ids=["beyond the log's end", "at a position of another event"])
def test_a_restored_log_is_refused_until_its_epoch_is_raised(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str], ahead: int
) -> None:
    writer.account()
    publish_all(database, owner, outbound)
    position = writer.rename("ada", "Countess")
    publish_from_a_later_life(outbound, 1, position + ahead)
    with pytest.raises(LogRestored, match="daybook epoch raise --to 2"):
        publish_all(database, owner, outbound)
    assert published_through(owner) == 1, "nothing was published"
    raise_epoch(owner)
    writer.rename("ada", "Lady")
    publish_all(database, owner, outbound)
    events = sorted((one.event for one in read_all(*outbound) if one.event.stream != LOST), key=place)
    assert [(one.logepoch, one.position, one.logepochafter) for one in events] == [
        (1, "1", "0"),
        (2, "2", "1"),
        (2, "3", "1"),
    ]


def place(event: PublishedEvent) -> tuple[int, int]:
    return event.logepoch, int(event.position)


def test_a_log_restored_to_before_its_epoch_was_raised_is_refused(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account()
    publish_from_a_later_life(outbound, 3, 1)
    with pytest.raises(LogRestored, match="daybook epoch raise --to 4"):
        publish_all(database, owner, outbound)


def test_a_message_that_is_not_daybooks_is_no_reason_to_refuse(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account()
    feed, topic = outbound
    with closing(TransactionalWriter(feed, topic, "a stranger")) as stranger:
        stranger.take_over()
        stranger.commit(stranger.begin([Outgoing(1, b"key", b"not JSON")]))
    with publishing(database, *outbound) as thread:
        until_published(owner)
    assert thread.error is None


def test_the_end_of_a_topic_is_found_behind_what_was_given_up(outbound: tuple[FeedSettings, str]) -> None:
    feed, topic = outbound
    with closing(TransactionalWriter(feed, topic, "writer")) as writer:
        writer.take_over()
        writer.commit(writer.begin([Outgoing(1, b"key", b"kept")]))
    for _ in range(2):
        with closing(TransactionalWriter(feed, topic, "writer")) as writer:
            writer.take_over()
            for future in writer.begin([Outgoing(1, b"key", b"given up")] * 300):
                future.get(10)
    with closing(TransactionalWriter(feed, topic, "writer")) as writer:
        writer.take_over()
    assert last_values(feed, topic) == [b"kept"]


def test_an_epoch_raised_meanwhile_is_that_of_the_next_batch(
    database: Database, writer: Writer, owner: Connection[Any], outbound: tuple[FeedSettings, str]
) -> None:
    writer.account()
    with publishing(database, *outbound):
        until_published(owner)
        raise_epoch(owner)
        writer.rename("ada", "Countess")
        until_published(owner)
        writer.rename("ada", "Lady")
        until_published(owner)
    events = sorted((one.event for one in read_all(*outbound)), key=place)
    assert [(one.logepoch, one.logepochafter) for one in events] == [(1, "0"), (2, "1"), (2, "1")]
