"""The command on usage: admit what may be recorded and append it, duplicates dropped, conflicts shown."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ledger.bulk import MAX_USAGE_ROWS
from ledger.codec import decode_event, decode_state
from ledger.events.account import AccountClosed, AccountRegistered
from ledger.identifiers import MalformedId, stream_of
from ledger.usage_row import usage_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from commands.context import Context
    from ledger.bulk import UsageConflict
    from ledger.usage_row import UsageFact, UsageRow

_STANDING = (AccountRegistered.topic, AccountClosed.topic)


@dataclass(frozen=True)
class Rejection:
    """Which of the facts given may not be recorded, and why."""

    index: int
    code: str
    reason: str


@dataclass(frozen=True)
class UsageResult:
    """What became of the facts given; indexes are places among them."""

    accepted: int
    duplicates: int
    conflicts: tuple[UsageConflict, ...]
    rejected: tuple[Rejection, ...]
    position: int | None


def judge_standing(context: Context, facts: Sequence[UsageFact]) -> tuple[list[int], tuple[Rejection, ...]]:
    """Give the indexes of the facts whose account may be billed for them, and why the others may not be."""
    standing = _standing(context, facts)
    rejected = [
        refusal
        for index, fact in enumerate(facts)
        if (refusal := _refusal(index, fact, standing)) is not None
    ]
    refused = {rejection.index for rejection in rejected}
    return [index for index in range(len(facts)) if index not in refused], tuple(rejected)


def record_usage(context: Context, facts: Sequence[UsageFact]) -> UsageResult:
    """Append the facts whose account may be billed for them, 5,000 at a time; each chunk is all or none."""
    admitted, rejected = judge_standing(context, facts)
    accepted = duplicates = 0
    position: int | None = None
    conflicts: list[UsageConflict] = []
    for start in range(0, len(admitted), MAX_USAGE_ROWS):
        chunk = admitted[start : start + MAX_USAGE_ROWS]
        outcome = context.log.append_usage([_row(context, facts[index]) for index in chunk])
        accepted += outcome.accepted
        duplicates += outcome.duplicates
        conflicts += [replace(conflict, index=chunk[conflict.index]) for conflict in outcome.conflicts]
        assert outcome.position is not None, "a chunk is never empty"
        position = max(position or 0, outcome.position)
    return UsageResult(accepted, duplicates, tuple(conflicts), rejected, position)


def _row(context: Context, fact: UsageFact) -> UsageRow:
    return usage_row(
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


def _refusal(index: int, fact: UsageFact, standing: dict[str, datetime | None]) -> Rejection | None:
    if fact.account not in standing:
        return Rejection(index, "unknown_account", f"there is no account {fact.account}")
    closed_at = standing[fact.account]
    if closed_at is not None and fact.occurred_at >= closed_at:
        return Rejection(index, "account_closed", f"account {fact.account} was closed before this happened")
    return None
