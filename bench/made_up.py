"""Made-up usage, the same in every run: 5,000 accounts, four meters, 20 days, states of about 450 bytes."""

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
    from collections.abc import Iterator

BATCH_EVENTS: Final = 5_000
BOOK: Final = UUID("0190b7a4-5c00-7000-8000-000000000001")
START: Final = datetime(2026, 11, 1, tzinfo=UTC)
METERS: Final = ("api_calls", "tokens", "storage_gb", "seats")
ACTOR: Final = Actor(principal=public_id("prn", UUID(int=1)), kind="service")
ACCOUNTS: Final = tuple(
    public_id("acc", UUID(int=random.Random(number).getrandbits(128))) for number in range(5_000)
)


def usage_batches(count: int, *, first: int = 0, accounts: tuple[str, ...] = ACCOUNTS) -> Iterator[list[NewEvent]]:
    """Make `count` usage events in batches of 5,000, each with an identity of its own, over twenty days."""
    rng = random.Random(first)
    for start in range(first, first + count, BATCH_EVENTS):
        yield [_usage(number, accounts, rng) for number in range(start, min(start + BATCH_EVENTS, first + count))]


def _usage(number: int, accounts: tuple[str, ...], rng: random.Random) -> NewEvent:
    occurred_at = START + timedelta(seconds=rng.randrange(20 * 86_400))
    account, meter, quantity = rng.choice(accounts), rng.choice(METERS), Decimal(rng.randrange(1, 1_000))
    event = UsageRecorded(
        account=account,
        meter=meter,
        quantity=quantity,
        source="gateway/eu-1",
        event_id=f"evt-{number:012}",
        accepted_at=occurred_at,
        digest=digest_parts("usage-facts", account, meter, quantity_text(quantity), msgspec.json.encode({})),
    )
    metadata = Metadata(
        book=BOOK,
        occurred_at=occurred_at,
        booked_at=occurred_at,
        actor=ACTOR,
        cause=f"kafka:usage:3:{number}",
    )
    stream = usage_stream(BOOK, event.source, event.event_id)
    return NewEvent(stream=stream, stream_version=1, event=event, metadata=metadata)
