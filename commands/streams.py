"""Where the streams that commands load are, and how new ids come about."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from ledger.errors import NotFound, VersionConflict
from ledger.identifiers import MalformedId, derive, public_id, stream_of
from ledger.streams.coupon import coupon_id
from ledger.streams.meter import meter_id

if TYPE_CHECKING:
    from commands.context import Context


def new_id(context: Context, prefix: str) -> str:
    """Make a random public id."""
    return public_id(prefix, UUID(bytes=context.random_bytes(16), version=4))


def stream_or_not_found(prefix: str, text: str) -> UUID:
    """Read a public id; one that is malformed names nothing, as one of another book does."""
    try:
        return stream_of(prefix, text)
    except MalformedId:
        message = f"there is no {prefix}_… of this id"
        raise NotFound(message) from None


def account_stream(account: str) -> UUID:
    """Give an account's stream."""
    return stream_or_not_found("acc", account)


def meter_stream(book: UUID, code: str) -> UUID:
    """Give the stream of the meter that has a code."""
    return stream_of("meter", meter_id(book, code))


def find_coupon(book: UUID, coupon: str) -> UUID:
    """Give the stream of a coupon, named by its id or by the code that people type."""
    named = coupon if coupon.startswith("coup_") else coupon_id(book, coupon)
    return stream_or_not_found("coup", named)


def number_series_stream(book: UUID, billing_entity: str, series: str) -> UUID:
    """Give the stream whose version is the last number a series gave out."""
    return derive("invoice-series", book.bytes, billing_entity, series)


def require_version(actual: int, expected: int | None) -> None:
    """Refuse when the caller saw another version than there is now."""
    if expected is not None and actual != expected:
        message = f"the version is {actual}, not {expected}"
        raise VersionConflict(message)
