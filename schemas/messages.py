"""Commands on the wire: CloudEvents 1.0 in JSON, read against the one registry of message types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from ledger.errors import Invalid, PayloadRefused, UnknownMessageType
from ledger.identifiers import MalformedId, stream_of
from ledger.values import MAX_IDENTITY_CHARACTERS, checked_time, text_problem
from schemas.message_types import COMMANDS, MessageType
from schemas.usage_wire import NOT_JSON, Errors, explained, require_json
from schemas.validation import invalid, schema_of, validated

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["COMMANDS", "Command", "MessageType", "read_command"]

_MAX_SHOWN_CHARACTERS: Final = 64


class _Envelope(msgspec.Struct, frozen=True):
    """A command as it is published; attributes that Daybook does not know are passed over."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | None = None
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    book: str | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command within the value domain: who asks, in which book, for what.

    `facts` is what it asks for in one canonical text: two messages with the same ask for the same.
    """

    kind: MessageType
    source: str
    message_id: str
    book: str | None
    subject: str | None
    data: dict[str, Any]
    facts: bytes

    @property
    def book_id(self) -> UUID | None:
        """Give the book that the message names."""
        return None if self.book is None else stream_of("book", self.book)

    @property
    def account(self) -> str | None:
        """Give the account that the message is about, as far as it names one."""
        if self.kind.subject == "acc":
            return self.subject
        return self.data.get("account")


_decode: Final = msgspec.json.Decoder(_Envelope).decode
_canonical: Final = msgspec.json.Encoder(order="deterministic").encode


def read_command(value: bytes, *, topic: str | None = None, stamped: bool = False) -> Command:
    """Read a command, or refuse it with every field's path; only a stamped one may leave its book out."""
    try:
        envelope = _decode(value)
    except msgspec.ValidationError as error:
        # The shape is judged as it is read: what comes after may not be JSON at all.
        require_json(value)
        raise invalid(explained(str(error))) from None
    except NOT_JSON:
        raise PayloadRefused("the message is not well-formed JSON in UTF-8") from None
    kind = _kind(envelope.type, topic)
    errors = _problems(envelope, kind, stamped=stamped)
    data: dict[str, Any] = {}
    try:
        assert kind.data is not None, "a command has data"
        data = validated(schema_of(kind.data), envelope.data, "data")
    except Invalid as refused:
        errors.update(refused.errors)
    if errors:
        raise invalid(errors)
    return Command(
        kind=kind,
        source=envelope.source,
        message_id=envelope.id,
        book=envelope.book,
        subject=envelope.subject,
        data=data,
        facts=_canonical([kind.name, envelope.subject, envelope.data]),
    )


def _kind(name: str, topic: str | None) -> MessageType:
    kind = COMMANDS.get(name)
    shown = repr(name[:_MAX_SHOWN_CHARACTERS])
    if kind is None:
        reason = f"there is no message type {shown}"
    elif topic not in (None, kind.topic):
        reason = f"{shown} belongs in the topic {kind.topic}"
    else:
        return kind
    raise UnknownMessageType(f"type: {reason}", {"type": [reason]})


def _problems(envelope: _Envelope, kind: MessageType, *, stamped: bool) -> Errors:
    found = {
        "specversion": None if envelope.specversion == "1.0" else "must be 1.0",
        "id": text_problem(envelope.id, MAX_IDENTITY_CHARACTERS),
        "source": text_problem(envelope.source, MAX_IDENTITY_CHARACTERS),
        "book": _id_problem("book", envelope.book, required=not stamped),
        "subject": _subject_problem(envelope.subject, kind),
        "time": _time_problem(envelope.time),
    }
    return {field: [problem] for field, problem in found.items() if problem is not None}


def _subject_problem(subject: str | None, kind: MessageType) -> str | None:
    if kind.subject is not None:
        return _id_problem(kind.subject, subject, required=True)
    return None if subject is None else "must not be given: what this is about is in its data"


def _id_problem(prefix: str, text: str | None, *, required: bool) -> str | None:
    if text is None:
        return "is required" if required else None
    try:
        stream_of(prefix, text)
    except MalformedId as error:
        return str(error)
    return None


def _time_problem(time: datetime | None) -> str | None:
    if time is not None:
        try:
            checked_time(time)
        except Invalid as error:
            return error.errors["time"][0]
    return None
