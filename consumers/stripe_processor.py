"""The processor of Stripe's events: follows the log for deliveries and lets each take effect, at least once.

Every effect is idempotent by Stripe's object, so a delivery that is processed again (after a crash between
its effects and the tracking, or by two processors at once) changes nothing.
"""

from __future__ import annotations

import logging
import os
import traceback
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.rows import dict_row

from commands.clock import time_in_book
from commands.context import Context, Unit, execute
from consumers.stripe_effects import Delivery, apply_fact
from consumers.stripe_intake import STRIPE
from ledger.codec import StoredRow
from ledger.errors import Refusal, Unavailable
from ledger.events.base import FORGOTTEN
from ledger.events.stripe import StripeEventNotApplied, StripeEventReceived
from ledger.identifiers import derive
from ledger.store import listen
from ledger.streams.clock import TEST
from ledger.values import MAX_REASON_CHARACTERS
from schemas.stripe_shapes import StripePayloadRefused, read_event, read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from threading import Event as Stop

    from psycopg import Connection
    from psycopg.rows import DictRow

    from ledger.events import Recorded
    from ledger.settings import Settings
    from ledger.store import Log
    from schemas.stripe_shapes import Fact

TRACKING: Final = "stripe_intake"
BATCH_DELIVERIES: Final = 100
POLL_SECONDS: Final = 1.0
# How many positions one query looks through: most of them may be usage.
_SCAN_POSITIONS: Final = 100_000
_FIRST_DELAY_SECONDS: Final = 1.0
_LONGEST_DELAY_SECONDS: Final = 30.0

_TRACK: Final = "INSERT INTO daybook.tracking (projection) VALUES (%s) ON CONFLICT DO NOTHING"
# The last committed position, not the last given out: nothing may be committed behind the tracking.
_STANDING: Final = (
    "SELECT position, (SELECT coalesce(max(notification_id), 0) FROM log.events) AS head"
    " FROM daybook.tracking WHERE projection = %s"
)
_DELIVERIES: Final = (
    "SELECT notification_id, originator_id, originator_version, topic, state, book, recorded_at"
    " FROM log.events WHERE topic = %s AND notification_id > %s AND notification_id <= %s"
    " ORDER BY notification_id LIMIT %s"
)
_MOVE: Final = (
    "UPDATE daybook.tracking SET position = %s, moved_at = now() WHERE projection = %s AND position = %s"
)

logger = logging.getLogger("daybook.stripe")


