"""Finding the book that something is in, for an operator who does not have to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from ledger.errors import NotFound
from ledger.identifiers import MalformedId, stream_of

if TYPE_CHECKING:
    from ledger.settings import Settings


def book_of_account(settings: Settings, account: str) -> UUID:
    """Find the book of an account, as the role that reads all of them."""
    assert settings.follower_url is not None, "derived from the owner's URL"
    try:
        stream = stream_of("acc", account)
    except MalformedId as error:
        raise NotFound(str(error)) from None
    with psycopg.connect(settings.follower_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT book FROM log.events WHERE originator_id = %s AND originator_version = 1", [stream]
        ).fetchone()
    if row is None:
        raise NotFound(f"there is no account {account}")
    book = row[0]
    assert isinstance(book, UUID), "the column is a uuid"
    return book
