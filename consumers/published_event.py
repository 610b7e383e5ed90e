"""What readers of daybook.events get: an event of the log as a CloudEvent, its data as the log has it.

Nothing is opened on the way: personal fields leave sealed, and stay so once their key is destroyed.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias
from uuid import UUID

import msgspec

from ledger.events.api_key import ApiKeyIssued
from ledger.events.coupon import CouponRedeemed
from ledger.events.journal import JournalEntryPosted
from ledger.identifiers import public_id

_ACCOUNT_PREFIX: Final = "acc_"
_OF_KEYS: Final = ApiKeyIssued.topic.partition(".")[0] + "."

# Position, stream, version in the stream, topic, state, book and when it was recorded.
LogRow: TypeAlias = tuple[int, str, int, str, bytes, str, datetime]


class PublishedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the log; (`logepoch`, `position`) orders it, (`stream`, `streamversion`) is what it is.

    Positions are text, since CloudEvents' integers end at 2,147,483,647.
    """

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: Literal["daybook"] = "daybook"
    type: str
    # The account it is about, if it is about one.
    subject: str | msgspec.UnsetType = msgspec.UNSET
    time: str
    datacontenttype: Literal["application/json"] = "application/json"
    book: str
    position: str
    logepoch: int
    # What an older epoch published behind this position is not part of the log any more.
    logepochafter: str
    stream: str
    streamversion: int
    eventversion: int
    recordedat: datetime
    bookedat: str
    cause: str
    actor: str
    actorkind: str
    actorkey: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message about to be produced."""

    position: int
    key: bytes
    value: bytes


class Epoch(msgspec.Struct, frozen=True):
    """A life of the log: its number, and the position behind which older ones do not count."""

    number: int
    after: int


class _Actor(msgspec.Struct, frozen=True, gc=False):
    principal: str
    kind: str
    key: str | None = None


class _State(msgspec.Struct, frozen=True, gc=False):
    """The stored state with its times left as text: nothing is done with them."""

    version: int
    occurred_at: str
    booked_at: str
    actor: _Actor
    cause: str
    data: msgspec.Raw


class _Posting(msgspec.Struct, frozen=True, gc=False):
    account: str | None = None


class _About(msgspec.Struct, frozen=True, gc=False):
    """The fields that tell whom an event is about."""

    account: str | None = None
    owner: str | None = None


class _AboutEntry(msgspec.Struct, frozen=True, gc=False):
    account: str | None
    postings: tuple[_Posting, ...]


_read_state: Final = msgspec.json.Decoder(_State).decode
_read_about: Final = msgspec.json.Decoder(_About).decode
_read_entry: Final = msgspec.json.Decoder(_AboutEntry).decode
_write: Final = msgspec.json.Encoder().encode


@lru_cache(maxsize=4096)
def _public_book(book: str) -> str:
    return public_id("book", UUID(book))


def outgoing(row: LogRow, epoch: Epoch) -> Outgoing:
    """Write a row of the log as a message; msgspec.MsgspecError when its state cannot be read."""
    position, stream, stream_version, topic, state_bytes, book, recorded_at = row
    state = _read_state(state_bytes)
    account = _account_of(topic, state.data)
    actor = state.actor
    event = PublishedEvent(
        id=f"{epoch.number}-{position}",
        type=topic,
        subject=msgspec.UNSET if account is None else account,
        time=state.occurred_at,
        book=_public_book(book),
        position=str(position),
        logepoch=epoch.number,
        logepochafter=str(epoch.after),
        stream=stream,
        streamversion=stream_version,
        eventversion=state.version,
        recordedat=recorded_at,
        bookedat=state.booked_at,
        cause=state.cause,
        actor=actor.principal,
        actorkind=actor.kind,
        actorkey=msgspec.UNSET if actor.key is None else actor.key,
        data=state.data,
    )
    return Outgoing(position, (account or stream).encode(), _write(event))


def _account_of(topic: str, data: msgspec.Raw) -> str | None:
    """Name the account an event is about, as timelines do; none for an entry that is about several."""
    if topic == CouponRedeemed.topic:
        # It is about the coupon; the subscription tells its account of it.
        return None
    if topic == JournalEntryPosted.topic:
        entry = _read_entry(data)
        accounts = {posting.account for posting in entry.postings} - {None}
        account = accounts.pop() if entry.account is None and len(accounts) == 1 else entry.account
    else:
        about = _read_about(data)
        account = about.owner if topic.startswith(_OF_KEYS) else about.account
    return account if account is not None and account.startswith(_ACCOUNT_PREFIX) else None