class StripeProcessor:
    """Lets deliveries take effect, in log order, all books alike."""

    def __init__(
        self, app_log: Log, follower_url: str, settings: Settings, clock: Callable[[], datetime]
    ) -> None:
        """Name the log that effects go to, and the follower's database, connected to when needed."""
        self._log = app_log
        self._url = follower_url
        self._settings = settings
        self._clock = clock
        self._connection: Connection[DictRow] | None = None

    def close(self) -> None:
        """Close the follower's connection; the log is its owner's."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, stop: Stop) -> None:
        """Process until told to stop; woken by the log, with a poll in case a wake-up was lost."""
        delay = _FIRST_DELAY_SECONDS
        while not stop.is_set():
            try:
                if self.step() == 0:
                    self._wait()
                delay = _FIRST_DELAY_SECONDS
            except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable) as error:
                logger.warning("the database is out of reach, trying again: %s", type(error).__name__)
                self.close()
                stop.wait(delay)
                delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
        self.close()

    def step(self) -> int:
        """Process the next deliveries and give how many there were: none when the log has no more."""
        connection = self._connected()
        while True:
            after, head = self._standing(connection)
            if head <= after:
                return 0
            through = min(head, after + _SCAN_POSITIONS)
            rows = list(_deliveries(connection, after, through))
            if len(rows) == BATCH_DELIVERIES:
                through = rows[-1].position
            for row in rows:
                self._process(connection, row)
            if connection.execute(_MOVE, (through, TRACKING, after)).rowcount != 1:
                logger.warning("another Stripe processor moved the tracking past %d", after)
            if rows:
                return len(rows)

    def _standing(self, connection: Connection[DictRow]) -> tuple[int, int]:
        row = connection.execute(_STANDING, (TRACKING,)).fetchone()
        assert row is not None, "the tracking was made with the connection"
        return row["position"], row["head"]

    # -- one delivery -------------------------------------------------------------------------------

    def _process(self, connection: Connection[DictRow], row: StoredRow) -> None:
        """Let one delivery take effect; what refuses is kept with its reason, and the next one goes on."""
        (recorded,) = self._log.decode(connection, [row])
        event = recorded.event
        assert isinstance(event, StripeEventReceived), "the topic names the class"
        context = self._context(recorded, event)
        reasons = []
        facts, unread = _facts_of(event)
        if unread is not None:
            reasons.append(unread)
        for fact in facts:
            reason = self._refusal(context, Delivery(event, recorded.metadata.occurred_at), fact)
            if reason is not None:
                reasons.append(reason)
        if reasons:
            _note_not_applied(context, recorded.position, event.event_id, "; ".join(reasons))

    def _context(self, recorded: Recorded, event: StripeEventReceived) -> Context:
        # Variants share their event's id: each is a cause of its own.
        cause = f"stripe:{event.event_id}"
        if event.variant:
            cause = f"{cause}#{event.digest[:16]}"
        book = recorded.metadata.book
        now = time_in_book(self._log, book, "live" if event.livemode else TEST, self._clock())
        return Context(self._log, self._settings, book, STRIPE, cause, now, os.urandom)

    def _refusal(self, context: Context, delivery: Delivery, fact: Fact) -> str | None:
        """Apply a fact and give why it could not take effect, if it could not."""
        try:
            apply_fact(context, delivery, fact)
        except Refusal as refusal:
            return str(refusal)
        except (psycopg.OperationalError, psycopg.InterfaceError, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this delivery's and no other's
            # One delivery that meets a defect must not hold up all others. It is in the log: once the defect
            # is mended, processing again from an earlier tracking lets it take effect.
            logger.error("a defect kept a delivery of Stripe's from taking effect: %s", _where(error))  # noqa: TRY400
            return f"a defect in Daybook: {type(error).__name__}"
        return None

    # -- the connection -----------------------------------------------------------------------------

    def _connected(self) -> Connection[DictRow]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                row_factory=dict_row,
                connect_timeout=5,
                application_name="daybook stripe",
                # The planner has no statistics on a young log, and must not sort it in the index's place.
                options="-c TimeZone=UTC -c enable_seqscan=off -c enable_bitmapscan=off",
            )
            self._connection.execute(_TRACK, (TRACKING,))
            listen(self._connection)
        return self._connection

    def _wait(self) -> None:
        for _ in self._connected().notifies(timeout=POLL_SECONDS, stop_after=1):
            pass


def _deliveries(connection: Connection[DictRow], after: int, through: int) -> Iterator[StoredRow]:
    parameters = (StripeEventReceived.topic, after, through, BATCH_DELIVERIES)
    for row in connection.execute(_DELIVERIES, parameters, binary=True):
        yield StoredRow(
            position=row["notification_id"],
            stream=row["originator_id"],
            stream_version=row["originator_version"],
            topic=row["topic"],
            state=bytes(row["state"]),
            book=row["book"],
            recorded_at=row["recorded_at"],
        )


def _where(error: Exception) -> str:
    """Name a defect and its place, without its message: that may quote what is personal."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name} ({frame.filename}:{frame.lineno})"


def _facts_of(event: StripeEventReceived) -> tuple[tuple[Fact, ...], str | None]:
    """Read what a kept delivery tells, or why it cannot be read any more."""
    if event.body == FORGOTTEN:
        return (), "its body was forgotten before it was processed, or processed again"
    try:
        return read_facts(read_event(event.body.encode())), None
    except StripePayloadRefused as refused:
        return (), str(refused)


def _note_not_applied(context: Context, position: int, event_id: str, reason: str) -> None:
    """Keep why a delivery took no effect, once, under the delivery's position."""
    stream = derive("stripe-event-not-applied", context.book.bytes, str(position))

    def decide(unit: Unit) -> None:
        if not context.log.load(context.book, stream):
            note = StripeEventNotApplied(
                event_position=position, event_id=event_id, reason=reason[:MAX_REASON_CHARACTERS]
            )
            unit.add_first(stream, note)

    execute(context, decide)
