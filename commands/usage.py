"""The command on usage: admit what may be recorded and append it, duplicates dropped, conflicts shown."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from ledger.bulk import MAX_USAGE_ROWS
from ledger.codec import decode_event, decode_state
from ledger.events import Metadata, NewEvent
from ledger.events.account import AccountClosed, AccountRegistered
from ledger.events.usage import UsageRecorded
from ledger.identifiers import MalformedId, digest_parts, stream_of, usage_stream
from ledger.values import quantity_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from commands.context import Context
    from ledger.bulk import UsageOutcome

_canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_STANDING = (AccountRegistered.topic, AccountClosed.topic)


class UsageFact(msgspec.Struct, frozen=True, kw_only=True):
    """A usage event that is well formed: within the value domain, its account not yet looked up."""

    index: int
    event_id: str
    source: str
    meter: str
    account: str
    quantity: Decimal
    occurred_at: datetime
    properties: dict[str, Any]


@dataclass(frozen=True)
class Rejection:
    """A usage event that may not be recorded, and why."""

    index: int
    code: str
    reason: str


@dataclass(frozen=True)
class KnownOtherwise:
    """A usage event whose identity is known with other facts, and the known one's position if it has one."""

    index: int
    position: int | None


@dataclass(frozen=True)
class UsageResult:
    """What became of a batch."""

    accepted: int
    duplicates: int
    conflicts: tuple[KnownOtherwise, ...]
    rejected: tuple[Rejection, ...]
    position: int | None


def facts_digest(fact: UsageFact) -> str:
    """Give the digest of the facts a duplicate shares: account, meter, quantity, properties, not the time."""
    return digest_parts(
        "usage-facts",
        fact.account,
        fact.meter,
        quantity_text(fact.quantity),
        _canonical.encode(fact.properties),
    )


def record_usage(context: Context, facts: Sequence[UsageFact]) -> UsageResult:
    """Append the facts whose account may be billed for them, 5,000 at a time; each chunk is all or none."""
    standing = _standing(context, facts)
    rejected = [refusal for fact in facts if (refusal := _refusal(fact, standing)) is not None]
    refused = {rejection.index for rejection in rejected}
    admitted = [fact for fact in facts if fact.index not in refused]
    accepted = duplicates = 0
    position: int | None = None
    conflicts: list[KnownOtherwise] = []
    for start in range(0, len(admitted), MAX_USAGE_ROWS):
        chunk = admitted[start : start + MAX_USAGE_ROWS]
        outcome = _append(context, chunk)
        accepted += outcome.accepted
        duplicates += outcome.duplicates
        conflicts += [KnownOtherwise(chunk[c.index].index, c.position) for c in outcome.conflicts]
        assert outcome.position is not None, "a chunk is never empty"
        position = max(position or 0, outcome.position)
    return UsageResult(accepted, duplicates, tuple(conflicts), tuple(rejected), position)


def _append(context: Context, chunk: Sequence[UsageFact]) -> UsageOutcome:
    return context.log.append_usage([_new_event(context, fact) for fact in chunk])


def _new_event(context: Context, fact: UsageFact) -> NewEvent:
    event = UsageRecorded(
        account=fact.account,
        meter=fact.meter,
        quantity=fact.quantity,
        source=fact.source,
        event_id=fact.event_id,
        accepted_at=context.now,
        digest=facts_digest(fact),
        properties=fact.properties,
    )
    metadata = Metadata(
        book=context.book,
        occurred_at=fact.occurred_at,
        booked_at=context.now,
        actor=context.actor,
        cause=context.cause,
    )
    stream = usage_stream(context.book, fact.source, fact.event_id)
    return NewEvent(stream=stream, stream_version=1, event=event, metadata=metadata)


def _standing(context: Context, facts: Sequence[UsageFact]) -> dict[str, datetime | None]:
    """Find the accounts that exist, each with the instant it was closed at, if it was."""
    streams = _account_streams(fact.account for fact in facts)
    standing: dict[str, datetime | None] = {}
    for row in context.log.rows_of(context.book, streams, _STANDING):
        account = streams[row.stream]
        if row.topic == AccountRegistered.topic:
            standing.setdefault(account, None)
        else:
            closed = decode_event(row.topic, decode_state(row.state), row.stream, row.stream_version, {})
            assert isinstance(closed, AccountClosed)
            standing[account] = closed.closed_at
    return standing


def _account_streams(accounts: Iterable[str]) -> dict[UUID, str]:
    """Find the streams that accounts' ids name; a malformed id names none, and spoils no one else's batch."""
    streams = {}
    for account in set(accounts):
        with suppress(MalformedId):
            streams[stream_of("acc", account)] = account
    return streams


def _refusal(fact: UsageFact, standing: dict[str, datetime | None]) -> Rejection | None:
    if fact.account not in standing:
        return Rejection(fact.index, "unknown_account", f"there is no account {fact.account}")
    closed_at = standing[fact.account]
    if closed_at is not None and fact.occurred_at >= closed_at:
        return Rejection(
            fact.index, "account_closed", f"account {fact.account} was closed before this happened"
        )
    return None
