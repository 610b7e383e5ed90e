"""Refusals: every way Daybook says no, by name; the HTTP edge maps their kind to a status in one table."""

from __future__ import annotations

from typing import ClassVar


class DaybookError(Exception):
    """The base of every error Daybook raises on purpose."""

    code: ClassVar[str] = "error"


class Refusal(DaybookError):
    """A request that the rules refuse; `code` is permanent and part of the HTTP contract."""

    code = "refused"


class Invalid(Refusal):
    """The input is malformed; `errors` maps field paths to reasons."""

    code = "invalid"

    def __init__(self, message: str, errors: dict[str, list[str]] | None = None) -> None:
        """Keep the message and the reasons by field path."""
        super().__init__(message)
        self.errors = errors or {}


class UnknownMessageType(Invalid):
    """There is no message type of this name, or not in the topic the message came in."""

    code = "unknown_message_type"


class NotFound(Refusal):
    """There is no such object in this book."""

    code = "not_found"


class Conflict(Refusal):
    """The object's present state does not allow this."""

    code = "conflict"


class Unauthenticated(Refusal):
    """The key is missing, unknown, suspended, revoked or expired."""

    code = "unauthenticated"


class Forbidden(Refusal):
    """The key lacks the scope this needs."""

    code = "forbidden"


class TooLarge(Refusal):
    """The request is larger than its limit."""

    code = "too_large"


class UnsupportedContent(Refusal):
    """The body is of a kind that this does not take."""

    code = "unsupported_media_type"


class Unavailable(DaybookError):
    """A part Daybook needs is out of reach; nothing was acknowledged, so trying again is safe."""

    code = "unavailable"


class Unstorable(DaybookError):
    """PostgreSQL cannot hold a value: the limits at the edges should have kept it out."""

    code = "unstorable"


class VersionConflict(Conflict):
    """Another writer reached the stream first, or the version the caller expected is stale."""

    code = "stale_version"


class IdTaken(Conflict):
    """The id that was chosen is that of something else already."""

    code = "id_taken"


class MessageConflict(Conflict):
    """A message of this source and id was carried out before, and asked for something else."""

    code = "message_conflict"

    def __init__(self, message: str, known_position: int | None) -> None:
        """Keep the message and the position the known one reached, if it appended anything."""
        super().__init__(message)
        self.known_position = known_position


class AccountClosed(Conflict):
    """The account is closed."""

    code = "account_closed"


class KeyNotActive(Conflict):
    """The key is not in a state that allows this."""

    code = "key_not_active"


class PlanRetired(Conflict):
    """The plan can no longer be subscribed to."""

    code = "plan_retired"


class SubscriptionEnded(Conflict):
    """The subscription has ended, or is set to end, and takes no more changes."""

    code = "subscription_ended"


class CurrencyConflict(Conflict):
    """Two amounts that must share one currency do not."""

    code = "currency_mismatch"


class InvoiceNotOpen(Conflict):
    """The invoice's status does not allow this."""

    code = "invoice_not_open"


class Overpayment(Conflict):
    """The payment is larger than what the invoice still asks for."""

    code = "overpayment"


class PaymentDiffers(Conflict):
    """A payment of this reference is known, of another amount or to another invoice."""

    code = "payment_differs"


class IdempotencyMismatch(Refusal):
    """The idempotency key was used before with another request."""

    code = "idempotency_mismatch"


class SignatureRefused(Refusal):
    """The webhook's signature does not hold for its body, or its time is out of bounds."""

    code = "signature_refused"


class PayloadRefused(Refusal):
    """The body cannot be read as what its sender says it is."""

    code = "payload_refused"
