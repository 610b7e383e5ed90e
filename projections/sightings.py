"""Which of two sightings of an object at Stripe is the newer one, whatever the order they came in."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def rank_of(status: str, ranks: Mapping[str, int], sighting: Any) -> str:  # noqa: ANN401 - any event
    """Rank a sighting among those of its instant: by status, then by a digest of all it says."""
    return f"{ranks.get(status, 0):02d}-{hashlib.sha256(_encode(sighting)).hexdigest()}"


def is_news(observed_at: datetime, rank: str, known_at: datetime | None, known_rank: str | None) -> bool:
    """Say whether a sighting tells more than the one already known."""
    if known_at is None or known_rank is None:
        return True
    return (observed_at, rank) > (known_at, known_rank)
