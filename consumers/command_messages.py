"""Commands that arrive as messages: the same commands as over HTTP, once per identity, offset included."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from commands.accounts import change_account, close_account, register_account
from commands.clock import time_in_book
from commands.context import Context
from commands.dead_letters import Both
from commands.keys import (
    PreparedKey,
    issue_prepared_key,
    resume_key,
    revoke_key,
    rotate_prepared_key,
    suspend_key,
)
from commands.streams import new_id, stream_or_not_found
from commands.subscriptions import (
    Wish,
    advance_subscription,
    cancel_subscription,
    change_subscription,
    subscribe,
)
from consumers.extras import Watched
from consumers.message import MAX_VALUE_BYTES
from ledger.errors import (
    Forbidden,
    Invalid,
    MessageConflict,
    Refusal,
    TooLarge,
    Unavailable,
    VersionConflict,
)
from ledger.identifiers import encode_parts
from ledger.streams import api_key as keys
from ledger.streams.base import fold
from ledger.streams.subscribing import Beginning
from projections.measured import MeasuredUsage
from schemas.messages import COMMANDS, Command, read_command
from schemas.requests import DEFAULT_KEY_SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from commands.context import Done
    from consumers.admission import Admitted
    from consumers.message import Message
    from ledger.settings import Settings
    from ledger.store import Extra, Log

_CLAIM: Final = (
    "INSERT INTO daybook.handled_messages (book, source, message_id, digest, handled_at)"
    " VALUES (%s, %s, %s, %s, now()) ON CONFLICT DO NOTHING"
)
_WHERE: Final = "book = %s AND source = %s AND message_id = %s"
_FIND: Final = f"SELECT digest, position FROM daybook.handled_messages WHERE {_WHERE}"  # noqa: S608 - constant
_PLACE: Final = f"UPDATE daybook.handled_messages SET position = %s WHERE {_WHERE}"  # noqa: S608 - constant


def apply_command(log: Log, settings: Settings, message: Message, admitted: Admitted, extra: Extra) -> None:
    """Carry a command out and commit the extra with it; if it was carried out before, the extra alone.

    A refusal commits nothing: `MessageConflict` when the identity is known with other facts, `NotFound` when
    what it names is not there, or not yet.
    """
    command = _read(message, admitted)
    identity = _Identity.of(settings, admitted.book, command)
    if _settled(log, identity, extra):
        return
    watched = Watched(Both(extra, identity))
    context = _context(log, settings, admitted, identity, watched)
    try:
        done = _HANDLERS[command.kind.name](context, command)
        # Another message may have appended the very same events; this one is carried out all the same.
        identity.position = done.position
        watched.write_unless_written(log, admitted.book)
    except (Refusal, _CarriedOut) as refused:
        # A copy of the message may have been faster, and then what it did may be what refuses.
        if not _settled(log, identity, extra):
            raise _named(refused, command) from refused


def _read(message: Message, admitted: Admitted) -> Command:
    value = message.value or b""
    if len(value) > MAX_VALUE_BYTES:
        raise TooLarge(f"the message has more than {MAX_VALUE_BYTES} bytes")
    command = read_command(value, topic=message.topic, stamped=admitted.stamped)
    if command.book_id not in (None, admitted.book):
        reason = "is not the book that the message was admitted to"
        raise Invalid(f"book: {reason}", {"book": [reason]})
    return command


def _context(log: Log, settings: Settings, admitted: Admitted, identity: _Identity, extra: Extra) -> Context:
    return Context(
        log,
        settings,
        admitted.book,
        admitted.actor,
        f"message:{identity.source}/{identity.message_id}",
        time_in_book(log, admitted.book, admitted.mode, admitted.accepted_at),
        identity.bytes_for(settings),
        extra_for=lambda _: extra,
        measure=MeasuredUsage(log),
    )


def _named(refused: Exception, command: Command) -> Exception:
    assert isinstance(refused, Refusal), "a message that was carried out is found"
    if isinstance(refused, VersionConflict) and "version" not in command.data:
        # It named no version, so it may go on being tried.
        return Unavailable("other writers were always faster")
    return refused


# -- identity -----------------------------------------------------------------------------------------


class _CarriedOut(Exception):
    """The message was carried out meanwhile."""


def _secret_of(settings: Settings) -> bytes:
    return hmac.digest(settings.master_key, b"daybook messages 1", "sha256")


@dataclass
class _Identity:
    """The `Extra` that claims a message's identity for its facts, before the log is locked.

    The digest is keyed, since the facts may be a name and an address, which could be guessed, and it stays.
    """

    book: UUID
    source: str
    message_id: str
    digest: str
    position: int | None = None

    @classmethod
    def of(cls, settings: Settings, book: UUID, command: Command) -> _Identity:
        """Tell who asks and for what."""
        facts = encode_parts("message-facts", [command.facts])
        digest = hmac.digest(_secret_of(settings), facts, "sha256").hex()
        return cls(book, command.source, command.message_id, digest)

    @property
    def key(self) -> tuple[UUID, str, str]:
        """Give the row's key."""
        return self.book, self.source, self.message_id

    def bytes_for(self, settings: Settings) -> Callable[[int], bytes]:
        """Give what makes ids: the same for the message whenever it is read, and foreseen by nobody."""
        secret, numbers = _secret_of(settings), count()

        def make(length: int) -> bytes:
            parts: list[str | bytes] = [secret, self.book.bytes, self.source, self.message_id]
            parts.append(str(next(numbers)))
            return hashlib.shake_256(encode_parts("message-bytes", parts)).digest(length)

        return make

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim the identity; a transaction that is claiming it is waited for."""
        if cursor.execute(_CLAIM, (*self.key, self.digest)).rowcount == 0:
            raise _CarriedOut

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:
        """Note the position reached."""
        position = max(positions, default=self.position)
        if position is not None:
            cursor.execute(_PLACE, (position, *self.key))


def _settled(log: Log, identity: _Identity, extra: Extra) -> bool:
    """Commit the extra alone if the message was carried out before; another one's identity is refused."""
    with log.reading(identity.book) as connection:
        known = connection.execute(_FIND, identity.key).fetchone()
    if known is None:
        return False
    if known["digest"] != identity.digest:
        message = "a message of this source and id was carried out before, and asked for something else"
        raise MessageConflict(message, known["position"])
    log.append(identity.book, [], extra=extra)
    return True


