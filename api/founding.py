"""Founding an organisation from the command line, and finding the one a data folder was founded with."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg

from commands.bootstrap import Founded, Founding, found_organisation
from ledger.identifiers import public_id
from ledger.store import Log

if TYPE_CHECKING:
    from ledger.settings import Settings


@dataclass(frozen=True)
class Known:
    """An organisation founded earlier, without its secrets: those were shown once."""

    organisation: str
    live_book: str
    test_book: str
    endpoint: str


def found(settings: Settings, name: str, currency: str = "USD", time_zone: str = "UTC") -> Founded:
    """Found an organisation now."""
    assert settings.app_url is not None, "the caller has looked"
    founding = Founding(name=name, currency=currency, time_zone=time_zone)
    with closing(Log(settings.app_url, settings.master_key)) as log:
        return found_organisation(log, settings, founding, datetime.now(UTC), os.urandom)


def find_founded(owner_url: str) -> Known | None:
    """Find the default organisation, if one was founded to its end.

    Its webhook endpoint is the last thing that founding makes, so one that a crash cut short is not found.
    """
    with psycopg.connect(owner_url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT organisation, live_book, test_book, endpoint FROM daybook.webhook_endpoints"
            " WHERE is_default"
        ).fetchone()
    if row is None:
        return None
    organisation, live_book, test_book, endpoint = row
    return Known(organisation, public_id("book", live_book), public_id("book", test_book), endpoint)


def describe(founded: Founded | Known) -> dict[str, str | None]:
    """Give an organisation as JSON; what is known no more is null."""
    return {
        "organisation": founded.organisation,
        "book": founded.live_book,
        "live_book": founded.live_book,
        "test_book": founded.test_book,
        "live_key": founded.live_key if isinstance(founded, Founded) else None,
        "test_key": founded.test_key if isinstance(founded, Founded) else None,
        "webhook_path": f"/v1/stripe/webhook/{founded.endpoint}",
        "stripe_webhook_secret": founded.webhook_secret if isinstance(founded, Founded) else None,
    }
