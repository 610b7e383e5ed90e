"""`daybook dead-letters` as a process of its own: a bad message is found, corrected, replayed or given up."""

from __future__ import annotations

import json
import os
from base64 import b64encode
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest

from api.embedded_postgres import EmbeddedPostgres
from api.secrets_file import ensure_secrets
from commands.context import Context
from commands.keys import check_key
from commands.sources import grant_source
from ledger.events import Actor
from ledger.identifiers import stream_of
from ledger.settings import Settings
from ledger.store import Log
from projections.migrate import migrate
from schemas import topics
from tests.e2e.running import daybook
from tests.integration.feed_letters import NOW, keep, message, rejected

if TYPE_CHECKING:
    from pathlib import Path

    from consumers.message import Message
    from tests.postgres import Database

KEY = b"k" * 32


@pytest.fixture
def variables(database: Database) -> dict[str, str]:
    encoded = b64encode(KEY).decode()
    return {
        "DAYBOOK_APP_URL": database.app_url,
        "DAYBOOK_INGEST_URL": database.ingest_url,
        "DAYBOOK_MASTER_KEY": encoded,
        "DAYBOOK_PEPPERS": f"1:{encoded}",
    }


@pytest.fixture
def founded(variables: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(daybook("init", "Acme", "--json", variables=variables).stdout)
    return made


def _grant(variables: dict[str, str], founded: dict[str, Any]) -> None:
    """Let the source of signups write into the live book."""
    settings = Settings.from_mapping(variables)
    assert settings.app_url is not None
    with closing(Log(settings.app_url, settings.master_key)) as log:
        opened = check_key(log, settings, founded["live_key"], NOW)
        actor = Actor(principal=opened.key.owner, kind="person")
        context = Context(log, settings, opened.book, actor, "test", NOW, os.urandom)
        grant_source(context, "signups", opened.key.owner, ["write"])


def forged_delivery(body: bytes) -> Message:
    """Make a webhook as a message, with a signature that does not hold."""
    return message(body, topic=topics.STRIPE, headers=(("stripe-signature", b"t=1,v1=00"),))


def test_what_is_refused_again_stays_and_what_is_given_up_is_gone(
    database: Database, variables: dict[str, str], founded: dict[str, Any]
) -> None:
    book = stream_of("book", founded["book"])
    with closing(Log(database.ingest_url, KEY)) as log:
        forged = rejected(message=forged_delivery(b"{}"), code="signature_refused", book=book)
        [letter] = keep(log, forged)
    listed = daybook("dead-letters", "list", "--json", variables=variables)
    assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == [letter]
    again = daybook("dead-letters", "replay", "--all", "--code", "signature_refused", variables=variables)
    assert again.returncode == 1, again.stderr
    assert "refused as signature_refused" in again.stdout
    shown = json.loads(daybook("dead-letters", "show", letter, "--json", variables=variables).stdout)
    assert (shown["attempts"], shown["value"]) == (2, "{}")
    refused = daybook("dead-letters", "discard", letter, variables=variables)
    assert refused.returncode == 2
    done = daybook("dead-letters", "discard", letter, "--reason", "forged", variables=variables)
    assert (done.returncode, done.stdout) == (0, f"{letter} discarded\n")
    gone = json.loads(daybook("dead-letters", "show", letter, "--json", variables=variables).stdout)
    assert (gone["status"], gone["value"], gone["resolution"]) == ("discarded", None, "forged")
    refused = daybook("dead-letters", "replay", letter, variables=variables)
    assert refused.returncode == 1
    assert "the dead letter was discarded already" in refused.stdout


def test_a_message_of_no_known_book_is_corrected_into_its_book(
    database: Database, variables: dict[str, str], founded: dict[str, Any], tmp_path: Path
) -> None:
    command = {
        "specversion": "1.0",
        "id": "1",
        "source": "signups",
        "type": "daybook.account.register",
        "data": {"name": "Ada"},
    }
    _grant(variables, founded)
    with closing(Log(database.ingest_url, KEY)) as log:
        [letter] = keep(log, rejected(b"no JSON", topic=topics.ACCOUNTS, book=None))
    corrected = tmp_path / "corrected.json"
    corrected.write_bytes(msgspec.json.encode({**command, "book": founded["book"]}))
    arguments = ("dead-letters", "replay", letter, "--value", str(corrected))
    done = daybook(*arguments, variables=variables)
    assert (done.returncode, done.stdout) == (0, f"{letter} replayed\n"), done.stderr
    assert daybook(*arguments, variables=variables).returncode == 0
    with psycopg.connect(database.owner_url) as connection:
        query = "SELECT count(*) FROM log.events WHERE topic = 'account.registered'"
        assert connection.execute(query).fetchone() == (1,)


def test_the_letters_of_a_data_folder_are_reached_without_its_server(data_folder: Path) -> None:
    secrets = ensure_secrets(data_folder)
    with EmbeddedPostgres(data_folder) as server:
        migrate(server.url)
        settings = Settings.from_mapping({**secrets, "DATABASE_URL": server.url})
        assert settings.ingest_url is not None
        with closing(Log(settings.ingest_url, settings.master_key)) as log:
            [letter] = keep(log, rejected(b"value"))
    shown = daybook("dead-letters", "show", letter, "--data", str(data_folder), "--json")
    assert json.loads(shown.stdout)["value"] == "value", shown.stderr
