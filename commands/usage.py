"""The command on usage: admit what may be recorded and append it, duplicates dropped, conflicts shown."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger import usage_row
from ledger.bulk import MAX_USAGE_ROWS
from ledger.codec import decode_event, decode_state
from ledger.events.account import AccountClosed, AccountRegistered
from ledger.identifiers import MalformedId, stream_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.bulk import UsageOutcome

_STANDING = (AccountRegistered.topic, AccountClosed.topic)


class UsageFact(usage_row.UsageFact, frozen=True, kw_only=True):
    """A usage event within the value domain, and which of its batch it is; its account not yet looked up."""

    index: int


@dataclass(frozen=True)
class Rejection:
    """A usage event that may not be recorded, and why."""

    index: int
    code: str
    reason: str


@dataclass(frozen=True)
class KnownOtherwise:
    """A usage event whose identity is known with other facts, and the known one's position."""

    index: int
    position: int


@dataclass(frozen=True)
class UsageResult:
    """What became of a batch."""

    accepted: int
    duplicates: int
    conflicts: tuple[KnownOtherwise, ...]
    rejected: tuple[Rejection, ...]
    position: int | None


def judge_standing(
    context: Context, facts: Sequence[UsageFact]
) -> tuple[list[UsageFact], tuple[Rejection, ...]]:
    """Split facts into those whose account may be billed for them, and why the others may not be recorded."""
    standing = _standing(context, facts)
    rejected = [refusal for fact in facts if (refusal := _refusal(fact, standing)) is not None]
    refused = {rejection.index for rejection in rejected}
    return [fact for fact in facts if fact.index not in refused], tuple(rejected)


def record_usage(context: Context, facts: Sequence[UsageFact]) -> UsageResult:
    """Append the facts whose account may be billed for them, 5,000 at a time; each chunk is all or none."""
    admitted, rejected = judge_standing(context, facts)
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
    return UsageResult(accepted, duplicates, tuple(conflicts), rejected, position)


def _append(context: Context, chunk: Sequence[UsageFact]) -> UsageOutcome:
    return context.log.append_usage([_row(context, fact) for fact in chunk])


def _row(context: Context, fact: UsageFact) -> usage_row.UsageRow:
    return usage_row.usage_row(
        fact, context.book, context.actor, context.cause, accepted_at=context.now, booked_at=context.now
    )


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
