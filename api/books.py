"""Finding books, for an operator who has their ids at hand or has not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from ledger.errors import Conflict, NotFound
from ledger.identifiers import MalformedId, public_id, stream_of
from ledger.secrets import MODES

if TYPE_CHECKING:
    from ledger.settings import Settings
    from ledger.store import Log


@dataclass(frozen=True)
class KnownBook:
    """A book, as the installation lists it."""

    book: UUID
    mode: str
    name: str

    @property
    def id(self) -> str:
        """The book's public id."""
        return public_id("book", self.book)


def find_book(log: Log, settings: Settings, named: str) -> KnownBook:
    """Find a book by its id, or as the live or the test book of the only organisation there is."""
    if named not in MODES:
        return _book_of_id(log, named)
    assert settings.follower_url is not None, "derived from the owner's URL"
    with psycopg.connect(settings.follower_url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT book, mode, name FROM daybook.books WHERE mode = %s ORDER BY name, book LIMIT 20", [named]
        ).fetchall()
    found = [KnownBook(*row) for row in rows]
    if not found:
        message = "no organisation was founded yet; `daybook init NAME` founds one"
        raise NotFound(message)
    if len(found) > 1:
        listed = ", ".join(f"{one.id} ({one.name})" for one in found)
        message = f"there are several organisations: name the book with --book, one of {listed}"
        raise Conflict(message)
    return found[0]


def _book_of_id(log: Log, named: str) -> KnownBook:
    try:
        book = stream_of("book", named)
    except MalformedId:
        message = f"there is no book {named[:64]}; a book is named by its id, or as live or test"
        raise NotFound(message) from None
    with log.reading(book) as connection:
        row = connection.execute("SELECT mode, name FROM daybook.books WHERE book = %s", [book]).fetchone()
    if row is None:
        message = f"there is no book {named}"
        raise NotFound(message)
    return KnownBook(book, row["mode"], row["name"])


def book_of_account(settings: Settings, account: str) -> UUID:
    """Find the book of an account, as the role that reads all of them."""
    return book_of_object(settings, "acc", account)


def book_of_object(settings: Settings, prefix: str, public_id: str) -> UUID:
    """Find the book of what has a public id of this prefix."""
    assert settings.follower_url is not None, "derived from the owner's URL"
    try:
        stream = stream_of(prefix, public_id)
    except MalformedId as error:
        raise NotFound(str(error)) from None
    with psycopg.connect(settings.follower_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT book FROM log.events WHERE originator_id = %s AND originator_version = 1", [stream]
        ).fetchone()
    if row is None:
        raise NotFound(f"there is no {public_id}")
    book = row[0]
    assert isinstance(book, UUID), "the column is a uuid"
    return book
