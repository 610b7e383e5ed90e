"""Events to bytes and back: one JSON shape for ever, personal fields sealed, old versions upcast as read."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from ledger import upcasts
from ledger.errors import DaybookError
from ledger.events import EVENT_CLASSES, FORGOTTEN, Actor, Event, Metadata
from ledger.personal import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# (topic, version of the stored event) to the function that lifts its data by one version.
UPCASTS: Final[Mapping[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    ("book.billing_entity_defined", 1): upcasts.with_defaults,
    ("plan.created", 1): upcasts.plan_created_1,
    ("subscription.started", 1): upcasts.with_defaults,
    ("subscription.period_opened", 1): upcasts.with_defaults,
    ("subscription.plan_changed", 1): upcasts.with_defaults,
    ("subscription.plan_change_scheduled", 1): upcasts.with_defaults,
    ("subscription.proration_added", 1): upcasts.with_defaults,
    ("subscription.billed", 1): upcasts.with_defaults,
    ("invoice.drafted", 1): upcasts.with_defaults,
}


class State(msgspec.Struct, frozen=True):
    """The stored state: the class version, the times, who, why, and the event's own data."""

    version: int
    occurred_at: datetime
    booked_at: datetime
    actor: Actor
    cause: str
    data: msgspec.Raw


class OutgoingState(msgspec.Struct, frozen=True):
    """A state about to be written; `data` is the event, or what reads like it."""

    version: int
    occurred_at: datetime
    booked_at: datetime
    actor: Actor
    cause: str
    data: Any


class StoredRow(msgspec.Struct, frozen=True):
    """One row of the log as it is stored."""

    position: int
    stream: UUID
    stream_version: int
    topic: str
    state: bytes
    book: UUID
    recorded_at: datetime


encode_state: Final = msgspec.json.Encoder(order="deterministic", decimal_format="string").encode
_state_decoder: Final = msgspec.json.Decoder(State)


@cache
def _data_decoder(topic: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(EVENT_CLASSES[topic])


def encode(
    event: Event, metadata: Metadata, stream: UUID, stream_version: int, data_keys: Mapping[str, bytes]
) -> bytes:
    """Write the state of an event; `data_keys` holds its subject's data key if it has personal fields."""
    data: Any = event
    if event.personal:
        data = _sealed(event, stream, stream_version, data_keys)
    return encode_state(
        OutgoingState(
            event.version, metadata.occurred_at, metadata.booked_at, metadata.actor, metadata.cause, data
        )
    )


def _sealed(
    event: Event, stream: UUID, stream_version: int, data_keys: Mapping[str, bytes]
) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(event)
    subject = event.subject()
    for field in event.personal:
        if data[field] is not None:
            text = seal(data[field], data_keys[subject], stream, stream_version, field)
            data[field] = {"subject": subject, "sealed": text}
    return data


def decode_state(state: bytes) -> State:
    """Read the state around an event, leaving its data for later."""
    return _state_decoder.decode(state)


def metadata_of(state: State, book: UUID) -> Metadata:
    """Give the metadata a state carries, in the book of its row."""
    return Metadata(
        book=book,
        occurred_at=state.occurred_at,
        booked_at=state.booked_at,
        actor=state.actor,
        cause=state.cause,
    )


def subjects_of(topic: str, state: State) -> set[str]:
    """Name the data subjects whose keys are needed to read an event."""
    personal = EVENT_CLASSES[topic].personal
    if not personal:
        return set()
    data = msgspec.json.decode(state.data)
    return {data[field]["subject"] for field in personal if isinstance(data.get(field), dict)}


def decode_event(
    topic: str, state: State, stream: UUID, stream_version: int, data_keys: Mapping[str, bytes]
) -> Event:
    """Read an event back; a personal field whose key is destroyed reads as one constant."""
    event_class = EVENT_CLASSES[topic]
    if not event_class.personal and state.version == event_class.version:
        event: Event = _data_decoder(topic).decode(state.data)
        return event
    data = msgspec.json.decode(state.data)
    for field in event_class.personal:
        if isinstance(data.get(field), dict):
            data[field] = _opened(data[field], stream, stream_version, field, data_keys)
    return msgspec.convert(_upcast(topic, state.version, data), event_class, strict=False)


def _opened(
    sealed: dict[str, str], stream: UUID, stream_version: int, field: str, data_keys: Mapping[str, bytes]
) -> str:
    data_key = data_keys.get(sealed["subject"])
    if data_key is None:
        return FORGOTTEN
    return unseal(sealed["sealed"], data_key, stream, stream_version, field)


def _upcast(topic: str, version: int, data: dict[str, Any]) -> dict[str, Any]:
    if version > EVENT_CLASSES[topic].version:
        # Dropping what this code does not know would give a projection that is wrong and does not say so.
        message = f"{topic} version {version} was written by a newer Daybook"
        raise DaybookError(message)
    while version < EVENT_CLASSES[topic].version:
        data = UPCASTS[topic, version](data)
        version += 1
    return data