# -- the commands -------------------------------------------------------------------------------------


def _subject(command: Command) -> str:
    assert command.subject is not None, "the type wants a subject"
    return command.subject


def _account_key(context: Context, command: Command) -> str:
    """Give the subject, a key of an account's: a principal's takes the scope admin, which no source has."""
    key = _subject(command)
    recorded = context.log.load(context.book, stream_or_not_found("key", key))
    if not keys.require(fold(keys.evolve, recorded).state).owner.startswith("acc_"):
        message = "a principal's key takes the scope admin, which no source is granted"
        raise Forbidden(message)
    return key


def _register(context: Context, command: Command) -> Done[Any]:
    data = command.data
    chosen = data["account"] or new_id(context, "acc")
    return register_account(context, data["name"], data["email"], data["currency"], data["time_zone"], chosen)


def _change_account(context: Context, command: Command) -> Done[Any]:
    changes = dict(command.data)
    version = changes.pop("version", None)
    return change_account(context, _subject(command), changes, version)


def _issue(context: Context, command: Command) -> Done[Any]:
    data = command.data
    scopes = data["scopes"] or DEFAULT_KEY_SCOPES
    prepared = _prepared(data["key"], data)
    return issue_prepared_key(context, prepared, _subject(command), data["name"], scopes, data["expires_at"])


def _rotate(context: Context, command: Command) -> Done[Any]:
    return rotate_prepared_key(context, _prepared(_account_key(context, command), command.data))


def _prepared(key: str, data: dict[str, Any]) -> PreparedKey:
    return PreparedKey(key, bytes.fromhex(data["secret_sha256"]), data["hint"])


def _start(context: Context, command: Command) -> Done[Any]:
    data = command.data
    chosen = data["subscription"] or new_id(context, "sub")
    return subscribe(
        context, _subject(command), data["plan"], chosen, Beginning.of(data, context.now), data["coupon"]
    )


def _change_plan(context: Context, command: Command) -> Done[Any]:
    return change_subscription(context, _subject(command), Wish.of(command.data))


def _cancel(context: Context, command: Command) -> Done[Any]:
    data = command.data
    return cancel_subscription(
        context, _subject(command), at_period_end=data["at_period_end"], credit=data["credit"]
    )


_HANDLERS: Final[Mapping[str, Callable[[Context, Command], Done[Any]]]] = {
    "daybook.account.register": _register,
    "daybook.account.change": _change_account,
    "daybook.account.close": lambda to, one: close_account(to, _subject(one), one.data["reason"]),
    "daybook.key.issue": _issue,
    "daybook.key.rotate": _rotate,
    "daybook.key.suspend": lambda to, one: suspend_key(to, _account_key(to, one), one.data["reason"]),
    "daybook.key.resume": lambda to, one: resume_key(to, _account_key(to, one)),
    "daybook.key.revoke": lambda to, one: revoke_key(to, _account_key(to, one), one.data["reason"]),
    "daybook.subscription.start": _start,
    "daybook.subscription.change": _change_plan,
    "daybook.subscription.cancel": _cancel,
    "daybook.subscription.renew": lambda to, one: advance_subscription(to, _subject(one)),
}
assert _HANDLERS.keys() == COMMANDS.keys(), "every command that can be read can be carried out"
