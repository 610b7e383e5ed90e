"""Any message from its topic to the log: commands and webhooks one at a time, and what was kept once more."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from consumers.admission import NotAdmitted
from consumers.command_messages import apply_command
from consumers.dead_letter_reads import due
from consumers.dead_letters import Rejected, expire_parked, insert
from consumers.replaying import Replayer, replay
from consumers.stripe_messages import apply_delivery
from consumers.usage_intake import Outcome
from ledger.errors import DaybookError, NotFound, Refusal, Unstorable
from ledger.stamps import stamp_key
from schemas import topics
from schemas.messages import read_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from consumers.admission import Admission, Admitted
    from consumers.message import Message
    from consumers.offsets import Claims
    from consumers.usage_intake import UsageIntake
    from ledger.settings import Settings
    from ledger.store import Extra, Log

_PARKED_AT_ONCE: Final = 50


class MessageIntake:
    """Applies messages, one transaction each, under the role that commands run as."""

    def __init__(
        self,
        *,
        app_log: Log,
        ingest_log: Log,
        admission: Admission,
        usage: UsageIntake,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        """Take the log as both roles see it."""
        self._app_log = app_log
        self._ingest_log = ingest_log
        self._admission = admission
        self._usage = usage
        self._settings = settings
        self._clock = clock
        self._parked_for = timedelta(seconds=settings.feed.parked_seconds)

    def append(self, message: Message, claims: Claims) -> Outcome:
        """Apply a message and claim its offset; what cannot be applied is kept, waiting or for a person."""
        try:
            self.apply(message, claims)
        except (Refusal, Unstorable) as refusal:
            waits = isinstance(refusal, NotFound)
            self._keep(message, refusal, claims, waits=waits)
            return Outcome(parked=1) if waits else Outcome(rejected=1)
        return Outcome(accepted=1)

    def apply(self, message: Message, extra: Extra) -> None:
        """Apply a message of any topic in one transaction with the extra, or refuse it."""
        if message.topic == topics.USAGE:
            self._usage.append_again(message, extra)
        elif message.topic == topics.STRIPE:
            self._apply_delivery(message, extra)
        else:
            admitted = self._admitted(message)
            apply_command(self._app_log, self._settings, message, admitted, extra)

    def _apply_delivery(self, message: Message, extra: Extra) -> None:
        stamp = self._admission.stamp(message.headers, message.topic, message.value or b"")
        accepted_at = message.timestamp if stamp is None else stamp.accepted_at
        apply_delivery(self._app_log, self._settings, message, stamp, accepted_at, extra)

    def _admitted(self, message: Message) -> Admitted:
        value = message.value or b""
        stamp = self._admission.stamp(message.headers, message.topic, value)
        if stamp is not None:
            return self._admission.stamped(stamp)
        command = read_command(value, topic=message.topic, stamped=False)
        assert command.kind.scope is not None, "a command takes a scope"
        timestamp_ms = round(message.timestamp.timestamp() * 1000)
        granted = self._admission.granted(
            command.book, command.source, command.kind.scope, timestamp_ms, message.timestamp
        )
        cause = f"kafka:{message.topic}/{message.partition}/{message.offset}"
        return self._admission.admitted(granted, message.timestamp, cause)

    def _keep(self, message: Message, refusal: DaybookError, claims: Claims, *, waits: bool) -> None:
        now = self._clock()
        rejected = Rejected(
            message=message,
            code=refusal.code,
            reason=str(refusal),
            known_position=getattr(refusal, "known_position", None),
            parked_until=now + self._parked_for if waits else None,
            **self._told(message, admitted=not isinstance(refusal, NotAdmitted)),
        )
        with self._ingest_log.transaction() as cursor:
            claims.before(cursor)
            insert(cursor, [rejected], now, self._ingest_log)
            claims.after(cursor, [])

    def _told(self, message: Message, *, admitted: bool) -> dict[str, Any]:
        """Give what a message tells of itself, as far as it can be read; its book, if that took it."""
        told: dict[str, Any] = {}
        with suppress(DaybookError):
            stamp = self._admission.stamp(message.headers, message.topic, message.value or b"")
            if stamp is not None:
                told["book"] = stamp.book
            if message.topic in topics.COMMANDS:
                command = read_command(message.value or b"", topic=message.topic, stamped=stamp is not None)
                told |= {
                    "account": command.account,
                    "source": command.source,
                    "event_id": command.message_id,
                }
                if admitted and command.book_id is not None:
                    told["book"] = command.book_id
        return told

    # -- messages that wait ---------------------------------------------------------------------------

    def retry_parked(self) -> int:
        """Try again what is due, and hand over what waited long enough; give how many were tried."""
        now = self._clock()
        with self._ingest_log.connection() as connection:
            expire_parked(connection.cursor(), now)
            letters = due(connection, now, _PARKED_AT_ONCE)
        replayer = Replayer(
            log=self._ingest_log,
            apply=self.apply,
            key=stamp_key(self._settings.master_key),
            by="daybook",
            now=now,
        )
        for letter in letters:
            replay(replayer, letter)
        return len(letters)
