"""Founding an organisation: two books, a principal and a key in each, an endpoint for both."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.rows import dict_row

from commands.bootstrap import Founded, Founding, found_organisation
from commands.keys import check_key
from ledger.errors import Invalid
from ledger.events.book import WebhookEndpointRegistered
from ledger.identifiers import public_id, stream_of
from ledger.money import UnknownCurrency
from ledger.periods import UnknownZone
from ledger.settings import SettingsError
from ledger.streams import book as books
from ledger.streams.base import fold
from tests.acme import NOON, Acme, acme_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.rows import DictRow

    from tests.postgres import Database


@pytest.fixture
def acme(database: Database) -> Iterator[Acme]:
    with acme_on(database) as founded:
        yield founded


def found(acme: Acme, name: str = "Globex") -> Founded:
    return found_organisation(acme.log, acme.settings, Founding(name=name), NOON, os.urandom)


def rows(database: Database, query: str) -> list[DictRow]:
    with psycopg.connect(database.owner_url, row_factory=dict_row) as connection:
        return connection.execute(query).fetchall()


def test_an_organisation_has_a_live_and_a_test_book(acme: Acme, database: Database) -> None:
    listed = rows(database, "SELECT book, organisation, mode, name FROM daybook.books ORDER BY mode")
    told = [(row["organisation"], row["mode"], row["name"]) for row in listed]
    assert told == [
        (acme.founded.organisation, "live", "Acme Inc."),
        (acme.founded.organisation, "test", "Acme Inc."),
    ]
    assert [public_id("book", row["book"]) for row in listed] == [
        acme.founded.live_book,
        acme.founded.test_book,
    ]
    for row in listed:
        book = fold(books.evolve, acme.log.load(row["book"], row["book"])).state
        assert book is not None
        assert (book.mode, book.organisation, book.functional_currency) == (
            row["mode"],
            acme.founded.organisation,
            "USD",
        )


def test_each_book_s_first_key_opens_that_book_as_its_administrator(acme: Acme) -> None:
    live = check_key(acme.log, acme.settings, acme.founded.live_key, NOON)
    test = check_key(acme.log, acme.settings, acme.founded.test_key, NOON)
    assert (public_id("book", live.book), live.mode) == (acme.founded.live_book, "live")
    assert (public_id("book", test.book), test.mode) == (acme.founded.test_book, "test")
    assert "admin" in live.scopes & test.scopes
    for checked in (live, test):
        (principal,) = acme.log.load(checked.book, stream_of("prn", checked.key.owner))
        assert principal.metadata.actor.principal == "installer"


def test_an_endpoint_delivers_to_both_books_and_keeps_its_secret_outside_the_log(
    acme: Acme, database: Database
) -> None:
    (endpoint,) = rows(database, "SELECT * FROM daybook.webhook_endpoints")
    assert endpoint["endpoint"] == acme.founded.endpoint
    assert (endpoint["live_book"], endpoint["test_book"]) == (acme.live.book, acme.test.book)
    secret = acme.founded.webhook_secret
    assert secret.encode() not in endpoint["wrapped_secret"]
    unwrapped = acme.log.unwrap(endpoint["wrapped_secret"], "webhook-secret", acme.founded.endpoint)
    assert unwrapped == secret.encode()
    for context in (acme.live, acme.test):
        last = acme.log.load(context.book, context.book)[-1].event
        assert last == WebhookEndpointRegistered(
            endpoint=acme.founded.endpoint, processor="stripe", name="Stripe"
        )


def test_a_webhook_secret_is_of_letters_and_digits(acme: Acme) -> None:
    # Bytes that base 64 would write as "+" and "/", which people lose when they copy; ids differ by a count.
    numbers = count(1)
    founded = found_organisation(
        acme.log,
        acme.settings,
        Founding(name="Globex"),
        NOON,
        lambda length: b"\xfb\xff" * 16 if length == 32 else next(numbers).to_bytes(length),
    )
    prefix, _, secret = founded.webhook_secret.partition("_")
    assert (prefix, secret.isalnum(), len(secret)) == ("whsec", True, 43)


def test_only_the_first_endpoint_is_the_default_one(acme: Acme, database: Database) -> None:
    globex = found(acme)
    default = rows(database, "SELECT endpoint FROM daybook.webhook_endpoints WHERE is_default")
    assert [row["endpoint"] for row in default] == [acme.founded.endpoint]
    every = rows(database, "SELECT endpoint FROM daybook.webhook_endpoints")
    assert {row["endpoint"] for row in every} == {acme.founded.endpoint, globex.endpoint}


def test_organisations_founded_at_once_share_one_default_endpoint(acme: Acme, database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        founded = list(pool.map(lambda n: found(acme, f"Company {n}"), range(4)))
    every = rows(database, "SELECT endpoint, is_default FROM daybook.webhook_endpoints")
    assert len(every) == 1 + len(founded)
    assert sum(row["is_default"] for row in every) == 1


def test_organisations_are_apart(acme: Acme) -> None:
    globex = found(acme)
    checked = check_key(acme.log, acme.settings, globex.live_key, NOON)
    assert checked.book not in (acme.live.book, acme.test.book)
    assert acme.log.load(checked.book, acme.live.book) == []


def test_no_secret_enters_the_log(acme: Acme, database: Database) -> None:
    stored = b"\n".join(bytes(row["state"]) for row in rows(database, "SELECT state FROM log.events"))
    for secret in (acme.founded.live_key, acme.founded.test_key, acme.founded.webhook_secret):
        assert secret.encode() not in stored
        assert secret[-32:].encode() not in stored
    assert b"First operator key" in stored  # or nothing was looked at
    assert b'"name":"First operator"' not in stored  # a person's name is sealed


@pytest.mark.parametrize(
    ("founding", "refusal"),
    [
        (Founding(name=""), Invalid),
        (Founding(name="Globex", currency="XXX"), UnknownCurrency),
        (Founding(name="Globex", time_zone="Mars"), UnknownZone),
        (Founding(name="Globex", principal_name="\0"), Invalid),
    ],
)
def test_an_organisation_that_is_refused_leaves_nothing_behind(
    acme: Acme, database: Database, founding: Founding, refusal: type[Exception]
) -> None:
    before = acme.log.head()
    with pytest.raises(refusal):
        found_organisation(acme.log, acme.settings, founding, NOON, os.urandom)
    assert acme.log.head() == before
    assert len(rows(database, "SELECT FROM daybook.books")) == 2


def test_an_organisation_whose_keys_could_not_be_made_is_not_founded(acme: Acme) -> None:
    before = acme.log.head()
    with pytest.raises(SettingsError, match="DAYBOOK_PEPPERS"):
        found(replace(acme, settings=replace(acme.settings, peppers=())))
    assert acme.log.head() == before
