"""The door for Stripe's webhooks: check the signature over the raw body, and keep the event for later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stripe import SignatureVerificationError, WebhookSignature

from commands.clock import time_in_book
from commands.context import Context
from commands.stripe_intake import keep_event
from consumers.extras import Watched
from ledger.errors import NotFound, PayloadRefused, SignatureRefused
from ledger.events import Actor
from ledger.events.stripe import StripeEventReceived
from ledger.streams.clock import TEST
from ledger.values import MAX_IDENTITY_CHARACTERS, text_problem
from schemas.stripe_shapes import StripeEnvelope, StripePayloadRefused, read_event

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from ledger.settings import Settings
    from ledger.store import Extra, Log

STRIPE: Final = Actor(principal="stripe", kind="stripe")
# The header of a message that carries a delivery: the id of the endpoint it came through.
ENDPOINT_HEADER: Final = "daybook-endpoint"

_FIND_ENDPOINT: Final = (
    "SELECT endpoint, live_book, test_book, wrapped_secret FROM daybook.find_webhook_endpoint(%s)"
)


@dataclass(frozen=True)
class Endpoint:
    """A webhook endpoint of an organisation: its two books, and the secret that Stripe signs with."""

    endpoint: str
    live_book: UUID
    test_book: UUID
    secret: str

    def __repr__(self) -> str:
        """Show which endpoint it is, never its secret."""
        return f"Endpoint({self.endpoint!r})"


@dataclass(frozen=True)
class Verified:
    """A delivery that is known to be Stripe's: the endpoint it came through, its book, and what it says."""

    endpoint: str
    book: UUID
    envelope: StripeEnvelope
    text: str

    @property
    def cause(self) -> str:
        """What the events it leads to name as their cause."""
        return f"stripe:{self.envelope.event_id}"


@dataclass(frozen=True)
class Received:
    """What became of a delivery: whether it was new, where it is kept, and in which book."""

    new: bool
    position: int | None
    book: UUID


def receive(
    log: Log,
    settings: Settings,
    endpoint: str,
    body: bytes,
    signature_header: str | None,
    now: datetime,
) -> Received:
    """Keep a delivery once; `endpoint` is the path's, empty for the default one."""
    return keep(log, settings, verify(log, settings, endpoint, body, signature_header, now), now)


def verify(
    log: Log,
    settings: Settings,
    endpoint: str,
    body: bytes,
    signature_header: str | None,
    now: datetime,
) -> Verified:
    """Check a delivery's signature and read it, or refuse it; nothing is kept yet."""
    found = find_endpoint(log, endpoint)
    text = verified_text(
        body, signature_header, found.secret, now, tolerance_seconds=settings.webhook_tolerance_seconds
    )
    return _verified(found, text)


def verified_before(log: Log, endpoint: str, body: bytes) -> Verified:
    """Read a delivery whose signature was checked as it was taken."""
    return _verified(find_endpoint(log, endpoint), _text(body))


def _verified(found: Endpoint, text: str) -> Verified:
    envelope = _envelope(text.encode())
    book = found.live_book if envelope.livemode else found.test_book
    return Verified(found.endpoint, book, envelope, text)


def keep(
    log: Log, settings: Settings, delivery: Verified, now: datetime, extra: Extra | None = None
) -> Received:
    """Keep a verified delivery once, and commit the extra with it, or alone if the delivery is known."""
    watched = None if extra is None else Watched(extra)
    mode = "live" if delivery.envelope.livemode else TEST
    booked_at = time_in_book(log, delivery.book, mode, now)
    context = Context(
        log,
        settings,
        delivery.book,
        STRIPE,
        delivery.cause,
        booked_at,
        os.urandom,
        extra_for=lambda _: watched,
    )
    kept = keep_event(context, _delivery(delivery), delivery.envelope.created or now)
    if watched is not None:
        watched.write_unless_written(log, delivery.book)
    return Received(kept.result, kept.position, delivery.book)


def find_endpoint(log: Log, name: str) -> Endpoint:
    """Look an endpoint up by its id, or the default one by no name."""
    row = None
    if not name or text_problem(name, MAX_IDENTITY_CHARACTERS) is None:
        with log.connection() as connection:
            row = connection.execute(_FIND_ENDPOINT, (name,)).fetchone()
    if row is None:
        raise NotFound("there is no such webhook endpoint")
    secret = log.unwrap(bytes(row["wrapped_secret"]), "webhook-secret", row["endpoint"])
    return Endpoint(row["endpoint"], row["live_book"], row["test_book"], secret.decode())


def verified_text(
    body: bytes, header: str | None, secret: str, now: datetime, *, tolerance_seconds: int
) -> str:
    """Give the body as text once its signature holds and was made near enough to now, before or after."""
    if header is None or not header.isascii():
        raise SignatureRefused("the Stripe-Signature header is missing or malformed")
    text = _text(body)
    try:
        # The time is judged below: the SDK would read the wall clock, and lets any time in the future pass.
        WebhookSignature.verify_header(text, header, secret, tolerance=None)
    except SignatureVerificationError:
        raise SignatureRefused("the signature does not hold for this body") from None
    if abs(now.timestamp() - _signed_at(header)) > tolerance_seconds:
        raise SignatureRefused("the signature's time is too far from now")
    return text


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        # What is not text cannot be what Stripe signed.
        raise PayloadRefused("body: must be UTF-8") from None


def _signed_at(header: str) -> int:
    """Read the time that was signed: the first one, which is the one the SDK verified."""
    items = (item.split("=", 2) for item in header.split(","))
    return next(int(item[1]) for item in items if item[0] == "t")


def _envelope(body: bytes) -> StripeEnvelope:
    try:
        return read_event(body)
    except StripePayloadRefused as refused:
        raise PayloadRefused(str(refused)) from None


def _delivery(verified: Verified) -> StripeEventReceived:
    envelope = verified.envelope
    return StripeEventReceived(
        endpoint=verified.endpoint,
        stripe_account=envelope.account,
        event_id=envelope.event_id,
        type=envelope.type,
        api_version=envelope.api_version,
        livemode=envelope.livemode,
        customer=envelope.customer,
        digest=envelope.facts_digest,
        variant=False,
        body=verified.text,
    )
