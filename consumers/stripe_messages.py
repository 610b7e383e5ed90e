"""Webhooks of Stripe's that arrive as messages: kept once, with the offset, as the HTTP edge keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consumers.stripe_intake import ENDPOINT_HEADER, keep, verified_before, verify
from ledger.errors import PayloadRefused

if TYPE_CHECKING:
    from datetime import datetime

    from consumers.message import Message
    from ledger.settings import Settings
    from ledger.stamps import Stamp
    from ledger.store import Extra, Log

SIGNATURE_HEADER: Final = "stripe-signature"


def apply_delivery(
    log: Log,
    settings: Settings,
    message: Message,
    stamp: Stamp | None,
    accepted_at: datetime,
    extra: Extra,
) -> None:
    """Keep a delivery and commit the extra with it; without a stamp its signature is checked first.

    A refusal commits nothing.
    """
    body = message.value
    if body is None:
        raise PayloadRefused("the message has no body")
    if stamp is not None:
        delivery = verified_before(log, stamp.endpoint or "", body)
    else:
        endpoint = _header(message, ENDPOINT_HEADER) or ""
        signature = _header(message, SIGNATURE_HEADER)
        delivery = verify(log, settings, endpoint, body, signature, accepted_at)
    keep(log, settings, delivery, accepted_at, extra)


def _header(message: Message, name: str) -> str | None:
    value = message.header(name)
    # What is not UTF-8 is neither a signature nor an endpoint, and is refused as such.
    return None if value is None else value.decode(errors="replace")
