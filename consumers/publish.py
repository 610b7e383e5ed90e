"""The publisher: follows the log and writes every event to daybook.events, at least once and in order.

A batch is one transaction of Kafka's; after it, the row in daybook.published is moved. Whatever fails in
between, the next try begins where that row stands: events may come again, but never out of their order.

A newer publisher first takes the row, then the transactional id. So an older one can neither move the row nor
commit, and what it had committed before is published again, in order, by the newer one.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
import psycopg
from kafka.errors import KafkaError
from psycopg.rows import dict_row

from consumers.published import Fenced, Published, Standing, events_at, read_log
from consumers.published_event import Outgoing, outgoing
from consumers.topic_tail import last_values
from consumers.topics import MAX_OUTBOUND_BYTES, admin_client, missing
from consumers.transactional_writer import TransactionalWriter
from ledger.codec import decode_state
from ledger.errors import DaybookError, Unavailable
from ledger.store import listen
from schemas import topics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event as Stop

    from psycopg import Connection
    from psycopg.rows import DictRow

    from consumers.published_event import LogRow
    from ledger.feed_settings import FeedSettings

BATCH_ROWS: Final = 5_000
POLL_SECONDS: Final = 1.0
_FIRST_DELAY_SECONDS: Final = 0.5
_LONGEST_DELAY_SECONDS: Final = 10.0
_LOG_EVERY_SECONDS: Final = 1.0
_OUT_OF_REACH: Final = (psycopg.OperationalError, psycopg.InterfaceError, KafkaError, Unavailable, OSError)
_SET_ASIDE: Final = (
    "SELECT state FROM log.events WHERE topic = 'log.event_set_aside' AND book = %s AND notification_id > %s"
)

logger = logging.getLogger("daybook.publish")


class LogRestored(DaybookError):
    """The topic holds events that this log does not: it was restored, and positions are given out again."""

    code: ClassVar[str] = "log_restored"


class EventUnpublishable(DaybookError):
    """An event cannot be published, and publishing stands before it."""

    code: ClassVar[str] = "event_unpublishable"


class _TopicChanged(Unavailable):
    """The topic was made again while it was written to."""


class _Tail(msgspec.Struct, frozen=True):
    """What is read of a message that was published before."""

    logepoch: int
    position: str
    stream: str
    streamversion: int


class Publisher:
    """Publishes the log of one database to one topic."""

    def __init__(
        self,
        follower_url: str,
        feed: FeedSettings,
        *,
        topic: str = topics.EVENTS,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        """Name the database and the topic; both are reached when first needed."""
        self._url = follower_url
        self._settings = feed
        self._topic = topic
        self._batch_rows = batch_rows
        self.name = secrets.token_hex(8)
        self._claimed: str | None = None
        self._connection: Connection[DictRow] | None = None
        self._writer: TransactionalWriter | None = None
        self._ahead: list[LogRow] = []
        self._report = _Report()

    def run(self, stop: Stop) -> None:
        """Publish until told to stop, and then finish the batch; Fenced when another publisher takes over."""
        delay = _FIRST_DELAY_SECONDS
        try:
            while not stop.is_set():
                try:
                    published, standing = self._open()
                    while not stop.is_set():
                        standing = self._step(published, standing)
                        delay = _FIRST_DELAY_SECONDS
                except _OUT_OF_REACH as error:
                    self._refuse_if_fenced(error)
                    logger.warning("cannot publish, trying again: %s", _named(error))
                    self.close()
                    stop.wait(delay)
                    delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the database and of Kafka."""
        self._ahead = []
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # -- opening ------------------------------------------------------------------------------------

    def _open(self) -> tuple[Published, Standing]:
        """Reach both, take over, and find out where publishing stands."""
        with admin_client(self._settings) as admin:
            there = self._topic in admin.list_topics()
        if not there:
            raise missing(self._topic)
        connection = self._connection = _connect(self._url)
        listen(connection)
        name = f"daybook-publish-{self._settings.group}-{self._topic}"
        writer = self._writer = TransactionalWriter(self._settings, self._topic, name)
        published = Published(connection, writer.feed, self.name)
        if self._claimed != writer.feed:
            # Once: whoever comes later takes the row from this one, which must then not take it back.
            published.claim()
            self._claimed = writer.feed
        published.standing()
        writer.take_over()
        # Only now: until then, an older publisher may still have moved the row, or a newer one taken it.
        standing = published.standing()
        self._refuse_restored(connection, standing)
        logger.info(
            "publishing topic=%s epoch=%d after=%d", self._topic, standing.epoch.number, standing.position
        )
        return published, standing

    def _refuse_restored(self, connection: Connection[DictRow], standing: Standing) -> None:
        """Compare the topic's ends with the log: what was published under its epoch must be in it."""
        ends = [
            end for value in last_values(self._settings, self._topic) if (end := _tail(value)) is not None
        ]
        same = [end for end in ends if end.logepoch == standing.epoch.number]
        found = events_at(connection, [int(end.position) for end in same])
        lost = [end for end in ends if end.logepoch > standing.epoch.number]
        lost += [end for end in same if found.get(int(end.position)) != (end.stream, end.streamversion)]
        if lost:
            epoch, position = max((end.logepoch, int(end.position)) for end in lost)
            message = (
                f"{self._topic} holds event {epoch}-{position}, which is not in this log (epoch"
                f" {standing.epoch.number}): the log was restored. Tell its readers by raising the epoch:"
                f" daybook epoch raise --to {epoch + 1} --reason '...'"
            )
            raise LogRestored(message)

    def _refuse_if_fenced(self, error: BaseException) -> None:
        if self._writer is not None and isinstance(error, KafkaError) and self._writer.fenced_by(error):
            raise Fenced("another publisher has taken this one's place") from error

    # -- one batch ----------------------------------------------------------------------------------

    def _step(self, published: Published, standing: Standing) -> Standing:
        """Publish what follows, batch after batch, and wait a while for more once there is none."""
        assert self._connection is not None, "it was opened"
        # What was announced before is read now: only what comes after it needs to wake us.
        self._hear(self._connection, 0)
        rows, self._ahead = self._ahead, []
        rows = rows or read_log(self._connection, standing.position, self._batch_rows)
        # After the rows: an epoch is then known as soon as anything is read that was written in it.
        standing = published.standing()
        if not rows:
            self._hear(self._connection, POLL_SECONDS)
            return standing
        return self._publish(published, standing, rows)

    def _publish(self, published: Published, standing: Standing, rows: Sequence[LogRow]) -> Standing:
        assert self._connection is not None, "it was opened"
        assert self._writer is not None, "it was opened"
        messages = self._messages(standing, rows)
        sent = self._writer.begin(messages)
        if len(rows) == self._batch_rows:
            # Read while the messages are on their way.
            self._ahead = read_log(self._connection, rows[-1][0], self._batch_rows)
        self._writer.commit(sent)
        if self._writer.feed != self._claimed:
            raise _TopicChanged(f"{self._topic} was made again")
        moved = published.move(standing, rows[-1][0])
        self._report.note(len(messages), moved)
        return moved

    def _messages(self, standing: Standing, rows: Sequence[LogRow]) -> list[Outgoing]:
        try:
            messages = [outgoing(row, standing.epoch) for row in rows]
        except (msgspec.MsgspecError, UnicodeError):
            messages = [message for row in rows if (message := self._readable(standing, row)) is not None]
        for message in messages:
            if len(message.value) > MAX_OUTBOUND_BYTES - 1024:
                raise EventUnpublishable(
                    f"event {message.position} is {len(message.value)} bytes long, too long for {self._topic}"
                )
        return messages

    def _readable(self, standing: Standing, row: LogRow) -> Outgoing | None:
        """Write one row as a message; nothing when it cannot be read and was set aside for that."""
        try:
            return outgoing(row, standing.epoch)
        except (msgspec.MsgspecError, UnicodeError):
            position, topic, book = row[0], row[3], row[5]
            if position in self._set_aside(book, position):
                logger.warning("not published, for it was set aside: position=%d topic=%s", position, topic)
                return None
            message = f"event {position} ({topic}) cannot be read; once it is set aside it is passed over"
            raise EventUnpublishable(message) from None

    def _set_aside(self, book: str, after: int) -> set[int]:
        assert self._connection is not None, "it was opened"
        rows = self._connection.execute(_SET_ASIDE, (book, after), binary=True)
        return {msgspec.json.decode(decode_state(bytes(row["state"])).data)["position"] for row in rows}

    def _hear(self, connection: Connection[DictRow], seconds: float) -> None:
        """Take the log's announcements, waiting for a first one as long as that."""
        for _ in connection.notifies(timeout=seconds, stop_after=1 if seconds else None):
            pass


