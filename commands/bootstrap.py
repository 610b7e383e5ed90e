"""Founding an organisation: its live and its test book, first principals and keys, and webhook endpoint."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

from commands.context import Context, Unit, execute
from commands.keys import issue_key
from commands.principals import register_principal
from ledger.events import Actor
from ledger.events.book import WebhookEndpointRegistered
from ledger.identifiers import public_id
from ledger.secrets import MODES
from ledger.streams import book as books
from ledger.streams.base import Stream
from ledger.values import MAX_NAME_CHARACTERS, checked_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from psycopg import Cursor
    from psycopg.rows import DictRow

    from ledger.settings import Settings
    from ledger.store import Log

# Whoever runs the installation's own commands; every later actor has a principal of its own.
INSTALLER = Actor(principal="installer", kind="system")


@dataclass(frozen=True, kw_only=True)
class Founded:
    """What founding an organisation made; the keys and the webhook secret are shown this once."""

    organisation: str
    live_book: str
    test_book: str
    live_key: str
    test_key: str
    endpoint: str
    webhook_secret: str


@dataclass(frozen=True)
class _BookRow:
    """The directory row that commits with a book's first events."""

    book: UUID
    organisation: str
    mode: str
    name: str

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim nothing."""

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:  # noqa: ARG002 - Extra's shape
        """List the book."""
        cursor.execute(
            "INSERT INTO daybook.books (book, organisation, mode, name) VALUES (%s, %s, %s, %s)",
            (self.book, self.organisation, self.mode, self.name),
        )


@dataclass(frozen=True)
class _EndpointRow:
    """The endpoint and its wrapped secret, which commit with the event that tells of it."""

    endpoint: str
    organisation: str
    live_book: UUID
    test_book: UUID
    wrapped_secret: bytes

    def before(self, cursor: Cursor[DictRow]) -> None:
        """Claim nothing."""

    def after(self, cursor: Cursor[DictRow], positions: Sequence[int]) -> None:  # noqa: ARG002 - Extra's shape
        """Register the endpoint, as the default one if there is none yet."""
        row = (self.endpoint, self.organisation, self.live_book, self.test_book, self.wrapped_secret)
        insert = (
            "INSERT INTO daybook.webhook_endpoints"
            " (endpoint, organisation, live_book, test_book, wrapped_secret, is_default)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
        )
        if cursor.execute(insert, (*row, True)).rowcount == 0:
            cursor.execute(insert, (*row, False))


@dataclass(frozen=True, kw_only=True)
class Founding:
    """What an organisation is founded with."""

    name: str
    currency: str = "USD"
    time_zone: str = "UTC"
    principal_name: str = "First operator"


def found_organisation(
    log: Log, settings: Settings, founding: Founding, now: datetime, random_bytes: Callable[[int], bytes]
) -> Founded:
    """Found an organisation; its books are apart from one another and from everyone else's."""
    # Before anything is written: an organisation whose first key cannot be made is of no use to anyone.
    checked_text(founding.principal_name, MAX_NAME_CHARACTERS, "principal_name")
    settings.current_pepper_version()
    organisation = public_id("org", UUID(bytes=random_bytes(16), version=4))
    opened = {mode: UUID(bytes=random_bytes(16), version=4) for mode in MODES}
    keys = {}
    for mode, book in opened.items():
        context = Context(log, settings, book, INSTALLER, f"found:{organisation}", now, random_bytes)
        _open_book(context, organisation, mode, founding)
        principal = register_principal(context, "person", founding.principal_name).result.principal
        keys[mode] = issue_key(context, mode, principal, "First operator key", ["admin"]).result.secret
    secret = "whsec_" + b64encode(random_bytes(32)).decode().rstrip("=").replace("+", "a").replace("/", "b")
    endpoint = _register_endpoint(log, settings, organisation, opened, secret, now, random_bytes)
    return Founded(
        organisation=organisation,
        live_book=public_id("book", opened["live"]),
        test_book=public_id("book", opened["test"]),
        live_key=keys["live"],
        test_key=keys["test"],
        endpoint=endpoint,
        webhook_secret=secret,
    )


def _open_book(context: Context, organisation: str, mode: str, founding: Founding) -> None:
    row = _BookRow(context.book, organisation, mode, founding.name)

    def decide(unit: Unit) -> Stream[books.Book]:
        events = books.open_book(
            public_id("book", context.book),
            organisation,
            founding.name,
            mode,
            founding.currency,
            founding.time_zone,
        )
        return unit.add(context.book, Stream(), books.evolve, events)

    execute(replace(context, extra_for=lambda _: row), decide)


def _register_endpoint(
    log: Log,
    settings: Settings,
    organisation: str,
    opened: dict[str, UUID],
    secret: str,
    now: datetime,
    random_bytes: Callable[[int], bytes],
) -> str:
    """Register the endpoint in both books: `livemode` of a delivery will choose between them."""
    endpoint = public_id("whe", UUID(bytes=random_bytes(16), version=4))
    wrapped = log.wrap(secret.encode(), "webhook-secret", endpoint)
    row = _EndpointRow(endpoint, organisation, opened["live"], opened["test"], wrapped)
    for mode, book in opened.items():
        context = Context(log, settings, book, INSTALLER, f"found:{organisation}", now, random_bytes)
        _add_endpoint(replace(context, extra_for=lambda _: row) if mode == "live" else context, endpoint)
    return endpoint


def _add_endpoint(context: Context, endpoint: str) -> None:
    def decide(unit: Unit) -> Stream[books.Book]:
        loaded = unit.load(books.evolve, context.book)
        event = WebhookEndpointRegistered(endpoint=endpoint, processor="stripe", name="Stripe")
        return unit.add(context.book, loaded, books.evolve, [event])

    execute(context, decide)
