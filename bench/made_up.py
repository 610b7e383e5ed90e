"""Made-up usage, the same in every run: a million events in twenty days, states of about 450 bytes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from ledger.events import Actor, Metadata, NewEvent
from ledger.events.usage import UsageRecorded
from ledger.identifiers import digest_parts, public_id, usage_stream
from ledger.values import quantity_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATCH_EVENTS: Final = 5_000
BOOK: Final = UUID("0190b7a4-5c00-7000-8000-000000000001")
ACTOR: Final = Actor(principal=public_id("prn", UUID(int=1)), kind="service")
ACCOUNTS: Final = tuple(
    public_id("acc", UUID(int=random.Random(number).getrandbits(128))) for number in range(5_000)
)
_START: Final = datetime(2026, 11, 1, tzinfo=UTC)
_METERS: Final = ("api_calls", "tokens", "storage_gb", "seats")
_SECONDS_APART: Final = 20 * 86_400 / 1_000_000
_LATE_SECONDS: Final = 300
_SOURCE: Final = "gateway/eu-1"
_NO_PROPERTIES: Final = msgspec.json.encode({})


def usage_batches(
    count: int, *, first: int = 0, book: UUID = BOOK, accounts: Sequence[str] = ACCOUNTS
) -> Iterator[list[NewEvent]]:
    """Make `count` usage events in batches of 5,000, each with an identity of its own, the oldest first."""
    rng = random.Random(first)
    for start in range(first, first + count, BATCH_EVENTS):
        numbers = range(start, min(start + BATCH_EVENTS, first + count))
        yield [_usage(number, book, _one_of(accounts, rng), rng) for number in numbers]


def _one_of(accounts: Sequence[str], rng: random.Random) -> str:
    """Choose an account as services have them: the busiest tenth makes almost half of the calls."""
    return accounts[int(len(accounts) * rng.random() ** 3)]


def _usage(number: int, book: UUID, account: str, rng: random.Random) -> NewEvent:
    """Make one event; it reaches the log up to five minutes after it occurred."""
    booked_at = _START + timedelta(seconds=int(number * _SECONDS_APART))
    occurred_at = booked_at - timedelta(seconds=rng.randrange(_LATE_SECONDS))
    meter, quantity, event_id = rng.choice(_METERS), Decimal(rng.randrange(1, 1_000)), f"evt-{number:012}"
    event = UsageRecorded(
        account=account,
        meter=meter,
        quantity=quantity,
        source=_SOURCE,
        event_id=event_id,
        accepted_at=booked_at,
        digest=digest_parts("usage-facts", account, meter, quantity_text(quantity), _NO_PROPERTIES),
    )
    cause = f"kafka:usage:3:{number}"
    metadata = Metadata(book=book, occurred_at=occurred_at, booked_at=booked_at, actor=ACTOR, cause=cause)
    stream = usage_stream(book, _SOURCE, event_id)
    return NewEvent(stream=stream, stream_version=1, event=event, metadata=metadata)