class _Report:
    """Says what was published, once a second at most."""

    def __init__(self) -> None:
        """Begin with nothing to say."""
        self._events = 0
        self._since = time.monotonic()

    def note(self, events: int, standing: Standing) -> None:
        """Count a batch, and say so when the last word is old enough."""
        self._events += events
        seconds = time.monotonic() - self._since
        if seconds >= _LOG_EVERY_SECONDS:
            logger.info(
                "published events=%d through=%d epoch=%d events_per_second=%.0f",
                self._events,
                standing.position,
                standing.epoch.number,
                self._events / seconds,
            )
            self._events, self._since = 0, time.monotonic()


def _tail(value: bytes | None) -> _Tail | None:
    """Read what was published before; nothing of a message that is not ours."""
    try:
        tail = msgspec.json.decode(value or b"", type=_Tail)
        int(tail.position)
    except (msgspec.MsgspecError, ValueError):
        logger.warning("the topic holds a message that is not Daybook's")
        return None
    return tail


def _connect(url: str) -> Connection[DictRow]:
    return psycopg.connect(
        url,
        autocommit=True,
        row_factory=dict_row,
        connect_timeout=5,
        application_name="daybook publish",
        # The planner has no statistics on a young log, and must never sort it instead of using its index.
        options="-c TimeZone=UTC -c enable_seqscan=off -c enable_bitmapscan=off -c statement_timeout=60000",
    )


def _named(error: BaseException) -> str:
    """Name an error of a connection; what the database says may quote an event, what Kafka says does not."""
    return type(error).__name__ if isinstance(error, psycopg.Error) else f"{type(error).__name__}: {error}"
